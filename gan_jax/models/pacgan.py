"""The DCGAN of PacGAN's experiment on stacked MNIST: 5x5 kernels and odd maps."""

from collections.abc import Callable
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, convolution, normalization

KERNEL_INIT = nn.initializers.normal(0.02)
# Draws beyond two standard deviations are drawn again.
TRUNCATED_INIT = nn.initializers.truncated_normal(0.02)
LEVELS = 4  # how often the image's side is halved
# Scales start at 1 here, and not at random numbers around it.
batch_norm: Callable[..., nn.BatchNorm] = functools.partial(
    normalization.batch_norm, scale_init=nn.initializers.ones_init()
)


def check_image_size(image_size: int) -> None:
    """Allows every size: an odd side is rounded up when it is halved."""


def sides(image_size: int, levels: int = LEVELS) -> list[int]:
    """The sides of the maps from the image to the smallest: 28, 14, 7, 4, 2."""
    found = [image_size]
    for _ in range(levels):
        found.append(-(-found[-1] // 2))
    return found


class Generator(nn.Module):
    """Latents to images by four transposed convolutions of 5x5 pixels.

    Code of Lin et al. 2018, PacGAN (arXiv 1712.04086), appendix of stacked MNIST:
    github.com/fjxmlzn/PacGAN, stacked_MNIST_experiments/VEEGAN_experiment/model.py. A
    dense layer makes the smallest map with 8 times `features` channels; each transposed
    convolution doubles the side, to an odd one where the image's side asks for it, and
    halves the width. BatchNorm and ReLU follow all but the last. All layers have
    biases.

    The code trains a tanh generator on data in [0, 1]. Its tanh t becomes 2 t - 1 here,
    where images span [-1, 1]: what the code would draw below its black, in [-1, 0), is
    in [-3, -1) here and is stored as black.

    Attributes:
      image_size: side of the images in pixels.
      channels: number of image channels.
      features: width of the last hidden map; widths double towards the latents.
      condition: "none"; the code has no labels.
      norm_momentum: share of BatchNorm's running statistics that a step keeps.
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters are float32.
    """

    image_size: int = 28
    channels: int = 3
    features: int = 64
    condition: Literal["none"] = "none"
    norm_momentum: float = 0.9
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-3, 1] from latents (B, Z); labels are not used."""
        norm = functools.partial(
            batch_norm,
            use_running_average=not train,
            momentum=self.norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        *larger, base = sides(self.image_size)
        width = self.features * 2 ** (LEVELS - 1)
        project = nn.Dense(
            base * base * width,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="project",
        )
        x = project(latents).reshape(-1, base, base, width)
        for level, side in enumerate(reversed(larger)):
            last = level == LEVELS - 1
            x = nn.relu(norm(name=f"norm{level}")(x))
            x = convolution.ConvTranspose(
                self.channels if last else width // 2 ** (level + 1),
                (5, 5),
                (2, 2),
                kernel_init=KERNEL_INIT,
                implementation=self.convolution,
                dtype=self.dtype,
                name=f"up{level}",
            )(x)
            # A map with an odd side is the gradient in the images of the convolution
            # that halves it: without the first row and column of the doubled map.
            x = x[:, -side:, -side:]
        return 2 * activations.OUTPUT["tanh"](x) - 1


class Discriminator(nn.Module):
    """Images to logits by four strided convolutions of 5x5 pixels.

    Code of Lin et al. 2018, as above: widths double, LeakyReLU 0.2 follows all
    convolutions and BatchNorm all but the first, and a dense layer gives the logit. The
    image is mapped from [-1, 1] to the code's [0, 1] before them.

    Attributes:
      features: width of the first map; widths double towards the logit.
      condition: "none"; the code has no labels.
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters and logits are float32.
    """

    features: int = 64
    condition: Literal["none"] = "none"
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C); labels are not used."""
        x = (images + 1) / 2
        for level in range(LEVELS):
            x = convolution.Conv(
                self.features * 2**level,
                (5, 5),
                (2, 2),
                kernel_init=TRUNCATED_INIT,
                implementation=self.convolution,
                dtype=self.dtype,
                name=f"down{level}",
            )(x)
            if level:
                x = batch_norm(
                    use_running_average=not train,
                    axis_name=self.axis_name,
                    dtype=self.dtype,
                    name=f"norm{level}",
                )(x)
            x = activations.HIDDEN["leaky_relu"](x)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(1, kernel_init=KERNEL_INIT, dtype=self.dtype, name="to_logit")(x)
        return x.reshape(x.shape[0]).astype(jnp.float32)
