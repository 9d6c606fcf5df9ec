"""Residual generator and discriminator of WGAN-GP, SNGAN and the projection GAN."""

from collections.abc import Callable, Mapping, Sequence
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, conditional, convolution, dcgan, normalization

# Xavier's uniform draw, with gain sqrt(2) inside blocks and gain 1 elsewhere.
BLOCK_INIT = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
PLAIN_INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def check_image_size(image_size: int) -> None:
    """Accepts every size, since the networks compare it with their blocks."""
    del image_size


def _check_blocks(image_size: int, halvings: int, blocks: int, what: str) -> None:
    """Raises ValueError unless so many blocks can change the size so often."""
    if not 1 <= halvings <= blocks:
        raise ValueError(
            f"resnet's {what} {halvings} times with {blocks} blocks, but must do so at "
            "least once and at most once in a block: change the network's features or "
            "halvings in config.model."
        )
    if image_size < 2**halvings or image_size % 2**halvings:
        raise ValueError(
            f"resnet's {what} {halvings} times, which cannot give images of "
            f"{image_size} pixels: set --config.data.image_size to a multiple of "
            f"2^{halvings} = {2**halvings}, or change the network's features or "
            "halvings in config.model."
        )


def interpolate(x: jax.Array) -> jax.Array:
    """Doubles images bilinearly: (B, 2H, 2W, C) from (B, H, W, C).

    Pixels are squares, as with PyTorch's align_corners=False: a new pixel is 3/4 of the
    old pixel that it lies in and 1/4 of the nearest neighbour, along both axes.
    """
    b, h, w, c = x.shape
    return jax.image.resize(x, (b, 2 * h, 2 * w, c), "bilinear")


UPSAMPLING: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "nearest": dcgan.double,
    "bilinear": interpolate,
}
POOLING: Mapping[str, Callable[..., jax.Array]] = {"sum": jnp.sum, "mean": jnp.mean}


class Generator(nn.Module):
    """Latents, and labels of a conditional GAN, to images by residual blocks.

    Gulrajani et al. 2017 (arXiv 1704.00028), appendix F, and Miyato et al. 2018 (arXiv
    1802.05957), tables 4 and 5: a dense layer makes a small map. Each block doubles its
    size: to the upsampled input, through a 1x1 convolution, it adds BatchNorm, ReLU,
    upsampling, a 3x3 convolution, and once more BatchNorm, ReLU and a 3x3 convolution.
    BatchNorm, ReLU, a 3x3 convolution and tanh follow. Here the 1x1 convolution comes
    before the upsampling, which gives the same numbers for a quarter of the work.

    The default is the network for CIFAR-10. Features (1024, 512, 256, 128, 64) are the
    one for 64 pixels of Miyato and Koyama 2018 (arXiv 1802.05637), appendix A, in the
    authors' code. Lee and Town 2020, Mimicry (arXiv 2005.02494), upsample bilinearly.

    Attributes:
      image_size: side of the images in pixels; a multiple of 2 to the number of blocks.
      channels: number of image channels.
      features: width of the dense layer's map, then of each block's.
      condition: "none", or "batch_norm", class-dependent scales and offsets in all
        blocks, though not after the last, as in the authors' code.
      num_classes: K, labels are in [0, K).
      norm_momentum: share of BatchNorm's running statistics that a step keeps.
      upsampling: "nearest" or "bilinear".
      output: "tanh", or "sigmoid", both scaled to [-1, 1].
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters are float32.

    Raises:
      ValueError: the blocks do not make images of this size.
    """

    image_size: int = 32
    channels: int = 1
    features: Sequence[int] = (256, 256, 256, 256)
    condition: Literal["none", "batch_norm"] = "none"
    num_classes: int = 10
    norm_momentum: float = 0.9
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    output: Literal["tanh", "sigmoid"] = "tanh"
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks that the blocks make images of this size."""
        blocks = len(self.features) - 1
        _check_blocks(self.image_size, blocks, blocks, "generator doubles a map")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z) and labels (B,) int32."""
        options = {
            "use_running_average": not train,
            "momentum": self.norm_momentum,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }
        norm = functools.partial(
            normalization.batch_norm, scale_init=nn.initializers.ones, **options
        )
        conv = functools.partial(
            convolution.Conv,
            kernel_size=(3, 3),
            kernel_init=BLOCK_INIT,
            implementation=self.convolution,
            dtype=self.dtype,
        )

        def normalize(x: jax.Array, name: str) -> jax.Array:
            if self.condition == "none":
                return norm(name=name)(x)
            layer = conditional.ConditionalBatchNorm(
                self.num_classes, name=name, **options
            )
            return layer(x, labels)

        base = self.image_size >> (len(self.features) - 1)
        width, *widths = self.features
        x = nn.Dense(
            base * base * width,
            kernel_init=PLAIN_INIT,
            dtype=self.dtype,
            name="project",
        )(latents)
        x = x.reshape(-1, base, base, width)
        for number, width in enumerate(widths, start=1):
            x = self._block(x, width, f"block{number}", conv, normalize)
        x = nn.relu(norm(name="to_image_norm")(x))
        x = conv(self.channels, kernel_init=PLAIN_INIT, name="to_image")(x)
        return activations.OUTPUT[self.output](x)

    def _block(
        self,
        x: jax.Array,
        width: int,
        name: str,
        conv: Callable[..., nn.Module],
        normalize: Callable[..., jax.Array],
    ) -> jax.Array:
        upsample = UPSAMPLING[self.upsampling]
        shortcut = conv(
            width, kernel_size=(1, 1), kernel_init=PLAIN_INIT, name=f"{name}_shortcut"
        )(x)
        x = upsample(nn.relu(normalize(x, f"{name}_norm1")))
        x = conv(width, name=f"{name}_conv1")(x)
        x = nn.relu(normalize(x, f"{name}_norm2"))
        return conv(width, name=f"{name}_conv2")(x) + upsample(shortcut)


