"""How a label enters a network: codes, conditional BatchNorm, projection, classes."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gan_jax.models import normalization

CODES = ("onehot", "embedding")  # conditions that append a code to the input


def check_labels(labels: jax.Array | None, condition: str) -> jax.Array:
    """Returns the labels, which a network with a condition needs.

    Raises:
      ValueError: labels is None.
    """
    if labels is None:
        raise ValueError(
            f"a network with condition {condition!r} was called without labels: pass "
            "labels (B,) int32, or build it with condition 'none'."
        )
    return labels


class LabelVector(nn.Module):
    """Vectors with a code of their labels appended.

    Mirza and Osindero 2014 (arXiv 1411.1784), section 3.2: latents and label are the
    joint input of the generator, images and label that of the discriminator.

    Attributes:
      condition: "onehot", or "embedding", a learned vector for each class, which is
        initialised from N(0, 1) like latents.
      num_classes: K, number of classes.
      embedding_size: E, length of a learned vector.
      dtype: dtype of the result.
    """

    condition: Literal["onehot", "embedding"] = "onehot"
    num_classes: int = 10
    embedding_size: int = 50
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, vectors: jax.Array, labels: jax.Array | None) -> jax.Array:
        """(B, F + K) or (B, F + E) from vectors (B, F) and labels (B,) int32."""
        labels = check_labels(labels, self.condition)
        if self.condition == "onehot":
            code = jax.nn.one_hot(labels, self.num_classes, dtype=self.dtype)
        else:
            code = nn.Embed(
                self.num_classes,
                self.embedding_size,
                embedding_init=nn.initializers.normal(1.0),
                dtype=self.dtype,
                name="embed",
            )(labels)
        return jnp.concatenate([vectors.astype(self.dtype), code], axis=-1)


class LabelChannel(nn.Module):
    """Images with one more channel, which a dense layer makes from the label's code.

    Mirza and Osindero 2014 (arXiv 1411.1784), section 3.2, adapted to convolutions:
    their networks are dense, so they do not say which form the label has here.

    Attributes:
      condition: "onehot" or "embedding", as in `LabelVector`.
      num_classes: K, number of classes.
      embedding_size: E, length of a learned vector.
      dtype: dtype of the result.
    """

    condition: Literal["onehot", "embedding"] = "onehot"
    num_classes: int = 10
    embedding_size: int = 50
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, labels: jax.Array | None) -> jax.Array:
        """(B, H, W, C + 1) from images (B, H, W, C) and labels (B,) int32."""
        code = self.condition, self.num_classes, self.embedding_size, self.dtype
        nothing = jnp.zeros((images.shape[0], 0), self.dtype)
        x = LabelVector(*code, name="code")(nothing, labels)
        size = images.shape[1] * images.shape[2]
        channel = nn.Dense(size, dtype=self.dtype, name="to_channel")(x)
        channel = channel.reshape(*images.shape[:3], 1)
        return jnp.concatenate([images.astype(self.dtype), channel], axis=-1)


class ConditionalBatchNorm(nn.Module):
    """BatchNorm whose scale and offset depend on the label.

    Dumoulin et al. 2017 (arXiv 1610.07629), section 2.2, as the generators of Miyato
    and Koyama 2018 (arXiv 1802.05637) use it. The statistics are those of the whole
    batch, over all labels.

    Attributes:
      num_classes: K, number of classes.
      use_running_average: normalise by the running statistics.
      momentum: share of the running statistics that a step keeps.
      axis_name: axis of the replicas over which the statistics are averaged.
      dtype: dtype of the result.
    """

    num_classes: int = 10
    use_running_average: bool = False
    momentum: float = 0.9
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, labels: jax.Array | None) -> jax.Array:
        """(B, H, W, C) from x (B, H, W, C) and labels (B,) int32."""
        labels = check_labels(labels, "batch_norm")
        shape = (self.num_classes, x.shape[-1])
        scale = self.param("scale", normalization.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape)
        x = normalization.batch_norm(
            use_running_average=self.use_running_average,
            momentum=self.momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
            use_scale=False,
            use_bias=False,
            name="norm",
        )(x)
        scale, bias = (p[labels][:, None, None, :] for p in (scale, bias))
        return x * scale.astype(self.dtype) + bias.astype(self.dtype)


class Projection(nn.Module):
    """The label's share of a projection discriminator's logit.

    Miyato and Koyama 2018 (arXiv 1802.05637), equation 3: the logit is
    y^T V phi(x) + psi(phi(x)); this is its first term.

    Attributes:
      num_classes: K, number of classes and of rows of V.
      dtype: dtype of the features and of V in the product; the sum is float32.
      embedding_init: draws V (K, F).
    """

    num_classes: int = 10
    dtype: Any = jnp.float32
    embedding_init: Callable[..., Any] = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self, features: jax.Array, labels: jax.Array | None) -> jax.Array:
        """(B,) float32 from features phi(x) (B, F) and labels (B,) int32."""
        labels = check_labels(labels, "projection")
        rows = nn.Embed(
            self.num_classes,
            features.shape[-1],
            embedding_init=self.embedding_init,
            dtype=self.dtype,
            name="embed",
        )(labels)
        return jnp.sum(features * rows, axis=-1, dtype=jnp.float32)


def class_loss(class_logits: jax.Array, labels: jax.Array | None) -> jax.Array:
    """Mean cross-entropy of an auxiliary classifier, a float32 scalar.

    Odena et al. 2017 (arXiv 1610.09585), equation 3, call it L_C; here it is minimised.
    Both networks add it to their losses, on real and on generated images.

    Args:
      class_logits: (B, K).
      labels: (B,) int32.
    """
    labels = check_labels(labels, "auxiliary")
    logits = class_logits.astype(jnp.float32)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
