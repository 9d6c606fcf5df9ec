"""Inception-v3 as FID uses it: features and logits of images, weights from a file.

The network is TensorFlow's graph of 2015-12-05, as converted by pytorch-fid and
torch-fidelity, which publish pt_inception-2015-12-05-6726825d.pth. The weights are not
part of this package: the user gives a file.
"""

from collections.abc import Callable
import os
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from gan_jax.evaluation import inception_weights

SIZE = 299  # height and width of the network's images in pixels
NUM_CLASSES = 1008  # ImageNet's 1000 and unused classes, as in the graph of 2015


class InceptionV3(nn.Module):
    """Features and logits of images: Inception-v3 in the variant of 2015-12-05.

    Szegedy et al. 2016 (arXiv 1512.00567); the features are those of FID, Heusel et
    al. 2017 (arXiv 1706.08500). Unlike the paper and like the graph, the last block
    pools by the maximum. The module is for inference only: BatchNorm is a fixed affine
    map and there is no dropout. Convolutions and pools follow TensorFlow, where an
    average counts only the pixels inside the image.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns features (B, 2048) and logits (B, 1008), float32.

        The logits do not include the bias, as the Inception score needs them.

        Args:
          images: (B, 299, 299, 3) float32 in [-1, 1), from `preprocess`; other sizes
            of at least 75x75 pixels work too.
        """
        x = images
        x = ConvUnit(32, (3, 3), strides=2, padding="VALID", name="Conv2d_1a_3x3")(x)
        x = ConvUnit(32, (3, 3), padding="VALID", name="Conv2d_2a_3x3")(x)
        x = ConvUnit(64, (3, 3), name="Conv2d_2b_3x3")(x)
        x = _halve(x)
        x = ConvUnit(80, name="Conv2d_3b_1x1")(x)
        x = ConvUnit(192, (3, 3), padding="VALID", name="Conv2d_4a_3x3")(x)
        x = _halve(x)  # (B, 35, 35, 192)
        x = InceptionA(pool_features=32, name="Mixed_5b")(x)
        x = InceptionA(pool_features=64, name="Mixed_5c")(x)
        x = InceptionA(pool_features=64, name="Mixed_5d")(x)
        x = InceptionB(name="Mixed_6a")(x)  # (B, 17, 17, 768)
        x = InceptionC(features=128, name="Mixed_6b")(x)
        x = InceptionC(features=160, name="Mixed_6c")(x)
        x = InceptionC(features=160, name="Mixed_6d")(x)
        x = InceptionC(features=192, name="Mixed_6e")(x)
        x = InceptionD(name="Mixed_7a")(x)  # (B, 8, 8, 1280)
        x = InceptionE(pool=average_pool, name="Mixed_7b")(x)
        x = InceptionE(pool=max_pool, name="Mixed_7c")(x)
        features = jnp.mean(x, axis=(1, 2))  # (B, 2048)
        logits = nn.Dense(
            NUM_CLASSES, use_bias=False, precision=lax.Precision.HIGHEST, name="fc"
        )(features)
        return features, logits


class ConvUnit(nn.Module):
    """Convolution without bias, BatchNorm with stored statistics, ReLU.

    Products have full float32 precision on every device. By default, TPUs and some
    GPUs round factors to fewer bits, and the features would depend on the device.

    Attributes:
      features: channels of the output.
      kernel_size: height and width of the window in pixels.
      strides: step of the window in pixels, in both directions.
      padding: "SAME" or "VALID".
    """

    features: int
    kernel_size: tuple[int, int] = (1, 1)
    strides: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H', W', features) of (B, H, W, C)."""
        x = nn.Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            use_bias=False,
            precision=lax.Precision.HIGHEST,
            name="conv",
        )(x)
        x = nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(x)
        return nn.relu(x)


class InceptionA(nn.Module):
    """Block of 35x35: 1x1, 5x5, two 3x3 and an average pool side by side."""

    pool_features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, 224 + pool_features) of (B, H, W, C)."""
        one = ConvUnit(64, name="branch1x1")(x)
        five = ConvUnit(48, name="branch5x5_1")(x)
        five = ConvUnit(64, (5, 5), name="branch5x5_2")(five)
        three = ConvUnit(64, name="branch3x3dbl_1")(x)
        three = ConvUnit(96, (3, 3), name="branch3x3dbl_2")(three)
        three = ConvUnit(96, (3, 3), name="branch3x3dbl_3")(three)
        pool = ConvUnit(self.pool_features, name="branch_pool")(average_pool(x))
        return jnp.concatenate([one, five, three, pool], axis=-1)


