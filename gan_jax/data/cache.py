"""The array cache: a source is decoded once to .npy files, which are memory-mapped."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
from typing import BinaryIO, NamedTuple
import uuid

from absl import logging
from ml_collections import ConfigDict
import numpy as np
import tqdm

from gan_jax import checks

FORMAT = 1  # Part of every key: raise it when the same key would give other bytes.
_LARGEST_DIGESTED = 2**28  # bytes: a fifth of a second
_ARRAYS = ("images.npy", "labels.npy")

_USER_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
)
_DAMAGES = (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError)


class Dataset(NamedTuple):
    """Images in memory-mapped arrays, or the points of data/toy.py in memory.

    Attributes:
      images: (N, H, W, C) uint8 in [0, 255], memory-mapped and read-only; points are
        (N, 1, 1, 2) float32.
      labels: (N,) int32 in [0, num_classes), zeros where the source has no labels.
      num_classes: number of classes in the source, 1 where it has no labels.
    """

    images: np.ndarray
    labels: np.ndarray
    num_classes: int


class Source(NamedTuple):
    """What a cache is filled from.

    Attributes:
      examples: iterator of images (H, W, C) uint8 with their labels.
      num_examples: upper bound of the number of examples, from which the progress bar
        and the disk space are computed.
      num_classes: number of classes, above every label; None counts up to the highest
        label.
    """

    examples: Iterator[tuple[np.ndarray, int]]
    num_examples: int
    num_classes: int | None


class Outlook(NamedTuple):
    """What will have to be prepared before a source can be read.

    Attributes:
      folder: folder of the array cache; None for points, which are made in memory.
      is_prepared: whether the cache is there already.
      num_images: number of images, at most this many until they are prepared; None if
        it is not known yet.
      reads: what is read to prepare the cache, in words; empty if it is there.
    """

    folder: pathlib.Path | None
    is_prepared: bool
    num_images: int | None
    reads: str


def data_dir(config: ConfigDict) -> pathlib.Path:
    """config.data_dir, or else the default of TFDS, found without importing it."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return pathlib.Path(config.data_dir or default).expanduser().absolute()


def directory(config: ConfigDict) -> pathlib.Path:
    """The folder in which arrays of these data are kept."""
    root = pathlib.Path(config.cache_dir or data_dir(config) / "gan_jax_cache")
    return root.expanduser()


def load_or_write(
    config: ConfigDict, key: Mapping[str, str | int], read: Callable[[], Source]
) -> Dataset:
    """The cached arrays of `key`; the first call writes them from `read()`.

    Args:
      config: data section, whose image_size, channels and crop are part of the key.
      key: everything else that the arrays depend on: source, version, split, ...
      read: function that reads the source; it is called only if there is no cache yet.

    Raises:
      ValueError: the cache cannot be written (full disk, no permission) or read, or
        the source has a label that is no class.
    """
    shape, key, folder = _place(config, key)
    if not _make_root(folder):
        try:
            _write_once(folder, key, shape, read)
        except OSError as error:
            if error.errno not in _USER_ERRORS:
                raise
            raise _unwritable(folder.parent, error) from error
    return _open(folder, shape)


def foresee(
    config: ConfigDict,
    key: Mapping[str, str | int],
    look: Callable[[], tuple[int | None, str]],
) -> Outlook:
    """What `load_or_write` would have to prepare; writes nothing.

    Args:
      config: data section.
      key: key that load_or_write takes.
      look: function that returns num_images and reads of the Outlook; it is called
        only if there is no cache yet.

    Raises:
      ValueError: the cache is damaged, or the disk has no room for it.
    """
    shape, _, folder = _place(config, key)
    parents = (folder, *folder.absolute().parents)
    try:
        place = next(path for path in parents if path.exists())
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    if place == folder:
        return Outlook(folder, True, len(_open(folder, shape).images), "")
    num_images, reads = look()
    _check_space(place, (num_images or 0) * math.prod(shape))
    return Outlook(folder, False, num_images, reads)


def _place(
    config: ConfigDict, key: Mapping[str, str | int]
) -> tuple[tuple[int, int, int], Mapping[str, str | int], pathlib.Path]:
    """The shape of an image, the whole key, and the folder of its arrays."""
    shape = (config.image_size, config.image_size, config.channels)
    key = {**key, "shape": repr(shape), "crop": config.crop, "format": FORMAT}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    name = re.sub(r"[^\w.]+", "-", str(key["source"]))
    return shape, key, directory(config) / f"{name}-{digest[:16]}"


def _unwritable(root: pathlib.Path, error: OSError) -> ValueError:
    return ValueError(
        f"The image cache could not be written in {root}: {error.strerror}. It needs a"
        " folder that can be written, on a disk with space. Set"
        " --config.data.cache_dir to one, or free some space. Nothing half written was"
        " left."
    )


