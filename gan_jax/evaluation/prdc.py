"""Precision, recall, density and coverage, from nearest neighbours in features."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation import frechet

# Distances that are held at one time: 64 MiB.
BLOCK_VALUES = 2**23
# Squared distances under this share of the squared norm are 0: rounding of float64
# products of float32 features, whose own rounding is as large.
ROUNDING = 1e-13


class PRDC(NamedTuple):
    """Fidelity and diversity of fake samples.

    A sample's ball reaches to its k-th nearest neighbour of the same set, border
    included, itself not counted.

    Attributes:
      precision: share of fakes within the ball of some real sample.
      recall: share of real samples within the ball of some fake.
      density: real balls that a fake is in, divided by k, the mean over fakes; about 1
        for fakes from the distribution of the real samples, but not bounded by it.
      coverage: share of real samples whose ball holds a fake.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, fake: np.ndarray, *, neighbours: int = 5) -> PRDC:
    """Improved precision and recall, density and coverage of features.

    Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991), with 3
    neighbours there. Density and coverage: Naeem et al. 2020 (arXiv 2002.09797), with 5
    neighbours. The latter's code leaves a ball's border out, the former's formula does
    not; it matters for samples that repeat others exactly. Density and coverage are
    less moved by single outliers, whose balls are wide.

    Distances are computed in float64, in blocks of rows.

    Args:
      real: (N, F) features.
      fake: (M, F) features.
      neighbours: k of the k-th nearest neighbour.

    Raises:
      ValueError: no more samples than neighbours, or features that are not finite or
        not of one size.
    """
    if neighbours < 1:
        raise ValueError(
            f"{neighbours} neighbours, but a ball reaches to one: give 1 or more."
        )
    frechet.check_pair(real, fake, minimum=neighbours + 1)
    real_radii = _squared_radii(real, neighbours)
    fake_radii = _squared_radii(fake, neighbours)
    balls = np.zeros(len(fake))  # real balls that each fake is in
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
    """Rows of queries (Q, F) in turn, with their distances to references (R, F).

    |x|^2 + |y|^2 - 2 x.y loses digits where x is close to y; what rounding makes of
    equal samples is set to 0.
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
