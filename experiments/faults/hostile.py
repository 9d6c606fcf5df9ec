"""Files that a stranger may give: hypothesis draws them, and readers read them.

A strategy starts from a good file, claims something else in it, and edits its bytes.
The contents are drawn as dicts from names to bytes, which `write` puts into a folder.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
import hashlib
import io
import json
from pathlib import Path
import pickle
import struct
import sys
from typing import Any, NamedTuple
import zipfile
import zlib

from flax import traverse_util
from hypothesis import strategies as st
import jax
from ml_collections import ConfigDict
import numpy as np
from PIL import Image

from configs import default
import gan_jax
from gan_jax import data, runs
from gan_jax.data import array
from gan_jax.evaluation import classifier, inception_weights
from gan_jax.page import history, render

Files = Mapping[str, bytes]
MODULE = "hostile_part"  # a module that no reader may import
EXECUTING = (  # audit events of code that a file would run
    *("os.exec", "os.fork", "os.posix_spawn", "os.system", "pickle.find_class"),
    *("socket.connect", "subprocess.Popen"),
)


class Target(NamedTuple):
    """A reader, and the files that it is given.

    Attributes:
      files: strategy of the files; the first of them is the one that is read.
      read: function of the path of that file, or of its folder.
    """

    files: st.SearchStrategy[Files]
    read: Callable[[Path], Any]


def edited(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with up to eight edits, most of them near the ends."""
    last = max(0, len(whole) - 1)
    place = st.one_of(
        st.integers(0, min(200, last)),
        st.integers(max(0, last - 100), last),
        st.integers(0, last),
    )
    sizes = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    packed = [
        size.to_bytes(width, order)
        for size in sizes
        for width in (2, 4, 8)
        for order in ("little", "big")
        if size < 2 ** (8 * width)
    ]
    new = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(packed))
    edit = st.one_of(
        st.tuples(st.just("put"), place, new),
        st.tuples(st.just("insert"), place, new),
        st.tuples(st.just("copy"), place, st.tuples(place, place)),
        st.tuples(st.just("cut"), place, place),
        st.tuples(st.just("end"), place, st.none()),
    )
    edits = st.one_of(edit.map(lambda one: [one]), st.lists(edit, max_size=8))
    return edits.map(functools.partial(_apply, whole))


def _apply(whole: bytes, edits: Sequence[tuple[str, int, Any]]) -> bytes:
    for kind, at, what in edits:
        head, tail = whole[:at], whole[at:]
        if kind == "put":
            whole = head + what + tail[len(what) :]
        elif kind == "insert":
            whole = head + what + tail
        elif kind == "copy":
            whole = head + whole[min(what) : max(what)] + tail
        elif kind == "cut":
            whole = whole[: min(at, what)] + whole[max(at, what) :]
        else:
            whole = head
    return whole


