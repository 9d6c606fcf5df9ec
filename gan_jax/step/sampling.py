"""Draws of latents and labels, and images generated from them: pure functions.

Every draw for an example uses `fold_in(key, index)` with the example's index in the
global batch, so the draws do not depend on the number of devices or hosts.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any

import flax.linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from gan_jax import checks


def fold_in_each(key: jax.Array, indices: jax.Array) -> jax.Array:
    """A key for each example: (B,) keys from a key and (B,) global batch indices."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)


LATENT_DISTRIBUTIONS: dict[str, Callable[..., jax.Array]] = {
    "normal": jax.random.normal,
    "uniform": functools.partial(jax.random.uniform, minval=-1.0, maxval=1.0),
}
RANGES = {  # allowed values in the section model, of the fields on latents
    "latent_size": checks.integer(1, checks.WIDEST),
    "latent_distribution": checks.one_of(LATENT_DISTRIBUTIONS),
}


def draw_latents(
    key: jax.Array,
    indices: jax.Array,
    *,
    latent_size: int,
    distribution: str = "normal",
) -> jax.Array:
    """Latents (B, Z) float32 for (B,) global batch indices.

    Args:
      key: PRNG key, the same on all replicas.
      indices: (B,) int32 batch indices.
      latent_size: Z, length of a latent vector.
      distribution: "normal", N(0, 1), or "uniform" in [-1, 1).
    """
    draw = LATENT_DISTRIBUTIONS[distribution]
    return jax.vmap(lambda one: draw(one, (latent_size,)))(fold_in_each(key, indices))


def draw_labels(key: jax.Array, indices: jax.Array, *, num_classes: int) -> jax.Array:
    """Labels (B,) int32, uniform in [0, num_classes), for (B,) batch indices."""
    keys = fold_in_each(key, indices)
    return jax.vmap(lambda k: jax.random.randint(k, (), 0, num_classes))(keys)


def generate_images(
    generator: nn.Module,
    variables: Mapping[str, Any],
    latents: jax.Array,
    labels: jax.Array,
    *,
    batch_statistics: bool = False,
) -> jax.Array:
    """Images (B, H, W, C) float32 in [-1, 1].

    Args:
      generator: generator's module.
      variables: generator's `params` and `batch_stats`.
      latents: (B, Z).
      labels: (B,) int32; an unconditional generator ignores them.
      batch_statistics: BatchNorm uses the statistics of this batch instead of the
        running statistics.
    """
    images, _ = generator.apply(
        variables, latents, labels, train=batch_statistics, mutable=["batch_stats"]
    )
    return jnp.asarray(images, jnp.float32)


@functools.partial(
    jax.jit,
    static_argnames=(
        *("generator", "batch_size", "latent_size", "distribution", "num_classes"),
    ),
)
def add_batch_stats(
    total: Any,
    numbers: jax.Array,
    *,
    generator: nn.Module,
    variables: Mapping[str, Any],
    key: jax.Array,
    batch_size: int,
    latent_size: int,
    distribution: str,
    num_classes: int,
) -> Any:
    """A total of BatchNorm's statistics at fixed parameters, plus those of batches.

    Divided by the number of batches it is their mean. Averaged parameters need such
    statistics instead of the running ones, which belong to the parameters of the last
    steps (Izmailov et al. 2018, arXiv 1803.05407, section 3.2).

    Args:
      total: statistics that are added up so far, zeros at first.
      numbers: (N,) int32, numbers of the batches, from which their latents follow.
      generator: generator's module, whose attribute norm_momentum is the share of the
        running statistics that a pass keeps.
      variables: generator's `params` and `batch_stats`, the latter only for their
        shapes.
      key: PRNG key of the latents and labels.
      batch_size: number of images in a batch, as in training.
      latent_size: Z, length of a latent vector.
      distribution: distribution of the latents, see `draw_latents`.
      num_classes: number of classes; labels are uniform in [0, num_classes).
    """
    memoryless = generator.clone(norm_momentum=0.0, axis_name=None)
    latent_key, label_key = jax.random.split(key)

    def add(total: Any, number: jax.Array) -> tuple[Any, None]:
        indices = number * batch_size + jnp.arange(batch_size)
        latents = draw_latents(
            latent_key, indices, latent_size=latent_size, distribution=distribution
        )
        labels = draw_labels(label_key, indices, num_classes=num_classes)
        _, updates = memoryless.apply(
            variables, latents, labels, train=True, mutable=["batch_stats"]
        )
        return jax.tree.map(jnp.add, total, updates["batch_stats"]), None

    return lax.scan(add, total, numbers)[0]


def to_float(images: jax.Array) -> jax.Array:
    """Images of any shape as float32 in [-1, 1], from uint8 in [0, 255].

    Floats, which are the points of data/toy.py, are returned unchanged.
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(jnp.float32)
    return images.astype(jnp.float32) / 127.5 - 1


def flip_randomly(key: jax.Array, indices: jax.Array, images: jax.Array) -> jax.Array:
    """Images (B, H, W, C), each mirrored left to right with probability 1/2."""
    keys = fold_in_each(key, indices)
    flips = jax.vmap(jax.random.bernoulli)(keys)[:, None, None, None]
    return jnp.where(flips, images[:, :, ::-1], images)


def draw_noise(key: jax.Array, indices: jax.Array, images: jax.Array) -> jax.Array:
    """N(0, 1) noise in the shape of the images (B, ...)."""
    keys = fold_in_each(key, indices)
    return jax.vmap(lambda one: jax.random.normal(one, images.shape[1:]))(keys)
