"""Scores of a generator: draws images, computes the metrics and keeps the records."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import functools
from importlib import metadata
import math
import time
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np
import tqdm

from gan_jax import checks, memory, own_parts, version
from gan_jax import data as data_lib
from gan_jax.data import splits
from gan_jax.evaluation import estimate, features, needs, probe, suite
from gan_jax.evaluation.estimate import Estimate
from gan_jax.run import trained

PACKAGES = ("jax", "numpy")
REAL_STATISTICS = 10_000  # training images that give a discriminator's statistics
RANGES = {  # allowed values in the section evaluation
    "extractor": checks.one_of(features.EXTRACTORS),
    "weights": checks.TEXT,
    "metrics": checks.TEXT,
    "num_images": checks.integer(2, checks.MOST),
    "draws": checks.integer(1, 10_000),
    "split": checks.TEXT,
    "statistics": checks.one_of(("running", "batch")),
    "batch_size": checks.integer(1, checks.MOST),
    "seed": checks.integer(0, checks.SEEDS),
    "best_metric": checks.TEXT,
}
Draw = Callable[[int], tuple[np.ndarray, np.ndarray | None]]


class Scores(NamedTuple):
    """The measured numbers and the protocol by which they were measured.

    Attributes:
      numbers: numbers by name. The standard error is the error of the mean over draws,
        or the error that the metric gives if there is a single draw.
      class_shares: (K,) shares of the classes that the extractor reads in the generated
        images, averaged over draws; None if it knows no classes.
      protocol: everything but the generator that the numbers depend on.
      seconds: duration of the measurement.
    """

    numbers: Mapping[str, Estimate]
    class_shares: np.ndarray | None
    protocol: Mapping[str, Any]
    seconds: float

    def as_record(self) -> dict[str, Any]:
        """The scores as a JSON object."""
        shares = self.class_shares
        return {
            "numbers": {name: x._asdict() for name, x in self.numbers.items()},
            "class_shares": None if shares is None else shares.round(4).tolist(),
            "protocol": dict(self.protocol),
            "seconds": round(self.seconds, 1),
        }


@contextlib.contextmanager
def _in_float32() -> Iterator[None]:
    """A context, or a decorator, in which products have full float32 precision.

    Otherwise a score would depend on the kind of device and on the run's own
    matmul_precision, with which only the images are drawn.
    """
    with jax.default_matmul_precision("highest"):
        yield


class Scorer:
    """Scores generators of a config by one protocol, and reads the real data once."""

    @_in_float32()
    def __init__(self, data: ConfigDict, settings: ConfigDict) -> None:
        """Reads the real images and computes their features.

        Args:
          data: data section of a config.
          settings: evaluation section, of which extractor, weights, metrics,
            num_images, draws, split, statistics, batch_size and seed are read.

        Raises:
          ValueError: a setting is out of range, or the data or the weights cannot be
            read or do not fit each other.
        """
        advice = "change --config.{field}, or the flag of that name"
        checks.check_fields(settings, RANGES, path="evaluation", advice=advice)
        self._data, self._settings = data, settings
        self._extractor = features.create(settings.extractor, settings.weights)
        self.training = data_lib.create(data)
        self._mixture = data_lib.MIXTURES.get(data.name)
        split = settings.split or data_lib.held_out_split(data)
        dataset = data_lib.create(_with_split(data, split))
        indices = _subset(len(dataset.images), settings.num_images, seed=0)
        images = np.asarray(dataset.images[indices])
        # The training images that are not among the real ones, by their indices.
        self._among_real = split == data.split
        self.free = np.arange(len(self.training.images))
        if self._among_real:
            self.free = np.setdiff1d(self.free, indices)
        self._is_held_out = not splits.overlap(split, data.split)
        self._validation = functools.cache(
            functools.partial(_read_validation, data, self.training, split)
        )
        self.real = suite.Images(
            images,
            dataset.labels[indices],
            *features.extract_once(
                self._extractor, images, data_lib.cache_directory(data)
            ),
        )
        self.protocol = {
            **{name: settings[name] for name in ("extractor", "num_images", "draws")},
            "weights_sha256": self._extractor.digest,
            **{name: data[name] for name in ("name", "image_size", "channels", "crop")},
            "label": data.label,
            "split": split,
            "num_real": len(images),
            "seed": settings.seed,
            "versions": {
                "gan_jax": version.VERSION,
                **{name: metadata.version(name) for name in PACKAGES},
            },
            "own_parts": own_parts.digests(
                name
                for name in (data.name, *settings.metrics.split(","))
                if own_parts.is_named(name)
            ),
        }

    @_in_float32()
    def score_run(self, run: trained.Run) -> Scores:
        """Scores of the generator with `run.variables`.

        Raises:
          ValueError: a metric cannot be computed for this run (see suite.select), or
            the memory cannot hold the images.
        """
        settings = self._settings
        shape = self.real.images.shape[1:]
        memory.check_images(settings.num_images, shape, "--num_images")
        if settings.statistics == "batch":
            memory.check_images(settings.batch_size, shape, "--batch_size")

        def draw(seed: int) -> tuple[np.ndarray, np.ndarray | None]:
            return run.draw(
                settings.num_images,
                seed=seed,
                batch_size=settings.batch_size,
                statistics=settings.statistics,
            )

        @functools.cache
        def discriminator_variables() -> Mapping[str, Any]:
            images = self.training.images
            images = images[_subset(len(images), REAL_STATISTICS, seed=0)]
            return probe.with_real_statistics(
                run.discriminator, run.discriminator_variables, images
            )

        def discriminate(images: np.ndarray) -> np.ndarray:
            return probe.discriminator_features(
                run.discriminator, discriminator_variables(), images
            )

        batch = settings.batch_size if settings.statistics == "batch" else None
        protocol = {
            "statistics": settings.statistics,
            "batch_size": batch,
            "own_parts": self.protocol["own_parts"]
            | own_parts.digests(own_parts.names(run.config, ["model.name"])),
        }
        takes_single_images = run.config.recipe.packing == 1
        return self._score(
            draw, discriminate if takes_single_images else None, protocol
        )

    def score_training(self) -> Scores:
        """Scores of training images in the place of generated ones.

        Those that they are compared with are left out, and so are those that choose a
        metric's width if there are enough others.

        Raises:
          ValueError: there are too few training images.
        """
        images, labels, _ = self.training
        choosing = _choosing(len(images), among_real=self._among_real)
        kept = np.setdiff1d(self.free, choosing)
        if len(kept) < self._settings.draws * self._settings.num_images:
            kept = self.free
        return self._score_images(images, labels, kept)

    def score_images(self, images: np.ndarray, labels: np.ndarray | None) -> Scores:
        """Scores of (N, H, W, C) images; each draw takes a random part of them.

        No two draws have an image in common. Labels of a single class say nothing, and
        are left out.

        Raises:
          ValueError: there are too few images, their shape is not that of the real
            images, or the labels do not fit them.
        """
        wanted = self.real.images.shape[1:]
        dtype = self.real.images.dtype
        if images.dtype != dtype or images.shape[1:] != wanted:
            raise ValueError(
                f"the images to score are {images.shape} {images.dtype}, but the real "
                f"ones are {wanted} {dtype} each: give (N, H, W, C) {dtype} of that "
                "size, bytes in [0, 255]."
            )
        _check_labels(labels, len(images), self.training.num_classes)
        return self._score_images(images, labels, np.arange(len(images)))

    @_in_float32()
    def _score_images(
        self, images: np.ndarray, labels: np.ndarray | None, among: np.ndarray
    ) -> Scores:
        """Scores of the images with the indices `among`, as score_images gives them."""
        num, draws = self._settings.num_images, self._settings.draws
        if len(among) < draws * num:
            parts = f"in each of {draws} draws" if draws > 1 else "were asked for"
            advice = "--num_images or --draws" if draws > 1 else "--num_images"
            apart = (
                "" if len(among) == len(images) else " that are not among the real ones"
            )
            raise ValueError(
                f"there are {len(among)} images to score{apart}, but {num} {parts}: "
                f"give more, or lower {advice}."
            )
        if self.training.num_classes == 1:
            labels = None
        first_seed = self._settings.seed
        order = among[_subset(len(among), draws * num, seed=first_seed)]

        def draw(seed: int) -> tuple[np.ndarray, np.ndarray | None]:
            indices = order[(seed - first_seed) * num :][:num]
            return images[indices], None if labels is None else labels[indices]

        return self._score(draw, None, {"statistics": "", "batch_size": None})

    def _score(
        self,
        draw: Draw,
        discriminate: Callable[[np.ndarray], np.ndarray] | None,
        protocol: Mapping[str, Any],
    ) -> Scores:
        start = time.perf_counter()
        repeats, shares = [], []
        for number in range(self._settings.draws):
            seed = self._settings.seed + number
            images, labels = draw(seed)
            fake = suite.Images(
                images, labels, *features.extract(self._extractor, images)
            )
            sets = suite.Sets(
                self.real,
                fake,
                self.training.images,
                self.training.labels,
                self._validation,
                self.training.num_classes,
                discriminate,
                self._mixture,
                seed,
            )
            repeats.append(dict(self._measure(sets)))
            if fake.probabilities is not None:
                kinds = fake.probabilities.shape[1]
                counts = np.bincount(fake.predicted, minlength=kinds)
                shares.append(counts / len(images))
        return Scores(
            {name: _join([one[name] for one in repeats]) for name in repeats[0]},
            np.mean(shares, axis=0) if shares else None,
            {k: v for k, v in {**self.protocol, **protocol}.items() if v != {}},
            time.perf_counter() - start,
        )

    def _measure(self, sets: suite.Sets) -> Iterator[tuple[str, suite.Result]]:
        read, labels = sets.real.probabilities, (sets.real.labels, sets.fake.labels)
        names = suite.select(
            self._settings.metrics.split(","),
            available=needs.available(
                self._extractor.name,
                sets.real.images.shape[1:],
                num_features=sets.real.features.shape[1],
                num_read=0 if read is None else read.shape[1],
                num_classes=sets.num_classes,
                is_held_out=self._is_held_out,
                has_labels=sets.fake.labels is not None,
                has_discriminator=sets.discriminate is not None,
                is_mixture=sets.mixture is not None,
                two_of_each_class=all(
                    np.bincount(x, minlength=sets.num_classes).min() >= 2
                    for x in labels
                    if x is not None
                ),
                enough_labels=suite.can_label(sets),
            ),
            num=self._settings.num_images,
        )
        aliases = suite.INCEPTION_NAMES if self._extractor.name == "inception" else {}
        progress = tqdm.tqdm(names, unit=" metrics", disable=None, leave=False)
        for name in progress:
            progress.set_description(name)
            metric = suite.get(name)
            results = zip(metric.numbers, metric.compute(sets), strict=True)
            for number, result in results:
                yield aliases.get(number, number), result


def _join(results: list[suite.Result]) -> Estimate:
    """The mean over draws, or the estimate of the metric if there is a single draw."""
    estimates = [
        x if isinstance(x, Estimate) else Estimate(float(x), None) for x in results
    ]
    if len(estimates) == 1:
        return estimates[0]
    return estimate.mean_of([x.value for x in estimates])


def _check_labels(labels: np.ndarray | None, count: int, num_classes: int) -> None:
    if labels is None:
        return
    is_one_each = labels.shape == (count,) and np.issubdtype(labels.dtype, np.integer)
    if not is_one_each:
        raise ValueError(
            f"there are {count} images to score and labels {labels.shape} "
            f"{labels.dtype}, but labels must be ({count},) integers, one for each "
            "image: give those, or leave the labels out."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"the labels of the images to score go from {labels.min()} to "
            f"{labels.max()}, but the run's data have the classes 0 to "
            f"{num_classes - 1}: give labels among these, or leave the labels out."
        )


def _read_validation(
    data: ConfigDict, training: data_lib.Dataset, split: str
) -> np.ndarray:
    """Images to choose a metric's width on: those that the run's split leaves out.

    They are training images where it leaves none out, or where the scores compare with
    some of these.
    """
    left_out = splits.rest(data.split)
    if left_out and not splits.overlap(left_out, split):
        images = data_lib.create(_with_split(data, left_out)).images
        return images[: suite.VALIDATION]
    chosen = _choosing(len(training.images), among_real=split == data.split)
    return training.images[chosen]


def _choosing(size: int, *, among_real: bool) -> np.ndarray:
    """Indices of the training images that choose a width if no others can.

    They are the last ones. If the real images are training images, as those of a folder
    or an array, which may be sorted by class, they are random, and not among the real
    images if there are enough.
    """
    order = _subset(size, size, seed=0) if among_real else np.arange(size)
    return order[-suite.VALIDATION :]


def _subset(size: int, count: int, *, seed: int) -> np.ndarray:
    """At most `count` different indices below `size`, in random order."""
    return np.random.default_rng(seed).permutation(size)[:count]


def check(config: ConfigDict) -> None:
    """Refuses a config whose run could not be evaluated during training.

    No data are read.

    Raises:
      ValueError: a setting is out of range, a metric cannot be computed for this run,
        the data do not fit the extractor, or best_metric is not computed.
    """
    settings, data = config.evaluation, config.data
    checks.check_fields(settings, RANGES, path="evaluation")
    if not config.eval_every_steps:
        if settings.best_metric:
            raise ValueError(
                f"evaluation.best_metric is {settings.best_metric!r}, but "
                "eval_every_steps is 0 and nothing is evaluated while the run trains: "
                "set --config.eval_every_steps, or --config.evaluation.best_metric=''."
            )
        return
    try:
        numbers = _numbers(config, (data.image_size, data.image_size, data.channels))
    except ValueError as error:
        raise ValueError(
            f"{error} Or train without: --config.eval_every_steps=0."
        ) from error
    best = settings.best_metric
    if best and best not in numbers:
        raise ValueError(
            f"evaluation.best_metric is {best!r}, but only {', '.join(numbers)} are "
            "computed: add it to --config.evaluation.metrics, or choose another."
        )
    best_direction(settings)


def _with_split(data: ConfigDict, split: str) -> ConfigDict:
    """The data section, reading another split."""
    other = data.copy_and_resolve_references()
    other.split = split
    return other


def best_direction(settings: ConfigDict) -> int:
    """+1 if a larger value of best_metric is better, -1 if a smaller one; 0 for "".

    Args:
      settings: evaluation section, of which best_metric and metrics are read.

    Raises:
      ValueError: the number is unknown, or neither direction is better.
    """
    name, names = settings.best_metric, settings.metrics.split(",")
    sign = suite.direction(name, filter(own_parts.is_named, names)) if name else 0
    if name and not sign:
        raise ValueError(
            f"evaluation.best_metric is {name!r}, of which neither more nor less is "
            "better: set --config.evaluation.best_metric to another number."
        )
    return sign


def _numbers(config: ConfigDict, shape: tuple[int, int, int]) -> list[str]:
    """The names of the numbers that the evaluations of a run will give."""
    settings, data = config.evaluation, config.data
    extractor = settings.extractor
    features.check(extractor, settings.weights, shape)
    split = settings.split or data_lib.held_out_split(data)
    data_lib.check(_with_split(data, split))
    names = suite.select(
        settings.metrics.split(","),
        available=needs.available(
            extractor,
            shape,
            num_features=math.prod(shape) if extractor == "pixels" else 0,
            num_read=features.CLASSES.get(extractor, data.num_classes),
            num_classes=data.num_classes,
            is_held_out=not splits.overlap(split, data.split),
            has_labels=config.model.generator.condition != "none",
            has_discriminator=config.recipe.packing == 1,
            is_mixture=data.name in data_lib.MIXTURES,
            two_of_each_class=True,
            enough_labels=True,
        ),
        num=settings.num_images,
    )
    aliases = suite.INCEPTION_NAMES if extractor == "inception" else {}
    numbers = [number for name in names for number in suite.get(name).numbers]
    return [aliases.get(number, number) for number in numbers]


def format_table(columns: Mapping[str, Scores]) -> str:
    """A row for each number and a column for each named Scores, as text."""
    names = list(dict.fromkeys(name for x in columns.values() for name in x.numbers))
    rows = [["", *columns]]
    for name in names:
        rows.append([name, *(_format(x.numbers.get(name)) for x in columns.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        padded = [cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)


def _format(number: Estimate | None) -> str:
    if number is None:
        return "-"
    value = f"{number.value:.4g}"
    if number.standard_error is None:
        return value
    return f"{value} +- {number.standard_error:.2g}"
