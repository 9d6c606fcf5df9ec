"""The metrics by name: what each needs, and which way is better."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation import (
    classes,
    classifier,
    frechet,
    kernel,
    modes,
    neighbours,
    parzen,
    prdc,
    probe,
    sliced_wasserstein,
    ssim,
)
from gan_jax.evaluation.estimate import Estimate

FRECHET_FEATURES = 4_096  # more would take minutes and gigabytes for one number
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


def _frechet(sets: Sets) -> Iterable[Result]:
    yield frechet.frechet_distance(sets.real.features, sets.fake.features)


def _intra_class_frechet(sets: Sets) -> Iterable[Result]:
    assert sets.real.labels is not None and sets.fake.labels is not None
    yield frechet.intra_class_frechet_distance(
        sets.real.features,
        sets.real.labels,
        sets.fake.features,
        sets.fake.labels,
        num_classes=sets.num_classes,
    )


def _kernel(sets: Sets) -> Iterable[Result]:
    counts = len(sets.real.features), len(sets.fake.features)
    size = min(1_000, *counts)
    yield kernel.kernel_distance(
        sets.real.features,
        sets.fake.features,
        subset_size=size,
        num_subsets=1 if size == max(counts) else 100,
        seed=sets.seed,
    )


def _classifier_score(sets: Sets) -> Iterable[Result]:
    assert sets.fake.probabilities is not None
    yield classes.classifier_score(sets.fake.probabilities)


def _prdc(sets: Sets) -> Iterable[Result]:
    yield from prdc.prdc(sets.real.features, sets.fake.features)


def _class_distance(sets: Sets) -> Iterable[Result]:
    assert sets.fake.probabilities is not None
    kinds = sets.fake.probabilities.shape[1]
    shares = (
        classes.class_histogram(images.predicted, num_classes=kinds)
        for images in (sets.real, sets.fake)
    )
    yield classes.total_variation(*shares)


def _label_accuracy(sets: Sets) -> Iterable[Result]:
    assert sets.fake.labels is not None
    yield classes.label_accuracy(sets.fake.predicted, sets.fake.labels)


def _modes(sets: Sets) -> Iterable[Result]:
    assert sets.mixture is not None
    means, std = sets.mixture
    points = sets.fake.images.reshape(-1, means.shape[1])
    yield from modes.mixture_score(points, means, std=std)


def _stacked_modes(sets: Sets) -> Iterable[Result]:
    number = sets.fake.predicted
    yield from modes.stacked_score(
        np.stack([number // 100, number // 10, number], 1) % 10
    )


def _ms_ssim(sets: Sets) -> Iterable[Result]:
    yield ssim.diversity(sets.fake.images, num_pairs=1_000, seed=sets.seed)


def _sliced_wasserstein(sets: Sets) -> Iterable[Result]:
    count = min(SLICED, len(sets.real.images), len(sets.fake.images))
    levels = sliced_wasserstein.sliced_wasserstein(
        sets.real.images[:count], sets.fake.images[:count], seed=sets.seed
    )
    yield float(np.mean(list(levels.values())))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _memorisation(sets: Sets) -> Iterable[Result]:
    found = neighbours.memorisation(
        _flat(sets.fake.images[:MEMORISED]),
        _flat(sets.training[:TRAINING]),
        _flat(sets.real.images[:MEMORISED]),
    )
    yield found.ratio
    yield found.share_near


def _parzen(sets: Sets) -> Iterable[Result]:
    found = parzen.parzen_log_likelihood(
        sets.fake.images, sets.training[-VALIDATION:], sets.real.images
    )
    yield found.estimate


def _nearest_neighbour_error(sets: Sets) -> Iterable[Result]:
    assert sets.real.labels is not None and sets.fake.labels is not None
    yield neighbours.nearest_neighbour_error(
        _flat(sets.fake.images),
        sets.fake.labels,
        _flat(sets.real.images),
        sets.real.labels,
    )


def _classification_accuracy_score(sets: Sets) -> Iterable[Result]:
    assert sets.real.labels is not None and sets.fake.labels is not None
    weights = classifier.fit(
        sets.fake.images,
        sets.fake.labels,
        num_classes=sets.num_classes,
        seed=sets.seed,
    )
    yield classifier.accuracy(weights, sets.real.images, sets.real.labels)


def _linear_probe(sets: Sets) -> Iterable[Result]:
    assert sets.discriminate is not None and sets.real.labels is not None
    yield probe.linear_probe(
        sets.discriminate(sets.training[:PROBED]),
        sets.training_labels[:PROBED],
        sets.discriminate(sets.real.images),
        sets.real.labels,
        seed=sets.seed,
    ).accuracy


def _label_efficiency(sets: Sets) -> Iterable[Result]:
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


class Metric(NamedTuple):
    """A metric and what it takes.

    Attributes:
      compute: yields a result for each of the numbers.
      numbers: names of what it yields, each with +1 where more is better, -1 where
        less is, 0 where the value of real images is the aim.
      needs: keys of ABSENT.
      least: the fewest generated images.
      is_cheap: seconds for 10,000 images of 28x28, so that it belongs to the default.
    """

    compute: Callable[[Sets], Iterable[Result]]
    numbers: Mapping[str, int]
    needs: Sequence[str] = ()
    least: int = 2
    is_cheap: bool = True


METRICS: Mapping[str, Metric] = {
    "frechet_distance": Metric(_frechet, {"frechet_distance": -1}, ["few_features"]),
    "kernel_distance": Metric(_kernel, {"kernel_distance": -1}),
    "classifier_score": Metric(
        _classifier_score, {"classifier_score": 1}, ["probabilities"], 100
    ),
    "prdc": Metric(
        _prdc,
        dict.fromkeys(("precision", "recall", "density", "coverage"), 1),
        least=10,
    ),
    "class_distance": Metric(
        _class_distance, {"class_distance": -1}, ["probabilities"], 100
    ),
    "label_accuracy": Metric(
        _label_accuracy, {"label_accuracy": 1}, ["probabilities", "labels"], 100
    ),
    "intra_class_frechet_distance": Metric(
        _intra_class_frechet,
        {"intra_class_frechet_distance": -1},
        ["labels", "few_features"],
        1_000,
    ),
    "modes": Metric(
        _modes, {"modes": 1, "high_quality": 1, "reverse_kl": -1}, ["mixture"]
    ),
    "stacked_modes": Metric(
        _stacked_modes, {"modes": 1, "reverse_kl": -1}, ["stacked"]
    ),
    "ms_ssim": Metric(_ms_ssim, {"ms_ssim": 0}, ["images"]),
    "sliced_wasserstein": Metric(
        _sliced_wasserstein, {"sliced_wasserstein": -1}, ["images"]
    ),
    "memorisation": Metric(
        _memorisation,
        {"nearest_training_ratio": 0, "share_near_training": 0},
        ["held_out", "images"],
        100,
    ),
    "parzen_log_likelihood": Metric(
        _parzen, {"parzen_log_likelihood": 1}, ["images"], 100
    ),
    "nearest_neighbour_error": Metric(
        _nearest_neighbour_error,
        {"nearest_neighbour_error": -1},
        ["labels"],
        100,
    ),
    "classification_accuracy_score": Metric(
        _classification_accuracy_score,
        {"classification_accuracy_score": 1},
        ["labels"],
        1_000,
        is_cheap=False,
    ),
    "linear_probe": Metric(
        _linear_probe,
        {"linear_probe": 1},
        ["discriminator"],
        is_cheap=False,
    ),
    "label_efficiency": Metric(
        _label_efficiency,
        {
            **{f"probe_{count}": 1 for count in LABELLED},
            **{f"pixels_{count}": 0 for count in LABELLED},
        },
        ["discriminator"],
        is_cheap=False,
    ),
}

# What a metric may need, and what it means that it is absent.
ABSENT = {
    "few_features": f"it takes minutes with more than {FRECHET_FEATURES} features (set "
    "another extractor)",
    "held_out": "the real images are those that were trained on (choose another split)",
    "probabilities": "the extractor has no classes of its own (set another extractor)",
    "labels": "the images were not asked for by label (the run is unconditional)",
    "discriminator": "there is no discriminator (images from a file)",
    "images": "the data are points (set --metrics=modes)",
    "stacked": "it counts the modes of stacked MNIST (set the extractor stacked_mnist)",
    "mixture": "the data are no mixture of Gaussians (config.data.name is not ring or "
    "grid)",
}


# What the same formulas are called with Inception's features, and only with those.
INCEPTION_NAMES = {
    "frechet_distance": "fid",
    "kernel_distance": "kid",
    "classifier_score": "inception_score",
    "intra_class_frechet_distance": "intra_fid",
}


def direction(number: str) -> int:
    """+1 where more is better, -1 where less is, 0 where real images set the aim.

    Raises:
      ValueError: no metric gives such a number.
    """
    known: dict[str, int] = {}
    for metric in METRICS.values():
        known |= metric.numbers
    known |= {alias: known[name] for name, alias in INCEPTION_NAMES.items()}
    if number not in known:
        raise ValueError(
            f"there is no number {number!r} to choose by, there are: "
            f"{', '.join(known)}; set --config.evaluation.best_metric."
        )
    return known[number]


def select(names: Sequence[str], *, available: Iterable[str], num: int) -> list[str]:
    """The metrics to compute, in the table's order.

    Args:
      names: of METRICS; "cheap" stands for all cheap ones that can be computed, "all"
        for all that can be.
      available: which keys of ABSENT there are.
      num: generated images.

    Raises:
      ValueError: an unknown name, a metric that lacks what it needs, or too few images.
    """
    available = set(available)
    chosen = set()
    for name in names:
        if name in ("cheap", "all"):
            chosen |= {
                key
                for key, metric in METRICS.items()
                if (name == "all" or metric.is_cheap)
                and available.issuperset(metric.needs)
            }
            continue
        if name not in METRICS:
            raise ValueError(
                f"there is no metric {name!r}, there are: {', '.join(METRICS)}; "
                "'cheap' and 'all' stand for several: change --metrics."
            )
        for need in METRICS[name].needs:
            if need not in available:
                raise ValueError(
                    f"the metric {name} cannot be computed: {ABSENT[need]}; leave it "
                    "out of --metrics."
                )
        chosen.add(name)
    for name in METRICS:
        if name in chosen and num < METRICS[name].least:
            raise ValueError(
                f"the metric {name} needs at least {METRICS[name].least} images, not "
                f"{num}: raise --num_images, or leave it out of --metrics."
            )
    return [name for name in METRICS if name in chosen]