def perhaps_edited(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes as they are, or edited."""
    return st.one_of(st.just(whole), edited(whole))


# Images.

SIDES = st.one_of(st.integers(0, 20), st.sampled_from([2**14, 2**16 - 1, 2**31 - 1]))


@functools.cache
def pictures() -> list[bytes]:
    """Small images of every format and mode that Pillow writes."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8))
    modes = ["1", "L", "LA", "P", "PA", "I;16", "I", "F", "RGB", "RGBA", "RGBX"]
    modes += ["CMYK", "YCbCr", "LAB", "HSV", "La", "RGBa"]
    formats: list[tuple[str, dict[str, Any]]] = [
        *((kind, {}) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")),
        *((kind, {}) for kind in ("PPM", "JPEG2000", "AVIF")),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        *(("TIFF", {"compression": x}) for x in ("tiff_lzw", "jpeg", "tiff_deflate")),
        *(
            (kind, {"save_all": True, "append_images": [photo.rotate(90)]})
            for kind in ("GIF", "PNG", "TIFF", "WEBP", "AVIF")
        ),
        (
            "JPEG",
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06"},
        ),
    ]
    found = []
    for mode in modes:
        for kind, options in formats:
            file = io.BytesIO()
            # Pillow converts between few modes, and no format has every mode.
            with contextlib.suppress(Exception):
                image = photo.convert("RGBA").convert(mode)
                image.save(file, format=kind, **options)
                found.append(file.getvalue())
    return found


def png(width: int, height: int, kind: Sequence[int], pixels: bytes) -> bytes:
    """A PNG file with these claims, and right checksums."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">II5B", width, height, *kind)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def deflated(head: bytes, size: int) -> bytes:
    """The deflated stream of these bytes and as many zeros, without a zlib header."""
    start = zlib.compressobj(wbits=-15)
    return start.compress(head) + start.flush(zlib.Z_FULL_FLUSH) + zeros(size)


def zeros(size: int) -> bytes:
    """The deflated stream of so many zeros, without its zlib header, in no time."""
    block = zlib.compressobj(wbits=-15)
    piece = block.compress(bytes(2**20)) + block.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(wbits=-15)
    end = rest.compress(bytes(size % 2**20)) + rest.flush()
    return piece * (size // 2**20) + end


def _images() -> st.SearchStrategy[Files]:
    claims = st.builds(
        png,
        SIDES,
        SIDES,
        st.tuples(
            *(st.sampled_from(x) for x in ((1, 2, 8, 16), (0, 2, 3, 4, 6), (0,), (0,))),
            st.sampled_from((0, 1)),
        ),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([zlib.compress(bytes(2**20)), b"\x78\x9c" + zeros(2**27)]),
        ),
    )
    text = st.builds(
        lambda kind, width, height, most, rest: (
            b"%s\n%d %d\n%d\n" % (kind, width, height, most) + rest
        ),
        st.sampled_from([b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"PF"]),
        *(SIDES, SIDES, st.sampled_from([0, 1, 255, 300, 65_535, 2**32])),
        st.binary(max_size=300),
    )
    content = st.one_of(
        st.sampled_from(pictures()),
        st.sampled_from(pictures()).flatmap(edited),
        claims,
        claims.flatmap(edited),
        text,
        st.binary(max_size=60),
    )
    names = st.sampled_from(["a.png", "a.jpg", "a.gif", "a.tiff", "a.webp", "a.txt"])
    return st.builds(lambda name, x: {f"images/{name}": x}, names, content)


def read_folder(path: Path) -> bool:
    """Reads the image together with a good one; whether it was used."""
    Image.new("RGB", (8, 8), "red").save(path.with_name("good.png"))
    dataset = data.create(_data_config("folder", path.parent))
    assert dataset.images.shape[1:] == (8, 8, 3), dataset.images.shape
    assert (dataset.images[-1] == (255, 0, 0)).all()
    return len(dataset.images) == 2


def _data_config(name: str, path: Path) -> ConfigDict:
    config = default.get_config().data
    config.update(name=name, manual_dir=str(path), image_size=8, channels=3)
    config.update(cache_dir=str(path.parent / "cache"), num_classes=0)
    return config


# Arrays.

DESCRIPTIONS = (
    *("|u1", "|i1", "<i4", ">i4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8", "<c8"),
    *("|b1", "|O", "<U1", "<U40", "|S3", "|V0", "|V2147483647", "<M8[s]", "|S0"),
    *([("a", "<i4")], [("a", "|O")], [("a", "|u1", (2**31,))], "nonsense", 3, None),
)
SHAPES = st.one_of(
    st.sampled_from([(6, 8, 8, 3), (6, 8, 8, 1), (6,), (), (6, 2), (2,)]),
    st.lists(
        st.one_of(
            st.integers(-2, 9),
            st.sampled_from([2**16, 2**31, 2**32, 2**62, 2**63, 10**30, "x", None]),
        ),
        max_size=5,
    ).map(tuple),
)
NESTED = "(" * 3000 + ")" * 3000
PICKLED = b"cos\nsystem\n(Vtrue\ntR."


def npy(
    description: Any, is_fortran: bool, shape: Any, body: bytes, version: int = 1
) -> bytes:
    """An .npy file with these claims."""
    fields = {"descr": description, "fortran_order": is_fortran, "shape": shape}
    return raw_npy(repr(fields) + "\n", body, version)


def raw_npy(header: str, body: bytes, version: int = 1) -> bytes:
    """An .npy file with this text as its header."""
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + body


def saved(array: Any) -> bytes:
    """The .npy file of an array, perhaps with Python objects."""
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def archive(entries: Mapping[str, tuple[bytes, int, int, int]]) -> bytes:
    """A zip archive whose entries claim what they like.

    Args:
      entries: for each name the stored bytes, their method, the claimed size and the
        flags.
    """
    body, directory = b"", b""
    for name, (content, method, size, bits) in entries.items():
        sizes = (0, len(content), min(size, 2**32 - 1))
        plain = content if method == zipfile.ZIP_STORED else b""
        fields = struct.pack(
            *("<HHHHHIIIHH", 20, bits, method, 0, 0, zlib.crc32(plain), *sizes[1:]),
            *(len(name), 0),
        )
        directory += b"PK\1\2" + struct.pack("<H", 20) + fields
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\3\4" + fields + name.encode() + content
    end = (0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + struct.pack("<HHHHIIH", *end)


def zipped(arrays: Mapping[str, bytes], *, packed: bool = False) -> bytes:
    """An honest archive of these files."""
    file = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as opened:
        for name, content in arrays.items():
            opened.writestr(name, content)
    return file.getvalue()


def bomb(name: str, shape: tuple[int, ...], *, description: str = "|u1") -> bytes:
    """A small archive of one array of zeros."""
    head = npy(description, False, shape, b"")
    size = int(np.prod(shape)) * np.dtype(description).itemsize
    return archive({f"{name}.npy": (deflated(head, size), 8, len(head) + size, 0)})


def _npy() -> st.SearchStrategy[bytes]:
    body = st.one_of(
        st.binary(max_size=40),
        st.sampled_from([bytes(6 * 8 * 8 * 3), bytes(6 * 8 * 8), PICKLED, bytes(48)]),
    )
    headers = [
        "{}",
        "-" * 9000 + "1",
        NESTED,
        "{[]: 1}",
        "{'descr': ",
        "\0",
        "1" * 9000,
    ]
    values = [
        *(np.zeros((6, 8, 8, 3), np.uint8), np.zeros((6, 8, 8, 1), np.uint8)),
        *(np.arange(6), np.arange(6) - 1, np.arange(6) + 2**31, np.arange(6.0)),
        *(np.full(6, np.nan), np.full((6, 2), np.inf), np.full(6, 2**64 - 1)),
        *(np.array(["eyeglasses", "smiling"]), np.array("smiling"), np.eye(6, 2)),
        *(np.array(["a\nb", "smiling"]), np.array([b"smiling"]), np.array([{}, 1])),
        np.asfortranarray(np.ones((6, 8, 8, 3), np.uint8)),
    ]
    return st.one_of(
        st.builds(
            *(npy, st.sampled_from(DESCRIPTIONS), st.booleans(), SHAPES, body),
            st.sampled_from([1, 2, 3, 9]),
        ),
        st.builds(raw_npy, st.sampled_from(headers), body, st.sampled_from([1, 2])),
        st.sampled_from([saved(value) for value in values]),
        st.sampled_from([saved(value) for value in values]).flatmap(edited),
    )


def _npz(good: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Archives whose arrays are some of the good ones and some others."""
    whole = {name: saved(value) for name, value in good.items()}
    names = st.sampled_from([*good, "surplus", "../up", "", "a/b"])
    honest = st.builds(
        lambda others, missing, packed: zipped(
            {
                f"{name}.npy": content
                for name, content in {**whole, **others}.items()
                if name not in missing
            },
            packed=packed,
        ),
        st.dictionaries(names, _npy(), max_size=2),
        st.sets(names, max_size=1),
        st.booleans(),
    )
    lying = st.builds(
        lambda content, name, method, size, bits: archive(
            {
                **{f"{x}.npy": (y, 0, len(y), 0) for x, y in whole.items()},
                f"{name}.npy": (content, method, size, bits),
            }
        ),
        st.one_of(_npy(), st.binary(max_size=40), st.just(zeros(2**24))),
        names,
        st.sampled_from([0, 8, 12, 14, 99]),
        st.sampled_from([0, 40, 2**24, 2**32 - 1]),
        st.sampled_from([0, 0, 1, 0x800]),
    )
    bombs = st.sampled_from(
        [
            bomb("images", (2**14, 8, 8, 3)),
            bomb("images", (2, 2**14, 2**12, 3)),
            bomb("images", (1, 2**15, 2**15, 3)),
            bomb("labels", (2**28,), description="<i8"),
            bomb("facts", (), description="<U500000000"),
            bomb("surplus", (2**32 - 2000,)),
            zipped({"images.npy": raw_npy(" " * 2**27, b"", 2)}, packed=True),
        ]
    )
    honest_names = zipped({**whole, "readme": b"text", "images": b"no array"})
    return st.one_of(
        *(honest, honest.flatmap(edited), lying, bombs, st.just(honest_names)),
        edited(zipped({f"{x}.npy": y for x, y in whole.items()}, packed=True)),
    )


def images_with_labels() -> dict[str, Any]:
    """The arrays of a good file of images."""
    return {
        "images": np.arange(6 * 8 * 8 * 3, dtype=np.uint8).reshape(6, 8, 8, 3),
        "labels": np.arange(6) % 3,
        "attributes": np.eye(6, 2, dtype=bool),
        "attribute_names": np.array(["eyeglasses", "smiling"]),
    }


def read_array(path: Path) -> bool:
    """Reads an array file by its labels, or by an attribute, as its name says."""
    config = _data_config("array", path)
    config.label = "smiling" if path.parent.name == "smiling" else ""
    dataset = data.create(config)
    assert dataset.images.shape[1:] == (8, 8, 3) and dataset.images.dtype == np.uint8
    return True


def read_images(path: Path) -> bool:
    """Reads images that gan_jax.evaluate is to score."""
    try:
        images, labels = array.read_whole(path, most=2**28)
    except ValueError as error:  # the command names the file
        raise ValueError(f"{path}: {error}") from error
    assert isinstance(images, np.ndarray)
    assert labels is None or isinstance(labels, np.ndarray)
    return True


# Weights.


def _classifier() -> st.SearchStrategy[Files]:
    whole = classifier.MNIST_WEIGHTS.read_bytes()
    with np.load(io.BytesIO(whole)) as opened:
        arrays = dict(opened)
    facts = json.loads(str(arrays["facts"]))
    sizes = st.one_of(JUNK, st.lists(JUNK, max_size=4))
    changed = st.builds(
        lambda name, value: zipped(
            {
                f"{x}.npy": saved(y)
                for x, y in {
                    **arrays,
                    "facts": json.dumps({**facts, name: value}),
                }.items()
            }
        ),
        st.sampled_from(["image_shape", "num_classes", "other"]),
        sizes,
    )
    content = st.one_of(changed, perhaps_edited(whole), _npz(arrays))
    return content.map(lambda x: {"weights.npz": x})


def read_classifier(path: Path) -> bool:
    """Reads a classifier."""
    weights = classifier.load(path)
    json.dumps(weights.facts)
    return True


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
ENTRIES: dict[str, tuple[int, ...]] = {
    "unit.conv.weight": (4, 2, 3, 1),
    **{f"unit.bn.{x}": (4,) for x in ("weight", "bias", "running_mean", "running_var")},
    "fc.weight": (5, 4),
}


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
            functools.partial(_apply, good)
        ),
        st.lists(snippets, max_size=30).map(lambda x: b"".join(x) + b"."),
        st.builds(
            lambda name, shape: state_dict({**ENTRIES, name: shape}),
            st.sampled_from([*ENTRIES, "more"]),
            st.lists(st.sampled_from([0, 1, 4, -1, 2**40, 2**70]), max_size=5).map(
                tuple
            ),
        ),
        edited(good),
    )


