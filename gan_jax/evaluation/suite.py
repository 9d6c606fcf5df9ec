"""The metrics by name: what each needs, and which way is better."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gan_jax.evaluation import compute

FRECHET_FEATURES = 4_096  # more would take minutes and gigabytes for one number


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

    compute: Callable[[compute.Sets], Iterable[compute.Result]]
    numbers: Mapping[str, int]
    needs: Sequence[str] = ()
    least: int = 10
    is_cheap: bool = True


METRICS: Mapping[str, Metric] = {
    "frechet_distance": Metric(
        compute.frechet_distance, {"frechet_distance": -1}, ["few_features"]
    ),
    "kernel_distance": Metric(compute.kernel_distance, {"kernel_distance": -1}),
    "classifier_score": Metric(
        compute.classifier_score, {"classifier_score": 1}, ["probabilities"], 100
    ),
    "prdc": Metric(
        compute.prdc,
        dict.fromkeys(("precision", "recall", "density", "coverage"), 1),
    ),
    "class_distance": Metric(
        compute.class_distance, {"class_distance": -1}, ["probabilities"], 100
    ),
    "label_accuracy": Metric(
        compute.label_accuracy, {"label_accuracy": 1}, ["probabilities", "labels"], 100
    ),
    "intra_class_frechet_distance": Metric(
        compute.intra_class_frechet_distance,
        {"intra_class_frechet_distance": -1},
        ["labels", "few_features"],
        1_000,
    ),
    "modes": Metric(
        compute.modes, {"modes": 1, "high_quality": 1, "reverse_kl": -1}, ["mixture"]
    ),
    "stacked_modes": Metric(
        compute.stacked_modes, {"modes": 1, "reverse_kl": -1}, ["stacked"]
    ),
    "ms_ssim": Metric(compute.ms_ssim, {"ms_ssim": 0}, ["images"]),
    "sliced_wasserstein": Metric(
        compute.sliced_wasserstein, {"sliced_wasserstein": -1}, ["images"]
    ),
    "memorisation": Metric(
        compute.memorisation,
        {"nearest_training_ratio": 0, "share_near_training": 0},
        ["held_out", "images"],
        100,
    ),
    "parzen_log_likelihood": Metric(
        compute.parzen_log_likelihood, {"parzen_log_likelihood": 1}, ["images"], 100
    ),
    "nearest_neighbour_error": Metric(
        compute.nearest_neighbour_error,
        {"nearest_neighbour_error": -1},
        ["labels"],
        100,
    ),
    "classification_accuracy_score": Metric(
        compute.classification_accuracy_score,
        {"classification_accuracy_score": 1},
        ["labels"],
        1_000,
        is_cheap=False,
    ),
    "linear_probe": Metric(
        compute.linear_probe,
        {"linear_probe": 1},
        ["discriminator"],
        is_cheap=False,
    ),
    "label_efficiency": Metric(
        compute.label_efficiency,
        {
            **{f"probe_{count}": 1 for count in compute.LABELLED},
            **{f"pixels_{count}": 0 for count in compute.LABELLED},
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
