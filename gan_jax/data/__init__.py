"""Data as arrays: a name in the config leads to a source."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, own_parts
from gan_jax.data import array, cache, folder, stacked, tfds_source, toy

Dataset = cache.Dataset
Outlook = cache.Outlook
MIXTURES = toy.MIXTURES
cache_directory = cache.directory


class Source(NamedTuple):
    """A source of data that lies outside this package, see own_parts.py.

    Attributes:
      check: function of the data section of a config that raises a ValueError for what
        the source does not have, and reads no data.
      load: function of the data section that returns the Dataset of config.split, with
        images of the config's size and channels. Scores compare with the split "test",
        so the source has that split too, unless evaluation.split names another.
    """

    check: Callable[[ConfigDict], None]
    load: Callable[[ConfigDict], Dataset]


# Every source has check(config), which reads no data, and load(config). It may have
# foresee(config), which says what load would prepare.
SOURCES: Mapping[str, Any] = {
    "mnist": tfds_source,
    "celeb_a": tfds_source,
    "folder": folder,
    "array": array,
    "stacked_mnist": stacked,
    "ring": toy,
    "grid": toy,
}
_SIDE = 8_192  # pixels: a larger square takes gigabytes while it is cut and resized
_CHANNELS = checks.integer(1, 3, ": 1 (grey) or 3 (RGB), and 2 for a point")
RANGES = {
    "name": checks.TEXT,
    "split": checks.TEXT,
    "image_size": checks.integer(1, _SIDE, " pixels"),
    "channels": _CHANNELS,
    "crop": checks.integer(0, _SIDE, " pixels, 0 for the largest square"),
    "flip": checks.FLAG,
    "label": checks.TEXT,
    "num_classes": checks.integer(0, checks.WIDEST, ", 0 for the data's own"),
    "data_dir": checks.LOCAL,
    "manual_dir": checks.LOCAL,
    "cache_dir": checks.LOCAL,
    "device_bytes": checks.integer(0, 2**63 - 1),
}


def held_out_split(config: ConfigDict) -> str:
    """The split "test", or "train" for a source that has no other split."""
    return "train" if config.name in ("folder", "array") else "test"


def check(config: ConfigDict) -> None:
    """Refuses a data section that no source can serve; reads and prepares nothing.

    Raises:
      ValueError: the name is unknown, a field is outside its range, or the source does
        not have what a field asks for.
    """
    checks.check_fields(config, RANGES, path="data")
    is_own = own_parts.is_named(config.name)
    if not (is_own or config.name in SOURCES or tfds_source.is_known(config)):
        raise ValueError(
            f"Unknown data set {config.name!r}{checks.nearest(config.name, SOURCES)}."
            f" Known are {', '.join(SOURCES)}, the name of any image set of TensorFlow"
            " Datasets, and module:name, which is imported from the working directory."
            " Set --config.data.name to one."
        )
    if config.channels == 2 and config.name not in MIXTURES:
        raise ValueError(
            f"data.channels is 2, but {config.name} has images of 1 (grey) or 3 (RGB)"
            " channels. Set --config.data.channels to one of these."
        )
    _source(config.name).check(config)


def foresee(config: ConfigDict) -> Outlook | None:
    """What `create` would have to prepare; None if the source does not tell.

    Nothing is prepared or written.

    Raises:
      ValueError: `check` refuses the config, or the source could not be prepared.
    """
    check(config)
    source = _source(config.name)
    return source.foresee(config) if hasattr(source, "foresee") else None


def count(config: ConfigDict) -> int | None:
    """The number of images, at most; None if it is not known without the data.

    The data need not be on this machine.
    """
    try:
        outlook = foresee(config)
    except ValueError:  # their files are not here
        is_tfds = _source(config.name) is tfds_source
        return tfds_source.count(config) if is_tfds else None
    return outlook.num_images if outlook else None


def create(config: ConfigDict) -> Dataset:
    """The images and labels that the data section of a config asks for.

    The first call for a config decodes them into an array cache, which may take
    minutes; later calls open that cache.

    Args:
      config: data section, of which these fields are read: name, split, image_size
        (pixels), channels (1 or 3; a point has 2), crop (pixels), label, num_classes
        (0 accepts the number of the source), data_dir, manual_dir and cache_dir.

    Raises:
      ValueError: `check` or the source refuses the config, or the source has another
        number of classes.
    """
    check(config)
    dataset: Dataset = _source(config.name).load(config)
    if own_parts.is_named(config.name):
        _check_dataset(dataset, config)
    if config.num_classes not in (0, dataset.num_classes):
        label = f" with label {config.label!r}" if config.label else ""
        raise ValueError(
            f"config.data.num_classes is {config.num_classes}, but {config.name}{label}"
            f" has {dataset.num_classes} classes. The two must agree, unless the config"
            f" says 0. Set --config.data.num_classes={dataset.num_classes}, or"
            " choose another --config.data.label."
        )
    return dataset


def _source(name: str) -> Any:
    """The module of a shipped source, or the own Source `module:name`."""
    if not own_parts.is_named(name):
        return SOURCES.get(name, tfds_source)
    field = "data.name"
    source = own_parts.load(name, field=field)
    form = "data.Source(check, load)"
    own_parts.check_type(source, Source, name, field=field, form=form)
    for what in ("check", "load"):
        function = getattr(source, what)
        positional = ("config",)
        own_parts.check_call(
            function, f"{name}.{what}", field=field, positional=positional
        )
    return source


def _check_dataset(dataset: Dataset, config: ConfigDict) -> None:
    """Refuses what an own source loaded if a run cannot use it."""
    form = "data.Dataset(images, labels, num_classes)"
    own_parts.check_type(dataset, Dataset, config.name, field="data.name", form=form)
    images, labels = dataset.images, dataset.labels
    shape = (config.image_size, config.image_size, config.channels)
    dtype = np.dtype(np.float32 if config.channels == 2 else np.uint8)
    if images.shape[1:] != shape or images.dtype != dtype or not len(images):
        raise ValueError(
            f"{config.name} loads images {images.shape} {images.dtype}, but the config "
            f"asks for (N, {', '.join(map(str, shape))}) {dtype}: change the source, "
            "or set --config.data.image_size and --config.data.channels."
        )
    if labels.shape != images.shape[:1] or labels.dtype != np.int32:
        raise ValueError(
            f"{config.name} loads labels {labels.shape} {labels.dtype}, but must load "
            f"({len(images)},) int32, one for each image: change the source, or set "
            "--config.data.name to another."
        )
    if labels.min() < 0 or labels.max() >= dataset.num_classes:
        raise ValueError(
            f"{config.name} loads labels from {labels.min()} to {labels.max()}, but "
            f"num_classes is {dataset.num_classes}, and labels start at 0: change the "
            "source, or set --config.data.name to another."
        )