def _inception() -> st.SearchStrategy[Files]:
    good = {name: np.ones(shape, np.float32) for name, shape in ENTRIES.items()}
    storages = {str(key): array.tobytes() for key, array in enumerate(good.values())}

    def archived(tensors: bytes, packed: bool) -> bytes:
        beside = {f"a/data/{key}": content for key, content in storages.items()}
        return zipped({"a/data.pkl": tensors, **beside}, packed=packed)

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
    keys = st.one_of(st.just(list(storages)), st.lists(JUNK, max_size=3), JUNK)
    bombs = st.just(
        archive(
            {
                "a/data.pkl": (state_dict(), 0, len(state_dict()), 0),
                "a/data/0": (zeros(2**31), 8, 2**31, 0),
            }
        )
    )
    archives = st.builds(archived, _pickles(), st.booleans())
    streams = st.builds(streamed, _pickles(), counts, keys)
    content = st.one_of(
        *(archives, streams, bombs, _npz(good)),
        *(archives.flatmap(edited), streams.flatmap(edited)),
    )
    return content.map(lambda x: {"weights.pth": x})


def read_inception(path: Path) -> bool:
    """Reads weights for a small net as those of Inception-v3."""
    shapes = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, np.float32),
        SMALL,
        is_leaf=lambda node: isinstance(node, tuple),
    )
    weights = inception_weights.read(path, shapes)
    for name, leaf in traverse_util.flatten_dict(weights.variables, sep="/").items():
        assert leaf.dtype == np.float32, name
    return True


