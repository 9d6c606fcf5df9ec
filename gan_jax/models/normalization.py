"""Normalisation of activations and of kernels, as the DCGAN family uses it."""

from collections.abc import Callable
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def scale_init(
    key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> jax.Array:
    """BatchNorm scale from N(1, 0.02): mean one, as the reference codes draw it."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


# Keeps 0.9 of the running statistics a step: PyTorch's momentum 0.1.
batch_norm: Callable[..., nn.BatchNorm] = functools.partial(
    nn.BatchNorm, momentum=0.9, epsilon=1e-5, scale_init=scale_init
)

# Statistics of a whole image, scale and offset of a channel: Gulrajani et al. 2017
# (arXiv 1704.00028), section 4, put it where BatchNorm would tie images together.
layer_norm: Callable[..., nn.LayerNorm] = functools.partial(
    nn.LayerNorm, reduction_axes=(-3, -2, -1), feature_axes=-1, epsilon=1e-5
)


def spectral(layer: nn.Module, *, train: bool) -> Callable[..., jax.Array]:
    """The layer with each kernel divided by its largest singular value.

    Miyato et al. 2018 (arXiv 1802.05957), equation 8 and algorithm 1: the value is
    that of the kernel as a matrix (kh * kw * in, out), followed by one power
    iteration a training pass. The vectors live in `batch_stats`, so that they move
    only in the discriminator's own step.
    """
    wrapped = nn.SpectralNorm(layer, name=f"{layer.name}_spectral")
    return functools.partial(wrapped, update_stats=train)
