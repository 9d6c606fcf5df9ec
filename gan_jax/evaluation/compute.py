"""How each metric is computed from the sets of images of one evaluation."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation import (
    classes,
    classifier,
    classifier_training,
    frechet,
    kernel,
    neighbours,
    parzen,
    probe,
    ssim,
)
from gan_jax.evaluation import modes as modes_lib
from gan_jax.evaluation import prdc as prdc_lib
from gan_jax.evaluation import sliced_wasserstein as sliced_wasserstein_lib
from gan_jax.evaluation.estimate import Estimate

MEMORISED = 1_000  # generated images whose nearest training image is looked for
TRAINING = 60_000  # training images that are searched
VALIDATION = 1_000  # last training images, on which Parzen's width is chosen
PROBED = 10_000  # training images of the linear probe
LABELLED = {100: 5, 1_000: 5, 10_000: 1}  # training images with labels, and how many
# fifths of them choose the probe's strength
SLICED = 2_000  # images of the sliced Wasserstein distance, the slowest a pair


class Images(NamedTuple):
    """One set of images as the metrics see it.

    Attributes:
      images: (N, H, W, C) uint8, or points (N, 1, 1, 2) float32.
      labels: (N,) int32, true or asked for; None without any.
      features: (N, F) float32.
      probabilities: (N, K) of the extractor's classes; None if it has none.
    """

    images: np.ndarray
    labels: np.ndarray | None
    features: np.ndarray
    probabilities: np.ndarray | None

    @property
    def predicted(self) -> np.ndarray:
        """(N,) the classes that the extractor reads."""
        assert self.probabilities is not None
        return np.argmax(self.probabilities, axis=1)


class Sets(NamedTuple):
    """Everything that a metric may look at.

    Attributes:
      real: the real images.
      fake: the judged ones.
      training: (T, H, W, C) uint8, what the generator learned from.
      training_labels: (T,) int32.
      num_classes: K of the labels.
      discriminate: (N, F) features of the discriminator; None without one.
      mixture: means (K, 2) and standard deviation of the points' distribution; None
        of images.
      seed: of the metrics that draw.
    """

    real: Images
    fake: Images
    training: np.ndarray
    training_labels: np.ndarray
    num_classes: int
    discriminate: Callable[[np.ndarray], np.ndarray] | None
    mixture: tuple[np.ndarray, float] | None
    seed: int


Result = float | Estimate

# Each function has the name of its metric in suite.METRICS and yields its numbers.


def frechet_distance(sets: Sets) -> Iterable[Result]:
    """Between the features of real and generated images."""
    yield frechet.frechet_distance(sets.real.features, sets.fake.features)


def intra_class_frechet_distance(sets: Sets) -> Iterable[Result]:
    """Within each label, averaged."""
    assert sets.real.labels is not None and sets.fake.labels is not None
    yield frechet.intra_class_frechet_distance(
        sets.real.features,
        sets.real.labels,
        sets.fake.features,
        sets.fake.labels,
        num_classes=sets.num_classes,
    )


def kernel_distance(sets: Sets) -> Iterable[Result]:
    """Over subsets of at most 1,000 features; over all, if there are no more."""
    counts = len(sets.real.features), len(sets.fake.features)
    size = min(1_000, *counts)
    yield kernel.kernel_distance(
        sets.real.features,
        sets.fake.features,
        subset_size=size,
        num_subsets=1 if size == max(counts) else 100,
        seed=sets.seed,
    )


def classifier_score(sets: Sets) -> Iterable[Result]:
    """Of the generated images' probabilities."""
    assert sets.fake.probabilities is not None
    yield classes.classifier_score(sets.fake.probabilities)


def prdc(sets: Sets) -> Iterable[Result]:
    """Precision, recall, density and coverage of the features."""
    yield from prdc_lib.prdc(sets.real.features, sets.fake.features)


def class_distance(sets: Sets) -> Iterable[Result]:
    """Total variation between the shares of the classes that are read."""
    assert sets.fake.probabilities is not None
    kinds = sets.fake.probabilities.shape[1]
    shares = (
        classes.class_histogram(images.predicted, num_classes=kinds)
        for images in (sets.real, sets.fake)
    )
    yield classes.total_variation(*shares)


