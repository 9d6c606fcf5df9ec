"""Images that are an array already, in an .npz or .npy file."""

from collections.abc import Iterable, Iterator, Mapping
import itertools
import math
import pathlib

from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, npz
from gan_jax.data import cache, decode, resize

_WHOLE = 2**31  # bytes of images that are read at once, if they must be
_MOST_NAMES, _LONGEST_NAME = 1_000, 100  # attributes, and letters of a name


def check(config: ConfigDict) -> None:
    """Refuses what no array file has.

    Raises:
      ValueError: there is no such file, or the config asks for a split.
    """
    path = _path(config)
    if not config.manual_dir or not path.is_file():
        raise ValueError(
            f"config.data.manual_dir is {config.manual_dir!r}, which is not a file. The"
            " source 'array' reads an .npz or .npy file. Set --config.data.manual_dir"
            " to it."
        )
    if config.split != "train":
        raise ValueError(
            f"config.data.split is {config.split!r}. An array file has the one split"
            " 'train'. Set --config.data.split=train."
        )


def _path(config: ConfigDict) -> pathlib.Path:
    return pathlib.Path(config.manual_dir).expanduser()


def load(config: ConfigDict) -> cache.Dataset:
    """The images of the file config.manual_dir.

    An .npy file is the array `images`, (N, H, W, C) uint8 in [0, 255] with 1 or 3
    channels. An .npz file holds it under that name, and optionally `labels`, (N,)
    integers from 0, and `attributes`, (N, A) bool, with `attribute_names`, (A,) str.
    config.label picks an attribute; if it is empty, the labels are read where the file
    has them.

    Raises:
      ValueError: the file is damaged or lacks these arrays, or the label is unknown.
    """
    path = _path(config)
    return cache.load_or_write(config, _key(config), lambda: _read(config, path))


def foresee(config: ConfigDict) -> cache.Outlook:
    """What `load` would have to prepare.

    Raises:
      ValueError: the file is damaged or lacks arrays that `load` reads.
    """
    path = _path(config)

    def look() -> tuple[int, str]:
        size = path.stat().st_size
        words = f"the file {path} ({size / 2**20:,.1f} MiB)"
        return _read(config, path).num_examples, words

    return cache.foresee(config, _key(config), look)


def _key(config: ConfigDict) -> dict[str, str]:
    path = _path(config)
    status = path.stat()
    return {
        "source": "array",
        "path": str(path.resolve()),
        "fingerprint": f"{status.st_size} {status.st_mtime_ns}",
        "label": config.label,
    }


def _read(config: ConfigDict, path: pathlib.Path) -> cache.Source:
    try:
        is_archive, arrays = _claims(path)
    except ValueError as error:
        raise _unreadable(path, error) from error
    claim = arrays.get("images")
    if (
        claim is None
        or claim.dtype != np.uint8
        or len(claim.shape) != 4
        or claim.shape[3] not in (1, 3)
        or not claim.nbytes
        or math.prod(claim.shape[1:3]) > decode.MAX_PIXELS
    ):
        found = "none" if claim is None else f"{claim.shape} {claim.dtype}"
        raise ValueError(
            f"The array file {path} has images: {found}. They must be (N, H, W, 1) or"
            " (N, H, W, 3) uint8, N at least 1, named 'images' in an .npz file, and an"
            f" image has at most {decode.MAX_PIXELS:,} pixels. Write the file anew in"
            " that form."
        )
    labels, num_classes = _find_labels(arrays, config.label, claim.shape[0], path)
    images = _images(path, claim, is_archive)
    return cache.Source(
        _examples(config, path, images, labels), claim.shape[0], num_classes
    )


