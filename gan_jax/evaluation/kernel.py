"""Kernel distance between two sets of features: unbiased, so it needs few samples.

It is the KID with features of the Inception-v3 that the FID codes use.
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
    """Mean squared MMD of random subsets, in float64.

        mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)
        k(x, y) = (x.y / F + 1)^3

    The first two means leave i = j out.

    Binkowski et al. 2018 (arXiv 1801.01401). It is unbiased: if both sets come from
    the same distribution, its mean is 0, so it may be negative.

    The standard error is the standard deviation over subsets divided by the root of
    their number. Other codes quote the deviation itself, which is 10 times as large for
    100 subsets. A subset holds no image twice, but all subsets are drawn from the same
    images and overlap, so the standard error is less than the spread that other images
    would show.

    Args:
      real: (N, F) features.
      fake: (M, F) features.
      subset_size: number of real and of fake samples in a subset.
      num_subsets: number of subsets; with 1 there is no standard error.
      seed: seed of the subsets.

    Raises:
      ValueError: there are fewer samples than subset_size, subset_size is below 2,
        there is no subset, or features are not finite or differ in size.
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
    """The unbiased estimate from x and y (B, F), which uses only pairs i != j."""
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
