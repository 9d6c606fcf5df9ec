"""Frechet distance between two sets of features.

It is the FID only with features of the Inception-v3 that the FID codes use. With other
features it is a Frechet distance with the extractor's name. It falls with the number of
samples, so compare only distances from equally many samples.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Number of rows in float64 at one time: 64 MiB with 2,048 features.
BLOCK_ROWS = 4096


class Gaussian(NamedTuple):
    """The mean and covariance of features.

    Attributes:
      mean: (F,) float64.
      covariance: (F, F) float64, with the divisor num_samples - 1.
      num_samples: number of samples that the two were computed from.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num_samples: int


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """The mean and covariance of features (N, F), in float64 whatever their dtype.

    There are two passes over blocks of rows. The covariance is computed from centred
    values, so a large mean costs no digits, and all features are never copied to
    float64 at once.

    Raises:
      ValueError: there are fewer than 2 samples, or a value is not finite.
    """
    check_features(features, minimum=2)
    count, size = features.shape
    total = np.zeros(size)
    for block in _blocks(features):
        total += block.sum(axis=0)
    mean = total / count
    scatter = np.zeros((size, size))
    for block in _blocks(features):
        block -= mean[None]
        scatter += block.T @ block
    return Gaussian(mean, scatter / (count - 1), count)


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """The Frechet distance of two Gaussians, which is never negative.

        ||m_a - m_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    Heusel et al. 2017 (arXiv 1706.08500). With C_a = L_a L_a^T and C_b = L_b L_b^T, the
    trace of the root is the sum of the singular values of L_a^T L_b. These are the
    roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), but are computed without
    squaring, which would lose half the digits of the small ones. L comes from the
    symmetric eigendecomposition of C, with the rank that rounding leaves. So fewer
    samples than features need no offset on the diagonal and no complex numbers.

    Raises:
      ValueError: the Gaussians have different numbers of features.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"Gaussians of {a.mean.size} and {b.mean.size} features, but a distance "
            "is between features of one extractor: take both from the same."
        )
    product = _factor(a.covariance).T @ _factor(b.covariance)
    root = np.linalg.svd(product, compute_uv=False).sum()
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(np.sum((a.mean - b.mean) ** 2) + traces - 2 * root))


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The distance between the Gaussians of two sets of features (N, F).

    Raises:
      ValueError: see fit_gaussian and gaussian_distance.
    """
    return gaussian_distance(fit_gaussian(real), fit_gaussian(fake))


def intra_class_frechet_distance(
    real: np.ndarray,
    real_labels: np.ndarray,
    fake: np.ndarray,
    fake_labels: np.ndarray,
    *,
    num_classes: int,
) -> float:
    """The mean over classes of the Frechet distance within the class.

        sum_k frechet_distance(real_k, fake_k) / K

    Miyato and Koyama 2018 (arXiv 1802.05637) call it intra FID. It is large for a
    generator that ignores its labels, or that repeats itself within a class.

    Args:
      real: (N, F) features.
      real_labels: (N,) integers in [0, num_classes).
      fake: (M, F) features.
      fake_labels: (M,) integers in [0, num_classes), the labels that the generator was
        given.
      num_classes: number of classes.

    Raises:
      ValueError: labels do not fit the features or the number of classes, a class has
        fewer than 2 real or fake samples, or frechet_distance refuses the features.
    """
    sets = {"real": (real, real_labels), "fake": (fake, fake_labels)}
    for kind, (features, labels) in sets.items():
        _check_labels(kind, features, labels, num_classes)
    distances = [
        frechet_distance(real[real_labels == label], fake[fake_labels == label])
        for label in range(num_classes)
    ]
    return float(np.mean(distances))


def check_features(features: np.ndarray, *, minimum: int) -> None:
    """Raises ValueError unless features are finite (N, F) with N at least `minimum`."""
    if features.ndim != 2:
        raise ValueError(
            f"features have shape {features.shape}, but a row is one sample: "
            "give (N, F)."
        )
    if len(features) < minimum:
        raise ValueError(
            f"{len(features)} samples, but at least {minimum} are needed: give more."
        )
    for start in range(0, len(features), BLOCK_ROWS):
        finite = np.isfinite(features[start : start + BLOCK_ROWS]).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"features of sample {start + np.argmin(finite)} are not finite, but a "
                "distance needs numbers: look at the images and at their extractor."
            )


def check_pair(real: np.ndarray, fake: np.ndarray, *, minimum: int) -> None:
    """Raises ValueError unless both pass check_features and have the same F."""
    check_features(real, minimum=minimum)
    check_features(fake, minimum=minimum)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real features have size {real.shape[1]} and fake features "
            f"{fake.shape[1]}, but a distance is between features of one extractor: "
            "take both from the same."
        )


def _blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    """Yields float64 copies of successive blocks of BLOCK_ROWS rows."""
    for start in range(0, len(features), BLOCK_ROWS):
        yield np.array(features[start : start + BLOCK_ROWS], np.float64)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """The factor L (F, R) of covariance = L L^T, with its rank R up to rounding."""
    values, vectors = np.linalg.eigh(covariance)
    floor = values[-1] * len(values) * np.finfo(np.float64).eps
    kept = values > max(floor, 0)
    return vectors[:, kept] * np.sqrt(values[kept])[None]


def _check_labels(
    kind: str, features: np.ndarray, labels: np.ndarray, num_classes: int
) -> None:
    """Raises ValueError unless all labels are classes and each class has 2 samples."""
    if labels.shape != features.shape[:1]:
        raise ValueError(
            f"{kind} labels have shape {labels.shape} and features {features.shape}, "
            "but each sample has one label: give (N,) labels for (N, F) features."
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(
            f"{kind} labels go from {labels.min()} to {labels.max()}, but labels of "
            f"{num_classes} classes are below that: change them or num_classes."
        )
    counts = np.bincount(labels, minlength=num_classes)
    if counts.min() < 2:
        label = int(np.argmin(counts))
        raise ValueError(
            f"class {label} has {counts[label]} {kind} samples, but its covariance "
            "needs 2: give more of the class, or leave it out on both sides."
        )
