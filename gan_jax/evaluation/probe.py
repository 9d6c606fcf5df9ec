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

GRID = 4  # side of a pooled feature map, in positions
STRENGTHS = (1e-4, 1e-3, 1e-2)


class Probe(NamedTuple):
    """Result of a linear probe.

    Attributes:
      accuracy: share of test points that are classified correctly, with its binomial
        standard error.
      strength: value of C that was best on held-out training points.
    """

    accuracy: estimate.Estimate
    strength: float


class _Call(NamedTuple):
    """The inputs and outputs of a layer."""

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

    Radford et al. 2015 (arXiv 1511.06434), section 5.1, join the activations of all
    convolutions, each max-pooled to 4x4 and flattened. The activation of a layer is
    what the next layer gets, after normalisation and nonlinearity;
    `capture_intermediates` does not see it, since nonlinearities are not modules. The
    convolution to the logit is left out. A map whose side is not a multiple of 4 is
    pooled over windows that overlap by a pixel, and a smaller map is kept. The hidden
    dense layers are used if a discriminator has no convolutions.

    Args:
      discriminator: discriminator's module, which is called with train=False.
      variables: discriminator's `params` and `batch_stats`.
      images: (N, H, W, C) uint8.
      labels: (N,) integers for a conditional discriminator. None passes zeros, so that
        the features do not depend on the true class.
      batch_size: number of images at once; the result does not depend on it.

    Raises:
      ValueError: there are no images, or the number of labels differs from the number
        of images.
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
        # The last batch repeats its last image, so that all batches have one shape.
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

        mean_i [argmax_k (w_k.x_i + b_k) = label_i]
        w_k, b_k minimise |w|^2 / 2 + C sum_n max(0, 1 - y_n (w.x_n + b))^2

    In the sum y_n is 1 for training points of class k and -1 for the others.

    Radford et al. 2015 (arXiv 1511.06434), sections 5.1 and 5.2: a classifier for each
    class, with squared hinge loss and L2 penalty. The strength C is the candidate with
    the best accuracy on a random fifth of the training points, or on several fifths
    held out in turn; the smallest one if accuracies are equal. The classifier is then
    fitted to all training points. Features are standardised by the mean and deviation
    of the points that the classifier is fitted to.

    The problem is solved in the dual, to a tolerance of 1e-3. For 4,000 points of 3,072
    features, coordinate descent took a sixth of the time of the primal solver and gave
    the same accuracy.

    Args:
      train_features: (N, F) features of five or more training points.
      train_labels: (N,) integers.
      test_features: (M, F) features of the test points.
      test_labels: (M,) integers.
      strengths: candidates for C, the weight of the loss relative to the penalty.
      max_iterations: largest number of the solver's iterations.
      folds: number of fifths that are held out in turn; 5 is cross-validation, which
        few points need.
      seed: seed of the division into fifths.

    Raises:
      ValueError: the arrays do not fit each other, there are fewer than five training
        points or two classes or no strengths, or the solver has not converged.
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
    """Indices of about `count` different examples, equally many of each class.

    For the same seed, a smaller subset is part of every larger subset. A count that is
    not a multiple of num_classes is rounded down.

    Args:
      labels: (N,) integers in [0, num_classes).
      count: number of examples.
      num_classes: K, number of classes.
      seed: seed of the choice.

    Raises:
      ValueError: the count asks for less than one example of each class, or for more
        than there are.
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
    """The calls of the convolutions in order, or of dense layers if there are none."""
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
    """The activations of the layers before the logit, the finest first."""
    hidden = []
    for number, call in enumerate(calls):
        if math.prod(call.outputs.shape[1:-1]) == 1 and call.outputs.ndim == 4:
            continue  # this convolution takes the whole map to the logit or to classes
        if number + 1 < len(calls):
            hidden.append(calls[number + 1].inputs)
        elif call.outputs.ndim == 4:
            hidden.append(call.outputs)  # a dense layer follows: this map is the last
    return hidden


def _pool(x: jax.Array) -> jax.Array:
    """Max-pools maps (B, h, w, C) to at most 4x4 positions; other arrays stay."""
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
    """A function from features to predicted labels."""
    # This import takes a second, and training does not need it.
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
