"""A trained run, read from its folder, and images drawn from its generator."""

from collections.abc import Iterator
import functools
from pathlib import Path
from typing import Any, NamedTuple

from flax import serialization
import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax

from gan_jax import checks, memory, models
from gan_jax import data as data_lib
from gan_jax.run import checkpoints as checkpoints_lib
from gan_jax.run import files
from gan_jax.run import images as images_lib
from gan_jax.step import recipes, sampling, states

RANGES = {  # allowed values of the fields in no section that drawing images needs
    "seed": checks.integer(0, checks.SEEDS),
    "batch_size": checks.integer(1, checks.MOST),
}
ADVICE = "mend {field} in the run's config.json, or restore the file from a copy"
STATISTICS_STREAM = 1  # is folded into the run's key for averaged_variables' latents


class Run(NamedTuple):
    """A run at one step.

    Attributes:
      config: whole config.
      step: number of steps done.
      generator: generator's module.
      discriminator: discriminator's module.
      variables: generator's `params` and `batch_stats`.
      averaged: generator's averaged parameters; an empty dict if the run keeps none.
      discriminator_variables: discriminator's `params` and `batch_stats`.
    """

    config: ConfigDict
    step: int
    generator: nn.Module
    discriminator: nn.Module
    variables: Any
    averaged: Any
    discriminator_variables: Any

    @property
    def is_conditional(self) -> bool:
        """Whether the generator depends on labels."""
        return self.config.model.generator.condition != "none"

    def sample(
        self, num: int, *, seed: int = 0, label: int | None = None
    ) -> np.ndarray:
        """Images (num, H, W, C) uint8 drawn from the generator in `variables`.

        Image i depends on the parameters, the seed and i alone. Points are (num, 1, 1,
        2) float32.

        Args:
          num: images, at least 1.
          seed: of the latents, and of the labels where no label is given.
          label: the class of all images; None draws classes uniformly.

        Raises:
          ValueError: no images, no such label, or an unconditional run with a label.
        """
        if num < 1:
            raise ValueError(f"{num} images were asked for: ask for 1 or more.")
        batches = generate_batches(self, num=num, seed=seed, label=label)
        return np.concatenate([images for images, _ in batches])

    def with_averaged(self) -> "Run":
        """The same run with the averaged generator in `variables`.

        Raises:
          ValueError: the run keeps no average.
        """
        if not self.averaged:
            raise ValueError(
                "the averaged generator was asked for, but recipe.ema_decay is "
                f"{self.config.recipe.ema_decay} and the run keeps no average: ask for "
                "the raw one, or train with --config.recipe.ema_decay=0.999."
            )
        return self._replace(
            variables=averaged_variables(
                self.config, self.generator, self.variables, self.averaged
            )
        )


def averaged_variables(
    config: ConfigDict, generator: nn.Module, variables: Any, averaged: Any
) -> dict[str, Any]:
    """The averaged parameters, with BatchNorm statistics that fit them.

    The statistics are computed anew from 100 batches of the training batch size. Their
    latents follow from the run's seed, so every reader of the run gets the same
    statistics.

    Args:
      config: whole config of the run.
      generator: generator's module.
      variables: raw generator's `params` and `batch_stats`.
      averaged: averaged parameters.
    """
    variables = {**variables, "params": averaged}
    if not variables["batch_stats"]:
        return variables
    key = jax.random.fold_in(jax.random.key(config.seed), STATISTICS_STREAM)
    statistics = sampling.recompute_batch_stats(
        generator,
        variables,
        key,
        batch_size=config.batch_size,
        latent_size=config.model.latent_size,
        distribution=config.model.latent_distribution,
        num_classes=max(1, config.data.num_classes),
    )
    return {**variables, "batch_stats": statistics}


