"""How well a discriminator's features separate classes: features and a linear probe."""

from collections.abc import Callable, Mapping, Sequence
import itertools
import math
from typing import Any, NamedTuple
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.evaluation import estimate
from gan_jax.models import convolution
from gan_jax.step import sampling

GRID = 4  # positions a side that a feature map is pooled to
STRENGTHS = (1e-4, 1e-3, 1e-2)


class Probe(NamedTuple):
    """Result of a linear probe.

    Attributes:
      accuracy: share of the test points whose class is found; the standard error is
        the binomial one.
      strength: the C that was best on held-out training points.
    """

    accuracy: estimate.Estimate
    strength: float


class _Call(NamedTuple):
    """What a layer was given and what it made of it."""

    inputs: jax.Array
    outputs: jax.Array


def discriminator_features(
    discriminator: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Activations of all hidden layers, (N, F) float32.

    Radford et al. 2015 (arXiv 1511.06434), section 5.1: the activations of each
    convolution, max-pooled to 4x4 and flattened, side by side. A layer's activation
    is what it passes to the next one, after normalisation and nonlinearity (on which
    `capture_intermediates` has no hold, since nonlinearities are no modules); the
    convolution to the logit is left out. Maps whose side 4 does not divide are pooled
    over windows that overlap by a pixel, smaller ones are kept. Of a discriminator
    without convolutions the hidden dense layers are taken.

    Args:
      discriminator: the module, called with train=False.
      variables: its `params` and `batch_stats`.
      images: (N, H, W, C) uint8.
      labels: (N,) integers for a conditional discriminator; None: zeros, so that the
        features know nothing of the true class.
      batch_size: images at once; the result does not depend on it.

    Raises:
      ValueError: no images, or labels of another number than the images.
    """
    labels = np.zeros(len(images), np.int32) if labels is None else labels
    if labels.shape != images.shape[:1] or not len(images):
        raise ValueError(
            f"images are {images.shape} and labels {labels.shape}, but the "
            "discriminator takes them in pairs: give (N,) labels for N > 0 images."
        )

    @jax.jit
    def extract(
        variables: Mapping[str, Any], images: jax.Array, labels: jax.Array
    ) -> jax.Array:
        calls = _layer_calls(
            discriminator, variables, sampling.to_float(images), labels
        )
        flat = [_pool(x).reshape(len(images), -1) for x in _activations(calls)]
        return jnp.concatenate(flat, axis=1).astype(jnp.float32)

    features = []
    batch_size = min(batch_size, len(images))
    for start in range(0, len(images), batch_size):
        # The last batch repeats its last image: one shape, compiled once.
        indices = np.minimum(np.arange(start, start + batch_size), len(images) - 1)
        batch = extract(variables, images[indices], labels[indices].astype(np.int32))
        features.append(np.asarray(batch)[: len(images) - start])
    return np.concatenate(features)


def linear_probe(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    strengths: Sequence[float] = STRENGTHS,
    max_iterations: int = 1000,
    folds: int = 1,
    seed: int = 0,
) -> Probe:
    """Test accuracy of a linear L2-SVM on standardised features.

    Radford et al. 2015 (arXiv 1511.06434), sections 5.1 and 5.2: one classifier a
    class, squared hinge loss, L2 penalty. The strength C is the best one, at equal
    accuracies the smallest, on a random fifth of the training points, or on several
    fifths, each held out in its turn; the classifier is then fitted to all of them.
    Features are standardised by those it is fitted to.

    It is solved in the dual, to a tolerance of 1e-3: for 4,000 points of 3,072 features
    coordinate descent took a sixth of the primal's time and agreed in the accuracy.

    Args:
      train_features: (N, F), five or more.
      train_labels: (N,) integers.
      test_features: (M, F).
      test_labels: (M,) integers.
      strengths: candidates of C, the weight of the loss against the penalty.
      max_iterations: limit of the solver's steps.
      folds: fifths that are held out; 5 is cross-validation, for few points.
      seed: of the division into fifths.

    Raises:
      ValueError: arrays that do not fit, fewer than five training points or two
        classes, no strengths, a solver that has not converged.
    """
    _check_points(train_features, train_labels, test_features, test_labels)
    if not len(strengths):
        raise ValueError(
            "there are no strengths, but the probe needs one to choose: give one or "
            f"more positive numbers, such as {STRENGTHS}."
        )
    order = np.random.default_rng(seed).permutation(len(train_labels))
    ends = [number * len(order) // 5 for number in range(folds + 1)]
    hits = dict.fromkeys(sorted(strengths), 0)
    for strength, (start, end) in itertools.product(hits, itertools.pairwise(ends)):
        held, kept = order[start:end], np.delete(order, slice(start, end))
        predict = _fit(
            train_features[kept], train_labels[kept], strength, max_iterations
        )
        found = predict(train_features[held]) == train_labels[held]
        hits[strength] += int(np.sum(found))
    best = max(hits, key=lambda strength: hits[strength])
    predict = _fit(train_features, train_labels, best, max_iterations)
    accuracy = float(np.mean(predict(test_features) == test_labels))
    error = math.sqrt(accuracy * (1 - accuracy) / len(test_labels))
    return Probe(estimate.Estimate(accuracy, error), float(best))


def label_subset(
    labels: np.ndarray, count: int, *, num_classes: int, seed: int
) -> np.ndarray:
    """Indices of about `count` examples, equally many of each class, none twice.

    With one seed the smaller subsets are parts of the larger ones. A count that
    num_classes does not divide is rounded down.

    Args:
      labels: (N,) integers in [0, num_classes).
      count: examples.
      num_classes: K.
      seed: of the choice.

    Raises:
      ValueError: fewer than one example of each class are asked for, or more than
        there are.
    """
    share = count // num_classes
    least = int(np.min(np.bincount(labels, minlength=num_classes)))
    if not 1 <= share <= least:
        raise ValueError(
            f"{count} labelled images are {share} of each of {num_classes} classes; at "
            f"least 1 of each is needed, and of the {len(labels)} training images one "
            f"class has only {least}: leave label_efficiency out of --metrics, or "
            "train on a larger --config.data.split."
        )
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.permutation(np.flatnonzero(labels == label))[:share]
            for label in range(num_classes)
        ]
    )


def _layer_calls(
    discriminator: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    labels: jax.Array,
) -> list[_Call]:
    """The calls of its convolutions in order, or of its dense layers without any."""
    calls: dict[bool, list[_Call]] = {True: [], False: []}

    def record(
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        outputs = function(*args, **kwargs)
        is_conv = isinstance(context.module, convolution.Conv | nn.Conv)
        is_layer = is_conv or isinstance(context.module, nn.Dense)
        if is_layer and context.method_name == "__call__":
            calls[is_conv].append(_Call(args[0], outputs))
        return outputs

    with nn.intercept_methods(record):
        discriminator.apply(variables, images, labels, train=False)
    return calls[True] or calls[False]


def _activations(calls: list[_Call]) -> list[jax.Array]:
    """What the layers before the logit pass on, finest first."""
    hidden = []
    for number, call in enumerate(calls):
        if math.prod(call.outputs.shape[1:-1]) == 1 and call.outputs.ndim == 4:
            continue  # a convolution over the whole map: to the logit or to classes
        if number + 1 < len(calls):
            hidden.append(calls[number + 1].inputs)
        elif call.outputs.ndim == 4:
            hidden.append(call.outputs)  # a dense layer follows: this map is the last
    return hidden


def _pool(x: jax.Array) -> jax.Array:
    """Largest values on at most 4x4 positions, of maps (B, h, w, C); others as is."""
    for axis in range(1, x.ndim - 1):
        side = x.shape[axis]
        count = min(side, GRID)
        parts = [
            jnp.max(
                jax.lax.slice_in_dim(
                    x, i * side // count, -(-(i + 1) * side // count), axis=axis
                ),
                axis=axis,
            )
            for i in range(count)
        ]
        x = jnp.stack(parts, axis)
    return x


def _fit(
    features: np.ndarray, labels: np.ndarray, strength: float, max_iterations: int
) -> Callable[[np.ndarray], np.ndarray]:
    """A function of features to predicted labels."""
    # Imported where it is used: it takes a second, which training need not wait for.
    from sklearn import exceptions, preprocessing, svm

    scaler = preprocessing.StandardScaler().fit(features)
    machine = svm.LinearSVC(
        C=strength, dual=True, tol=1e-3, max_iter=max_iterations, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", exceptions.ConvergenceWarning)
        try:
            machine.fit(scaler.transform(features), labels)
        except exceptions.ConvergenceWarning as warning:
            raise ValueError(
                f"the linear SVM of strength {strength:g} has not converged after "
                f"{max_iterations} iterations, so its accuracy is not the optimum's: "
                "leave out this strength or raise max_iterations."
            ) from warning
    return lambda points: machine.predict(scaler.transform(points))


def _check_points(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
) -> None:
    for name, features, labels, least in (
        ("train", train_features, train_labels, 5),
        ("test", test_features, test_labels, 1),
    ):
        fits = features.ndim == 2 and features.shape[1:] == train_features.shape[1:]
        if not fits or labels.shape != features.shape[:1] or len(labels) < least:
            raise ValueError(
                f"{name} features are {features.shape} and labels {labels.shape}; "
                f"allowed are (N, F) and (N,), the same F for both sets and at least "
                f"{least} points: reshape them or give more."
            )
    if len(np.unique(train_labels)) < 2:
        raise ValueError(
            f"all {len(train_labels)} training labels are {train_labels[0]}, but a "
            "probe separates classes: give points of at least two."
        )
