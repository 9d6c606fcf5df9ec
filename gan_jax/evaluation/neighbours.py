"""Nearest neighbours: a search for copies, and a classifier made of samples."""

import math
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation import estimate

BLOCK = 2000  # rows of a block, whose float64 distances take 32 MB


class Memorisation(NamedTuple):
    """How near generated images and unseen real images are to training images.

    Attributes:
      generated_distance: median Euclidean distance from a generated image to its
        nearest training image, in the units of the features.
      test_distance: the same from a real test image, which a generator that copies
        nothing reaches.
      ratio: generated_distance / test_distance; 0 for copies, 1 for images that are as
        new as test images.
      share_near: share of the generated images that are as near to a training image as
        the nearest 1 % of the test images; 1 for copies, about 0.01 for new images.
    """

    generated_distance: float
    test_distance: float
    ratio: float
    share_near: float


def nearest(
    queries: np.ndarray, references: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances (N,) float64 and indices (N,) of the nearest references.

    The search compares squared distances from a float64 matrix product. They are exact
    for integers such as pixels, and exact to 1e-13 of the squared norms for floats. The
    distances of the nearest references are then computed from the differences, so a
    copy has distance 0. Among equally near references the first is taken.

    Args:
      queries: (N, F), any real dtype.
      references: (M, F), any real dtype.

    Raises:
      ValueError: the arrays are not (N, F) and (M, F), or there are no references.
    """
    _check_features(queries, references)
    best = np.full(len(queries), np.inf)
    indices = np.zeros(len(queries), np.int64)
    for j in range(0, len(references), BLOCK):
        columns = references[j : j + BLOCK].astype(np.float64)
        norms = np.sum(columns**2, axis=1)[None, :]
        for i in range(0, len(queries), BLOCK):
            rows = queries[i : i + BLOCK].astype(np.float64)
            # Squared distances minus the squared norm of the query.
            scores = rows @ columns.T
            scores *= -2
            scores += norms
            winners = np.argmin(scores, axis=1)
            values = scores[np.arange(len(rows)), winners]
            nearer = ~(values >= best[i : i + BLOCK])  # NaN must not be hidden
            best[i : i + BLOCK][nearer] = values[nearer]
            indices[i : i + BLOCK][nearer] = j + winners[nearer]
    return _paired_distances(queries, references, indices), indices


def memorisation(
    generated: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Memorisation:
    """Distances of generated images and of test images to the training images.

        d(x)       = min_t |x - t|
        ratio      = median_i d(g_i) / median_j d(x_j)
        share_near = mean_i [d(g_i) <= the quantile 0.01 of all d(x_j)]

    The training images are t, the generated images g_i and the test images x_j. For
    copies the ratio is 0 and the share 1. For images that are as new as test images the
    ratio is 1 and the share about 0.01.

    Args:
      generated: (N, F) features or pixels of generated images.
      train: (M, F) features of the images that the generator was trained on.
      test: (K, F) features of real images that it was not trained on.

    Raises:
      ValueError: the arrays do not fit each other, or half of the test images or more
        are training images.
    """
    _check_features(test, train)
    if not (len(generated) and len(test)):
        raise ValueError(
            f"{len(generated)} generated and {len(test)} test images, but a median "
            "needs images: give one or more of each."
        )
    generated_distances, _ = nearest(generated, train)
    test_distances, _ = nearest(test, train)
    floor = float(np.median(test_distances))
    if floor == 0:
        raise ValueError(
            "the median distance from a test image to the training images is 0, but "
            "the test images must be unseen ones: give a split without common images."
        )
    median = float(np.median(generated_distances))
    near = generated_distances <= np.quantile(test_distances, 0.01)
    return Memorisation(median, floor, median / floor, float(np.mean(near)))


def nearest_neighbour_error(
    samples: np.ndarray,
    sample_labels: np.ndarray,
    points: np.ndarray,
    labels: np.ndarray,
) -> estimate.Estimate:
    """Share of real points whose nearest generated sample has another label.

        mean_i [label of argmin_s |x_i - s| != label of x_i]

    Radford et al. 2015 (arXiv 1511.06434), table 3: the samples of a conditional
    generator stand in for the training set of a nearest-neighbour classifier, on
    MNIST's test images in pixels. The standard error is binomial.

    Args:
      samples: (M, F) generated samples.
      sample_labels: (M,) integers, the classes that the samples were drawn for.
      points: (N, F) real points.
      labels: (N,) integers, the classes of the points.

    Raises:
      ValueError: the arrays do not fit each other, or the number of labels differs from
        the number of images.
    """
    for name, images, classes in (
        ("samples", samples, sample_labels),
        ("points", points, labels),
    ):
        if classes.shape != images.shape[:1] or not len(images):
            raise ValueError(
                f"{name} are {images.shape} and their labels {classes.shape}, but each "
                "image needs a class: give (N,) integer labels for one or more images."
            )
    _, indices = nearest(points, samples)
    error = float(np.mean(sample_labels[indices] != labels))
    return estimate.Estimate(error, math.sqrt(error * (1 - error) / len(labels)))


def _check_features(queries: np.ndarray, references: np.ndarray) -> None:
    flat = queries.ndim == references.ndim == 2
    if not flat or queries.shape[1] != references.shape[1] or not len(references):
        raise ValueError(
            f"queries are {queries.shape} and references {references.shape}; allowed "
            "are (N, F) and (M, F) with the same F and M above 0: reshape images to "
            "(N, -1)."
        )


def _paired_distances(
    queries: np.ndarray, references: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """Distances (N,) float64 of the queries to references[indices]."""
    distances = np.empty(len(queries))
    for i in range(0, len(queries), BLOCK):
        found = references[indices[i : i + BLOCK]].astype(np.float64)
        differences = queries[i : i + BLOCK].astype(np.float64) - found
        distances[i : i + BLOCK] = np.sqrt(np.sum(differences**2, axis=1))
    return distances