class InceptionB(nn.Module):
    """Block from 35x35 to 17x17: 3x3, two 3x3 and a maximum, side by side."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H', W', 480 + C) of (B, H, W, C)."""
        once = ConvUnit(384, (3, 3), strides=2, padding="VALID", name="branch3x3")(x)
        twice = ConvUnit(64, name="branch3x3dbl_1")(x)
        twice = ConvUnit(96, (3, 3), name="branch3x3dbl_2")(twice)
        twice = ConvUnit(96, (3, 3), strides=2, padding="VALID", name="branch3x3dbl_3")(
            twice
        )
        return jnp.concatenate([once, twice, _halve(x)], axis=-1)


class InceptionC(nn.Module):
    """Block of 17x17: 1x1, 7x7 once and twice as rows and columns, average pool."""

    features: int  # channels inside the 7x7 branches

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, 768) of (B, H, W, C)."""
        row, column = (1, 7), (7, 1)
        one = ConvUnit(192, name="branch1x1")(x)
        once = ConvUnit(self.features, name="branch7x7_1")(x)
        once = ConvUnit(self.features, row, name="branch7x7_2")(once)
        once = ConvUnit(192, column, name="branch7x7_3")(once)
        twice = ConvUnit(self.features, name="branch7x7dbl_1")(x)
        twice = ConvUnit(self.features, column, name="branch7x7dbl_2")(twice)
        twice = ConvUnit(self.features, row, name="branch7x7dbl_3")(twice)
        twice = ConvUnit(self.features, column, name="branch7x7dbl_4")(twice)
        twice = ConvUnit(192, row, name="branch7x7dbl_5")(twice)
        pool = ConvUnit(192, name="branch_pool")(average_pool(x))
        return jnp.concatenate([one, once, twice, pool], axis=-1)


class InceptionD(nn.Module):
    """Block from 17x17 to 8x8: 3x3, 7x7 and 3x3, and a maximum, side by side."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H', W', 512 + C) of (B, H, W, C)."""
        last = {"kernel_size": (3, 3), "strides": 2, "padding": "VALID"}
        three = ConvUnit(192, name="branch3x3_1")(x)
        three = ConvUnit(320, **last, name="branch3x3_2")(three)
        seven = ConvUnit(192, name="branch7x7x3_1")(x)
        seven = ConvUnit(192, (1, 7), name="branch7x7x3_2")(seven)
        seven = ConvUnit(192, (7, 1), name="branch7x7x3_3")(seven)
        seven = ConvUnit(192, **last, name="branch7x7x3_4")(seven)
        return jnp.concatenate([three, seven, _halve(x)], axis=-1)


class InceptionE(nn.Module):
    """Block of 8x8: 1x1, 3x3 once and twice with rows beside columns, a pool.

    Attributes:
      pool: `average_pool` or `max_pool`.
    """

    pool: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, 2048) of (B, H, W, C)."""
        row, column = (1, 3), (3, 1)
        one = ConvUnit(320, name="branch1x1")(x)
        once = ConvUnit(384, name="branch3x3_1")(x)
        twice = ConvUnit(448, name="branch3x3dbl_1")(x)
        twice = ConvUnit(384, (3, 3), name="branch3x3dbl_2")(twice)
        branches = [
            one,
            ConvUnit(384, row, name="branch3x3_2a")(once),
            ConvUnit(384, column, name="branch3x3_2b")(once),
            ConvUnit(384, row, name="branch3x3dbl_3a")(twice),
            ConvUnit(384, column, name="branch3x3dbl_3b")(twice),
            ConvUnit(192, name="branch_pool")(self.pool(x)),
        ]
        return jnp.concatenate(branches, axis=-1)


def average_pool(x: jax.Array) -> jax.Array:
    """Means over the pixels of 3x3 windows inside the image; (B, H, W, C) stays."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def max_pool(x: jax.Array) -> jax.Array:
    """Maxima over 3x3 pixels: (B, H, W, C), same shape."""
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def _halve(x: jax.Array) -> jax.Array:
    """Maxima over 3x3 windows inside the image, with stride 2."""
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")


