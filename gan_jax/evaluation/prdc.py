"""Precision, recall, density and coverage, from nearest neighbours in features."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation import frechet

# Number of distances in memory at one time: 64 MiB.
BLOCK_VALUES = 2**23
# Squared distances below this share of the squared norms count as 0. They are rounding
# errors of float64 products, as large as the rounding of the float32 features.
ROUNDING = 1e-13


class PRDC(NamedTuple):
    """Fidelity and diversity of fake samples.

    The ball of a sample reaches to its k-th nearest neighbour in the same set. The
    sample itself does not count as a neighbour, and the ball includes its border.

    Attributes:
      precision: share of fake samples within the ball of some real sample.
      recall: share of real samples within the ball of some fake sample.
      density: number of real balls around a fake sample divided by k, averaged over the
        fake samples; about 1 if they have the distribution of the real samples, but it
        may exceed 1.
      coverage: share of real samples whose ball holds a fake sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, fake: np.ndarray, *, neighbours: int = 5) -> PRDC:
    """Improved precision and recall, density and coverage of features.

        precision = mean_j [|y_j - x_i| <= r_i for some i]
        recall    = mean_i [|x_i - y_j| <= s_j for some j]
        density   = mean_j #{i: |y_j - x_i| <= r_i} / k
        coverage  = mean_i [|y_j - x_i| <= r_i for some j]

    Here r_i is the distance of the real sample x_i to its k-th nearest neighbour among
    the real samples, and s_j that of the fake sample y_j among the fake samples.

    Precision and recall are from Kynkaanniemi et al. 2019 (arXiv 1904.06991), who use 3
    neighbours; density and coverage are from Naeem et al. 2020 (arXiv 2002.09797), who
    use 5. The border of a ball belongs to it in the formula of Kynkaanniemi et al. and
    here, but not in the code of Naeem et al.; this matters for samples that repeat
    others exactly. Density and coverage depend less on single outliers, whose balls are
    wide.

    Distances are computed in float64, in blocks of rows.

    Args:
      real: (N, F) features.
      fake: (M, F) features.
      neighbours: k of the k-th nearest neighbour.

    Raises:
      ValueError: there are not more samples than neighbours, or features are not finite
        or differ in size.
    """
    if neighbours < 1:
        raise ValueError(
            f"{neighbours} neighbours, but a ball reaches to a neighbour: give "
            "1 or more."
        )
    frechet.check_pair(real, fake, minimum=neighbours + 1)
    real_radii = _squared_radii(real, neighbours)
    fake_radii = _squared_radii(fake, neighbours)
    balls = np.zeros(len(fake))  # number of real balls around each fake sample
    recalled = np.zeros(len(real), bool)
    nearest = np.full(len(real), np.inf)
    for rows, distances in _squared_distances(fake, real):
        balls[rows] = np.count_nonzero(distances <= real_radii[None], axis=1)
        recalled |= np.any(distances <= fake_radii[rows, None], axis=0)
        nearest = np.minimum(nearest, distances.min(axis=0))
    return PRDC(
        precision=float(np.mean(balls > 0)),
        recall=float(np.mean(recalled)),
        density=float(np.mean(balls) / neighbours),
        coverage=float(np.mean(nearest <= real_radii)),
    )


def _squared_radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance to the k-th nearest other sample, (N,)."""
    radii = np.empty(len(features))
    for rows, distances in _squared_distances(features, features):
        own = np.arange(rows.start, rows.stop)
        distances[own - rows.start, own] = np.inf
        distances.partition(neighbours - 1, axis=1)
        radii[rows] = distances[:, neighbours - 1]
    return radii


def _squared_distances(
    queries: np.ndarray, references: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields blocks of queries (Q, F), with their distances to references (R, F).

    |x|^2 + |y|^2 - 2 x.y loses digits where x is close to y, so values that may be
    rounding errors of equal samples are set to 0.
    """
    points = references.astype(np.float64)
    norms = np.einsum("ij,ij->i", points, points)
    block_rows = max(1, BLOCK_VALUES // len(points))
    for start in range(0, len(queries), block_rows):
        rows = slice(start, min(start + block_rows, len(queries)))
        block = queries[rows].astype(np.float64)
        own_norms = np.einsum("ij,ij->i", block, block)[:, None]
        distances = (-2 * block) @ points.T
        distances += norms[None]
        distances += own_norms
        distances[distances < ROUNDING * own_norms] = 0
        yield rows, distances