# Runs.

NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**15, 2**17, 2**31, 2**63, 10**30, 10**400, -(10**20)]),
    st.floats(),
)
JUNK = st.one_of(
    *(NUMBERS, NUMBERS, st.none(), st.booleans(), st.text(max_size=8)),
    st.sampled_from(
        [f"{MODULE}:pair", "\ud800", "a\nb", "\0", "../up", "{x}", "{", "%s"]
    ),
    st.recursive(
        st.integers(0, 3),
        lambda part: st.one_of(
            st.lists(part, max_size=3),
            st.dictionaries(st.text(max_size=4), part, max_size=3),
        ),
        max_leaves=5,
    ),
)


def _places(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Any]:
    for name, value in tree.items():
        yield (*path, name)
        if isinstance(value, Mapping):
            yield from _places(value, (*path, name))


def _with(tree: Any, path: Sequence[str], value: Any) -> Any:
    if not path or not isinstance(tree, dict):
        return value
    return {**tree, path[0]: _with(tree.get(path[0]), path[1:], value)}


def changed(tree: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """The tree with up to three other values, and perhaps with other names."""
    paths = st.sampled_from(list(_places(tree)))
    named = st.builds(lambda path, name: (*path[:-1], name), paths, st.text(max_size=5))
    change = st.tuples(st.one_of(paths, paths, paths, named), JUNK)

    def apply(changes: Sequence[tuple[Any, Any]]) -> Any:
        return functools.reduce(lambda whole, one: _with(whole, *one), changes, tree)

    return st.lists(change, min_size=1, max_size=3).map(apply)


def generators(good: bytes) -> st.SearchStrategy[Files]:
    """Files of a generator.

    Args:
      good: content of a file that gan_jax.export wrote.
    """
    with np.load(io.BytesIO(good)) as opened:
        arrays = dict(opened)
    facts = json.loads(str(arrays["facts"]))
    with_facts = changed(facts).map(
        lambda x: zipped(
            {
                f"{name}.npy": saved(array)
                for name, array in {**arrays, "facts": json.dumps(x)}.items()
            }
        )
    )
    content = st.one_of(with_facts, with_facts, perhaps_edited(good), _npz(arrays))
    return content.map(lambda x: {"generator.npz": x})


def read_generator(path: Path) -> bool:
    """Reads a generator and draws an image."""
    run = gan_jax.load(path)
    images = run.sample(1, label=0 if run.is_conditional else None)
    assert images.shape[0] == 1
    return True


def run_folders(run: Path) -> st.SearchStrategy[Files]:
    """Folders of a run, each with one or two files that are not as they were.

    Args:
      run: folder of a good run, whose checkpoint is folder "checkpoints/4".
    """
    whole = {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file()
    }
    config = json.loads(whole["config.json"])
    as_bytes = functools.partial(json.dumps, ensure_ascii=True)
    lines = sorted(name for name in whole if name.endswith(".jsonl"))
    inside = sorted(name for name in whole if name.startswith("checkpoints/4/"))
    one = st.one_of(
        changed(config).map(lambda x: {"config.json": as_bytes(x).encode()}),
        edited(whole["config.json"]).map(lambda x: {"config.json": x}),
        *(_lines(whole[name]).map(functools.partial(_named, name)) for name in lines),
        st.sampled_from(inside).flatmap(
            lambda name: edited(whole[name]).map(functools.partial(_named, name))
        ),
        st.sampled_from([name for name in inside if _is_json(whole[name])]).flatmap(
            lambda name: changed(json.loads(whole[name])).map(
                lambda x: {name: as_bytes(x).encode()}
            )
        ),
    )
    several = st.lists(one, min_size=1, max_size=2)
    return several.map(
        lambda others: _with_sums({**whole, **collections.ChainMap(*others)})
    )


def _named(name: str, content: bytes) -> Files:
    return {name: content}


def _is_json(content: bytes) -> bool:
    try:
        return bool(json.loads(content)) and isinstance(json.loads(content), dict)
    except ValueError:
        return False


def _lines(whole: bytes) -> st.SearchStrategy[bytes]:
    records = [json.loads(line) for line in whole.splitlines()]
    line = st.one_of(
        st.sampled_from(records).flatmap(changed).map(lambda x: json.dumps(x).encode()),
        st.sampled_from(
            [b"[" * 5000, b"{}", b"\xff\xfe", b"1" * 5000, b'{"step": 1e9}']
        ),
        st.sampled_from(
            [b'{"step": 1, "d_loss": 1%s}' % (b"0" * 400), b"\0", b'"\\ud800"']
        ),
        st.binary(max_size=20),
    )
    several = st.lists(line, max_size=4).map(lambda x: b"\n".join([whole, *x]))
    return st.one_of(several, edited(whole))


def _with_sums(files: Files) -> Files:
    """The files with the sums that a forger would write."""
    folder = "checkpoints/4/"
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name.removeprefix(folder)}\n"
        for name, content in files.items()
        if name.startswith(folder) and not name.endswith("SHA256SUMS")
    )
    return {**files, f"{folder}SHA256SUMS": sums.encode()}


