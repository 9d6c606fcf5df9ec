"""Deep convolutional generator and discriminator (DCGAN), and their variants."""

from collections.abc import Callable
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, conditional, convolution, normalization

KERNEL_INIT = nn.initializers.normal(0.02)


def pyramid(image_size: int) -> tuple[int, int]:
    """The side of the smallest feature map and how often it doubles to image_size.

    Halves the size while it is above 7 pixels: 28 -> (7, 2), 32 -> (4, 3),
    64 -> (4, 4).

    Raises:
      ValueError: the size is below 8, or not 4, 5, 6 or 7 times a power of two.
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


def check_image_size(image_size: int) -> None:
    """Raises ValueError for a size that `pyramid` refuses."""
    pyramid(image_size)


def double(x: jax.Array) -> jax.Array:
    """Repeats each pixel as 2x2 pixels: (B, 2H, 2W, C) from (B, H, W, C)."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def halve(x: jax.Array, reduce: Callable[..., jax.Array]) -> jax.Array:
    """Reduces windows of 2x2 pixels to a pixel: (B, H/2, W/2, C) from (B, H, W, C).

    It reshapes the images, since the gradient of `nn.max_pool` is slow on a CPU.
    """
    b, h, w, c = x.shape
    return reduce(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


POOLING: dict[str, Callable[..., jax.Array]] = {
    "max_pool": jnp.max,
    "average_pool": jnp.mean,
}


class Generator(nn.Module):
    """Latents, and labels of a conditional GAN, to images by transposed convolutions.

    Radford et al. 2015 (arXiv 1511.06434), section 3 and figure 1: latents are
    projected to a small map, and transposed convolutions of stride 2 double its size
    and halve its width. BatchNorm and ReLU follow all layers but the last, which ends
    in tanh. Kernels are 5x5 in the paper's figure and the authors' code. They are 4x4
    in the PyTorch example and here, since stride 2 covers 4x4 evenly. Options that
    break a guideline of the paper's section 3 quote the guideline.

    Attributes:
      image_size: side of the images in pixels; 4 to 7 times a power of two.
      channels: number of image channels.
      features: width of the last hidden map; widths double towards the latents.
      condition: how labels enter: "none"; a code appended to the latents, "onehot"
        or "embedding"; or "batch_norm", class-dependent scales and offsets.
      num_classes: K, labels are in [0, K).
      embedding_size: length of a label's learned vector.
      norm: "batch", or "none", where convolutions have biases instead: against "use
        batchnorm in both the generator and the discriminator".
      norm_ends: apply BatchNorm to the image too, before tanh. Applied to all layers,
        it "resulted in sample oscillation and model instability".
      norm_momentum: share of BatchNorm's running statistics that a step keeps.
      activation: activation of hidden layers: "relu", or "leaky_relu" against "use
        ReLU activation in generator for all layers except for the output".
      output: "tanh", or "sigmoid" against "which uses Tanh"; both in [-1, 1].
      upsampling: "transposed" convolutions of stride 2, or "nearest", pixels doubled
        before a convolution of stride 1 with as many parameters, against "replace any
        pooling layers with [...] fractional-strided convolutions (generator)".
      hidden_dense: width of a dense layer, with norm and activation, between latents
        and projection, against "remove fully connected hidden layers"; 0: none.
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters are float32.
    """

    image_size: int = 28
    channels: int = 1
    features: int = 64
    condition: Literal["none", "onehot", "embedding", "batch_norm"] = "none"
    num_classes: int = 10
    embedding_size: int = 50
    norm: Literal["batch", "none"] = "batch"
    norm_ends: bool = False
    norm_momentum: float = 0.9
    activation: Literal["relu", "leaky_relu"] = "relu"
    output: Literal["tanh", "sigmoid"] = "tanh"
    upsampling: Literal["transposed", "nearest"] = "transposed"
    hidden_dense: int = 0
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z) and labels (B,) int32."""
        base, doublings = pyramid(self.image_size)
        options = {
            "use_bias": self.norm == "none",
            "kernel_init": KERNEL_INIT,
            "dtype": self.dtype,
        }
        conv = {"implementation": self.convolution, **options}
        normalize = functools.partial(self._normalize, labels=labels, train=train)
        activation = activations.HIDDEN[self.activation]
        if self.condition in conditional.CODES:
            code = self.condition, self.num_classes, self.embedding_size, self.dtype
            latents = conditional.LabelVector(*code, name="label")(latents, labels)
        x = latents[:, None, None, :]  # (B, 1, 1, Z)
        if self.hidden_dense:
            x = nn.Dense(self.hidden_dense, name="hidden", **options)(x)
            x = activation(normalize(x, name="hidden_norm"))
        project = functools.partial(convolution.ConvTranspose, padding="VALID", **conv)
        width = self.features * 2 ** (doublings - 1)
        x = project(width, (base, base), name="project")(x)
        x = activation(normalize(x, name="project_norm"))
        for level in range(1, doublings):
            x = self._upsample(x, width // 2**level, name=f"up{level}", **conv)
            x = activation(normalize(x, name=f"up{level}_norm"))
        x = self._upsample(x, self.channels, name="to_image", **conv)
        x = normalize(x, name="to_image_norm") if self.norm_ends else x
        return activations.OUTPUT[self.output](x)

    def _upsample(self, x: jax.Array, features: int, **options: Any) -> jax.Array:
        if self.upsampling == "nearest":
            return convolution.Conv(features, (4, 4), **options)(double(x))
        return convolution.ConvTranspose(features, (4, 4), (2, 2), **options)(x)

    def _normalize(
        self, x: jax.Array, labels: jax.Array | None, *, train: bool, name: str
    ) -> jax.Array:
        if self.norm == "none":
            return x
        options = {
            "use_running_average": not train,
            "momentum": self.norm_momentum,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
            "name": name,
        }
        if self.condition == "batch_norm":
            norm = conditional.ConditionalBatchNorm(self.num_classes, **options)
            return norm(x, labels)
        return normalization.batch_norm(**options)(x)


class Discriminator(nn.Module):
    """Images, and labels of a conditional GAN, to logits by strided convolutions.

    Radford et al. 2015 (arXiv 1511.06434), section 3: convolutions of stride 2, here
    4x4, halve the size and double the width. LeakyReLU 0.2 follows all of them, and
    BatchNorm all but the first. Then a convolution over the whole last map gives the
    logit. Options that break a guideline of the paper's section 3 quote the guideline.

    Attributes:
      image_size: side of the images in pixels; 4 to 7 times a power of two.
      features: width of the first map; widths double towards the logit.
      condition: how labels enter: "none"; one more image channel made of a code,
        "onehot" or "embedding"; "projection", Miyato and Koyama 2018, with phi(x) the
        whole last map, where theirs is its sum over positions; or "auxiliary", a
        classifier on the last map whose loss is sown as losses/class (AC-GAN).
      num_classes: K, labels are in [0, K).
      embedding_size: length of a label's learned vector.
      auxiliary_weight: factor of the classifier's loss.
      norm: "batch"; "layer"; or "none" and "spectral" (on every kernel but that of the
        label's channel), where convolutions have biases.
      norm_ends: apply norm "batch" or "layer" to the first map too. Applied to all
        layers, it "resulted in sample oscillation and model instability".
      activation: "leaky_relu", or "relu" against "use LeakyReLU activation in the
        discriminator for all layers".
      downsampling: "strided"; or "max_pool" and "average_pool": convolution of stride
        1, norm and activation, then 2x2 pooling, against "replace any pooling layers
        with strided convolutions (discriminator)".
      hidden_dense: width of a dense layer, with norm and activation, between the last
        map and the logit, against "remove fully connected hidden layers for deeper
        architectures"; 0: none.
      convolution: name in convolution.IMPLEMENTATIONS.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters and logits are float32.
    """

    image_size: int = 28
    features: int = 64
    condition: Literal["none", "onehot", "embedding", "projection", "auxiliary"] = (
        "none"
    )
    num_classes: int = 10
    embedding_size: int = 50
    auxiliary_weight: float = 1.0
    norm: Literal["batch", "layer", "none", "spectral"] = "batch"
    norm_ends: bool = False
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    downsampling: Literal["strided", "max_pool", "average_pool"] = "strided"
    hidden_dense: int = 0
    convolution: str = "auto"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C) and labels (B,) int32."""
        base, halvings = pyramid(self.image_size)
        conv: Callable[..., nn.Module] = functools.partial(
            convolution.Conv,
            use_bias=self.norm in ("none", "spectral"),
            kernel_init=KERNEL_INIT,
            implementation=self.convolution,
            dtype=self.dtype,
        )
        activation = activations.HIDDEN[self.activation]
        x = images
        if self.condition in conditional.CODES:
            code = self.condition, self.num_classes, self.embedding_size, self.dtype
            x = conditional.LabelChannel(*code, name="label")(x, labels)
        strides = (2, 2) if self.downsampling == "strided" else (1, 1)
        for level in range(halvings):
            name = f"down{level}" if level else "from_image"
            layer = conv(self.features * 2**level, (4, 4), strides, name=name)
            x = self._wrap(layer, train)(x)
            if level or self.norm_ends:
                x = self._normalize(x, name=f"{name}_norm", train=train)
            x = activation(x)
            if self.downsampling != "strided":
                x = halve(x, POOLING[self.downsampling])
        head = functools.partial(conv, kernel_size=(base, base), padding="VALID")
        if self.hidden_dense:  # a dense layer is a convolution over the whole map
            x = self._wrap(head(self.hidden_dense, name="hidden"), train)(x)
            x = activation(self._normalize(x, name="hidden_norm", train=train))
            head = functools.partial(head, kernel_size=(1, 1))
        logits = self._wrap(head(1, name="to_logit"), train)(x)
        logits = logits.reshape(x.shape[0]).astype(jnp.float32)
        if self.condition == "projection":
            layer = conditional.Projection(self.num_classes, self.dtype, name="project")
            logits += self._wrap(layer, train)(x.reshape(x.shape[0], -1), labels)
        if self.condition == "auxiliary":
            classify = self._wrap(head(self.num_classes, name="to_class"), train)
            loss = conditional.class_loss(classify(x)[:, 0, 0, :], labels)
            self.sow("losses", "class", self.auxiliary_weight * loss)
        return logits

    def _wrap(self, layer: nn.Module, train: bool) -> Callable[..., jax.Array]:
        if self.norm == "spectral":
            return normalization.spectral(layer, train=train)
        return layer

    def _normalize(self, x: jax.Array, *, train: bool, name: str) -> jax.Array:
        if self.norm == "batch":
            return normalization.batch_norm(
                use_running_average=not train,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=name,
            )(x)
        if self.norm == "layer":
            return normalization.layer_norm(dtype=self.dtype, name=name)(x)
        return x
