"""Files of arrays: .npy files and zip archives whose claims are true or lies."""

from collections.abc import Mapping
import io
import struct
from typing import Any
import zipfile
import zlib

from hypothesis import strategies as st
import numpy as np

from experiments.faults.hostile import edits

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


def bomb(name: str, shape: tuple[int, ...], *, description: str = "|u1") -> bytes:
    """A small archive of one array of zeros."""
    head = npy(description, False, shape, b"")
    size = int(np.prod(shape)) * np.dtype(description).itemsize
    return archive({f"{name}.npy": (deflated(head, size), 8, len(head) + size, 0)})


def npy_contents() -> st.SearchStrategy[bytes]:
    """Contents of .npy files: of good arrays, of edited ones, and of false claims."""
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
        st.sampled_from([saved(value) for value in values]).flatmap(edits.edited),
    )


def npz_contents(good: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
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
        st.dictionaries(names, npy_contents(), max_size=2),
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
        st.one_of(npy_contents(), st.binary(max_size=40), st.just(zeros(2**24))),
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
        *(honest, honest.flatmap(edits.edited), lying, bombs, st.just(honest_names)),
        edits.edited(zipped({f"{x}.npy": y for x, y in whole.items()}, packed=True)),
    )


def images_with_labels() -> dict[str, Any]:
    """The arrays of a good file of images."""
    return {
        "images": np.arange(6 * 8 * 8 * 3, dtype=np.uint8).reshape(6, 8, 8, 3),
        "labels": np.arange(6) % 3,
        "attributes": np.eye(6, 2, dtype=bool),
        "attribute_names": np.array(["eyeglasses", "smiling"]),
    }