def read_run(workdir: Path) -> bool:
    """Reads a run and draws an image."""
    run = gan_jax.load(workdir)
    run.sample(1, label=0 if run.is_conditional else None)
    return True


def read_lines(workdir: Path) -> bool:
    """Lists a run and makes its page."""
    shipped = {"default": default.get_config()}
    row = runs.describe(workdir, "run")
    runs.format_table([row]).encode()
    page = render.page(history.read_all([workdir]), shipped, grids=4)
    page.encode(errors="replace")
    return row.state != "damaged"


def targets(run: Path, generator: bytes) -> dict[str, Target]:
    """All readers by name.

    Args:
      run: folder of a good run with a checkpoint of step 4 and scores.
      generator: its generator as an .npz file.
    """
    arrays = _npz(images_with_labels())
    npz = st.builds(
        lambda folder, content: {f"{folder}/images.npz": content},
        st.sampled_from(["labels", "smiling"]),
        arrays,
    )
    either = st.one_of(arrays, _npy())
    folders = run_folders(run).map(
        lambda files: {f"run/{name}": content for name, content in files.items()}
    )
    return {
        "folder of images": Target(_images(), read_folder),
        "array .npz": Target(npz, read_array),
        "array .npy": Target(_npy().map(lambda x: {"a/images.npy": x}), read_array),
        "evaluate --images": Target(either.map(lambda x: {"a.npz": x}), read_images),
        "classifier's weights": Target(_classifier(), read_classifier),
        "Inception's weights": Target(_inception(), read_inception),
        "generator .npz": Target(generators(generator), read_generator),
        "run: load": Target(folders, lambda path: read_run(_run_of(path))),
        "run: lines, page": Target(folders, lambda path: read_lines(_run_of(path))),
    }


