"""The metrics: how they are computed, what they need, and which direction is better.

A new metric needs a function here and a row in METRICS; its formula lies in another
file of this folder.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gan_jax import checks, own_parts
from gan_jax.evaluation import (
    classes,
    classifier,
    classifier_training,
    frechet,
    kernel,
    needs,
    neighbours,
    parzen,
    probe,
    ssim,
)
from gan_jax.evaluation import modes as modes_lib
from gan_jax.evaluation import prdc as prdc_lib
from gan_jax.evaluation import sliced_wasserstein as sliced_wasserstein_lib
from gan_jax.evaluation.estimate import Estimate

MEMORISED = 1_000  # generated images whose nearest training image is searched
TRAINING = 60_000  # training images among which the nearest is searched
VALIDATION = 1_000  # images on which Parzen's width is chosen
PROBED = 10_000  # training images of the linear probe
CHOOSING = 10_000  # training images on which a probe's C is chosen, at most a sixth
LABELLED = {100: 10, 1_000: 10, 10_000: 1}  # numbers of labelled training images, and
# of subsets of that size; a fit takes a tenth of a second, half of one, and ten
SLICED = 2_000  # images of the sliced Wasserstein distance, the slowest metric


class Images(NamedTuple):
    """A set of images as the metrics see it.

    Attributes:
      images: (N, H, W, C) uint8, or points (N, 1, 1, 2) float32.
      labels: (N,) int32, the true labels, or those that the generator was given; None
        without labels.
      features: (N, F) float32.
      probabilities: (N, K) probabilities of the extractor's classes; None if it knows
        no classes.
    """

    images: np.ndarray
    labels: np.ndarray | None
    features: np.ndarray
    probabilities: np.ndarray | None

    @property
    def predicted(self) -> np.ndarray:
        """The most probable classes (N,) according to the extractor."""
        assert self.probabilities is not None
        return np.argmax(self.probabilities, axis=1)


class Sets(NamedTuple):
    """Everything that a metric may look at.

    Attributes:
      real: real images.
      fake: images to score.
      training: (T, H, W, C) uint8 training images of the generator.
      training_labels: (T,) int32.
      validation: function that reads (V, H, W, C) real images on which a metric
        chooses its width. They are not among those of `real` if there are enough.
      num_classes: K, number of the labels' classes.
      discriminate: function from images to the discriminator's features (N, F); None
        without a discriminator.
      mixture: means (K, 2) and standard deviation of the points' distribution; None
        for images.
      seed: seed of the metrics that draw at random.
    """

    real: Images
    fake: Images
    training: np.ndarray
    training_labels: np.ndarray
    validation: Callable[[], np.ndarray]
    num_classes: int
    discriminate: Callable[[np.ndarray], np.ndarray] | None
    mixture: tuple[np.ndarray, float] | None
    seed: int


Result = float | Estimate


class Metric(NamedTuple):
    """A metric and what it needs.

    Attributes:
      compute: function that yields a result for each of the numbers.
      numbers: names of the numbers, each with +1 if more is better, -1 if less is
        better, 0 if the value of real images is the aim.
      needs: keys of needs.REASONS.
      least: smallest number of generated images.
      is_cheap: whether 10,000 images of 28x28 take seconds, so that the metric is
        computed by default.
      formulas: functions whose docstrings have the formula and the paper, if `compute`
        has not. The page README.md in this folder quotes them.
    """

    compute: Callable[[Sets], Iterable[Result]]
    numbers: Mapping[str, int]
    needs: Sequence[str] = ()
    least: int = 10
    is_cheap: bool = True
    formulas: Sequence[Callable[..., Any]] = ()


# A function has the name of its metric in METRICS and yields the metric's numbers.


def frechet_distance(sets: Sets) -> Iterable[Result]:
    """The Frechet distance between the features of real and generated images."""
    yield frechet.frechet_distance(sets.real.features, sets.fake.features)


def intra_class_frechet_distance(sets: Sets) -> Iterable[Result]:
    """The Frechet distance within each class, averaged over the classes."""
    assert sets.real.labels is not None and sets.fake.labels is not None
    yield frechet.intra_class_frechet_distance(
        sets.real.features,
        sets.real.labels,
        sets.fake.features,
        sets.fake.labels,
        num_classes=sets.num_classes,
    )


def kernel_distance(sets: Sets) -> Iterable[Result]:
    """The kernel distance over subsets of at most 1,000 images."""
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
    """The classifier score of the generated images."""
    assert sets.fake.probabilities is not None
    yield classes.classifier_score(sets.fake.probabilities)


def prdc(sets: Sets) -> Iterable[Result]:
    """Precision, recall, density and coverage of the features, with k = 5."""
    yield from prdc_lib.prdc(sets.real.features, sets.fake.features, neighbours=5)


def class_distance(sets: Sets) -> Iterable[Result]:
    """Total variation between the class shares of real and generated images."""
    assert sets.fake.probabilities is not None
    kinds = sets.fake.probabilities.shape[1]
    shares = (
        classes.class_histogram(images.predicted, num_classes=kinds)
        for images in (sets.real, sets.fake)
    )
    yield classes.total_variation(*shares)


def label_accuracy(sets: Sets) -> Iterable[Result]:
    """The share of generated images that the extractor reads as their label."""
    assert sets.fake.labels is not None
    yield classes.label_accuracy(sets.fake.predicted, sets.fake.labels)


def modes(sets: Sets) -> Iterable[Result]:
    """Modes, high-quality share and reverse KL of points in the plane."""
    assert sets.mixture is not None
    means, std = sets.mixture
    points = sets.fake.images.reshape(-1, means.shape[1])
    yield from modes_lib.mixture_score(points, means, std=std)


def stacked_modes(sets: Sets) -> Iterable[Result]:
    """Modes and reverse KL of images of three digits."""
    number = sets.fake.predicted
    yield from modes_lib.stacked_score(
        np.stack([number // 100, number // 10, number], 1) % 10
    )


def ms_ssim(sets: Sets) -> Iterable[Result]:
    """Mean similarity of 1,000 pairs of generated images."""
    yield ssim.diversity(sets.fake.images, num_pairs=1_000, seed=sets.seed)


def sliced_wasserstein(sets: Sets) -> Iterable[Result]:
    """The sliced Wasserstein distance, averaged over the pyramid's levels.

    It takes the first 2,000 real and generated images, since it is the slowest of the
    cheap metrics.
    """
    count = min(SLICED, len(sets.real.images), len(sets.fake.images))
    levels = sliced_wasserstein_lib.sliced_wasserstein(
        sets.real.images[:count], sets.fake.images[:count], seed=sets.seed
    )
    yield float(np.mean(list(levels.values())))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def memorisation(sets: Sets) -> Iterable[Result]:
    """The ratio of distances to training images, and the share of near images.

    The first 1,000 generated and real images are compared with the first 60,000
    training images, in pixels.
    """
    found = neighbours.memorisation(
        _flat(sets.fake.images[:MEMORISED]),
        _flat(sets.training[:TRAINING]),
        _flat(sets.real.images[:MEMORISED]),
    )
    yield found.ratio
    yield found.share_near


def parzen_log_likelihood(sets: Sets) -> Iterable[Result]:
    """Parzen log-likelihood of real images; other real images choose the width.

    The other images are at most 1,000 of those that the run's split leaves out, or else
    of the training images.
    """
    found = parzen.parzen_log_likelihood(
        sets.fake.images, sets.validation()[:VALIDATION], sets.real.images
    )
    yield found.estimate


def nearest_neighbour_error(sets: Sets) -> Iterable[Result]:
    """The error of classifying real images by the nearest generated image."""
    assert sets.real.labels is not None and sets.fake.labels is not None
    yield neighbours.nearest_neighbour_error(
        _flat(sets.fake.images),
        sets.fake.labels,
        _flat(sets.real.images),
        sets.real.labels,
    )


def classification_accuracy_score(sets: Sets) -> Iterable[Result]:
    """The accuracy on real images of a classifier trained on generated images.

        mean_i [argmax_k p(k|x_i) = label_i]

    Ravuri and Vinyals 2019 (arXiv 1905.10887), who train a network for ImageNet. The
    classifier here is that of gan_jax.train_classifier, trained with its defaults.
    """
    assert sets.real.labels is not None and sets.fake.labels is not None
    weights = classifier_training.fit(
        sets.fake.images,
        sets.fake.labels,
        num_classes=sets.num_classes,
        seed=sets.seed,
    )
    yield classifier.accuracy(weights, sets.real.images, sets.real.labels)


def linear_probe(sets: Sets) -> Iterable[Result]:
    """The accuracy on real images of a linear probe of discriminator features.

    The labelled images are 10,000 random training images. C is chosen on 10,000 others,
    or on a sixth of all if these are fewer than 60,000.
    """
    assert sets.discriminate is not None
    choosing, others = _split_training(sets)
    yield from _probe(sets, sets.discriminate, choosing, [[others[:PROBED]]])


def label_efficiency(sets: Sets) -> Iterable[Result]:
    """The accuracies of probes with few labels, on features and on pixels.

    The accuracy with 100 and 1,000 labels is the mean over ten subsets, and that with
    10,000 labels belongs to one. C is chosen on 10,000 other training images, or on a
    sixth of all if these are fewer than 60,000. The pixels are in [0, 1].
    """
    assert sets.discriminate is not None
    choosing, others = _split_training(sets)
    choices = [
        [
            others[
                probe.label_subset(
                    sets.training_labels[others],
                    count,
                    num_classes=sets.num_classes,
                    seed=(sets.seed, 1 + number),
                )
            ]
            for number in range(subsets)
        ]
        for count, subsets in LABELLED.items()
    ]
    for represent in (sets.discriminate, _flat):
        yield from _probe(sets, represent, choosing, choices)


def can_label(sets: Sets) -> bool:
    """Whether label_efficiency has enough training images of each class."""
    _, others = _split_training(sets)
    counts = np.bincount(sets.training_labels[others], minlength=sets.num_classes)
    shares = [count // sets.num_classes for count in LABELLED]
    return bool(min(shares) >= 1 and max(shares) <= counts.min())


def _split_training(sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training images that choose a probe's C, and of the others."""
    order = np.random.default_rng((sets.seed, 0)).permutation(len(sets.training))
    count = min(CHOOSING, len(order) // 6)
    return order[:count], order[count:]


def _probe(
    sets: Sets,
    represent: Callable[[np.ndarray], np.ndarray],
    choosing: np.ndarray,
    choices: Iterable[Sequence[np.ndarray]],
) -> Iterator[Result]:
    """The probe's accuracy for each choice of labelled subsets of training images."""
    assert sets.real.labels is not None

    def points(indices: np.ndarray) -> probe.Points:
        features = represent(sets.training[indices])
        return probe.Points(features, sets.training_labels[indices])

    validation = points(choosing)
    test = probe.Points(represent(sets.real.images), sets.real.labels)
    for subsets in choices:
        labelled = (points(subset) for subset in subsets)
        yield probe.linear_probe(labelled, validation=validation, test=test).accuracy


METRICS: Mapping[str, Metric] = {
    "frechet_distance": Metric(
        frechet_distance,
        {"frechet_distance": -1},
        ["few_features"],
        formulas=[frechet.gaussian_distance],
    ),
    "kernel_distance": Metric(
        kernel_distance, {"kernel_distance": -1}, formulas=[kernel.kernel_distance]
    ),
    "classifier_score": Metric(
        classifier_score,
        {"classifier_score": 1},
        ["probabilities"],
        100,
        formulas=[classes.classifier_score],
    ),
    "prdc": Metric(
        prdc,
        dict.fromkeys(("precision", "recall", "density", "coverage"), 1),
        formulas=[prdc_lib.prdc],
    ),
    "class_distance": Metric(
        class_distance,
        {"class_distance": -1},
        ["probabilities"],
        100,
        formulas=[classes.total_variation],
    ),
    "label_accuracy": Metric(
        label_accuracy,
        {"label_accuracy": 1},
        ["probabilities", "labels", "own_classes"],
        100,
        formulas=[classes.label_accuracy],
    ),
    "intra_class_frechet_distance": Metric(
        intra_class_frechet_distance,
        {"intra_class_frechet_distance": -1},
        ["labels", "few_features", "two_of_each_class"],
        1_000,
        formulas=[frechet.intra_class_frechet_distance],
    ),
    "modes": Metric(
        modes,
        {"modes": 1, "high_quality": 1, "reverse_kl": -1},
        ["mixture"],
        formulas=[modes_lib.mixture_score],
    ),
    "stacked_modes": Metric(
        stacked_modes,
        {"modes": 1, "reverse_kl": -1},
        ["stacked"],
        formulas=[modes_lib.stacked_score],
    ),
    "ms_ssim": Metric(
        ms_ssim,
        {"ms_ssim": 0},
        ["images", "window"],
        formulas=[ssim.diversity, ssim.ms_ssim],
    ),
    "sliced_wasserstein": Metric(
        sliced_wasserstein,
        {"sliced_wasserstein": -1},
        ["images", "patch"],
        formulas=[sliced_wasserstein_lib.sliced_wasserstein],
    ),
    "memorisation": Metric(
        memorisation,
        {"nearest_training_ratio": 0, "share_near_training": 0},
        ["held_out", "images"],
        100,
        formulas=[neighbours.memorisation],
    ),
    "parzen_log_likelihood": Metric(
        parzen_log_likelihood,
        {"parzen_log_likelihood": 1},
        ["images"],
        100,
        formulas=[parzen.parzen_log_likelihood],
    ),
    "nearest_neighbour_error": Metric(
        nearest_neighbour_error,
        {"nearest_neighbour_error": -1},
        ["labels"],
        100,
        formulas=[neighbours.nearest_neighbour_error],
    ),
    "classification_accuracy_score": Metric(
        classification_accuracy_score,
        {"classification_accuracy_score": 1},
        ["labels"],
        1_000,
        is_cheap=False,
    ),
    "linear_probe": Metric(
        linear_probe,
        {"linear_probe": 1},
        ["discriminator", "held_out", "several_classes"],
        is_cheap=False,
        formulas=[
            probe.discriminator_features,
            probe.with_real_statistics,
            probe.linear_probe,
        ],
    ),
    "label_efficiency": Metric(
        label_efficiency,
        {
            **{f"probe_{count}": 1 for count in LABELLED},
            **{f"pixels_{count}": 0 for count in LABELLED},
        },
        ["discriminator", "held_out", "several_classes", "enough_labels"],
        is_cheap=False,
        formulas=[probe.label_subset, probe.linear_probe],
    ),
}
GROUPS = ("cheap", "all")  # names that stand for several metrics, see `select`

# The names that papers give to these numbers if the features are Inception's.
INCEPTION_NAMES = {
    "frechet_distance": "fid",
    "kernel_distance": "kid",
    "classifier_score": "inception_score",
    "intra_class_frechet_distance": "intra_fid",
}


def get(name: str) -> Metric:
    """The metric of a name in METRICS, or the own Metric `module:name`.

    Raises:
      ValueError: an own metric has another form.
    """
    if not own_parts.is_named(name):
        return METRICS[name]
    field = "evaluation.metrics"
    metric = own_parts.load(name, field=field)
    form = "suite.Metric(compute, {'my_number': 1})"
    own_parts.check_type(metric, Metric, name, field=field, form=form)
    what, positional = f"{name}.compute", ("sets",)
    own_parts.check_call(metric.compute, what, field=field, positional=positional)
    taken = {*_directions(())}.intersection(metric.numbers)
    if taken or not metric.numbers:
        raise ValueError(
            f"{name} gives the numbers {', '.join(metric.numbers) or '(none)'}, but "
            "must give one or more whose names no metric of gan_jax has "
            f"({', '.join(sorted(taken))}): change its names, or leave it out of "
            f"--config.{field}."
        )
    for need in metric.needs:
        if need not in needs.REASONS:
            raise ValueError(
                f"{name} needs {need!r}{checks.nearest(need, needs.REASONS)}, but a "
                f"metric can need {', '.join(needs.REASONS)}: change its needs, or "
                f"leave it out of --config.{field}."
            )
    return metric


def _directions(metrics: Iterable[Metric]) -> dict[str, int]:
    """The directions of all numbers of these metrics, and of METRICS' other names."""
    known: dict[str, int] = {}
    for metric in (*METRICS.values(), *metrics):
        known |= metric.numbers
    return known | {alias: known[name] for name, alias in INCEPTION_NAMES.items()}


def numbers(own: Iterable[str] = ()) -> list[str]:
    """The names of all numbers of METRICS and of these own metrics `module:name`."""
    return list(_directions(get(name) for name in own))


def direction(number: str, own: Iterable[str] = ()) -> int:
    """+1 if more is better, -1 if less is better, 0 if real images set the aim.

    Args:
      number: name of a number.
      own: names of own metrics that may give it.

    Raises:
      ValueError: no metric gives a number of this name.
    """
    known = _directions(get(name) for name in own)
    if number not in known:
        raise ValueError(
            f"there is no number {number!r} to choose by, there are: "
            f"{', '.join(known)}; set --config.evaluation.best_metric."
        )
    return known[number]


def select(names: Sequence[str], *, available: Iterable[str], num: int) -> list[str]:
    """The metrics to compute, in the table's order, with own metrics after them.

    Args:
      names: names in METRICS or `module:name` of own metrics; "all" stands for all
        metrics of METRICS that can be computed from so many images, and "cheap" for the
        cheap ones among them.
      available: keys of needs.REASONS that are available, see needs.available.
      num: number of generated images.

    Raises:
      ValueError: a name is unknown, a metric lacks what it needs, or there are too few
        images for a metric or for any.
    """
    available = set(available)
    chosen = set()
    for name in names:
        if name in GROUPS:
            chosen |= {
                key
                for key, metric in METRICS.items()
                if (name == "all" or metric.is_cheap)
                and available.issuperset(metric.needs)
                and num >= metric.least
            }
            continue
        if name in INCEPTION_NAMES.values():
            (plain,) = (key for key, alias in INCEPTION_NAMES.items() if alias == name)
            raise ValueError(
                f"{name} is what the metric {plain} gives with the extractor inception:"
                f" set --metrics={plain} --extractor=inception, and --weights."
            )
        if name not in METRICS and not own_parts.is_named(name):
            raise ValueError(
                f"there is no metric {name!r}, there are: {', '.join(METRICS)}; "
                "'cheap' and 'all' stand for several, and module:name is imported from "
                "the working directory: change --metrics."
            )
        for need in get(name).needs:
            if need not in available:
                raise ValueError(
                    f"the metric {name} cannot be computed: {needs.REASONS[need]}; "
                    "leave it out of --metrics."
                )
        chosen.add(name)
    order = list(dict.fromkeys([*METRICS, *names]))
    for name in order:
        if name in chosen and num < get(name).least:
            raise ValueError(
                f"the metric {name} needs at least {get(name).least} images, not "
                f"{num}: raise --num_images, or leave it out of --metrics."
            )
    selected = [name for name in order if name in chosen]
    if not selected:
        raise ValueError(
            f"no metric of {','.join(names)} can be computed from {num} images: raise "
            "--num_images, 1,000 are enough for each."
        )
    own = [name for name in selected if own_parts.is_named(name)]
    given = [number for name in own for number in get(name).numbers]
    if len(given) != len(set(given)):
        raise ValueError(
            f"the metrics {' and '.join(own)} give numbers of the same name, "
            f"{', '.join(sorted(given))}: change the names in your files, or leave "
            "one of the metrics out of --metrics."
        )
    return selected
