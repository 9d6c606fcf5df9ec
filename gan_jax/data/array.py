"""Images that are an array already, in an .npz or .npy file."""

from collections.abc import Iterator, Mapping
import pathlib
import zipfile

from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks
from gan_jax.data import cache, resize


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
    arrays = _open(path)
    images = arrays.get("images")
    if (
        images is None
        or images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[3] not in (1, 3)
        or not images.size
    ):
        found = "none" if images is None else f"{images.shape} {images.dtype}"
        raise ValueError(
            f"The array file {path} has images: {found}. They must be (N, H, W, 1) or"
            " (N, H, W, 3) uint8, N at least 1, named 'images' in an .npz file. Write"
            " the file anew in that form."
        )
    labels, num_classes = _find_labels(arrays, config.label, len(images), path)
    return cache.Source(_examples(config, images, labels), len(images), num_classes)


def _open(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):  # An .npz file is a zip archive.
            with path.open("rb") as file:
                if file.read(2) == b"PK":  # The archive's directory is at the end.
                    raise ValueError("an .npz file without its end: it is truncated")
            return {"images": np.lib.format.open_memmap(path, mode="r")}
        wanted = ("images", "labels", "attributes", "attribute_names")
        with np.load(path, allow_pickle=False) as opened:
            return {name: opened[name] for name in wanted if name in opened}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The array file {path} cannot be read ({error}). It must be an .npz or"
            " .npy file as numpy.savez and numpy.save write it, without Python objects."
            " Write it anew, or set --config.data.manual_dir to another."
        ) from error


def _find_labels(
    arrays: Mapping[str, np.ndarray], label: str, num_images: int, path: pathlib.Path
) -> tuple[np.ndarray, int]:
    """Labels (N,) and the number of classes."""
    if not label:
        labels = arrays.get("labels")
        if labels is None:
            return np.zeros(num_images, np.int32), 1
        integers = np.issubdtype(labels.dtype, np.integer)
        if not integers or labels.shape != (num_images,) or labels.min() < 0:
            raise ValueError(
                f"The array file {path} has labels {labels.shape} {labels.dtype} for"
                f" {num_images} images. They must be ({num_images},) integers from 0."
                " Write the file anew in that form."
            )
        return labels, int(labels.max()) + 1
    names = [str(name) for name in arrays.get("attribute_names", ())]
    if label not in names:
        raise ValueError(
            f"The array file {path} has no attribute {label!r}"
            f"{checks.nearest(label, names)}. Known attributes:"
            f" {', '.join(names) or 'none'}. Set --config.data.label to one, or leave"
            " it empty."
        )
    attributes = arrays.get("attributes")
    if attributes is None or attributes.shape != (num_images, len(names)):
        found = "none" if attributes is None else str(attributes.shape)
        raise ValueError(
            f"The array file {path} has attributes: {found}. They must be"
            f" ({num_images}, {len(names)}) booleans, one column a name. Write the file"
            " anew in that form."
        )
    return attributes[:, names.index(label)].astype(bool), 2


def _examples(
    config: ConfigDict, images: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[np.ndarray, int]]:
    for image, label in zip(images, labels, strict=True):
        square = resize.crop_and_resize(
            np.asarray(image),
            crop=config.crop,
            size=config.image_size,
            channels=config.channels,
        )
        yield square, int(label)
