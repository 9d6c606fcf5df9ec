"""The convolutional networks of InfoGAN, without its codes, as others compare GANs."""

from collections.abc import Callable
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, convolution, normalization

KERNEL_INIT = nn.initializers.normal(0.02)
SHRINKING = 4  # ratio of the image's side to that of the smallest map


def check_image_size(image_size: int) -> None:
    """Checks that two doublings make the size.

    Raises:
      ValueError: the size is not a multiple of 4.
    """
    if image_size < SHRINKING or image_size % SHRINKING:
        raise ValueError(
            f"infogan cannot make images of {image_size} pixels: it doubles a feature "
            f"map twice, so the size must be a multiple of {SHRINKING}; set "
            "--config.data.image_size to one."
        )


# The constants of TensorFlow's layers, which both codes keep.
_batch_norm = functools.partial(nn.BatchNorm, epsilon=1e-3)


class Generator(nn.Module):
    """Latents to images by dense layers and two transposed convolutions.

    Chen et al. 2016, InfoGAN (arXiv 1606.03657), table 1, as Lucic et al. 2018 (arXiv
    1711.10337) use it for all losses and data sets, with the constants of their code
    (google/compare_gan on GitHub): two dense layers, then two 4x4 transposed
    convolutions of stride 2. BatchNorm and LeakyReLU 0.2 follow all layers but the
    last. InfoGAN has ReLU in the generator and 0.1 in the discriminator. Layers keep
    their biases where BatchNorm follows, and the second BatchNorm has a scale for each
    pixel, as in that code.

    Attributes:
      image_size: side of the images in pixels; a multiple of 4.
      channels: number of image channels.
      features: width of the last hidden map; the map before it is twice as wide.
      condition: "none".
      hidden_dense: width of the first dense layer; 0: none.
      norm_momentum: share of BatchNorm's running statistics that a step keeps.
      output: "tanh" or "sigmoid", both scaled to [-1, 1].
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters are float32.
    """

    image_size: int = 28
    channels: int = 1
    features: int = 64
    condition: Literal["none"] = "none"
    hidden_dense: int = 1024
    norm_momentum: float = 0.999
    output: Literal["tanh", "sigmoid"] = "sigmoid"
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z); labels are not used."""
        del labels
        options = {"kernel_init": KERNEL_INIT, "dtype": self.dtype}
        norm = functools.partial(
            _batch_norm,
            use_running_average=not train,
            momentum=self.norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        activation = activations.HIDDEN["leaky_relu"]
        upsample = functools.partial(
            convolution.ConvTranspose,
            kernel_size=(4, 4),
            strides=(2, 2),
            implementation=self.convolution,
            **options,
        )
        base, width = self.image_size // SHRINKING, 2 * self.features
        x = latents
        if self.hidden_dense:
            x = nn.Dense(self.hidden_dense, name="hidden", **options)(x)
            x = activation(norm(name="hidden_norm")(x))
        x = nn.Dense(base * base * width, name="project", **options)(x)
        x = activation(norm(name="project_norm")(x))
        x = x.reshape(-1, base, base, width)
        x = upsample(self.features, name="up1")(x)
        x = activation(norm(name="up1_norm")(x))
        x = upsample(self.channels, name="to_image")(x)
        return activations.OUTPUT[self.output](x)


class Discriminator(nn.Module):
    """Images to logits by two strided convolutions and dense layers.

    Chen et al. 2016 and Lucic et al. 2018, as above: two 4x4 convolutions of stride 2
    and a dense layer, with LeakyReLU 0.2 after each and the norm after all but the
    first, then the logit. The code has images in [0, 1], so [-1, 1] is mapped to it.

    Attributes:
      features: width of the first map; the second is twice as wide.
      condition: "none".
      norm: "batch", "none", or "spectral" on every kernel.
      hidden_dense: width of the dense layer before the logit; 0: none.
      norm_momentum: share of BatchNorm's running statistics that a step keeps.
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters and logits are float32.
    """

    features: int = 64
    condition: Literal["none"] = "none"
    norm: Literal["batch", "none", "spectral"] = "batch"
    hidden_dense: int = 1024
    norm_momentum: float = 0.999
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C); labels are not used."""
        del labels
        options = {"kernel_init": KERNEL_INIT, "dtype": self.dtype}
        conv = functools.partial(
            convolution.Conv,
            kernel_size=(4, 4),
            strides=(2, 2),
            implementation=self.convolution,
            **options,
        )
        activation = activations.HIDDEN["leaky_relu"]
        x = self._wrap(conv(self.features, name="from_image"), train)((images + 1) / 2)
        x = activation(x)
        x = self._wrap(conv(2 * self.features, name="down1"), train)(x)
        x = activation(self._normalize(x, name="down1_norm", train=train))
        x = x.reshape(x.shape[0], -1)
        if self.hidden_dense:
            hidden = nn.Dense(self.hidden_dense, name="hidden", **options)
            x = self._wrap(hidden, train)(x)
            x = activation(self._normalize(x, name="hidden_norm", train=train))
        x = self._wrap(nn.Dense(1, name="to_logit", **options), train)(x)
        return x.reshape(x.shape[0]).astype(jnp.float32)

    def _wrap(self, layer: nn.Module, train: bool) -> Callable[..., jax.Array]:
        if self.norm == "spectral":
            return normalization.spectral(layer, train=train)
        return layer

    def _normalize(self, x: jax.Array, *, train: bool, name: str) -> jax.Array:
        if self.norm != "batch":
            return x
        return _batch_norm(
            use_running_average=not train,
            momentum=self.norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=name,
        )(x)
