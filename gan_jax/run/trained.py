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
from numpy.typing import ArrayLike
import optax

from gan_jax import checks, memory, models
from gan_jax import data as data_lib
from gan_jax.run import checkpoints as checkpoints_lib
from gan_jax.run import files
from gan_jax.run import images as images_lib
from gan_jax.run import latents as latents_lib
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
        _check_label(self, label)
        latents = self.draw_latents(num, seed=seed)
        labels: np.ndarray | int | None = label
        if label is None and self.is_conditional:
            labels = self.draw_labels(num, seed=seed)
        return self.generate(latents, labels)

    def draw_latents(
        self, num: int, *, seed: int = 0, truncation: float | None = None
    ) -> np.ndarray:
        """Latents (num, Z) float32, from which `sample` makes its images.

        Latent i depends on the seed and i alone.

        Args:
          num: number of latents, at least 1.
          seed: seed of the latents.
          truncation: largest magnitude of a coordinate of normal latents, see
            latents.truncate; None leaves the latents as they are.

        Raises:
          ValueError: no latents, or a truncation of latents that are not normal.
        """
        distribution = self.config.model.latent_distribution
        if truncation is not None and distribution != "normal":
            raise ValueError(
                f"the truncation is {truncation}, but the run's latents are "
                f"{distribution}, and only normal latents can be truncated: leave the "
                "truncation out."
            )
        latents = np.asarray(_draw(self, jax.random.key(seed), _indices(num))[0])
        if truncation is None:
            return latents
        return latents_lib.truncate(latents, truncation)

    def draw_labels(self, num: int, *, seed: int = 0) -> np.ndarray:
        """Labels (num,) int32, uniform over the classes, as `sample` draws them.

        Raises:
          ValueError: no labels.
        """
        return np.asarray(_draw(self, jax.random.key(seed), _indices(num))[1])

    def generate(
        self,
        latents: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Images (N, H, W, C) uint8 of given latents, by the generator in `variables`.

        Image i depends on the parameters, latent i and label i alone. Points are (N, 1,
        1, 2) float32.

        Args:
          latents: (N, Z).
          labels: (N,) integers, or one integer for all images; None for an
            unconditional run.
          batch_size: number of images generated at once.

        Raises:
          ValueError: the latents or labels do not fit the run, or the generator draws
            values that are not finite.
        """
        latents = _checked_latents(self, latents)
        labels = _checked_labels(self, labels, len(latents))
        batch_size = min(batch_size, len(latents))
        batches = []
        for first in range(0, len(latents), batch_size):
            part = slice(first, first + batch_size)
            count = len(latents[part])
            filling = ((0, batch_size - count), (0, 0))  # one shape compiles once
            images = _generate(
                self.variables,
                jnp.asarray(np.pad(latents[part], filling)),
                jnp.asarray(np.pad(labels[part], filling[0])),
                generator=self.generator,
                train=False,
            )
            batches.append(_stored(self, np.asarray(images)[:count]))
        return np.concatenate(batches)

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


def load(
    workdir: Path,
    step: int | None = None,
    *,
    folder: str = "checkpoints",
    allow_code: bool = False,
) -> Run:
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
    config = files.read_config(workdir)
    files.check_code(workdir, ["model.name"], allow_code=allow_code)
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


def _indices(num: int) -> jax.Array:
    if num < 1:
        raise ValueError(f"{num} images were asked for: ask for 1 or more.")
    return jnp.arange(num)


def _draw(run: Run, key: jax.Array, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Latents (B, Z) float32 and labels (B,) int32 of the images of given indices."""
    model, data = run.config.model, run.config.data
    return _draw_pairs(
        key,
        indices,
        size=model.latent_size,
        distribution=model.latent_distribution,
        classes=max(1, data.num_classes),
    )


@functools.partial(jax.jit, static_argnames=("size", "distribution", "classes"))
def _draw_pairs(
    key: jax.Array,
    indices: jax.Array,
    *,
    size: int,
    distribution: str,
    classes: int,
) -> tuple[jax.Array, jax.Array]:
    latent_key, label_key = jax.random.split(key)
    latents = sampling.draw_latents(
        latent_key, indices, latent_size=size, distribution=distribution
    )
    return latents, sampling.draw_labels(label_key, indices, num_classes=classes)


@functools.partial(jax.jit, static_argnames=("generator", "train"))
def _generate(
    variables: Any,
    latents: jax.Array,
    labels: jax.Array,
    *,
    generator: nn.Module,
    train: bool,
) -> jax.Array:
    return sampling.generate_images(
        generator, variables, latents, labels, batch_statistics=train
    )


def _stored(run: Run, images: np.ndarray) -> np.ndarray:
    """Generated images as they are stored, if all their values are finite."""
    if not np.isfinite(images).all():
        raise ValueError(
            f"the generator of step {run.step} draws values that are not finite, "
            "so there are no images: take an earlier --step."
        )
    return images_lib.as_stored(images)


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
        indices = jnp.arange(first, first + batch_size)
        latents, labels = _draw(run, jax.random.key(seed), indices)
        if label is not None:
            labels = jnp.full(indices.shape, label)
        images = _generate(
            run.variables,
            latents,
            labels,
            generator=run.generator,
            train=statistics == "batch",
        )
        count = min(batch_size, num - first)
        yield _stored(run, np.asarray(images)[:count]), np.asarray(labels)[:count]


def _checked_latents(run: Run, latents: ArrayLike) -> np.ndarray:
    """The latents as float32, if the run's generator takes them."""
    size = run.config.model.latent_size
    latents = np.asarray(latents, np.float32)
    if latents.ndim != 2 or latents.shape[1] != size or not len(latents):
        raise ValueError(
            f"the latents have the shape {latents.shape}, but the run's generator "
            f"takes (N, {size}), one row for each image: change the latents."
        )
    if not np.isfinite(latents).all():
        raise ValueError(
            "the latents hold values that are not finite, but all must be: mend them."
        )
    return latents


def _checked_labels(run: Run, labels: ArrayLike | None, num: int) -> np.ndarray:
    """Labels (num,) int32, if the run's generator takes them with num latents."""
    if labels is None:
        if run.is_conditional:
            raise ValueError(
                "there are no labels, but the run is conditional: give one of the "
                f"classes 0 to {run.config.data.num_classes - 1}, or one for each "
                "latent."
            )
        return np.zeros(num, np.int32)
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape not in ((), (num,)):
        raise ValueError(
            f"the labels are {labels.dtype} of the shape {labels.shape}, but must be "
            f"one integer, or integers of the shape ({num},) for {num} latents: change "
            "the labels."
        )
    for label in (labels.min(), labels.max()):
        _check_label(run, int(label))
    return np.broadcast_to(labels, (num,)).astype(np.int32)


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
