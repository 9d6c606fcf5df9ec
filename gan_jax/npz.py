"""Reads .npz and .npy files that may come from a stranger.

What a file claims is checked before its values are read, so that a small file takes
little memory, and Python objects, which could run code, are refused. Whatever is wrong
with a file becomes a ValueError with the cause alone: the caller names the file and
says what to do.
"""

from collections.abc import Iterator, Mapping
import contextlib
import io
import math
from pathlib import Path
from typing import IO, NamedTuple
import zipfile

import numpy as np

_HEADER = 1_024  # characters of a header, which takes about a hundred
_KINDS = "biufcSU"  # of dtypes: numbers and texts, no objects, records or times
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Header(NamedTuple):
    """What an .npy file says about its array.

    Attributes:
      shape: shape of the array.
      dtype: type of its elements.
      is_fortran: whether the elements lie in column-major order.
      size: bytes of the header itself, after which the elements begin.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool
    size: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextlib.contextmanager
def faults_named() -> Iterator[None]:
    """Turns every error into a ValueError with a short cause on one line.

    Raises:
      ValueError: an error occurred inside.
    """
    try:
        yield
    except Exception as error:  # NumPy, zipfile and zlib raise nearly every type.
        raise ValueError(cause(error)) from error


def cause(error: Exception) -> str:
    """The beginning of an error's text on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_archive(path: Path) -> bool:
    """Whether a file is an .npz file, which is a zip archive.

    Raises:
      ValueError: the file cannot be read, or is an .npz file that was truncated.
    """
    with faults_named(), path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return True
        file.seek(0)
        if file.read(2) == b"PK":  # the archive's directory is at the end
            raise ValueError("an .npz file without its end: it is truncated")
        return False


def header(path: Path) -> Header:
    """The header of an .npy file, which has all the bytes that it claims.

    Raises:
      ValueError: the file cannot be read or is damaged.
    """
    with faults_named(), path.open("rb") as file:
        return _read_header(file, path.stat().st_size)


def headers(path: Path, *, packed: bool) -> dict[str, Header]:
    """The headers of the arrays of an .npz file by their names.

    Args:
      path: path of the file.
      packed: whether arrays may be packed, as numpy.savez_compressed does it. If not,
        all arrays together have at most as many bytes as the file.

    Raises:
      ValueError: the file cannot be read or is damaged, or an array is packed.
    """
    found = {}
    with faults_named(), zipfile.ZipFile(path) as archive:
        check_entries(archive, packed=packed)
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name != entry.filename:
                with archive.open(entry) as file:
                    found[name] = _read_header(file, entry.file_size)
    return found


def check_entries(archive: zipfile.ZipFile, *, packed: bool) -> None:
    """Refuses an archive with more in it than its bytes can hold.

    Args:
      archive: archive to check, opened by its path; no entry is read.
      packed: whether entries may be packed.

    Raises:
      ValueError: entries overlap, have two sizes, or are packed.
    """
    entries = archive.infolist()
    whole = Path(str(archive.filename)).stat().st_size
    if sum(entry.compress_size for entry in entries) > whole:
        raise ValueError("its entries overlap")
    for entry in entries:
        method = entry.compress_type
        if method not in _METHODS or (method and not packed):
            raise ValueError(f"its arrays are packed, {entry.filename[:80]!r} for one")
        if not method and entry.file_size != entry.compress_size:
            raise ValueError(f"{entry.filename[:80]!r} has two sizes")


def _read_header(file: IO[bytes], size: int) -> Header:
    start = io.BytesIO(file.read(2**14))  # so many that a longer header is named
    version = np.lib.format.read_magic(start)
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0(start, max_header_size=_HEADER)
    elif version == (2, 0):
        read = np.lib.format.read_array_header_2_0(start, max_header_size=_HEADER)
    else:
        raise ValueError(f"the version {version} of the format is not supported")
    shape, is_fortran, dtype = read
    if dtype.kind not in _KINDS:
        raise ValueError(f"it has an array of {dtype}, which are no numbers or texts")
    found = Header(shape, dtype, is_fortran, start.tell())
    if min(shape, default=0) < 0 or found.size + found.nbytes > size:
        raise ValueError(f"it has an array {shape} {dtype} without all its values")
    return found


def read(path: Path, name: str) -> np.ndarray:
    """An array of an .npz file whose header has been found good.

    Raises:
      ValueError: the file cannot be read or is damaged.
    """
    with (
        faults_named(),
        zipfile.ZipFile(path) as archive,
        archive.open(f"{name}.npy") as file,
    ):
        return np.lib.format.read_array(file, allow_pickle=False)


def rows(path: Path, name: str, claim: Header) -> Iterator[np.ndarray]:
    """The parts of an array of an .npz file along its first axis, one by one.

    Args:
      path: path of the file.
      name: name of the array, which is not in column-major order.
      claim: header of the array.

    Raises:
      ValueError: the file cannot be read or is damaged.
    """
    shape = claim.shape[1:]
    size = math.prod(shape) * claim.dtype.itemsize
    with (
        faults_named(),
        zipfile.ZipFile(path) as archive,
        archive.open(f"{name}.npy") as file,
    ):
        file.read(claim.size)
        for _ in range(claim.shape[0]):
            content = file.read(size)
            if len(content) < size:
                raise ValueError(f"{name} is truncated")
            yield np.frombuffer(content, claim.dtype).reshape(shape)


def read_text(path: Path, name: str, found: Mapping[str, Header], most: int) -> str:
    """A single text of an .npz file.

    Args:
      path: path of the file.
      name: name of the text.
      found: headers of the file.
      most: largest allowed number of bytes, four for each letter.

    Raises:
      ValueError: there is no such text, it is too long, or it is damaged.
    """
    claim = found.get(name)
    if claim is None or claim.shape or claim.dtype.kind != "U" or claim.nbytes > most:
        raise ValueError(f"it has no text {name} of at most {most:,} bytes")
    return str(read(path, name))
