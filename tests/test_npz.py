"""Files of arrays from a stranger: what they claim is checked before it is read."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from experiments.faults.hostile import array_files
from gan_jax import npz

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 4, 3, 3), np.uint8)
MEGABYTE = 2**20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_headers_rows_and_arrays_are_those_that_numpy_wrote(path, save):
    texts = np.array(["a", "bcd"])
    save(path, images=IMAGES, columns=np.asfortranarray(IMAGES), texts=texts)
    found = npz.headers(path, packed=True)
    assert found["images"].shape == IMAGES.shape and found["images"].dtype == np.uint8
    assert found["columns"].is_fortran and not found["images"].is_fortran
    rows = list(npz.rows(path, "images", found["images"]))
    np.testing.assert_array_equal(rows, IMAGES)
    for name, expected in (("columns", IMAGES), ("texts", texts)):
        np.testing.assert_array_equal(npz.read(path, name), expected)
    assert npz.is_archive(path)


def test_an_npy_file_has_a_header(path):
    path = path.with_suffix(".npy")
    np.save(path, IMAGES)
    assert npz.header(path).nbytes == IMAGES.nbytes
    assert not npz.is_archive(path)


LIES = {
    "is encrypted": array_files.archive({"a.npy": (array_files.saved(1), 0, 136, 1)}),
    "without all its values": array_files.zipped(
        {"a.npy": array_files.npy("|u1", False, (2**62, 2**62), b"")}
    ),
    "which are no numbers": array_files.zipped({"a.npy": array_files.saved([{}])}),
    "'a.npy' has two sizes": array_files.archive({"a.npy": (b"", 0, 9, 0)}),
    "arrays are packed, 'a.npy'": array_files.archive({"a.npy": (b"", 14, 9, 0)}),
    "not supported": array_files.zipped(
        {"a.npy": array_files.npy("|u1", False, (), b"", 9)}
    ),
    "is large": array_files.zipped(
        {"a.npy": array_files.raw_npy("-" * 9_000 + "1", b"")}
    ),
    "unhashable": array_files.zipped({"a.npy": array_files.raw_npy("{[]: 1}", b"")}),
    "the magic string": array_files.zipped({"a.npy": b"no array"}),
    "its end: it is truncated": b"PK\3\4",
}


@pytest.mark.parametrize("message", LIES)
def test_a_lie_is_told_in_one_line(path, message):
    path.write_bytes(LIES[message])
    with pytest.raises(ValueError, match=message) as caught:
        npz.is_archive(path)
        npz.headers(path, packed=True)
    assert "\n" not in str(caught.value)


def test_entries_that_overlap_are_refused(path):
    whole = bytearray(array_files.archive({x: (bytes(500), 0, 500, 0) for x in "ab"}))
    second = whole.rindex(b"PK\1\2")
    whole[second + 42 : second + 46] = bytes(4)  # lies where the first does
    del whole[531:1062]  # the second's bytes
    end = whole.rindex(b"PK\5\6")
    whole[end + 16 : end + 20] = (531).to_bytes(4, "little")
    path.write_bytes(whole)
    assert len(zipfile.ZipFile(path).infolist()) == 2
    with pytest.raises(ValueError, match="its entries overlap"):
        npz.headers(path, packed=True)


def test_packed_arrays_are_refused_where_none_may_be(path):
    np.savez_compressed(path, a=IMAGES)
    with pytest.raises(ValueError, match="its arrays are packed, 'a.npy' for one"):
        npz.headers(path, packed=False)


def test_neither_a_header_nor_a_row_of_a_bomb_takes_memory(path):
    path.write_bytes(array_files.bomb("images", (2**20, 8, 8, 3)))  # 200 MB of zeros
    assert path.stat().st_size < MEGABYTE
    tracemalloc.start()
    try:
        claim = npz.headers(path, packed=True)["images"]
        rows = npz.rows(path, "images", claim)
        for _ in range(1_000):
            assert not next(rows).any()
        assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    finally:
        tracemalloc.stop()
        rows.close()


def test_a_text_has_a_largest_size(path):
    np.savez(path, text=np.array("x" * 100), number=np.array(3))
    found = npz.headers(path, packed=False)
    assert npz.read_text(path, "text", found, 400) == "x" * 100
    for name, most in (("text", 399), ("number", 400), ("absent", 400)):
        with pytest.raises(ValueError, match=f"no text {name} of at most {most} bytes"):
            npz.read_text(path, name, found, most)
