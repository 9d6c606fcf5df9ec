"""Nearest neighbours: copies of training images, and a classifier made of samples."""

import math
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation import estimate

BLOCK = 2000  # rows; a block of float64 distances takes 32 MB


class Memorisation(NamedTuple):
    """How near generated images are to training images, beside unseen real ones.

    Attributes:
      generated_distance: median Euclidean distance from a generated image to its
        nearest training image, in the units of the features.
      test_distance: the same from real test images: the floor of an honest generator.
      ratio: of the two; 0 for copies, 1 for images as new as test images.
      share_near: of the generated images that are as near to a training image as the
        nearest 1 % of the test images; 1 for copies, about 0.01 for new images.
    """

    generated_distance: float
    test_distance: float
    ratio: float
    share_near: float


def nearest(
    queries: np.ndarray, references: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances (N,) float64 and indices (N,) of the nearest references.

    The search compares squared distances out of a float64 matrix product, exact for
    integers such as pixels, to 1e-13 of the squared norms for floats. The winners'
    distances are then computed from the differences, so those of copies are 0. Of
    equally near references the first one wins.

    Args:
      queries: (N, F), any real dtype.
      references: (M, F).

    Raises:
      ValueError: arrays that are not (N, F) and (M, F), or no references.
    """
    _check_features(queries, references)
    best = np.full(len(queries), np.inf)
    indices = np.zeros(len(queries), np.int64)
    for j in range(0, len(references), BLOCK):
        columns = references[j : j + BLOCK].astype(np.float64)
        norms = np.sum(columns**2, axis=1)[None, :]
        for i in range(0, len(queries), BLOCK):
            rows = queries[i : i + BLOCK].astype(np.float64)
            # Squared distances less the query's own squared norm.
            scores = rows @ columns.T
            scores *= -2
            scores += norms
            winners = np.argmin(scores, axis=1)
            values = scores[np.arange(len(rows)), winners]
            nearer = ~(values >= best[i : i + BLOCK])  # NaN wins: it must be seen
            best[i : i + BLOCK][nearer] = values[nearer]
            indices[i : i + BLOCK][nearer] = j + winners[nearer]
    return _paired_distances(queries, references, indices), indices


def memorisation(
    generated: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Memorisation:
    """Distances of generated images to training images, beside those of test images.

    Args:
      generated: (N, F) features or pixels of generated images.
      train: (M, F) of the images that the generator was trained on.
      test: (K, F) of real images that it has not seen.

    Raises:
      ValueError: unfit arrays; test images of which half or more are among the
        training images.
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

    Radford et al. 2015 (arXiv 1511.06434), table 3: the samples of a conditional
    generator stand in for the training set of a nearest-neighbour classifier, on
    MNIST's test images in pixels. The standard error is the binomial one.

    Args:
      samples: (M, F) generated.
      sample_labels: (M,) integers, the classes that the samples were drawn for.
      points: (N, F) real.
      labels: (N,) integers.

    Raises:
      ValueError: unfit arrays, or labels of another number than the images.
    """
    for name, images, classes in (
        ("samples", samples, sample_labels),
        ("points", points, labels),
    ):
        if classes.shape != images.shape[:1] or not len(images):
            raise ValueError(
                f"{name} are {images.shape} and their labels {classes.shape}, but each "
                "needs its class: give (N,) integer labels for one or more images."
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
    """(N,) float64 distances of each query to references[indices]."""
    distances = np.empty(len(queries))
    for i in range(0, len(queries), BLOCK):
        found = references[indices[i : i + BLOCK]].astype(np.float64)
        differences = queries[i : i + BLOCK].astype(np.float64) - found
        distances[i : i + BLOCK] = np.sqrt(np.sum(differences**2, axis=1))
    return distances