def read_whole(
    path: pathlib.Path, *, most: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The images (N, H, W, C) of a file and its labels (N,), of any type.

    Args:
      path: an .npz file, or an .npy file of the images alone.
      most: largest number of bytes that may be read.

    Raises:
      ValueError: there is no such file, or it holds no images or more bytes; the text
        is the cause alone.
    """
    is_archive, arrays = _claims(path)
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or len(images.shape) != 4:
        raise ValueError(f"images: {images.shape if images else 'none'}")
    if labels and labels.shape != images.shape[:1]:
        raise ValueError(f"labels {labels.shape} for images {images.shape}")
    needed = images.nbytes + (labels.nbytes if labels else 0)
    if needed > most:
        raise ValueError(f"they take {needed:,} bytes of memory, {most:,} at most")
    if not is_archive:
        mapped: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        return mapped, None
    return npz.read(path, "images"), npz.read(path, "labels") if labels else None


def _claims(path: pathlib.Path) -> tuple[bool, dict[str, npz.Header]]:
    """Whether a file is an .npz file, and the headers of its arrays."""
    if npz.is_archive(path):
        return True, npz.headers(path, packed=True)
    return False, {"images": npz.header(path)}


def _unreadable(path: pathlib.Path, error: Exception) -> ValueError:
    return ValueError(
        f"The array file {path} cannot be read ({error}). It must be an .npz or .npy"
        " file as numpy.savez and numpy.save write it, without Python objects. Write"
        " it anew, or set --config.data.manual_dir to another."
    )


def _images(
    path: pathlib.Path, claim: npz.Header, is_archive: bool
) -> Iterable[np.ndarray]:
    """The images one by one, which are never in memory all at once if it can be."""
    if not is_archive:
        images: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        return images
    if not claim.is_fortran:
        return npz.rows(path, "images", claim)
    if claim.nbytes > _WHOLE:
        raise ValueError(
            f"The array file {path} has {claim.nbytes:,} bytes of images in"
            f" column-major order, of which at most {_WHOLE:,} can be read. Write the"
            " file anew with numpy.ascontiguousarray(images)."
        )
    return _array(path, "images")


def _array(path: pathlib.Path, name: str) -> np.ndarray:
    try:
        return npz.read(path, name)
    except ValueError as error:
        raise _unreadable(path, error) from error


def _find_labels(
    arrays: Mapping[str, npz.Header], label: str, num_images: int, path: pathlib.Path
) -> tuple[Iterable[int], int]:
    """A label for each image, and the number of classes."""
    if label:
        return _find_attribute(arrays, label, num_images, path)
    claim = arrays.get("labels")
    if claim is None:
        return itertools.repeat(0, num_images), 1
    has_form = claim.dtype.kind in "iu" and claim.shape == (num_images,)
    labels = _array(path, "labels") if has_form else np.array([-1])
    if labels.min() < 0 or labels.max() >= checks.WIDEST:
        raise ValueError(
            f"The array file {path} has labels {claim.shape} {claim.dtype} for"
            f" {num_images} images. They must be ({num_images},) integers from 0,"
            f" below {checks.WIDEST:,}. Write the file anew in that form."
        )
    return labels, int(labels.max()) + 1


def _find_attribute(
    arrays: Mapping[str, npz.Header], label: str, num_images: int, path: pathlib.Path
) -> tuple[Iterable[int], int]:
    """Whether each image has an attribute, as its label."""
    names: list[str] = []
    claim = arrays.get("attribute_names")
    if claim is not None:
        if (
            claim.dtype.kind != "U"
            or len(claim.shape) != 1
            or claim.shape[0] > _MOST_NAMES
            or claim.dtype.itemsize > 4 * _LONGEST_NAME
        ):
            raise ValueError(
                f"The array file {path} has attribute_names {claim.shape}"
                f" {claim.dtype}. They must be (A,) texts, at most {_MOST_NAMES:,} of"
                f" at most {_LONGEST_NAME} letters. Write the file anew in that form."
            )
        names = [str(name) for name in _array(path, "attribute_names")]
    if label not in names:
        known = " ".join(", ".join(names).split())[:1_000]
        raise ValueError(
            f"The array file {path} has no attribute {label!r}"
            f"{checks.nearest(label, names)}. Known attributes: {known or 'none'}. Set"
            " --config.data.label to one, or leave it empty."
        )
    claim = arrays.get("attributes")
    if (
        claim is None
        or claim.dtype.kind not in "biuf"
        or claim.shape != (num_images, len(names))
    ):
        found = "none" if claim is None else f"{claim.shape} {claim.dtype}"
        raise ValueError(
            f"The array file {path} has attributes: {found}. They must be"
            f" ({num_images}, {len(names)}) booleans, one column a name. Write the file"
            " anew in that form."
        )
    attributes = _array(path, "attributes")
    return attributes[:, names.index(label)].astype(bool), 2


def _examples(
    config: ConfigDict,
    path: pathlib.Path,
    images: Iterable[np.ndarray],
    labels: Iterable[int],
) -> Iterator[tuple[np.ndarray, int]]:
    try:
        for image, label in zip(images, labels, strict=True):
            square = resize.crop_and_resize(
                np.asarray(image),
                crop=config.crop,
                size=config.image_size,
                channels=config.channels,
            )
            yield square, int(label)
    except ValueError as error:  # the file is damaged in the middle
        raise _unreadable(path, error) from error
