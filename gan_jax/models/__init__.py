"""Pairs of networks by name."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax.models import dcgan

MODELS: dict[str, Any] = {"dcgan": dcgan}
DTYPES = ("float32", "bfloat16")


def build(config: ConfigDict, *, axis_name: str | None) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator that a run's config describes.

    Args:
      config: the whole config; reads its sections data and model.
      axis_name: replicas over which BatchNorm averages, if config says so.

    Raises:
      ValueError: an unknown model or dtype, or an image size that the model cannot
        make.
    """
    model, data = config.model, config.data
    if model.name not in MODELS:
        raise ValueError(
            f"unknown model {model.name!r}; known are {', '.join(sorted(MODELS))}: set "
            "--config.model.name to one."
        )
    if model.dtype not in DTYPES:
        raise ValueError(
            f"unknown dtype {model.dtype!r}; allowed are {' and '.join(DTYPES)}: set "
            "--config.model.dtype to one."
        )
    family = MODELS[model.name]
    family.pyramid(data.image_size)
    shared = {
        "image_size": data.image_size,
        "convolution": model.convolution,
        "axis_name": axis_name if model.sync_batch_norm else None,
        "dtype": jnp.dtype(model.dtype),
    }
    generator = family.Generator(channels=data.channels, **shared, **model.generator)
    discriminator = family.Discriminator(**shared, **model.discriminator)
    return generator, discriminator