def load(workdir: Path, step: int | None = None, *, folder: str = "checkpoints") -> Run:
    """The run in `workdir` at `step`, or at its newest checkpoint.

    Args:
      workdir: folder of the run.
      step: step of the checkpoint; None takes the newest.
      folder: folder of checkpoints in the run's folder, "checkpoints" or "best".

    Raises:
      ValueError: `workdir` has no run or no such checkpoint, or its config.json does
        not describe the networks of the checkpoint.
    """
    config = files.read_config(workdir)
    with files.naming_version(workdir):
        _check(config)
        shape = (config.data.image_size, config.data.image_size, config.data.channels)
        memory.check_images(config.batch_size, shape, "batch_size in its config.json")
        generator, discriminator = models.build(config, axis_name=None, advice=ADVICE)
        like = _shapes(config, generator, discriminator)
        advice = "lower the widths in its config.json, if they are wrong"
        memory.check_arrays(like, "the networks", advice)
    with files.naming_version(workdir, checkpoints_lib.MisfitError):
        saved = checkpoints_lib.read(workdir / folder, step, like=like)
    variables, discriminator_variables = (
        {name: saved[network][name] for name in ("params", "batch_stats")}
        for network in ("generator", "discriminator")
    )
    return Run(
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
    data = config.data
    create = functools.partial(
        states.create,
        generator=generator,
        discriminator=discriminator,
        generator_tx=optax.identity(),
        discriminator_tx=optax.identity(),
        latent_size=config.model.latent_size,
        image_shape=(
            data.image_size,
            data.image_size,
            data.channels * config.recipe.packing,
        ),
        average=config.recipe.ema_decay > 0,
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
        "data": {name: data_lib.RANGES[name] for name in shape},
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
    saved = checkpoints_lib.steps(workdir / folder)
    return [step for step in saved if checkpoints_lib.is_good(workdir / folder, step)]


@functools.partial(
    jax.jit, static_argnames=("generator", "size", "distribution", "classes", "train")
)
def _generate(
    variables: Any,
    key: jax.Array,
    indices: jax.Array,
    label: jax.Array | None,
    *,
    generator: nn.Module,
    size: int,
    distribution: str,
    classes: int,
    train: bool,
) -> tuple[jax.Array, jax.Array]:
    latent_key, label_key = jax.random.split(key)
    latents = sampling.draw_latents(
        latent_key, indices, latent_size=size, distribution=distribution
    )
    if label is None:
        labels = sampling.draw_labels(label_key, indices, num_classes=classes)
    else:
        labels = jnp.full(indices.shape, label)
    images = sampling.generate_images(
        generator, variables, latents, labels, batch_statistics=train
    )
    return images, labels


def generate_batches(
    run: Run,
    *,
    num: int,
    seed: int,
    label: int | None = None,
    batch_size: int = 256,
    statistics: str = "running",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields batches of images (B, H, W, C) uint8 and labels (B,) int32.

    Points are (B, 1, 1, 2) float32. An unconditional generator ignores the labels. With
    running BatchNorm statistics, image i depends only on the parameters, the seed and
    i. With the statistics of its batch, it also depends on the batch size.

    Args:
      run: run whose `variables` are used.
      num: number of images in all batches together.
      seed: seed of latents and labels.
      label: label of all images; None draws labels uniformly.
      batch_size: number of images generated at once.
      statistics: statistics that the generator's BatchNorm uses, "running" or "batch".

    Raises:
      ValueError: there is no such label, or the generator draws values that are not
        finite.
    """
    _check_label(run, label)
    batch_size = batch_size if statistics == "batch" else min(batch_size, num)
    for first in range(0, num, batch_size):
        images, labels = _generate(
            run.variables,
            jax.random.key(seed),
            jnp.arange(first, first + batch_size),
            None if label is None else jnp.int32(label),
            generator=run.generator,
            size=run.config.model.latent_size,
            distribution=run.config.model.latent_distribution,
            classes=max(1, run.config.data.num_classes),
            train=statistics == "batch",
        )
        count = min(batch_size, num - first)
        drawn = np.asarray(images)[:count]
        if not np.isfinite(drawn).all():
            raise ValueError(
                f"the generator of step {run.step} draws values that are not finite, "
                "so there are no images: take an earlier --step."
            )
        yield images_lib.as_stored(drawn), np.asarray(labels)[:count]


def _check_label(run: Run, label: int | None) -> None:
    if label is None:
        return
    classes = run.config.data.num_classes
    if not run.is_conditional:
        raise ValueError(
            f"label is {label}, but the run is unconditional: leave --label out, or "
            "train a conditional GAN, such as configs/cgan.py."
        )
    if not 0 <= label < classes:
        raise ValueError(
            f"label is {label}, but the run has the classes 0 to {classes - 1}: give "
            "one of them as --label."
        )
