"""Deep convolutional generator and discriminator (DCGAN)."""

from collections.abc import Callable
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import layers

KERNEL_INIT = nn.initializers.normal(0.02)


def norm_scale_init(
    key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> jax.Array:
    """BatchNorm scale from N(1, 0.02): mean one, as the reference codes draw it."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def pyramid(image_size: int) -> tuple[int, int]:
    """The side of the smallest feature map and how often it doubles to image_size.

    Halves the size while it is above 7 pixels: 28 -> (7, 2), 32 -> (4, 3),
    64 -> (4, 4).

    Raises:
      ValueError: a size that is not 4, 5, 6 or 7 times a power of two, at least 8.
    """
    base, doublings = image_size, 0
    while base > 7 and base % 2 == 0:
        base, doublings = base // 2, doublings + 1
    if not (4 <= base <= 7 and doublings > 0):
        raise ValueError(
            f"dcgan cannot make images of {image_size} pixels: it doubles a feature "
            "map of 4 to 7 pixels, so the size must be 4, 5, 6 or 7 times a power of "
            "two (28, 32, 40, 48, 56, 64, ...); set --config.data.image_size to one."
        )
    return base, doublings


class Generator(nn.Module):
    """Latents to images by transposed convolutions.

    Radford et al. 2015 (arXiv 1511.06434), section 3 and figure 1: project to a
    small map, then 4x4 stride-2 transposed convolutions that double the size and
    halve the width; BatchNorm and ReLU after all but the last, which ends in tanh.
    The paper's figure shows 5x5 kernels; the authors' code and most ports since use
    4x4 or 5x5. Here 4x4, which stride 2 covers evenly.

    Attributes:
      image_size: side of the images, pixels; 4 to 7 times a power of two.
      channels: image channels.
      features: width of the last hidden map; doubles towards the latents.
      convolution: "auto", "lax" or "matmul", see layers.py.
      axis_name: replicas over which BatchNorm averages its statistics.
      dtype: of the computation; parameters are float32.
    """

    image_size: int = 28
    channels: int = 1
    features: int = 64
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z); labels are ignored."""
        del labels
        base, doublings = pyramid(self.image_size)
        conv = functools.partial(
            layers.ConvTranspose,
            use_bias=False,
            kernel_init=KERNEL_INIT,
            implementation=self.convolution,
            dtype=self.dtype,
        )
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            scale_init=norm_scale_init,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        width = self.features * 2 ** (doublings - 1)
        x = latents[:, None, None, :]  # (B, 1, 1, Z)
        x = conv(width, (base, base), padding="VALID", name="project")(x)
        x = nn.relu(norm(name="project_norm")(x))
        for level in range(1, doublings):
            x = conv(width // 2**level, (4, 4), (2, 2), name=f"up{level}")(x)
            x = nn.relu(norm(name=f"up{level}_norm")(x))
        x = conv(self.channels, (4, 4), (2, 2), name="to_image")(x)
        return jnp.tanh(x)


class Discriminator(nn.Module):
    """Images to logits by strided convolutions.

    Radford et al. 2015 (arXiv 1511.06434), section 3: 4x4 stride-2 convolutions that
    halve the size and double the width, LeakyReLU 0.2, BatchNorm on all but the
    first, then one convolution over the whole last map.

    Attributes:
      image_size: side of the images, pixels; 4 to 7 times a power of two.
      features: width of the first map; doubles towards the logit.
      convolution: "auto", "lax" or "matmul", see layers.py.
      axis_name: replicas over which BatchNorm averages its statistics.
      dtype: of the computation; parameters and logits are float32.
    """

    image_size: int = 28
    features: int = 64
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C); labels are ignored."""
        del labels
        base, halvings = pyramid(self.image_size)
        conv: Callable[..., nn.Module] = functools.partial(
            layers.Conv,
            use_bias=False,
            kernel_init=KERNEL_INIT,
            implementation=self.convolution,
            dtype=self.dtype,
        )
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            scale_init=norm_scale_init,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        activation = functools.partial(nn.leaky_relu, negative_slope=0.2)
        x = conv(self.features, (4, 4), (2, 2), name="from_image")(images)
        x = activation(x)
        for level in range(1, halvings):
            x = conv(self.features * 2**level, (4, 4), (2, 2), name=f"down{level}")(x)
            x = activation(norm(name=f"down{level}_norm")(x))
        x = conv(1, (base, base), padding="VALID", name="to_logit")(x)
        return x.reshape(x.shape[0]).astype(jnp.float32)
