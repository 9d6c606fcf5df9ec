"""Data as arrays: a name in the config leads to a source."""

from collections.abc import Callable, Mapping
import difflib

from ml_collections import ConfigDict

from gan_jax.data import array, cache, folder, stacked, tfds_source, toy

Dataset = cache.Dataset
MIXTURES = toy.MIXTURES
cache_directory = cache.directory

SOURCES: Mapping[str, Callable[[ConfigDict], Dataset]] = {
    "mnist": tfds_source.load,
    "celeb_a": tfds_source.load,
    "folder": folder.load,
    "array": array.load,
    "stacked_mnist": stacked.load,
    "ring": toy.load,
    "grid": toy.load,
}


def held_out_split(config: ConfigDict) -> str:
    """The split that is not trained on, or "train" for a source that has only that."""
    return "train" if config.name in ("folder", "array") else "test"


def create(config: ConfigDict) -> Dataset:
    """The images and labels that the data section of a config asks for.

    The first call for a config decodes them into an array cache, which may take
    minutes; the later ones open that cache.

    Args:
      config: the data section; read here: name, split, image_size (pixels), channels
        (1 or 3; a point has 2), crop (pixels), label, num_classes (0 takes the
        source's own), data_dir, manual_dir and cache_dir.

    Raises:
      ValueError: unknown name, field outside its range, a number of classes that is
        not the source's, or what the source itself refuses.
    """
    _check_fields(config)
    if config.name not in SOURCES and not tfds_source.is_known(config):
        near = difflib.get_close_matches(config.name, SOURCES, n=1, cutoff=0.4)
        raise ValueError(
            f"Unknown data set {config.name!r}"
            + (f" (did you mean {near[0]!r}?)" if near else "")
            + f". Known are {', '.join(SOURCES)}, and the name of any image set of"
            " TensorFlow Datasets. Set --config.data.name to one."
        )
    dataset = SOURCES.get(config.name, tfds_source.load)(config)
    if config.num_classes not in (0, dataset.num_classes):
        label = f" with label {config.label!r}" if config.label else ""
        raise ValueError(
            f"config.data.num_classes is {config.num_classes}, but {config.name}{label}"
            f" has {dataset.num_classes} classes. The two must agree, and 0 takes the"
            f" data's own. Set --config.data.num_classes={dataset.num_classes}, or"
            " choose another --config.data.label."
        )
    return dataset


def _check_fields(config: ConfigDict) -> None:
    limits = {
        "image_size": (config.image_size >= 1, "at least 1 pixel"),
        "channels": (
            config.channels in (1, 3) or config.name in MIXTURES,
            "1 (grey) or 3 (RGB)",
        ),
        "crop": (config.crop >= 0, "at least 0 pixels, 0 for the largest square"),
        "num_classes": (config.num_classes >= 0, "at least 0, 0 for the data's own"),
    }
    for field, (allowed, description) in limits.items():
        if not allowed:
            raise ValueError(
                f"config.data.{field} is {config[field]}. It must be {description}."
                f" Change --config.data.{field}."
            )
