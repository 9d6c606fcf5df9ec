"""Rows that need no training: the scores of chance and of real data.

They follow the protocol of the other rows of the part, so that a reader can compare a
number of the table with chance and with real data.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict
import numpy as np

from experiments.engine import spec, trials
from gan_jax import data as data_lib
from gan_jax import models
from gan_jax.evaluation import scores, suite
from gan_jax.run import trained
from gan_jax.training import programs

SEEDS = range(30)  # seeds for points; images take longer and use the part's seeds


def region(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two opposite corners of the square in which points are drawn uniformly.

    The square holds all means, with a margin of half the distance between neighbours.
    Its side is 10 for the grid and 2.77 for the ring.
    """
    distances = np.linalg.norm(means[:, None] - means[None], axis=2)
    margin = distances[distances > 0].min() / 2
    return means.min(axis=0) - margin, means.max(axis=0) + margin


def results(part_name: str, part: spec.Part) -> Iterator[spec.Result]:
    """Yields a result for each reference row of the part and each seed.

    Raises:
      ValueError: the training set is too small for a row REAL.
    """
    if not part.references:
        return
    row = next(iter(part.rows))
    choice = next(iter(part.search.choices)) if part.search else ""
    seed = part.seeds[0]
    config = trials.make_config(part, spec.Trial(part_name, row, choice, seed))
    scorer = scores.Scorer(config.data, _without_discriminator(config.evaluation))
    is_mixture = config.data.name in data_lib.MIXTURES
    for reference in part.references:
        for seed in SEEDS if is_mixture else part.seeds:
            numbers = _numbers(reference, scorer, config, seed)
            trial = spec.Trial(part_name, reference, "", seed)
            yield spec.Result(trial, "finished", numbers=numbers)


def _without_discriminator(settings: ConfigDict) -> ConfigDict:
    """The evaluation section without the metrics that need a discriminator.

    The names of groups stay, since they stand for the metrics that can be computed.
    """
    names = settings.metrics.split(",")
    alone = [
        name
        for name in names
        if name in suite.GROUPS or "discriminator" not in suite.get(name).needs
    ]
    settings = settings.copy_and_resolve_references()
    settings.metrics = ",".join(alone)
    return settings


def _numbers(
    reference: str, scorer: scores.Scorer, config: ConfigDict, seed: int
) -> dict[str, float]:
    """The numbers of a reference row and seed."""
    if reference == spec.UNTRAINED:
        found = scorer.score_run(_untrained(config, seed))
    else:
        draw = _real if reference == spec.REAL else _uniform
        found = scorer.score_images(*draw(scorer, config, np.random.default_rng(seed)))
    return {name: one.value for name, one in found.numbers.items()}


def _real(
    scorer: scores.Scorer, config: ConfigDict, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Training data in the place of generated data, for all draws."""
    images, labels, _ = scorer.training
    count, free = _count(config), scorer.free
    if count > len(free):
        raise ValueError(
            f"the evaluation draws {count} images for the reference row {spec.REAL!r}, "
            f"but the training set has only {len(free)} that are not among the real "
            "images: lower evaluation.num_images in experiment.py, or leave the row "
            "out of Part.references."
        )
    chosen = rng.choice(free, count, replace=False)
    return np.asarray(images[chosen]), labels[chosen]


def _count(config: ConfigDict) -> int:
    """The number of images of all draws."""
    return int(config.evaluation.num_images * config.evaluation.draws)


def _uniform(
    scorer: scores.Scorer, config: ConfigDict, rng: np.random.Generator
) -> tuple[np.ndarray, None]:
    """Points drawn uniformly from the region of a mixture."""
    low, high = region(data_lib.MIXTURES[config.data.name].means)
    points = rng.uniform(low, high, (_count(config), 2))
    return points.astype(np.float32)[:, None, None], None


def _untrained(config: ConfigDict, seed: int) -> trained.Run:
    """The run of a seed before its first step."""
    config = config.copy_and_resolve_references()
    config.seed = seed
    modules = models.build(config, axis_name=None)
    key, *_ = programs.split_seed(config)
    state = programs.create_state(config, *modules, key)
    return trained.Run(
        config=config,
        step=0,
        generator=modules[0],
        discriminator=modules[1],
        variables=state.generator.variables,
        averaged=state.averaged,
        discriminator_variables=state.discriminator.variables,
    )