def _make_root(folder: pathlib.Path) -> bool:
    """Whether the cache exists; if not, its parent folder is made before any work."""
    try:
        if folder.exists():
            return True
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # No kind of error loses data: there are none yet.
        raise _unwritable(folder.parent, error) from error
    return False


def _open(folder: pathlib.Path, shape: tuple[int, ...]) -> Dataset:
    try:
        facts = json.loads((folder / "facts.json").read_text())
        dataset = Dataset(
            images=np.load(folder / "images.npy", mmap_mode="r"),
            labels=np.load(folder / "labels.npy"),
            num_classes=facts["num_classes"],
        )
        _check_arrays(dataset, facts["num_examples"], shape)
        _check_digests(folder, facts.get("sha256", {}))
        return dataset
    except _DAMAGES as error:
        raise ValueError(
            f"The image cache {folder} is damaged or not readable ({error}). It holds"
            " images.npy, labels.npy and facts.json, as they were written. Delete that"
            " folder, and the next run writes it again."
        ) from error


def _check_arrays(dataset: Dataset, count: int, shape: tuple[int, ...]) -> None:
    images, labels, num_classes = dataset
    if images.shape != (count, *shape) or images.dtype != np.uint8:
        raise ValueError(f"{images.shape} {images.dtype} are not {count} of {shape}")
    if labels.shape != (count,) or labels.dtype != np.int32:
        raise ValueError(f"{labels.shape} {labels.dtype} labels for {count} images")
    if not 0 <= labels.min(initial=0) <= labels.max(initial=0) < num_classes:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()} of {num_classes} classes"
        )


def _check_digests(folder: pathlib.Path, digests: Mapping[str, str]) -> None:
    """Compares the files with the digests that were written beside them.

    A cache of an earlier version has no digests. Files above _LARGEST_DIGESTED are not
    compared, since that would take seconds at each start.

    Raises:
      ValueError: a file holds other bytes than were written.
    """
    for name in _ARRAYS:
        path, digest = folder / name, digests.get(name)
        if digest is None or path.stat().st_size > _LARGEST_DIGESTED:
            continue
        if _digest(path) != digest:
            raise ValueError(f"{name} does not hold the bytes that were written")


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_once(
    folder: pathlib.Path,
    key: Mapping[str, str | int],
    shape: tuple[int, ...],
    read: Callable[[], Source],
) -> None:
    """Writes under a temporary name and renames: `folder` is complete or absent."""
    with _lock(folder.parent / f".{folder.name}.lock") as locked:
        if folder.exists():
            return  # The process that held the lock before has written it.
        if locked:  # Nobody else is writing: a killed run left what lies there.
            for leftover in folder.parent.glob(f"incomplete.{folder.name}.*"):
                shutil.rmtree(leftover, ignore_errors=True)
        temporary = folder.parent / f"incomplete.{folder.name}.{uuid.uuid4().hex}"
        source = read()
        _check_space(folder.parent, source.num_examples * int(np.prod(shape)))
        logging.info("Writing %d images to the cache %s", source.num_examples, folder)
        temporary.mkdir()
        try:
            _write(temporary, source, shape)
            (temporary / "key.json").write_text(json.dumps(key, indent=2))
            temporary.rename(folder)
        except OSError:
            if not folder.exists():  # Else a process without our lock was first.
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: pathlib.Path, source: Source, shape: tuple[int, ...]) -> None:
    labels: list[int] = []
    # On a full disk a plain write raises, while a memory map kills the process.
    with open(folder / "images.npy", "wb") as file:
        _write_header(file, (0, *shape))
        for image, label in tqdm.tqdm(
            source.examples, total=source.num_examples, unit=" images", disable=None
        ):
            assert image.shape == shape and image.dtype == np.uint8
            _check_label(label, source.num_classes or checks.WIDEST)
            file.write(image.tobytes())
            labels.append(label)
        file.seek(0)
        _write_header(file, (len(labels), *shape))
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / "labels.npy", np.asarray(labels, np.int32))
    num_classes = source.num_classes or max(labels, default=0) + 1
    facts = {
        "num_examples": len(labels),
        "num_classes": num_classes,
        "sha256": {name: _digest(folder / name) for name in _ARRAYS},
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=2))


def _check_label(label: int, limit: int) -> None:
    if not 0 <= label < limit:
        raise ValueError(
            f"The data have the label {label:,}, but labels must be at least 0 and"
            f" below {limit:,}: take a split whose images have labels with"
            " --config.data.split (a test split of TFDS may have the label -1 in their"
            " place), or choose another --config.data.label. No cache was written."
        )


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # NumPy pads the header so that the first axis can grow in place.
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[bool]:
    """Holds the lock file; False where the file system has no locks."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            logging.info("Another process prepares the same data: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
            locked = True
        except OSError:
            locked = False
        yield locked


def _check_space(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"The image cache needs {needed:,} bytes, and the disk of {folder} has"
            f" {free:,} free. Free some, or set --config.data.cache_dir to a folder on"
            " another disk. Nothing was written."
        )
