"""Dense generator and discriminator (the vanilla GAN)."""

from collections.abc import Callable, Sequence
import functools
import itertools
import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models import activations, conditional, normalization


def check_image_size(image_size: int) -> None:
    """Accepts every size, since dense layers can make images of any size."""
    del image_size


def _kernel_init(init_range: float, init_std: float) -> Callable[..., jax.Array]:
    """Uniform in +-init_range, N(0, init_std), or Flax's LeCun normal if both are 0."""
    if init_std:
        return nn.initializers.normal(init_std)
    if init_range == 0:
        return nn.initializers.lecun_normal()

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
        return jax.random.uniform(key, shape, dtype, -init_range, init_range)

    return init


def _keys(latents: jax.Array) -> jax.Array:
    """A random key (B,) for each latent vector (B, Z), which its bits decide."""
    bits = jax.lax.bitcast_convert_type(latents.astype(jnp.float32), jnp.uint32)
    odd = 2 * jnp.arange(bits.shape[-1], dtype=jnp.uint32) + 1
    base = jax.random.key(0, impl="threefry2x32")
    fold = functools.partial(jax.random.fold_in, base)
    return jax.vmap(fold)(jnp.sum(bits * odd[None], axis=-1, dtype=jnp.uint32))


def _drop(x: jax.Array, share: float, keys: jax.Array, layer: int) -> jax.Array:
    """Dropout of (B, F) whose masks follow from a key (B,) for each row."""

    def keep(key: jax.Array) -> jax.Array:
        key = jax.random.fold_in(key, layer)
        return jax.random.bernoulli(key, 1 - share, x.shape[1:])

    return jnp.where(jax.vmap(keep)(keys), x / (1 - share), 0)


def _with_label(
    network: Any,
    x: jax.Array,
    labels: jax.Array | None,
    branch: Callable[[jax.Array, int, str], jax.Array],
) -> jax.Array:
    """The input joined with its label's code, each after its branch if it has one.

    Args:
      network: network whose attributes say how the label enters.
      x: (B, F), latents or pixels.
      labels: (B,) int32.
      branch: a layer as a function of its input, width and name; the width 0 is none.
    """
    parts = [branch(x, network.input_branch, "input_branch")]
    if network.condition != "none":
        options = network.condition, network.num_classes, network.embedding_size
        label = conditional.LabelVector(*options, network.dtype, name="label")
        code = label(x[:, :0], labels)
        parts.append(branch(code, network.label_branch, "label_branch"))
    return jnp.concatenate(parts, axis=-1)


