"""A trained run, and the images that its generator draws."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
from numpy.typing import ArrayLike
import tqdm

from gan_jax.run import images as images_lib
from gan_jax.run import latents as latents_lib
from gan_jax.step import sampling

STATISTICS_STREAM = 1  # is folded into the run's key for the statistics' latents
PART = 4  # batches of statistics between two updates of the progress bar


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
      kind: generator in `variables`, "raw" or "averaged".
    """

    config: ConfigDict
    step: int
    generator: nn.Module
    discriminator: nn.Module
    variables: Any
    averaged: Any
    discriminator_variables: Any
    kind: str = "raw"

    @property
    def is_conditional(self) -> bool:
        """Whether the generator depends on labels."""
        return self.config.model.generator.condition != "none"

    @property
    def is_smooth(self) -> bool:
        """Whether near latents give near images.

        They do not where the latents' bits decide what a dropout drops.
        """
        return not getattr(self.generator, "test_dropout", False)

    @property
    def draws_points(self) -> bool:
        """Whether the generator draws points of the plane instead of images."""
        data = self.config.data
        return bool((data.image_size, data.channels) == (1, 2))

    def class_of(self, label: int | str) -> int:
        """The class that a label names.

        A label is the number of a class, also as a string. In a run whose two classes
        are an attribute, such as Smiling, "Smiling" is class 1 and "not Smiling" is 0.

        Raises:
          ValueError: a string that names no class.
        """
        if not isinstance(label, str):
            return label
        attribute = self.config.data.label
        names = [f"not {attribute}", attribute]
        has_names = bool(attribute) and self.config.data.num_classes == 2
        if has_names and label in names:
            return names.index(label)
        try:
            return int(label)
        except ValueError:
            known = (
                " or ".join(map(repr, names)) if has_names else "no names of classes"
            )
            raise ValueError(
                f"label is {label!r}, but the run has {known}: give --label the number "
                "of a class" + (" or one of these names." if has_names else ".")
            ) from None

    def sample(
        self, num: int, *, seed: int = 0, label: int | str | None = None
    ) -> np.ndarray:
        """Images (num, H, W, C) uint8 drawn from the generator in `variables`.

        Image i depends on the parameters, the seed and i alone. Points are (num, 1, 1,
        2) float32.

        Args:
          num: number of images, at least 1.
          seed: seed of the latents, and of the labels where no label is given.
          label: class of all images, see class_of; None draws classes uniformly.

        Raises:
          ValueError: there are no images, there is no such label, the run is
            unconditional and has a label, or the generator draws values that are not
            finite.
        """
        chosen = None if label is None else self.class_of(label)
        return self.draw(num, seed=seed, label=chosen)[0]

    def draw(
        self,
        num: int,
        *,
        seed: int = 0,
        label: int | None = None,
        batch_size: int = 256,
        statistics: str = "running",
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The images of `sample` with their labels (num,) int32.

        The labels are None for an unconditional run. With the BatchNorm statistics of
        its batch, an image also depends on the batch size.

        Args:
          num: number of images, at least 1.
          seed: seed of latents and labels.
          label: label of all images; None draws labels uniformly.
          batch_size: number of images generated at once.
          statistics: statistics that the generator's BatchNorm uses, "running" or
            "batch".

        Raises:
          ValueError: there are no images, there is no such label, the run is
            unconditional and has a label, or the generator draws values that are not
            finite.
        """
        _check_label(self, label)
        drawn = num
        if statistics == "batch":  # batches that make their statistics must be whole
            drawn = -(-num // batch_size) * batch_size
        latents = self.draw_latents(drawn, seed=seed)
        labels = np.full(drawn, label, np.int32) if label is not None else None
        if label is None and self.is_conditional:
            labels = self.draw_labels(drawn, seed=seed)
        given = np.zeros(drawn, np.int32) if labels is None else labels
        images = _in_batches(
            self, latents, given, batch_size, batch_statistics=statistics == "batch"
        )
        return images[:num], None if labels is None else labels[:num]

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
        return _in_batches(self, latents, labels, batch_size)

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
            ),
            kind="averaged",
        )


def averaged_variables(
    config: ConfigDict,
    generator: nn.Module,
    variables: Any,
    averaged: Any,
    *,
    waits: bool = True,
) -> dict[str, Any]:
    """The averaged parameters, with BatchNorm statistics that fit them.

    The statistics are computed anew, see recompute_batch_stats.

    Args:
      config: whole config of the run.
      generator: generator's module.
      variables: raw generator's `params` and `batch_stats`.
      averaged: averaged parameters.
      waits: as in recompute_batch_stats.
    """
    variables = {**variables, "params": averaged}
    if not variables["batch_stats"]:
        return variables
    statistics = recompute_batch_stats(config, generator, variables, waits=waits)
    return {**variables, "batch_stats": statistics}


def recompute_batch_stats(
    config: ConfigDict,
    generator: nn.Module,
    variables: Any,
    *,
    batches: int = 100,
    waits: bool = True,
) -> Any:
    """The means of BatchNorm's statistics over generated batches of the training size.

    The latents follow from the run's seed, so every reader of the run gets the same
    statistics.

    Args:
      config: whole config of the run.
      generator: generator's module.
      variables: generator's `params` and `batch_stats`, the latter only for their
        shapes.
      batches: number of generated batches.
      waits: show progress, for which the device is waited for; otherwise its work is
        only started.
    """
    total = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
    for first in tqdm.trange(
        0,
        batches,
        PART,
        desc="statistics of the averaged generator",
        unit_scale=PART,
        unit=" batches",
        delay=5,
        disable=None if waits else True,  # None: where there is no terminal
        leave=False,
    ):
        with jax.default_matmul_precision(config.matmul_precision):
            total = sampling.add_batch_stats(
                total,
                jnp.arange(first, min(first + PART, batches)),
                generator=generator,
                variables=variables,
                key=jax.random.fold_in(jax.random.key(config.seed), STATISTICS_STREAM),
                batch_size=config.batch_size,
                latent_size=config.model.latent_size,
                distribution=config.model.latent_distribution,
                num_classes=max(1, config.data.num_classes),
            )
        if waits:
            jax.block_until_ready(total)  # otherwise the bar would be full at once
    return jax.tree.map(lambda leaf: leaf / batches, total)


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


def _in_batches(
    run: Run,
    latents: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    batch_statistics: bool = False,
) -> np.ndarray:
    """Images (N, H, W, C) as they are stored, if all their values are finite."""
    batch_size = min(batch_size, len(latents))
    batches = []
    for first in tqdm.trange(
        0,
        len(latents),
        batch_size,
        desc="drawing",
        unit_scale=batch_size,
        unit=" images",
        delay=5,
        disable=None,
        leave=False,
    ):
        part = slice(first, first + batch_size)
        count = len(latents[part])
        filling = ((0, batch_size - count), (0, 0))  # a single shape compiles once
        with jax.default_matmul_precision(run.config.matmul_precision):
            images = _generate(
                run.generator,
                run.variables,
                jnp.asarray(np.pad(latents[part], filling)),
                jnp.asarray(np.pad(labels[part], filling[0])),
                batch_statistics=batch_statistics,
            )
        batches.append(np.asarray(images)[:count])
        if not np.isfinite(batches[-1]).all():
            raise ValueError(
                f"the generator of step {run.step} draws values that are not finite, "
                "so there are no images: take an earlier --step."
            )
        batches[-1] = images_lib.as_stored(batches[-1])
    return np.concatenate(batches)


_generate = jax.jit(
    sampling.generate_images, static_argnames=("generator", "batch_statistics")
)


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