def _run_of(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "run")


def write(files: Files, folder: Path) -> Path:
    """Writes files into a folder; returns the path of the first."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / next(iter(files))


def outcome(read: Callable[[Path], bool], path: Path, folder: Path) -> str:
    """What a reader does with a file: "accepted", "refused", or what went wrong.

    Args:
      read: reader of the file.
      path: path of the file.
      folder: folder of the case, the beginning of the path that a refusal must name.
    """
    EVENTS.clear()
    try:
        found = "accepted" if read(path) else "refused"
    except (ValueError, OSError) as error:
        found = _judged(error, folder)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    if EVENTS or MODULE in sys.modules:
        return f"executed: {EVENTS}"
    return found


def _judged(error: BaseException, folder: Path) -> str:
    """Whether a refusal is one sentence that names the file, and was not too late."""
    text = str(error)
    if not (str(folder) in text or "config.json" in text):
        return f"names no file: {text}"
    if "\n" in text or len(text) > 2_000:
        return f"no sentence: {text}"
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, MemoryError):
            return f"no memory: {text}"
        cause = cause.__cause__ or cause.__context__
    return "refused"


EVENTS: list[str] = []
SLOW = ("generator .npz", "run: load", "run: lines, page")  # build networks or pages
NAMES = (
    *("folder of images", "array .npz", "array .npy", "evaluate --images"),
    *("classifier's weights", "Inception's weights", *SLOW),
)


def watch() -> None:
    """Notes from now on in EVENTS what this process executes; it cannot be undone."""

    def note(event: str, arguments: Any) -> None:
        del arguments
        if event in EXECUTING:
            EVENTS.append(event)

    sys.addaudithook(note)
