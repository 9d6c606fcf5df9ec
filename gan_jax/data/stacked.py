"""Stacked MNIST: three digits of MNIST as the red, green and blue of one image."""

from collections.abc import Iterator
import zlib

from ml_collections import ConfigDict
import numpy as np

from gan_jax.data import cache, tfds_source

# Lin et al. 2018 (arXiv 1712.04086), section 4.2, train on and score these numbers.
# Their code draws the digits of both from all images, which is "train+test".
NUM_IMAGES = {"train": 128_000, "test": 26_000, "train+test": 128_000}


def check(config: ConfigDict) -> None:
    """Refuses what stacked MNIST does not have.

    Raises:
      ValueError: the config asks for another split, a label, or a number of channels
        other than 3.
    """
    for field, value, allowed in (
        ("split", config.split, tuple(NUM_IMAGES)),
        ("channels", config.channels, (3,)),
        ("label", config.label, ("",)),
    ):
        if value not in allowed:
            raise ValueError(
                f"config.data.{field} is {value!r}. stacked_mnist takes"
                f" {' or '.join(map(repr, allowed))}. Set --config.data.{field} to it."
            )


def load(config: ConfigDict) -> cache.Dataset:
    """Images (N, H, W, 3) whose channels are digits drawn independently.

    Metz et al. 2017 (arXiv 1611.02163), section 3.3.1. The label of the digits a, b, c
    is 100 a + 10 b + c, so there are 1,000 classes. The split "train" stacks training
    images of MNIST, the split "test" its test images, and "train+test" all of them.

    Raises:
      ValueError: the images of MNIST cannot be read or prepared.
    """
    return cache.load_or_write(config, _key(config), lambda: _read(config))


def foresee(config: ConfigDict) -> cache.Outlook:
    """What `load` would have to prepare.

    Raises:
      ValueError: the images of MNIST cannot be prepared.
    """

    def look() -> tuple[int, str]:
        digits = tfds_source.foresee(_digits(config))
        words = digits.reads or f"the images of MNIST in {digits.folder}"
        return NUM_IMAGES[config.split], words

    return cache.foresee(config, _key(config), look)


def _key(config: ConfigDict) -> dict[str, str]:
    return {"source": "stacked_mnist", "split": config.split}


def _digits(config: ConfigDict) -> ConfigDict:
    grey = config.copy_and_resolve_references()
    grey.name, grey.channels = "mnist", 1
    return grey


def _read(config: ConfigDict) -> cache.Source:
    count, digits = NUM_IMAGES[config.split], tfds_source.load(_digits(config))
    examples = _stack(digits, count, zlib.crc32(config.split.encode()))
    return cache.Source(examples, count, 1_000)


def _stack(
    digits: cache.Dataset, count: int, seed: int
) -> Iterator[tuple[np.ndarray, int]]:
    chosen = np.random.default_rng(seed).integers(len(digits.images), size=(count, 3))
    for three in chosen:
        image = np.concatenate([digits.images[index] for index in three], axis=-1)
        a, b, c = digits.labels[three]
        yield image, int(100 * a + 10 * b + c)
