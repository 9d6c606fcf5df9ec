"""Mixtures of Gaussians in the plane, whose points take the place of images."""

from typing import NamedTuple
import zlib

from ml_collections import ConfigDict
import numpy as np

from gan_jax.data import cache

NUM_POINTS = {"train": 100_000, "test": 10_000}


class Mixture(NamedTuple):
    """Equally likely normal distributions of the same width.

    Attributes:
      means: (K, 2) means of the distributions.
      std: standard deviation in each direction.
    """

    means: np.ndarray
    std: float


def _ring() -> np.ndarray:
    angles = 2 * np.pi * np.arange(8) / 8
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _grid() -> np.ndarray:
    ticks = np.arange(-4.0, 5, 2)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)


# Lin et al. 2018, PacGAN (arXiv 1712.04086), section 4.1, and its code: the ring has
# eight means on the unit circle, the grid has the means {-4, -2, 0, 2, 4}^2.
MIXTURES = {"ring": Mixture(_ring(), 0.01), "grid": Mixture(_grid(), 0.05)}


def check(config: ConfigDict) -> None:
    """Refuses what a mixture does not have.

    Raises:
      ValueError: the config asks for a split other than "train" and "test", or for a
        shape that no point has.
    """
    if config.split not in NUM_POINTS:
        raise ValueError(
            f"config.data.split is {config.split!r}. {config.name} has the splits"
            f" {' and '.join(NUM_POINTS)}. Set --config.data.split to one."
        )
    if (config.image_size, config.channels) != (1, 2):
        raise ValueError(
            f"config.data.image_size is {config.image_size} and channels is"
            f" {config.channels}. A point of {config.name} is one pixel with two"
            " channels. Set --config.data.image_size=1 and --config.data.channels=2."
        )


def foresee(config: ConfigDict) -> cache.Outlook:
    """Says that nothing has to be prepared."""
    return cache.Outlook(None, True, NUM_POINTS[config.split], "")


def load(config: ConfigDict) -> cache.Dataset:
    """Points (N, 1, 1, 2) float32 of the mixture config.name; labels are their modes.

    A point is an image of one pixel, whose two channels are the coordinates. They are
    floats and not bounded by [-1, 1]. Every run has the same points.
    """
    mixture, count = MIXTURES[config.name], NUM_POINTS[config.split]
    rng = np.random.default_rng(zlib.crc32(f"{config.name} {config.split}".encode()))
    labels = rng.integers(len(mixture.means), size=count).astype(np.int32)
    noise = mixture.std * rng.standard_normal((count, 2))
    points = (mixture.means[labels] + noise).astype(np.float32)
    return cache.Dataset(points[:, None, None], labels, len(mixture.means))
