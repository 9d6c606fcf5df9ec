"""An own pair of networks: dense layers between latents, images and logits."""

from typing import Literal

import flax.linen as nn
import jax
import numpy as np

from gan_jax import models


class Generator(nn.Module):
    """Latents (B, Z) to images (B, H, W, C) in (-1, 1), with one hidden layer.

    Attributes:
      image_size: H = W, in pixels; the run gives it, as it does `channels`.
      channels: C.
      condition: "none", since labels are not used.
      width: width of the hidden layer.
    """

    image_size: int = 16
    channels: int = 1
    condition: Literal["none"] = "none"
    width: int = 64

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images of the latents."""
        del labels, train
        shape = (self.image_size, self.image_size, self.channels)
        x = nn.relu(nn.Dense(self.width, name="hidden")(latents))
        x = nn.Dense(int(np.prod(shape)), name="to_image")(x)
        return nn.tanh(x).reshape(-1, *shape)


class Discriminator(nn.Module):
    """Images (B, H, W, C) to logits (B,), with one hidden layer.

    Attributes:
      condition: "none", since labels are not used.
      width: width of the hidden layer.
    """

    condition: Literal["none"] = "none"
    width: int = 64

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits of the images."""
        del labels, train
        flat = images.reshape(len(images), -1)
        x = nn.leaky_relu(nn.Dense(self.width, name="hidden")(flat), 0.2)
        return nn.Dense(1, name="to_logit")(x).reshape(-1)


pair = models.Pair(Generator, Discriminator)