def label_accuracy(sets: Sets) -> Iterable[Result]:
    """The share of images read as the label that they were asked for."""
    assert sets.fake.labels is not None
    yield classes.label_accuracy(sets.fake.predicted, sets.fake.labels)


def modes(sets: Sets) -> Iterable[Result]:
    """Modes, high-quality share and reverse KL of points of the plane."""
    assert sets.mixture is not None
    means, std = sets.mixture
    points = sets.fake.images.reshape(-1, means.shape[1])
    yield from modes_lib.mixture_score(points, means, std=std)


def stacked_modes(sets: Sets) -> Iterable[Result]:
    """Modes and reverse KL of three digits in a picture."""
    number = sets.fake.predicted
    yield from modes_lib.stacked_score(
        np.stack([number // 100, number // 10, number], 1) % 10
    )


def ms_ssim(sets: Sets) -> Iterable[Result]:
    """Mean similarity of 1,000 pairs of generated images."""
    yield ssim.diversity(sets.fake.images, num_pairs=1_000, seed=sets.seed)


def sliced_wasserstein(sets: Sets) -> Iterable[Result]:
    """The mean over the pyramid's levels."""
    count = min(SLICED, len(sets.real.images), len(sets.fake.images))
    levels = sliced_wasserstein_lib.sliced_wasserstein(
        sets.real.images[:count], sets.fake.images[:count], seed=sets.seed
    )
    yield float(np.mean(list(levels.values())))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def memorisation(sets: Sets) -> Iterable[Result]:
    """Ratio of nearest distances, and the share that is nearer than real images."""
    found = neighbours.memorisation(
        _flat(sets.fake.images[:MEMORISED]),
        _flat(sets.training[:TRAINING]),
        _flat(sets.real.images[:MEMORISED]),
    )
    yield found.ratio
    yield found.share_near


def parzen_log_likelihood(sets: Sets) -> Iterable[Result]:
    """Of the real images, the width chosen on the last training images."""
    found = parzen.parzen_log_likelihood(
        sets.fake.images, sets.training[-VALIDATION:], sets.real.images
    )
    yield found.estimate


def nearest_neighbour_error(sets: Sets) -> Iterable[Result]:
    """Of real images classified by the nearest generated one."""
    assert sets.real.labels is not None and sets.fake.labels is not None
    yield neighbours.nearest_neighbour_error(
        _flat(sets.fake.images),
        sets.fake.labels,
        _flat(sets.real.images),
        sets.real.labels,
    )


def classification_accuracy_score(sets: Sets) -> Iterable[Result]:
    """On real images, of a classifier trained on generated ones."""
    assert sets.real.labels is not None and sets.fake.labels is not None
    weights = classifier_training.fit(
        sets.fake.images,
        sets.fake.labels,
        num_classes=sets.num_classes,
        seed=sets.seed,
    )
    yield classifier.accuracy(weights, sets.real.images, sets.real.labels)


def linear_probe(sets: Sets) -> Iterable[Result]:
    """Accuracy on real images of a probe of the discriminator's features."""
    assert sets.discriminate is not None and sets.real.labels is not None
    yield probe.linear_probe(
        sets.discriminate(sets.training[:PROBED]),
        sets.training_labels[:PROBED],
        sets.discriminate(sets.real.images),
        sets.real.labels,
        seed=sets.seed,
    ).accuracy


def label_efficiency(sets: Sets) -> Iterable[Result]:
    """Accuracies with few labels, of the discriminator's features and of pixels."""
    assert sets.discriminate is not None and sets.real.labels is not None
    chosen = {
        count: probe.label_subset(
            sets.training_labels, count, num_classes=sets.num_classes, seed=sets.seed
        )
        for count in LABELLED
    }
    for represent in (sets.discriminate, _flat):
        test_features = represent(sets.real.images)
        for count, indices in chosen.items():
            yield probe.linear_probe(
                represent(sets.training[indices]),
                sets.training_labels[indices],
                test_features,
                sets.real.labels,
                max_iterations=10_000,
                folds=LABELLED[count],
                seed=sets.seed,
            ).accuracy
