"""Scores of a generator: what is drawn, measured and written down, and how."""

from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
import time
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np
import tqdm

import gan_jax
from gan_jax import data as data_lib
from gan_jax import runs
from gan_jax import workdir as workdir_lib
from gan_jax.evaluation import compute, estimate, features, probe, suite
from gan_jax.evaluation.estimate import Estimate

PACKAGES = ("jax", "numpy")
# In a run's folder, one line a generator: what it scored while it trained, and what
# gan_jax.evaluate found afterwards, so that each file has one writer.
RECORDS, LATER_RECORDS = "evaluations.jsonl", "scores.jsonl"
Draw = Callable[[int], tuple[np.ndarray, np.ndarray | None]]


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a file of scores; a damaged one is named and left out.

    Raises:
      ValueError: the file cannot be read.
    """
    return workdir_lib.read_lines(path, _is_record)


def _is_record(record: Mapping[str, Any]) -> bool:
    kinds = {"generator": str, "numbers": dict, "protocol": dict}
    return all(isinstance(record.get(x), kind) for x, kind in kinds.items()) and all(
        isinstance(one, dict) and isinstance(one.get("value"), int | float)
        for one in record["numbers"].values()
    )


class Scores(NamedTuple):
    """What was measured.

    Attributes:
      numbers: by name, with the standard error over draws or, of a single draw, the
        one that the metric itself gives.
      class_shares: (K,) shares of the extractor's classes as it reads the generated
        images, means over draws; None without classes.
      protocol: everything but the generator that the numbers depend on.
      seconds: that it took.
    """

    numbers: Mapping[str, Estimate]
    class_shares: np.ndarray | None
    protocol: Mapping[str, Any]
    seconds: float

    def as_record(self) -> dict[str, Any]:
        """A JSON object."""
        shares = self.class_shares
        return {
            "numbers": {name: x._asdict() for name, x in self.numbers.items()},
            "class_shares": None if shares is None else shares.round(4).tolist(),
            "protocol": dict(self.protocol),
            "seconds": round(self.seconds, 1),
        }


class Scorer:
    """Scores generators of one config by one protocol; the real data are read once."""

    def __init__(self, data: ConfigDict, settings: ConfigDict) -> None:
        """Reads the real images and takes their features.

        Args:
          data: a config's data section.
          settings: its evaluation section: extractor, weights, metrics, num_images,
            draws, split, statistics, batch_size and seed are read.

        Raises:
          ValueError: a setting out of range, or data or weights that cannot be read or
            do not fit each other.
        """
        _check_settings(settings)
        self._settings = settings
        self._extractor = features.create(settings.extractor, settings.weights)
        self.training = data_lib.create(data)
        self._mixture = data_lib.MIXTURES.get(data.name)
        split = settings.split or data_lib.held_out_split(data)
        real = data
        if split != data.split:
            real = data.copy_and_resolve_references()
            real.split = split
        dataset = data_lib.create(real)
        indices = _subset(len(dataset.images), settings.num_images, seed=0)
        images = np.asarray(dataset.images[indices])
        self._is_held_out = split != data.split
        self.real = compute.Images(
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
                "gan_jax": gan_jax.__version__,
                **{name: metadata.version(name) for name in PACKAGES},
            },
        }

    def score_run(self, run: runs.Run) -> Scores:
        """Scores of the generator with `run.variables`.

        Raises:
          ValueError: a metric that this run cannot have, see suite.select.
        """
        settings = self._settings

        def draw(seed: int) -> tuple[np.ndarray, np.ndarray | None]:
            drawn = runs.generate_batches(
                run,
                num=settings.num_images,
                seed=seed,
                batch_size=settings.batch_size,
                statistics=settings.statistics,
            )
            images, labels = (np.concatenate(x) for x in zip(*drawn, strict=True))
            return images, labels if run.is_conditional else None

        def discriminate(images: np.ndarray) -> np.ndarray:
            return probe.discriminator_features(
                run.discriminator, run.discriminator_variables, images
            )

        batch = settings.batch_size if settings.statistics == "batch" else None
        protocol = {"statistics": settings.statistics, "batch_size": batch}
        return self._score(draw, discriminate, protocol)

    def score_images(self, images: np.ndarray, labels: np.ndarray | None) -> Scores:
        """Scores of (N, H, W, C) images; each draw takes a random part of them.

        Raises:
          ValueError: images of another shape than the real ones, or too few.
        """
        wanted = self.real.images.shape[1:]
        dtype = self.real.images.dtype
        if images.dtype != dtype or images.shape[1:] != wanted:
            raise ValueError(
                f"the images to score are {images.shape} {images.dtype}, but the real "
                f"ones are {wanted} {dtype} each: give (N, H, W, C) {dtype} of that "
                "size, bytes in [0, 255]."
            )
        num = self._settings.num_images
        if labels is not None and (
            labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"
        ):
            raise ValueError(
                f"there are {len(images)} images to score, but labels {labels.shape} "
                f"{labels.dtype}: give an integer for each image, or no labels."
            )
        if len(images) < num:
            raise ValueError(
                f"there are {len(images)} images to score, but {num} were asked for: "
                "give more, or lower --num_images."
            )

        def draw(seed: int) -> tuple[np.ndarray, np.ndarray | None]:
            indices = _subset(len(images), num, seed=seed)
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
            fake = compute.Images(
                images, labels, *features.extract(self._extractor, images)
            )
            sets = compute.Sets(
                self.real,
                fake,
                self.training.images,
                self.training.labels,
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
            {**self.protocol, **protocol},
            time.perf_counter() - start,
        )

    def _measure(self, sets: compute.Sets) -> Iterator[tuple[str, compute.Result]]:
        available = {
            "few_features": sets.real.features.shape[1] <= suite.FRECHET_FEATURES,
            "held_out": self._is_held_out,
            "probabilities": sets.fake.probabilities is not None,
            "labels": sets.fake.labels is not None,
            "discriminator": sets.discriminate is not None,
            "images": sets.mixture is None,
            "mixture": sets.mixture is not None,
            "stacked": self._extractor.name == "stacked_mnist",
        }
        names = suite.select(
            self._settings.metrics.split(","),
            available=[name for name, there in available.items() if there],
            num=self._settings.num_images,
        )
        aliases = suite.INCEPTION_NAMES if self._extractor.name == "inception" else {}
        progress = tqdm.tqdm(names, delay=5, disable=None, leave=False)
        for name in progress:
            progress.set_description(name)
            metric = suite.METRICS[name]
            results = zip(metric.numbers, metric.compute(sets), strict=True)
            for number, result in results:
                yield aliases.get(number, number), result


def _join(results: list[compute.Result]) -> Estimate:
    """The mean over draws; of one draw the metric's own estimate."""
    estimates = [
        x if isinstance(x, Estimate) else Estimate(float(x), None) for x in results
    ]
    if len(estimates) == 1:
        return estimates[0]
    return estimate.mean_of([x.value for x in estimates])


def _subset(size: int, count: int, *, seed: int) -> np.ndarray:
    """At most `count` of `size` indices in random order, none twice."""
    return np.random.default_rng(seed).permutation(size)[:count]


def _check_settings(settings: ConfigDict) -> None:
    for name, least in {"num_images": 2, "draws": 1, "batch_size": 1}.items():
        if settings[name] < least:
            raise ValueError(
                f"{name} is {settings[name]}, but must be at least {least}: change "
                f"--{name} or --config.evaluation.{name}."
            )
    if settings.statistics not in ("running", "batch"):
        raise ValueError(
            f"statistics is {settings.statistics!r}, but must be running or batch: "
            "change --statistics or --config.evaluation.statistics."
        )


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
