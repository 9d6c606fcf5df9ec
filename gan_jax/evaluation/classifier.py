"""A small image classifier: its features and probabilities, and its weights file.

The weights trained on MNIST lie beside this file, at MNIST_WEIGHTS. Numbers that
depend on them are recorded together with the file's digest.
"""

from collections.abc import Mapping
from functools import partial
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from gan_jax import checks, npz
from gan_jax.run import images as images_lib
from gan_jax.step import sampling

MNIST_SHA256 = "d5719542c77fc4e0d344fb93fc0dbbfb8c828734a63d4d34d282c6cc4088dd73"
MNIST_WEIGHTS = Path(__file__).with_name("mnist_classifier.npz")
_LARGEST_FACTS = 2**20  # bytes; those of MNIST take two thousand
_SIZES, _CLASSES = checks.integer(1, 2**13), checks.integer(2, checks.WIDEST)


class Classifier(nn.Module):
    """Convolutions of stride two down to 4x4 pixels, features and logits.

    The first convolution already halves images above 32 pixels.

    Attributes:
      num_classes: K, number of classes.
      num_features: F, length of the penultimate activations.
      width: channels of the last feature map. The first map has a quarter of them, and
        each halving of the image doubles the channels up to `width`.
    """

    num_classes: int
    num_features: int = 64
    width: int = 64

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Returns features (B, F), at least 0, and logits (B, K), float32.

        Args:
          images: (B, H, W, C) float32 in [-1, 1].
          train: normalise by the batch's statistics and update the running statistics.
        """
        # A running mean over about the last 20 batches, whose learning rates are small.
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.95)
        # Flax's convolution is faster here, outside loops and with few channels.
        conv = partial(nn.Conv, use_bias=False)
        stride = 1 if max(images.shape[1:3]) <= 32 else 2
        width = self.width // 4
        x = conv(width, (3, 3), strides=stride, name="conv0")(images)
        x = nn.relu(norm(name="norm0")(x))
        depth = 0
        while max(x.shape[1:3]) > 4:
            depth, width = depth + 1, min(2 * width, self.width)
            x = conv(width, (4, 4), strides=2, name=f"conv{depth}")(x)
            x = nn.relu(norm(name=f"norm{depth}")(x))
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.num_features, use_bias=False, name="dense")(x)
        features = nn.relu(norm(name="norm")(x))
        return features, nn.Dense(self.num_classes, name="logits")(features)


class Weights(NamedTuple):
    """A trained classifier.

    Attributes:
      variables: "params" and "batch_stats" of a Classifier, float32.
      image_shape: (H, W, C) of the images that it takes.
      num_classes: K, number of classes.
      facts: facts about the training for people to read, as JSON can hold them.
    """

    variables: Mapping[str, Any]
    image_shape: tuple[int, ...]
    num_classes: int
    facts: Mapping[str, Any]


@partial(jax.jit, static_argnums=(0, 1))
def init(num_classes: int, shape: tuple[int, ...], key: jax.Array) -> Any:
    """A classifier's variables for images of this shape (H, W, C)."""
    return Classifier(num_classes).init(key, jnp.zeros((1, *shape)), train=False)


def predict(
    weights: Weights, images: np.ndarray, *, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) and class probabilities (N, K) of images, float32.

    Args:
      weights: weights of the classifier.
      images: (N, H, W, C) uint8 in [0, 255], memory-mapped or not.
      batch_size: number of images at once; it bounds the memory and changes nothing
        else.

    Raises:
      ValueError: the images have another form, size or number of channels.
    """
    _check_images(images)
    if images.shape[1:] != weights.image_shape:
        raise ValueError(
            f"images are {images.shape[1:]}, but the classifier was trained on "
            f"{weights.image_shape} (height, width, channels): give it such images, "
            "or train one on yours with gan_jax.train_classifier."
        )
    variables = jax.device_put(weights.variables)
    features, probabilities = [], []
    starts = range(0, len(images), batch_size)
    for first in tqdm.tqdm(starts, "reading", leave=False, delay=5, disable=None):
        batch = images[first : first + batch_size]
        padding = [(0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)]
        outputs = _predict_batch(weights.num_classes, variables, np.pad(batch, padding))
        features.append(np.asarray(outputs[0])[: len(batch)])
        probabilities.append(np.asarray(outputs[1])[: len(batch)])
    return np.concatenate(features), np.concatenate(probabilities)


@partial(jax.jit, static_argnums=0)
def _predict_batch(
    num_classes: int, variables: Any, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
    module = Classifier(num_classes)
    features, logits = module.apply(variables, sampling.to_float(images), train=False)
    return features, jax.nn.softmax(logits)


def accuracy(weights: Weights, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose most probable class is their label.

    Raises:
      ValueError: images or labels have another form, or a label is not a class.
    """
    check_examples(images, labels, weights.num_classes)
    _, probabilities = predict(weights, images)
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or not images.size:
        raise ValueError(
            f"images are {images.shape} {images.dtype}, but must be (N, H, W, C) uint8 "
            "in [0, 255], N at least 1: convert them."
        )


