"""Reads a trained run from its folder, in which nothing changes."""

from pathlib import Path
from typing import Any

from flax import serialization
import flax.linen as nn
import jax
from ml_collections import ConfigDict
import optax

from gan_jax import checks, data, memory, models
from gan_jax.run import checkpoints, config_file, trained
from gan_jax.step import recipes, sampling, states

RANGES = {  # allowed values of the fields in no section that drawing images needs
    "seed": checks.integer(0, checks.SEEDS),
    "batch_size": checks.integer(1, checks.MOST),
}
ADVICE = "mend {field} in the run's config.json, or restore the file from a copy"


def load(
    workdir: Path,
    step: int | None = None,
    *,
    folder: str = "checkpoints",
    allow_code: bool = False,
) -> trained.Run:
    """The run in `workdir` at `step`, or at its newest checkpoint.

    Args:
      workdir: folder of the run.
      step: step of the checkpoint; None takes the newest.
      folder: folder of checkpoints in the run's folder, "checkpoints" or "best".
      allow_code: whether a model of the user's own may be imported, which executes it.

    Raises:
      ValueError: `workdir` has no run or no such checkpoint, its config.json does not
        describe the networks of the checkpoint, or code is not allowed.
    """
    config = config_file.read(workdir)
    config_file.check_code(workdir, ["model.name"], allow_code=allow_code)
    with config_file.naming_version(workdir):
        _check(config)
        shape = (config.data.image_size, config.data.image_size, config.data.channels)
        memory.check_images(config.batch_size, shape, "batch_size in its config.json")
        generator, discriminator = models.build(config, axis_name=None, advice=ADVICE)
        like = _shapes(config, generator, discriminator)
        advice = "lower the widths in its config.json, if they are wrong"
        memory.check_arrays(like, "the networks", advice)
    with config_file.naming_version(workdir, checkpoints.MisfitError):
        saved = checkpoints.read(workdir / folder, step, like=like)
    variables, discriminator_variables = (
        {name: saved[network][name] for name in ("params", "batch_stats")}
        for network in ("generator", "discriminator")
    )
    return trained.Run(
        config,
        int(saved["generator"]["step"]) // config.recipe.generator_steps,
        generator,
        discriminator,
        variables,
        saved["averaged"],
        discriminator_variables,
    )


def _shapes(
    config: ConfigDict, generator: nn.Module, discriminator: nn.Module
) -> dict[str, Any]:
    """The shapes of the arrays that a Run reads from a checkpoint, by the config."""
    create = states.creator(
        config,
        generator,
        discriminator,
        generator_tx=optax.identity(),
        discriminator_tx=optax.identity(),
    )
    shapes = jax.eval_shape(create, jax.random.key(0))
    state: dict[str, Any] = serialization.to_state_dict(shapes)
    for network in ("generator", "discriminator"):
        del state[network]["opt_state"]
    return state


def _check(config: ConfigDict) -> None:
    """Refuses values of a run's config.json with which no image can be drawn."""
    shape = ("image_size", "channels", "num_classes")
    state = ("generator_steps", "packing", "ema_decay")
    for path, ranges in {
        "data": {name: data.RANGES[name] for name in shape},
        "model": sampling.RANGES,
        "recipe": {name: recipes.RANGES[name] for name in state},
    }.items():
        section = checks.section(config, path)
        checks.check_fields(section, ranges, path=path, advice=ADVICE)
    checks.check_fields(config, RANGES, advice=ADVICE)
    for name in ("generator", "discriminator"):
        network = checks.section(config.model, name)
        path = f"model.{name}"
        condition = {"condition": checks.TEXT}  # the model checks its values
        checks.check_fields(network, condition, path=path, advice=ADVICE)


def steps(workdir: Path, *, folder: str = "checkpoints") -> list[int]:
    """The steps of a run's good checkpoints, in order."""
    saved = checkpoints.steps(workdir / folder)
    return [step for step in saved if checkpoints.is_good(workdir / folder, step)]
