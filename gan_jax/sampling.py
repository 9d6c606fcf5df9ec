"""Draws of latents and labels, and images generated from them: pure functions.

Every draw of an example uses `fold_in(key, index)` with the example's index in the
global batch, so the numbers do not depend on the number of devices or hosts.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import checks


def fold_in_each(key: jax.Array, indices: jax.Array) -> jax.Array:
    """One key an example: (B,) keys from a key and (B,) global example indices."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)


LATENT_DISTRIBUTIONS: dict[str, Callable[..., jax.Array]] = {
    "normal": jax.random.normal,
    "uniform": functools.partial(jax.random.uniform, minval=-1.0, maxval=1.0),
}
RANGES = {  # of the fields of a config's section model that say what is drawn
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
    """Latents (B, Z) float32 for (B,) global example indices.

    Args:
      key: PRNG key, the same on all replicas.
      indices: (B,) int32.
      latent_size: Z.
      distribution: "normal", N(0, 1), or "uniform" in [-1, 1).
    """
    draw = LATENT_DISTRIBUTIONS[distribution]
    return jax.vmap(lambda one: draw(one, (latent_size,)))(fold_in_each(key, indices))


def draw_labels(key: jax.Array, indices: jax.Array, *, num_classes: int) -> jax.Array:
    """Labels (B,) int32, uniform in [0, num_classes), for (B,) example indices."""
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
      generator: the module.
      variables: its `params` and `batch_stats`.
      latents: (B, Z).
      labels: (B,) int32; an unconditional generator ignores them.
      batch_statistics: BatchNorm uses this batch's statistics, not the running ones.
    """
    images, _ = generator.apply(
        variables, latents, labels, train=batch_statistics, mutable=["batch_stats"]
    )
    return jnp.asarray(images, jnp.float32)


def to_float(images: jax.Array) -> jax.Array:
    """Images as float32 in [-1, 1] from uint8 in [0, 255], any shape.

    Floats, the points of data/toy.py, stay as they are.
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
    """N(0, 1) noise of the images' shape (B, ...)."""
    keys = fold_in_each(key, indices)
    return jax.vmap(lambda one: jax.random.normal(one, images.shape[1:]))(keys)
