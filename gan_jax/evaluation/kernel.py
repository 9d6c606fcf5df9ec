"""Kernel distance between two sets of features: unbiased, so it needs few samples.

With features of the Inception-v3 of the FID codes it is the KID.
"""

import numpy as np

from gan_jax.evaluation import estimate, frechet


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    subset_size: int = 1000,
    num_subsets: int = 100,
    seed: int = 0,
) -> estimate.Estimate:
    """Mean squared MMD of random subsets, kernel (x.y / F + 1)^3, in float64.

    Binkowski et al. 2018 (arXiv 1801.01401). Unbiased: its mean is 0, so that it may
    be negative, when both sets are of one distribution.

    The standard error is the standard deviation over subsets divided by the root of
    their number; other codes quote the deviation itself, 10 times as much at 100
    subsets. Subsets are drawn without replacement within, but all from the same
    images, so they overlap, and the standard error is less than the spread that
    other images would show.

    Args:
      real: (N, F) features.
      fake: (M, F) features.
      subset_size: samples of each kind in a subset.
      num_subsets: how many; with 1 there is no standard error.
      seed: of the subsets.

    Raises:
      ValueError: fewer samples than subset_size, a subset_size below 2, no subset,
        features that are not finite or not of one size.
    """
    if subset_size < 2 or num_subsets < 1:
        raise ValueError(
            f"{num_subsets} subsets of size {subset_size}, but pairs within a subset "
            "need 2 samples: give num_subsets >= 1 and subset_size >= 2."
        )
    frechet.check_pair(real, fake, minimum=2)
    if min(len(real), len(fake)) < subset_size:
        raise ValueError(
            f"{len(real)} real and {len(fake)} fake samples, but a subset takes "
            f"{subset_size} of each: give more samples or a smaller subset_size."
        )
    rng = np.random.default_rng(seed)
    distances = []
    for _ in range(num_subsets):
        subsets = [_draw(rng, features, subset_size) for features in (real, fake)]
        distances.append(_squared_mmd(*subsets))
    return estimate.mean_of(distances)


def _draw(rng: np.random.Generator, features: np.ndarray, size: int) -> np.ndarray:
    """`size` different rows as float64, in file order for memory-mapped features."""
    rows = np.sort(rng.choice(len(features), size, replace=False))
    return features[rows].astype(np.float64)


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate from as many of each, (B, F): pairs i != j only."""
    size, width = x.shape
    within = 0.0
    for features in x, y:
        squares = np.einsum("ij,ij->i", features, features)
        within += _cubes(features @ features.T, width).sum()
        within -= _cubes(squares, width).sum()
    across = _cubes(x @ y.T, width).sum()
    return within / (size * (size - 1)) - 2 * across / size**2


def _cubes(products: np.ndarray, width: int) -> np.ndarray:
    """(products / width + 1)^3; the products are overwritten."""
    products /= width
    products += 1
    return products * products * products