def check_examples(images: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """Refuses examples that a classifier cannot be trained or tested on.

    Args:
      images: (N, H, W, C) uint8, N at least 1.
      labels: (N,) integers in [0, num_classes).
      num_classes: K, number of classes.

    Raises:
      ValueError: images or labels have another form, or a label is not a class.
    """
    _check_images(images)
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels are {labels.shape} {labels.dtype} for images {images.shape}, but "
            "must be (N,) integers, one for each image: convert them."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels span {labels.min()} to {labels.max()}, but num_classes is "
            f"{num_classes}: labels must be 0 to {num_classes - 1}; change one of them."
        )


def save(path: Path, weights: Weights) -> None:
    """Writes an .npz file, completely or not at all; equal weights give equal bytes.

    The arrays of the file are the variables, such as "params/conv0/kernel", and
    "facts", a JSON text with the image shape, the number of classes and the weights'
    facts.
    """
    facts = {
        "image_shape": weights.image_shape,
        "num_classes": weights.num_classes,
        **weights.facts,
    }
    arrays = traverse_util.flatten_dict(weights.variables, sep="/")
    arrays["facts"] = np.array(json.dumps(facts, sort_keys=True))
    with images_lib.writing_whole(path) as file:
        np.savez(file, allow_pickle=False, **dict(sorted(arrays.items())))


def load(path: Path) -> Weights:
    """The weights that `save` wrote.

    Raises:
      ValueError: the file is missing or damaged, or does not hold a classifier.
    """
    try:
        claims = npz.headers(path, packed=False)
        facts = json.loads(npz.read_text(path, "facts", claims, _LARGEST_FACTS))
        shape, num_classes = tuple(facts.pop("image_shape")), facts.pop("num_classes")
        if len(shape) != 3 or not all(checks.is_in(x, _SIZES) for x in shape):
            raise ValueError(f"images {shape}")
        if not checks.is_in(num_classes, _CLASSES):
            raise ValueError(f"{num_classes} classes")
    except (
        *(AttributeError, LookupError, OSError, TypeError, ValueError),
        RecursionError,
    ) as error:
        raise _unreadable(path, error) from error
    expected = _expected_arrays(shape, num_classes)
    del claims["facts"]
    wrong = [
        f"{name} {found} instead of {wanted}"
        for name in sorted(expected.keys() | claims.keys())
        if (found := _describe(claims.get(name)))
        != (wanted := _describe(expected.get(name)))
    ]
    if wrong:
        more = f"; and {len(wrong) - 5} others" if len(wrong) > 5 else ""
        raise ValueError(
            f"the weights file {path} has {'; '.join(wrong[:5])}{more}; it must hold "
            f"the arrays of a classifier of images {shape} in {num_classes} classes: "
            "train it again, or name another."
        )
    try:
        arrays = {name: npz.read(path, name) for name in claims}
    except ValueError as error:
        raise _unreadable(path, error) from error
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    return Weights(variables, shape, num_classes, facts)


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"the weights file {path} cannot be read ({npz.cause(error)}); it must be a "
        "file that gan_jax.train_classifier wrote: train it again, or name another."
    )


def _expected_arrays(shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """Shape and dtype of each array of a classifier's variables, by its path."""
    variables = jax.eval_shape(partial(init, num_classes, shape), jax.random.key(0))
    return traverse_util.flatten_dict(variables, sep="/")


def _describe(array: Any) -> str:
    return "absent" if array is None else f"{array.shape} {array.dtype}"


def digest(path: Path) -> str:
    """The sha256 of a file in hexadecimal, which identifies it beside a number."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