def preprocess(images: jax.Array | np.ndarray) -> jax.Array:
    """Returns the network's input (B, 299, 299, 3), float32 in [-1, 1).

    Images are resized as by TensorFlow 1's bilinear resize, without alignment of
    corners or half-pixel centres, and mapped to (x - 128) / 128. Grey images are
    repeated over the three channels.

    Args:
      images: (B, H, W, 3) or (B, H, W, 1) uint8 in [0, 255].

    Raises:
      ValueError: the images have another shape or dtype.
    """
    _check_images(images)
    _, height, width, channels = images.shape
    resized = jnp.einsum(
        "yh,bhwc,xw->byxc",
        interpolation(height, SIZE),
        jnp.float32(images),
        interpolation(width, SIZE),
        precision=lax.Precision.HIGHEST,
    )
    if channels == 1:
        resized = jnp.repeat(resized, 3, axis=-1)
    return (resized - 128) / 128


def interpolation(size: int, target: int) -> np.ndarray:
    """Weights of TensorFlow 1's bilinear resize along one axis, (target, size) float32.

    Row i interpolates between pixel floor(p) and the next pixel, where
    p = i * size / target, in float32 as in TensorFlow. The last pixel is repeated
    beyond the edge.
    """
    places = np.arange(target, dtype=np.float32) * np.float32(size / target)
    low = places.astype(np.int64)
    share = places - low.astype(np.float32)
    matrix = np.zeros((target, size), np.float32)
    rows = np.arange(target)
    matrix[rows, low] = 1 - share
    matrix[rows, np.minimum(low + 1, size - 1)] += share
    return matrix


def load_weights(path: str | os.PathLike[str]) -> inception_weights.Weights:
    """Returns the weights in a file of the published state dict.

    Args:
      path: a .pth file as PyTorch saves a state dict, or an .npz file of its entries
        under their names; both are read without PyTorch.

    Raises:
      ValueError: the file is missing, damaged or of another kind, or an entry is
        missing, unknown or of the wrong shape; the first such entry is named.
    """
    images = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    shapes = jax.eval_shape(InceptionV3().init, jax.random.key(0), images)
    return inception_weights.read(path, shapes)


def predict(
    weights: inception_weights.Weights, images: np.ndarray, *, batch_size: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 2048) and class probabilities (N, 1008) of images, float32.

    Args:
      weights: weights from `load_weights`.
      images: (N, H, W, 3) or (N, H, W, 1) uint8 in [0, 255], memory-mapped or not.
      batch_size: number of images at once; an image takes about 9 MB of memory.

    Raises:
      ValueError: the images have another form, or there are no images.
    """
    _check_images(images)
    batch_size = min(batch_size, len(images))
    variables = jax.device_put(weights.variables)
    features, probabilities = [], []
    for first in range(0, len(images), batch_size):
        batch = images[first : first + batch_size]
        padding = [(0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)]
        outputs = _predict_batch(variables, np.pad(batch, padding))
        features.append(np.asarray(outputs[0])[: len(batch)])
        probabilities.append(np.asarray(outputs[1])[: len(batch)])
    return np.concatenate(features), np.concatenate(probabilities)


@jax.jit
def _predict_batch(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    features, logits = InceptionV3().apply(variables, preprocess(images))
    return features, jax.nn.softmax(logits)


def _check_images(images: jax.Array | np.ndarray) -> None:
    shape = images.shape
    if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape or images.dtype != "u1":
        raise ValueError(
            f"images are {shape} {images.dtype}, but must be (N, H, W, 3) or (N, H, W, "
            "1) uint8 in [0, 255] for Inception-v3, N at least 1: convert them."
        )
