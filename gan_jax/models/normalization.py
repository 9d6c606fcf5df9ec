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
    """Initial BatchNorm scale from N(1, 0.02), as the reference codes draw it."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


# A step keeps 0.9 of the running statistics, which is PyTorch's momentum 0.1.
batch_norm: Callable[..., nn.BatchNorm] = functools.partial(
    nn.BatchNorm, momentum=0.9, epsilon=1e-5, scale_init=scale_init
)

# Statistics are those of a whole image, scale and offset those of a channel. Gulrajani
# et al. 2017 (arXiv 1704.00028), section 4, use it instead of BatchNorm, with which
# the logit of an image would depend on other images.
layer_norm: Callable[..., nn.LayerNorm] = functools.partial(
    nn.LayerNorm, reduction_axes=(-3, -2, -1), feature_axes=-1, epsilon=1e-5
)


def spectral(layer: nn.Module, *, train: bool) -> Callable[..., jax.Array]:
    """The layer with each kernel divided by its largest singular value.

    Miyato et al. 2018 (arXiv 1802.05957), equation 8 and algorithm 1: the singular
    value is that of the kernel as a matrix (kh * kw * in, out), and each training pass
    follows it with a power iteration. The vectors live in `batch_stats`, so that only
    the discriminator's step changes them.
    """
    wrapped = nn.SpectralNorm(layer, name=f"{layer.name}_spectral")
    return functools.partial(wrapped, update_stats=train)
