"""Any folder of images; its sub-folders are the classes."""

import collections
from collections.abc import Iterator, Sequence
from concurrent import futures
import hashlib
import os
import pathlib

from absl import logging
from ml_collections import ConfigDict
import numpy as np

from gan_jax.data import cache, decode, resize

_THREADS = 4  # Pillow decodes outside Python's lock.
_FILES_AT_ONCE = 64  # Files decoded ahead of the writing; this bounds the memory.
_CLASSES_SHOWN = 20  # Classes named in the summary line.


def check(config: ConfigDict) -> None:
    """Refuses what no folder of images has.

    Raises:
      ValueError: there is no such folder, or the config asks for a split or a label.
    """
    folder = _path(config)
    if not config.manual_dir or not folder.is_dir():
        raise ValueError(
            f"config.data.manual_dir is {config.manual_dir!r}, which is not a folder."
            " The source 'folder' reads the images below one. Set"
            " --config.data.manual_dir to it."
        )
    if config.split != "train" or config.label:
        raise ValueError(
            f"config.data.split is {config.split!r} and config.data.label is"
            f" {config.label!r}. A folder has the one split 'train', and its labels are"
            " its sub-folders. Set --config.data.split=train --config.data.label=''."
        )


def _path(config: ConfigDict) -> pathlib.Path:
    return pathlib.Path(config.manual_dir).expanduser()


def load(config: ConfigDict) -> cache.Dataset:
    """The images below the folder config.manual_dir.

    A sub-folder that holds a usable image, at any depth, is a class. Classes are
    numbered in the order of their names; images directly in the folder are a class
    before these. Hidden files are ignored. A link to a folder is not followed, and a
    warning names it; a link to a file is. A file that cannot be used is skipped with a
    warning that names it, and one log line counts all skipped files. A changed folder
    is read again.

    Raises:
      ValueError: the folder has no usable image.
    """
    folder = _path(config)
    files = _list_files(folder)
    return cache.load_or_write(
        config,
        _key(folder, files),
        lambda: cache.Source(_examples(config, folder, files), len(files), None),
    )


def foresee(config: ConfigDict) -> cache.Outlook:
    """What `load` would have to prepare; images are not opened."""
    folder = _path(config)
    files = _list_files(folder)

    def look() -> tuple[int, str]:
        size = sum(path.stat().st_size for path in files if path.exists())
        words = f"{len(files):,} files below {folder} ({size / 2**20:,.1f} MiB)"
        return len(files), words

    return cache.foresee(config, _key(folder, files), look)


def _key(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> dict[str, str]:
    return {
        "source": "folder",
        "path": str(folder.resolve()),
        "fingerprint": _fingerprint(files),
    }


def _list_files(folder: pathlib.Path) -> Sequence[pathlib.Path]:
    """All files below the folder, class by class."""

    def warn(error: OSError) -> None:
        logging.warning("Skipped folder %s: %s", error.filename, error.strerror)

    files = []
    for place, folders, names in os.walk(folder, onerror=warn):
        folders[:] = [name for name in folders if _is_visible(name)]
        for path in (pathlib.Path(place, name) for name in folders):
            if path.is_symlink():  # os.walk passes over it
                logging.warning(
                    "Skipped folder %s: it is a link, which is not followed; put a copy"
                    " of the folder in its place",
                    path,
                )
        files += [pathlib.Path(place, name) for name in names if _is_visible(name)]
    return sorted(files, key=lambda path: (_class_name(folder, path), path))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _class_name(folder: pathlib.Path, path: pathlib.Path) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _fingerprint(files: Sequence[pathlib.Path]) -> str:
    """A digest of names, sizes and times of change; the contents are not read."""
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
            facts = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n"
        except OSError as error:
            facts = f"{path}\0{error.errno}\n"
        digest.update(facts.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _examples(
    config: ConfigDict, folder: pathlib.Path, files: Sequence[pathlib.Path]
) -> Iterator[tuple[np.ndarray, int]]:
    refused: collections.Counter[str] = collections.Counter()
    used: collections.Counter[str] = collections.Counter()

    def read(path: pathlib.Path) -> np.ndarray | decode.RefusedError:
        try:
            image = decode.decode(path, config.channels)
        except decode.RefusedError as error:
            return error
        return resize.crop_and_resize(
            image, crop=config.crop, size=config.image_size, channels=config.channels
        )

    with futures.ThreadPoolExecutor(_THREADS) as executor:
        for start in range(0, len(files), _FILES_AT_ONCE):
            paths = files[start : start + _FILES_AT_ONCE]
            for path, result in zip(paths, executor.map(read, paths), strict=True):
                if isinstance(result, decode.RefusedError):
                    logging.warning("Skipped %s: %s", path, result)
                    refused[str(result).split(" (")[0]] += 1
                    continue
                name = _class_name(folder, path)
                used[name] += 1  # A new name gets the next label.
                yield result, len(used) - 1
    _summarise(folder, used, refused)


def _summarise(
    folder: pathlib.Path,
    used: collections.Counter[str],
    refused: collections.Counter[str],
) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in refused.items())
    skipped = f"skipped {refused.total()}" + (f" ({reasons})" if reasons else "")
    if not used:
        raise ValueError(
            f"The folder {folder} has no usable image: {skipped}. At least one still"
            " image is needed, in the folder or below it. Set --config.data.manual_dir"
            " to another folder."
        )
    classes = [f"{name or '.'}: {count}" for name, count in used.items()]
    if len(classes) > _CLASSES_SHOWN:
        classes[_CLASSES_SHOWN:] = ["..."]
    logging.info(
        "Read %d images of %s from %s (%s); %s",
        used.total(),
        "1 class" if len(used) == 1 else f"{len(used)} classes",
        folder,
        ", ".join(classes),
        skipped,
    )
