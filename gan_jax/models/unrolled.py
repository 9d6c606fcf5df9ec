"""The tiny DCGAN on which unrolled GANs are compared: 3x3 kernels, few channels."""

import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, convolution, pacgan

LEVELS = 3  # how often the image's side is halved
LEAK = 0.3  # slope of LeakyReLU below 0


def check_image_size(image_size: int) -> None:
    """Allows every size: an odd side is rounded up when it is halved."""


class Generator(nn.Module):
    """Latents to images by three transposed convolutions and a plain one, of 3x3.

    Metz et al. 2017, Unrolled Generative Adversarial Networks (arXiv 1611.02163),
    appendix on stacked MNIST, as Lin et al. 2018, PacGAN (arXiv 1712.04086), table 3,
    run it (github.com/fjxmlzn/PacGAN, folder unrolled_GAN_experiment). A dense layer
    makes the smallest map with 8 times `features` channels; each transposed convolution
    doubles the side, to an odd one where the image's side asks for it, and halves the
    width. BatchNorm and ReLU follow the dense layer and each of them; a convolution of
    stride 1 and tanh make the image. All layers have biases.

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
    features: int = 8
    condition: Literal["none"] = "none"
    norm_momentum: float = 0.9
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z); labels are not used."""
        del labels
        norm = functools.partial(
            pacgan.batch_norm,
            use_running_average=not train,
            momentum=self.norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        conv = {"implementation": self.convolution, "dtype": self.dtype}
        *larger, base = pacgan.sides(self.image_size, LEVELS)
        width = self.features * 2**LEVELS
        project = nn.Dense(
            base * base * width,
            kernel_init=pacgan.KERNEL_INIT,
            dtype=self.dtype,
            name="project",
        )
        x = project(latents).reshape(-1, base, base, width)
        x = nn.relu(norm(name="project_norm")(x))
        for level, side in enumerate(reversed(larger), start=1):
            x = convolution.ConvTranspose(
                width // 2**level,
                (3, 3),
                (2, 2),
                kernel_init=pacgan.KERNEL_INIT,
                name=f"up{level}",
                **conv,
            )(x)
            # A map with an odd side is the gradient in the images of the convolution
            # that halves it: without the first row and column of the doubled map.
            x = nn.relu(norm(name=f"up{level}_norm")(x[:, -side:, -side:]))
        x = convolution.Conv(
            self.channels,
            (3, 3),
            kernel_init=pacgan.TRUNCATED_INIT,
            name="to_image",
            **conv,
        )(x)
        return activations.OUTPUT["tanh"](x)


class Discriminator(nn.Module):
    """Images to logits by three strided convolutions of 3x3.

    Metz et al. 2017 and the code of Lin et al. 2018, as above: widths double, BatchNorm
    and LeakyReLU of slope 0.3 follow each convolution, also the first, and a dense
    layer gives the logit. With 2 `features` it is a quarter of the generator's width,
    with 4 half of it.

    Attributes:
      features: width of the first map; widths double towards the logit.
      condition: "none"; the code has no labels.
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters and logits are float32.
    """

    features: int = 2
    condition: Literal["none"] = "none"
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C); labels are not used."""
        del labels
        x = images
        for level in range(LEVELS):
            x = convolution.Conv(
                self.features * 2**level,
                (3, 3),
                (2, 2),
                kernel_init=pacgan.TRUNCATED_INIT,
                implementation=self.convolution,
                dtype=self.dtype,
                name=f"down{level}",
            )(x)
            x = pacgan.batch_norm(
                use_running_average=not train,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=f"down{level}_norm",
            )(x)
            x = nn.leaky_relu(x, negative_slope=LEAK)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(
            1, kernel_init=pacgan.KERNEL_INIT, dtype=self.dtype, name="to_logit"
        )(x)
        return x.reshape(x.shape[0]).astype(jnp.float32)
