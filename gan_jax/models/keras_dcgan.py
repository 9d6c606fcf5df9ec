"""The DCGAN of the Keras books: dense first layer, 5x5 kernels, sigmoid output."""

from collections.abc import Sequence
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, conditional, convolution

KERNEL_INIT = nn.initializers.glorot_uniform()  # Keras's default
SHRINKING = 4  # ratio of the image's side to that of the generator's first map


def check_image_size(image_size: int) -> None:
    """Checks that two doublings make the size.

    Raises:
      ValueError: the size is not a multiple of 4.
    """
    if image_size < SHRINKING or image_size % SHRINKING:
        raise ValueError(
            f"keras_dcgan cannot make images of {image_size} pixels: it doubles a "
            f"feature map twice, so the size must be a multiple of {SHRINKING}; set "
            "--config.data.image_size to one."
        )


class Generator(nn.Module):
    """Latents, and labels of a conditional GAN, to images by transposed convolutions.

    Atienza 2018, Advanced Deep Learning with Keras, chapter 4 (code dcgan-mnist,
    with labels cgan-mnist): a dense layer makes a map of a quarter of the size. Then
    BatchNorm, ReLU and a 5x5 transposed convolution follow for each width, the first
    two convolutions with stride 2. Initial values and BatchNorm's constants are Keras's
    defaults. The sigmoid's range [0, 1] is scaled to [-1, 1].

    Attributes:
      image_size: side of the images in pixels; a multiple of 4.
      channels: number of image channels.
      features: widths of the maps before the image, two or more; the dense layer's map
        has the first width too.
      condition: "none", or a code appended to the latents: "onehot" or "embedding".
      num_classes: K, labels are in [0, K).
      embedding_size: length of a label's learned vector.
      norm_momentum: share of BatchNorm's running statistics that a step keeps.
      output: "tanh" or "sigmoid", both scaled to [-1, 1].
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters are float32.
    """

    image_size: int = 28
    channels: int = 1
    features: Sequence[int] = (128, 64, 32)
    condition: Literal["none", "onehot", "embedding"] = "none"
    num_classes: int = 10
    embedding_size: int = 50
    norm_momentum: float = 0.99
    output: Literal["tanh", "sigmoid"] = "sigmoid"
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z) and labels (B,) int32."""
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=self.norm_momentum,
            epsilon=1e-3,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        x = latents
        if self.condition in conditional.CODES:
            code = self.condition, self.num_classes, self.embedding_size, self.dtype
            x = conditional.LabelVector(*code, name="label")(x, labels)
        base, width = self.image_size // SHRINKING, self.features[0]
        x = nn.Dense(
            base * base * width,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="project",
        )(x)
        x = x.reshape(-1, base, base, width)
        for level, features in enumerate((*self.features, self.channels)):
            x = nn.relu(norm(name=f"norm{level}")(x))
            x = convolution.ConvTranspose(
                features,
                (5, 5),
                (2, 2) if level < 2 else (1, 1),
                kernel_init=KERNEL_INIT,
                implementation=self.convolution,
                dtype=self.dtype,
                name=f"up{level}",
            )(x)
        return activations.OUTPUT[self.output](x)


class Discriminator(nn.Module):
    """Images, and labels of a conditional GAN, to logits by strided convolutions.

    Atienza 2018, as above: LeakyReLU 0.2 and a 5x5 convolution for each width, all but
    the last with stride 2, then a dense layer. There is no BatchNorm. A LeakyReLU comes
    first, so the image is mapped from [-1, 1] to the book's [0, 1] before it.

    Attributes:
      features: widths of the maps.
      condition: "none", or one more image channel made of a code: "onehot" or
        "embedding".
      num_classes: K, labels are in [0, K).
      embedding_size: length of a label's learned vector.
      convolution: name in convolution.IMPLEMENTATIONS.
      dtype: dtype of the computation; parameters and logits are float32.
    """

    features: Sequence[int] = (32, 64, 128, 256)
    condition: Literal["none", "onehot", "embedding"] = "none"
    num_classes: int = 10
    embedding_size: int = 50
    convolution: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C) and labels (B,) int32."""
        del train
        x = (images + 1) / 2
        if self.condition in conditional.CODES:
            code = self.condition, self.num_classes, self.embedding_size, self.dtype
            x = conditional.LabelChannel(*code, name="label")(x, labels)
        for level, width in enumerate(self.features):
            x = convolution.Conv(
                width,
                (5, 5),
                (1, 1) if level == len(self.features) - 1 else (2, 2),
                kernel_init=KERNEL_INIT,
                implementation=self.convolution,
                dtype=self.dtype,
                name=f"down{level}",
            )(nn.leaky_relu(x, negative_slope=0.2))
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(1, kernel_init=KERNEL_INIT, dtype=self.dtype, name="to_logit")(x)
        return x.reshape(x.shape[0]).astype(jnp.float32)
