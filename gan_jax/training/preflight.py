"""Checks of a run's config, which are made before anything is prepared."""

from ml_collections import ConfigDict

from gan_jax import checks, data, models
from gan_jax.evaluation import scores
from gan_jax.run import reader
from gan_jax.step import optimizers, recipes, sampling
from gan_jax.training import events, writer

RANGES = {  # allowed values of the fields that are in no section
    **reader.RANGES,
    "num_train_steps": checks.integer(1, checks.MOST),
    "steps_per_call": checks.integer(1, checks.MOST),
    **dict.fromkeys(writer.INTERVALS, checks.integer(0, checks.MOST)),
    "checkpoints_to_keep": checks.integer(1, checks.MOST),
    "sample_rows": checks.integer(1, 10_000),
    "sample_columns": checks.integer(1, 10_000),
    "tensorboard": checks.FLAG,
    "tracker": events.TRACKER,
    "compilation_cache_dir": checks.TEXT,
}
SECTIONS = {
    "": RANGES,
    "data": data.RANGES,
    "model": {**models.RANGES, **sampling.RANGES},
    "recipe": recipes.RANGES,
    "optimizer": optimizers.RANGES,
    "evaluation": scores.RANGES,
}


def check_values(config: ConfigDict) -> None:
    """Refuses values out of range and values that exclude each other; opens no file.

    Raises:
      ValueError: a value is refused; the message is about the first such value.
    """
    for path, ranges in SECTIONS.items():
        section = checks.section(config, path) if path else config
        checks.check_fields(section, ranges, path=path)
    recipes.create(config, axis_name=None)
    models.build(config, axis_name=None)
    for network in ("generator", "discriminator"):
        optimizers.create(config, network)


def check(config: ConfigDict) -> None:
    """Checks the values, the files that the config names, metrics and tracker.

    Raises:
      ValueError: a value is refused, a file is missing, a metric cannot be computed, or
        there is no such tracker; the message is about the first such mistake.
    """
    check_values(config)
    data.check(config.data)
    scores.check(config)
    if config.tracker:
        events.load(config.tracker)
