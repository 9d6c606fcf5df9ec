"""Reads a trained run from its folder, in which nothing changes, or from a file."""

import json
from pathlib import Path
from typing import Any

from flax import serialization, traverse_util
import flax.linen as nn
import jax
from ml_collections import ConfigDict
import numpy as np
import optax

from gan_jax import checks, data, memory, models, npz
from gan_jax.run import checkpoints, config_file, trained
from gan_jax.step import recipes, sampling, states

RANGES = {  # allowed values of the fields in no section that drawing images needs
    "seed": checks.integer(0, checks.SEEDS),
    "batch_size": checks.integer(1, checks.MOST),
    "matmul_precision": checks.one_of(("default", "tensorfloat32", "highest")),
}
ADVICE = "mend {field} in the run's config.json, or restore the file from a copy"
_LARGEST_FACTS = 2**22  # bytes, four for each letter: a config has three thousand
FACTS = "facts"  # name of the array of a generator's file that has the config, as JSON
SHIPPED = checks.one_of(models.MODELS)
_FROM_FILE = "restore the file from a copy, or export the run again"


def load(
    workdir: Path,
    step: int | None = None,
    *,
    folder: str = "checkpoints",
    allow_code: bool = False,
) -> trained.Run:
    """The run in `workdir` at `step`, or at its newest checkpoint.

    Args:
      workdir: folder of the run, or an .npz file that gan_jax.export wrote, which holds
        one generator.
      step: step of the checkpoint; None takes the newest.
      folder: folder of checkpoints in the run's folder, "checkpoints" or "best".
      allow_code: whether a model of the user's own may be imported, which executes it.

    Raises:
      ValueError: `workdir` has no run or no such checkpoint, its config.json does not
        describe the networks of the checkpoint, or code is not allowed.
    """
    if workdir.suffix == ".npz" and workdir.is_file():
        return _load_file(workdir, step, folder)
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


def _load_file(path: Path, step: int | None, folder: str) -> trained.Run:
    """The generator of an .npz file, as a run without a discriminator or an average."""
    arrays, facts = _read_arrays(path)
    config = config_file.with_added(facts["config"])
    if step not in (None, facts["step"]):
        raise ValueError(
            f"{path} holds the generator of step {facts['step']} alone, but step "
            f"{step} was asked for: leave the step out."
        )
    if folder == "best":
        raise ValueError(
            f"{path} holds the generator of step {facts['step']} alone, but the best "
            "checkpoint was asked for: leave --best out."
        )
    try:
        _check(config, advice=_FROM_FILE)
        checks.check("model.name", config.model.name, SHIPPED, advice=_FROM_FILE)
        nets = models.build(config, axis_name=None, advice=_FROM_FILE)
    except ValueError as error:
        raise ValueError(f"{path} does not describe a generator: {error}") from None
    generator, discriminator = nets
    shapes = _shapes(config, generator, discriminator)["generator"]
    expected = traverse_util.flatten_dict(
        {name: shapes[name] for name in ("params", "batch_stats")}, sep="/"
    )
    wanted = {name: array.shape for name, array in expected.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if found != wanted:
        name = min(dict(found.items() ^ wanted.items()))
        raise ValueError(
            f"{path} does not hold the generator of its config: {name} is "
            f"{found.get(name, 'absent')} instead of {wanted.get(name, 'absent')}; "
            f"{_FROM_FILE}."
        )
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    variables = {"params": {}, "batch_stats": {}} | variables
    kind = facts.get("generator", "raw")  # older files do not tell
    step = facts["step"]
    return trained.Run(config, step, generator, discriminator, variables, {}, {}, kind)


def _read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a generator's file as float32, and its facts.

    The file may come from a stranger: entries are not packed, so that none is larger
    than the file, and nothing in it is executed.
    """
    try:
        claims = npz.headers(path, packed=False)
        facts = json.loads(npz.read_text(path, FACTS, claims, _LARGEST_FACTS))
        if type(facts["step"]) is not int or config_file.damage(facts["config"]):
            raise ValueError("its config is damaged")
        if facts.get("generator", "raw") not in ("raw", "averaged"):
            raise ValueError("its kind of generator is not known")
        del claims[FACTS]
        if any(claim.dtype.kind != "f" for claim in claims.values()):
            raise ValueError("its arrays are no floating point numbers")
        arrays = {name: npz.read(path, name).astype(np.float32) for name in claims}
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a generator ({error}): give the folder of a "
            "run, or a file that gan_jax.export has written as .npz."
        ) from None
    return arrays, facts


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


def _check(config: ConfigDict, *, advice: str = ADVICE) -> None:
    """Refuses values of a run's config with which no image can be drawn."""
    shape = ("image_size", "channels", "num_classes")
    state = ("generator_steps", "packing", "ema_decay", "lecam_weight")
    for path, ranges in {
        "data": {name: data.RANGES[name] for name in shape},
        "model": sampling.RANGES,
        "recipe": {name: recipes.RANGES[name] for name in state},
    }.items():
        section = checks.section(config, path)
        checks.check_fields(section, ranges, path=path, advice=advice)
    checks.check_fields(config, RANGES, advice=advice)
    for name in ("generator", "discriminator"):
        network = checks.section(config.model, name)
        path = f"model.{name}"
        condition = {"condition": checks.TEXT}  # the model checks its values
        checks.check_fields(network, condition, path=path, advice=advice)


def steps(workdir: Path, *, folder: str = "checkpoints") -> list[int]:
    """The steps of a run's good checkpoints, in order."""
    saved = checkpoints.steps(workdir / folder)
    return [step for step in saved if checkpoints.is_good(workdir / folder, step)]
