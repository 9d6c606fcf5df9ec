"""An own metric: how far the areas of generated shapes are from those of real ones."""

from collections.abc import Iterable

import numpy as np

from gan_jax.evaluation import suite


def _areas(images: np.ndarray) -> np.ndarray:
    """The shares of white in images (N, H, W, C) uint8, in ascending order."""
    return np.sort(images.reshape(len(images), -1).mean(axis=1) / 255)


def area_distance(sets: suite.Sets) -> Iterable[suite.Result]:
    """The Wasserstein-1 distance between the distributions of the share of white."""
    shares = (np.arange(100) + 0.5) / 100
    real, fake = (
        np.quantile(_areas(images.images), shares) for images in (sets.real, sets.fake)
    )
    yield float(np.mean(np.abs(real - fake)))


area = suite.Metric(area_distance, {"area_distance": -1}, ["images"])