class Discriminator(nn.Module):
    """Images, and labels of a conditional GAN, to logits by residual blocks.

    Miyato et al. 2018 (arXiv 1802.05957), tables 4 and 5: each block adds ReLU, a 3x3
    convolution, ReLU and a 3x3 convolution to its input, which passes a 1x1 convolution
    where size or width change. Blocks that halve the map end in average pooling of 2x2
    pixels. The first block has no ReLU before its first convolution. ReLU, pooling over
    all positions and a dense layer follow. Here the 1x1 convolution comes after the
    pooling, which gives the same numbers for a quarter of the work.

    The default is the network for CIFAR-10. Features (64, 128, 256, 512, 1024) with 5
    halvings are the one for 64 pixels in the code of Miyato and Koyama 2018 (arXiv
    1802.05637). Norm "none" and pooling "mean" are Gulrajani et al. 2017 (arXiv
    1704.00028), appendix F.

    Attributes:
      image_size: side of the images in pixels; a multiple of 2^halvings.
      features: width of each block's map.
      halvings: number of blocks, the first ones, that halve the map; at least 1.
      condition: "none", or "projection": the inner product of a class's vector with the
        pooled features is added to the logit (Miyato and Koyama 2018, equation 3).
      num_classes: K, labels are in [0, K).
      norm: "spectral" on every kernel and on the classes' vectors; "layer", before both
        ReLUs of all blocks but the first; or "none".
      pooling: "sum" or "mean" of the last map over its positions.
      unit_range: map images from [-1, 1] to [0, 1] first.
      convolution: name in convolution.IMPLEMENTATIONS.
      dtype: dtype of the computation; parameters and logits are float32.

    Raises:
      ValueError: the blocks do not halve images of this size so often, or there are
        fewer blocks than halvings.
    """

    image_size: int = 32
    features: Sequence[int] = (128, 128, 128, 128)
    halvings: int = 2
    condition: Literal["none", "projection"] = "none"
    num_classes: int = 10
    norm: Literal["spectral", "layer", "none"] = "spectral"
    pooling: Literal["sum", "mean"] = "sum"
    unit_range: bool = False
    convolution: str = "auto"
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks that the blocks halve images of this size."""
        blocks = len(self.features)
        _check_blocks(
            self.image_size, self.halvings, blocks, "discriminator halves a map"
        )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C) and labels (B,) int32."""

        def wrap(layer: nn.Module) -> Callable[..., jax.Array]:
            if self.norm == "spectral":
                return normalization.spectral(layer, train=train)
            return layer

        x = (images + 1) / 2 if self.unit_range else images
        for number, width in enumerate(self.features, start=1):
            x = self._block(x, width, number, wrap)
        x = POOLING[self.pooling](nn.relu(x), axis=(1, 2))  # (B, F)
        dense = nn.Dense(1, kernel_init=PLAIN_INIT, dtype=self.dtype, name="to_logit")
        logits = wrap(dense)(x).reshape(x.shape[0]).astype(jnp.float32)
        if self.condition == "projection":
            layer = conditional.Projection(
                self.num_classes, self.dtype, embedding_init=PLAIN_INIT, name="project"
            )
            logits += wrap(layer)(x, labels)
        return logits

    def _block(
        self,
        x: jax.Array,
        width: int,
        number: int,
        wrap: Callable[[nn.Module], Callable[..., jax.Array]],
    ) -> jax.Array:
        name, is_first, halves = f"block{number}", number == 1, number <= self.halvings

        def conv(features: int, kind: str, side: int = 3) -> Callable[..., jax.Array]:
            layer = convolution.Conv(
                features,
                (side, side),
                kernel_init=PLAIN_INIT if kind == "shortcut" else BLOCK_INIT,
                implementation=self.convolution,
                dtype=self.dtype,
                name=f"{name}_{kind}",
            )
            return wrap(layer)

        def pool(x: jax.Array) -> jax.Array:
            return dcgan.halve(x, jnp.mean) if halves else x

        def normalize(x: jax.Array, kind: str) -> jax.Array:
            if self.norm != "layer" or is_first:
                return x
            norm = normalization.layer_norm(dtype=self.dtype, name=f"{name}_{kind}")
            return norm(x)

        shortcut = pool(x)
        if halves or width != x.shape[-1]:
            shortcut = conv(width, "shortcut", side=1)(shortcut)
        hidden = width if is_first else x.shape[-1]
        x = x if is_first else nn.relu(normalize(x, "norm1"))
        x = conv(hidden, "conv1")(x)
        x = nn.relu(normalize(x, "norm2"))
        return pool(conv(width, "conv2")(x)) + shortcut
