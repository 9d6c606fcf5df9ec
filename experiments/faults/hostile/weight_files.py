"""Files of weights: a classifier's, a generator's, and Inception's from PyTorch."""

from collections.abc import Mapping, Sequence
import functools
import io
import json
import pickle
import struct
from typing import Any

from hypothesis import strategies as st
import numpy as np

from experiments.faults.hostile import array_files, edits
from gan_jax.evaluation import classifier, inception_weights

SMALL = {  # a net of one unit and a classifier, in the layout of Inception-v3
    "params": {
        "unit": {
            "conv": {"kernel": (3, 1, 2, 4)},
            "bn": {"scale": (4,), "bias": (4,)},
        },
        "fc": {"kernel": (4, 5)},
    },
    "batch_stats": {"unit": {"bn": {"mean": (4,), "var": (4,)}}},
}
ENTRIES: dict[str, tuple[int, ...]] = {  # the same net, as PyTorch has it
    "unit.conv.weight": (4, 2, 3, 1),
    **{f"unit.bn.{x}": (4,) for x in ("weight", "bias", "running_mean", "running_var")},
    "fc.weight": (5, 4),
}


def classifiers() -> st.SearchStrategy[edits.Files]:
    """Files of a classifier, which are made from that of MNIST."""
    whole = classifier.MNIST_WEIGHTS.read_bytes()
    with np.load(io.BytesIO(whole)) as opened:
        arrays = dict(opened)
    facts = json.loads(str(arrays["facts"]))
    sizes = st.one_of(edits.JUNK, st.lists(edits.JUNK, max_size=4))
    changed = st.builds(
        lambda name, value: array_files.zipped(
            {
                f"{x}.npy": array_files.saved(y)
                for x, y in {
                    **arrays,
                    "facts": json.dumps({**facts, name: value}),
                }.items()
            }
        ),
        st.sampled_from(["image_shape", "num_classes", "other"]),
        sizes,
    )
    content = st.one_of(
        changed, edits.perhaps_edited(whole), array_files.npz_contents(arrays)
    )
    return content.map(lambda x: {"weights.npz": x})


def generators(good: bytes) -> st.SearchStrategy[edits.Files]:
    """Files of a generator.

    Args:
      good: content of a file that gan_jax.export wrote.
    """
    with np.load(io.BytesIO(good)) as opened:
        arrays = dict(opened)
    facts = json.loads(str(arrays["facts"]))
    with_facts = edits.changed(facts).map(
        lambda x: array_files.zipped(
            {
                f"{name}.npy": array_files.saved(array)
                for name, array in {**arrays, "facts": json.dumps(x)}.items()
            }
        )
    )
    content = st.one_of(
        with_facts,
        with_facts,
        edits.perhaps_edited(good),
        array_files.npz_contents(arrays),
    )
    return content.map(lambda x: {"generator.npz": x})


def inceptions() -> st.SearchStrategy[edits.Files]:
    """Files of the SMALL net: PyTorch's archives and streams, and .npz archives."""
    good = {name: np.ones(shape, np.float32) for name, shape in ENTRIES.items()}
    storages = {str(key): array.tobytes() for key, array in enumerate(good.values())}

    def archived(tensors: bytes, packed: bool) -> bytes:
        beside = {f"a/data/{key}": content for key, content in storages.items()}
        return array_files.zipped({"a/data.pkl": tensors, **beside}, packed=packed)

    def streamed(tensors: bytes, counts: Sequence[int], keys: Any) -> bytes:
        parts = [inception_weights.STREAM_START, pickle.dumps(1001, protocol=2)]
        parts += [pickle.dumps({}, protocol=2), tensors, pickle.dumps(keys, protocol=2)]
        for count, content in zip(counts, storages.values(), strict=True):
            parts += [struct.pack("<Q", count or len(content) // 4), content]
        return b"".join(parts)

    counts = st.lists(
        st.sampled_from([0, 0, 0, 0, 2**33, 2**63]),
        min_size=len(good),
        max_size=len(good),
    )
    keys = st.one_of(
        st.just(list(storages)), st.lists(edits.JUNK, max_size=3), edits.JUNK
    )
    bombs = st.just(
        array_files.archive(
            {
                "a/data.pkl": (state_dict(), 0, len(state_dict()), 0),
                "a/data/0": (array_files.zeros(2**31), 8, 2**31, 0),
            }
        )
    )
    archives = st.builds(archived, _pickles(), st.booleans())
    streams = st.builds(streamed, _pickles(), counts, keys)
    content = st.one_of(
        *(archives, streams, bombs, array_files.npz_contents(good)),
        *(archives.flatmap(edits.edited), streams.flatmap(edits.edited)),
    )
    return content.map(lambda x: {"weights.pth": x})


def _pickles() -> st.SearchStrategy[bytes]:
    good = state_dict()
    snippets = st.sampled_from(
        [
            *(b"r\xff\xff\xff\x07", b"r\xff\xff\xff\x7f", b"cos\nsystem\n(Vtrue\ntR"),
            *(b"\x96" + struct.pack("<Q", size) for size in (2**33, 2**62, 2**64 - 1)),
            *(b"\x8d" + struct.pack("<Q", 2**40), b"\x8e" + struct.pack("<Q", 2**33)),
            *(
                b"\x95" + struct.pack("<Q", 2**40),
                b"B\xff\xff\xff\x7f",
                b"}b",
                b")\x81",
            ),
            *(b"0", b"1", b"2", b"t", b"u", b"s", b"e", b"R", b"Q", b"b", b"N", b"}"),
            *(
                b"(I1\nd",
                b"(Vitems\nI1\ndb",
                b"ctorch\nFloatStorage\n}b",
                b"I" + b"9" * 99,
            ),
            *(b"\x8b\xff\xff\xff\x7f", b"\x8a\xff", b"L" + b"9" * 5000 + b"L\n", b"("),
        ]
    )
    places = st.integers(0, len(good) - 1)
    return st.one_of(
        st.just(good),
        st.lists(st.tuples(st.just("insert"), places, snippets), max_size=3).map(
            functools.partial(edits.applied, good)
        ),
        st.lists(snippets, max_size=30).map(lambda x: b"".join(x) + b"."),
        st.builds(
            lambda name, shape: state_dict({**ENTRIES, name: shape}),
            st.sampled_from([*ENTRIES, "more"]),
            st.lists(st.sampled_from([0, 1, 4, -1, 2**40, 2**70]), max_size=5).map(
                tuple
            ),
        ),
        edits.edited(good),
    )


def state_dict(shapes: Mapping[str, tuple[int, ...]] = ENTRIES) -> bytes:
    """The pickle of PyTorch for tensors of these shapes, each with its own storage."""
    items = b""
    for key, (name, shape) in enumerate(shapes.items()):
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
        items += b"V%s\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\n" % name.encode()
        items += b"ctorch\nFloatStorage\nV%d\nVcpu\nI%d\ntQI0\n" % (key, np.prod(shape))
        for values in (shape, strides):
            items += b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"
        items += b"I00\nccollections\nOrderedDict\n)RtR"
    return b"ccollections\nOrderedDict\n)R(" + items + b"u(V_metadata\n}db."