class Generator(nn.Module):
    """Latents, and labels of a conditional GAN, to images by dense layers.

    Goodfellow et al. 2014 (arXiv 1406.2661), section 5, use rectifier and sigmoid
    activations. Features (1200, 1200), activation "relu", output "sigmoid",
    init_range 0.05 and latent_scale sqrt(3) are the MNIST network of the authors'
    mnist.yaml, except that theirs starts the last bias at the data's mean image. The
    defaults are the network of most tutorials. Features (400, 400, 400, 400),
    activation "relu", norm "batch" with norm_momentum 0.95, output "linear" and
    init_std 0.02 are the network of Lin et al. 2018 (arXiv 1712.04086), section 4.1,
    which makes points in the plane. Input_branch 200, label_branch 1000, features
    (1200,), condition "onehot", activation "relu", hidden_dropout 0.5 and output
    "sigmoid" are the network of Mirza and Osindero 2014 (arXiv 1411.1784), section 4.1.

    With test_dropout, images are drawn with dropout too, as noise beside the latents
    (Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial
    Networks, arXiv 1611.07004, section 3.2.1). A latent vector decides which units it
    drops, so that it gives the same image each time.

    Attributes:
      image_size: side of the images in pixels.
      channels: number of image channels.
      features: widths of the hidden layers.
      condition: "none", or a code appended to the latents: "onehot" or "embedding".
      num_classes: K, labels are in [0, K).
      embedding_size: length of a label's learned vector.
      input_branch: width of a hidden layer for the latents alone, before the label's
        code joins them; 0: none.
      label_branch: width of a hidden layer for the label's code alone; 0: none.
      activation: activation of the hidden layers, "leaky_relu" or "relu".
      norm: "none", or "batch": BatchNorm after each hidden layer, which then has no
        bias.
      norm_momentum: share of the running statistics that a step keeps.
      hidden_dropout: share of each hidden layer's output set to 0 in training; the rest
        is scaled up.
      test_dropout: keep hidden_dropout when images are drawn.
      output: "tanh" or "sigmoid", both scaled to [-1, 1], or "linear" for points.
      init_range: kernels start uniform in +-init_range; 0: LeCun normal.
      init_std: kernels start normal with this standard deviation; 0: as init_range.
      latent_scale: factor by which the latents are multiplied.
      axis_name: axis of the replicas over which BatchNorm averages its statistics.
      dtype: dtype of the computation; parameters are float32.
    """

    image_size: int = 28
    channels: int = 1
    features: Sequence[int] = (256, 512, 1024)
    condition: Literal["none", "onehot", "embedding"] = "none"
    num_classes: int = 10
    embedding_size: int = 50
    input_branch: int = 0
    label_branch: int = 0
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    norm: Literal["none", "batch"] = "none"
    norm_momentum: float = 0.9
    hidden_dropout: float = 0.0
    test_dropout: bool = False
    output: Literal["tanh", "sigmoid", "linear"] = "tanh"
    init_range: float = 0.0
    init_std: float = 0.0
    latent_scale: float = 1.0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images (B, H, W, C) in [-1, 1] from latents (B, Z) and labels (B,) int32."""
        dense = functools.partial(
            nn.Dense,
            kernel_init=_kernel_init(self.init_range, self.init_std),
            dtype=self.dtype,
        )
        normalize = functools.partial(
            normalization.batch_norm,
            use_running_average=not train,
            momentum=self.norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        is_normed = self.norm == "batch"
        # Draws with the statistics of their batch are training passes without a key.
        drops = train and self.has_rng("dropout")
        keys = _keys(latents) if self.test_dropout and not drops else None
        layers = itertools.count()

        def hidden(x: jax.Array, width: int, name: str) -> jax.Array:
            x = dense(width, use_bias=not is_normed, name=name)(x)
            x = normalize(name=f"{name}_norm")(x) if is_normed else x
            x = activations.HIDDEN[self.activation](x)
            if keys is not None:
                return _drop(x, self.hidden_dropout, keys, next(layers))
            return nn.Dropout(self.hidden_dropout, deterministic=not drops)(x)

        def branch(x: jax.Array, width: int, name: str) -> jax.Array:
            return hidden(x, width, name) if width else x

        x = _with_label(self, latents * self.latent_scale, labels, branch)
        for level, width in enumerate(self.features):
            x = hidden(x, width, f"hidden{level}")
        shape = (self.image_size, self.image_size, self.channels)
        x = dense(math.prod(shape), name="to_image")(x)
        return activations.OUTPUT[self.output](x).reshape(-1, *shape)


class Discriminator(nn.Module):
    """Images, and labels of a conditional GAN, to logits by dense layers.

    Goodfellow et al. 2014 (arXiv 1406.2661), section 5, use maxout activations and
    dropout. Features (240, 240), activation "maxout" with 5 pieces, init_range 0.005,
    dropout 0.2 on the input and 0.5 on both hidden layers' outputs, and images in
    [0, 1] are the MNIST network of the authors' mnist.yaml, whose
    discriminator_input_include_probs are 0.8 for the input of layer h0 and 0.5 for
    those of h1 and y. Input_branch 240, label_branch 50 and features (240,), with
    condition "onehot", activation "maxout" with 5 pieces in the branches and 4 after
    them, and hidden_dropout 0.5, are the network of Mirza and Osindero 2014 (arXiv
    1411.1784), section 4.1. The defaults mirror the generator's.

    Attributes:
      features: widths of the hidden layers, for maxout after the maximum.
      condition: "none", or a code appended to the pixels: "onehot" or "embedding".
      num_classes: K, labels are in [0, K).
      embedding_size: length of a label's learned vector.
      input_branch: width of a hidden layer for the pixels alone, before the label's
        code joins them; 0: none.
      label_branch: width of a hidden layer for the label's code alone; 0: none.
      activation: activation of the hidden layers: "leaky_relu", "relu" or "maxout".
      pieces: linear pieces of a maxout unit.
      branch_pieces: linear pieces of a maxout unit in the branches.
      norm: "none", or "spectral" on every kernel.
      input_dropout: share of the input set to 0 in training; the rest is scaled up.
      hidden_dropout: the same for the output of each hidden layer.
      unit_range: map images from [-1, 1] to [0, 1] first, where a dropped pixel is
        black.
      init_range: kernels start uniform in +-init_range; 0: LeCun normal.
      init_std: kernels start normal with this standard deviation; 0: as init_range.
      dtype: dtype of the computation; parameters and logits are float32.
    """

    features: Sequence[int] = (1024, 512, 256)
    condition: Literal["none", "onehot", "embedding"] = "none"
    num_classes: int = 10
    embedding_size: int = 50
    input_branch: int = 0
    label_branch: int = 0
    activation: Literal["leaky_relu", "relu", "maxout"] = "leaky_relu"
    pieces: int = 5
    branch_pieces: int = 5
    norm: Literal["none", "spectral"] = "none"
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    unit_range: bool = False
    init_range: float = 0.0
    init_std: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits (B,) float32 from images (B, H, W, C) and labels (B,) int32."""

        def dense(width: int, name: str) -> Callable[..., jax.Array]:
            init = _kernel_init(self.init_range, self.init_std)
            layer = nn.Dense(width, kernel_init=init, dtype=self.dtype, name=name)
            if self.norm == "spectral":
                return normalization.spectral(layer, train=train)
            return layer

        def hidden(x: jax.Array, width: int, name: str, pieces: int) -> jax.Array:
            if self.activation == "maxout":
                x = activations.maxout(dense(width * pieces, name)(x), pieces)
            else:
                x = activations.HIDDEN[self.activation](dense(width, name)(x))
            return nn.Dropout(self.hidden_dropout, deterministic=not train)(x)

        def branch(x: jax.Array, width: int, name: str) -> jax.Array:
            x = nn.Dropout(self.input_dropout, deterministic=not train)(x)
            return hidden(x, width, name, self.branch_pieces) if width else x

        x = images.reshape(images.shape[0], -1)
        x = _with_label(self, (x + 1) / 2 if self.unit_range else x, labels, branch)
        for level, width in enumerate(self.features):
            x = hidden(x, width, f"hidden{level}", self.pieces)
        x = dense(1, "to_logit")(x)
        return x.reshape(x.shape[0]).astype(jnp.float32)
