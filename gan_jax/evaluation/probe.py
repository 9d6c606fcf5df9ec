"""How well a discriminator's features separate classes: features and a linear probe."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import math
from typing import Any, NamedTuple
import warnings

from flax import traverse_util
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.evaluation import estimate
from gan_jax.models import convolution
from gan_jax.step import sampling

GRID = 4  # side of a pooled feature map, in positions
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)


class Points(NamedTuple):
    """Labelled points.

    Attributes:
      features: (N, F).
      labels: (N,) integers.
    """

    features: np.ndarray
    labels: np.ndarray


class Probe(NamedTuple):
    """Result of a linear probe.

    Attributes:
      accuracy: share of test points that are classified correctly, the mean over the
        labelled subsets with its standard error. With a single subset the error is the
        binomial one of the test points.
      strength: value of C that was best on the validation points.
    """

    accuracy: estimate.Estimate
    strength: float


class _Call(NamedTuple):
    """The inputs and outputs of a convolution or of a dense layer."""

    is_conv: bool
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
    convolution to the logit is left out. Where a dense layer follows the convolutions,
    what it gets is the activation of the last one, which is pooled if it is the whole
    map. A map whose side is not a multiple of 4 is pooled over windows that overlap by
    a pixel, and a smaller map is kept. The hidden dense layers are used if a
    discriminator has no convolutions.

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
        hidden = _activations(calls, images.shape)
        flat = [_pool(x).reshape(len(images), -1) for x in hidden]
        return jnp.concatenate(flat, axis=1).astype(jnp.float32)

    features = []
    batch_size = min(batch_size, len(images))
    for start in range(0, len(images), batch_size):
        # The last batch repeats its last image, so that all batches have one shape.
        indices = np.minimum(np.arange(start, start + batch_size), len(images) - 1)
        batch = extract(variables, images[indices], labels[indices].astype(np.int32))
        features.append(np.asarray(batch)[: len(images) - start])
    return np.concatenate(features)


def with_real_statistics(
    discriminator: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray,
    *,
    batch_size: int = 128,
) -> Mapping[str, Any]:
    """The variables, in which BatchNorm has the statistics of real images.

        mean_b mean(x_b),  mean_b var(x_b)

    Here x_b is what a BatchNorm layer gets in batch b, while all layers before it
    normalise by the statistics of the batch.

    This is how the code of Radford et al. 2015 infers the statistics before it takes
    features (github.com/Newmu/dcgan_code, svhn/svhn_semisup_analysis.py), with the same
    batch size. Training's running statistics would hold those of generated images too.
    A last batch that is not full is left out here.

    Args:
      discriminator: discriminator's module, which is called with train=True, but drops
        nothing.
      variables: discriminator's `params` and `batch_stats`.
      images: (N, H, W, C) uint8; a conditional discriminator gets zeros as labels.
      batch_size: number of images in a batch; fewer images are a single batch.
    """
    known = traverse_util.flatten_dict(variables.get("batch_stats", {}))
    if not any(path[-1] == "mean" for path in known):
        return variables

    @jax.jit
    def measure(
        variables: Mapping[str, Any], images: jax.Array
    ) -> dict[tuple[str, ...], jax.Array]:
        return _batch_statistics(discriminator, variables, sampling.to_float(images))

    batch_size = min(batch_size, len(images))
    starts = range(0, len(images) - batch_size + 1, batch_size)
    batches = [
        measure(variables, images[start : start + batch_size]) for start in starts
    ]
    means = jax.tree.map(lambda *x: jnp.mean(jnp.stack(x), axis=0), *batches)
    return {**variables, "batch_stats": traverse_util.unflatten_dict(known | means)}


def linear_probe(
    subsets: Iterable[Points],
    *,
    validation: Points,
    test: Points,
    strengths: Sequence[float] = STRENGTHS,
    max_iterations: int = 10_000,
) -> Probe:
    """Test accuracy of a linear L2-SVM, the mean over labelled subsets.

        mean_i [argmax_k (w_k.x_i + b_k) = label_i]
        w_k, b_k minimise (|w|^2 + b^2) / 2 + C sum_n max(0, 1 - y_n (w.x_n + b))^2

    In the sum y_n is 1 for labelled points of class k and -1 for the others.

    Radford et al. 2015 (arXiv 1511.06434), sections 5.1 and 5.2, and the authors' code
    (github.com/Newmu/dcgan_code, svhn/svhn_semisup_analysis.py): a classifier for each
    class, with squared hinge loss and L2 penalty. The strength C is the candidate with
    the best accuracy on validation points, averaged over the subsets; the smallest one
    if accuracies are equal.

    They choose C on 10 subsets and average the test accuracy over 100 others; here the
    same subsets do both. They try seven values of C from 1e-4 to 1e-2, which is too low
    a range for a narrow network. Here features are divided by the root of the subset's
    mean |x|^2, so that a value of C means the same for any network. Divided by that
    mean, it is the C of the undivided features, but for the penalty on b.

    The standard error is that of the mean over the subsets, all of which are tested on
    the same points; the authors quote 1.96 standard deviations. With a single subset it
    is the binomial one of the test points.

    Args:
      subsets: labelled points, to each of which a classifier is fitted.
      validation: points that choose C.
      test: points on which the accuracy is measured.
      strengths: candidates for C, the weight of the loss relative to the penalty.
      max_iterations: largest number of the solver's iterations.

    Raises:
      ValueError: there are no subsets or no strengths, the arrays do not fit each
        other, a subset has less than two classes, or the solver has not converged.
    """
    strengths = sorted(strengths)
    chosen: list[list[int]] = []  # right answers by subset and strength
    right: list[list[int]] = []
    for points in subsets:
        _check_points(points, validation, test)
        fits = [_fit(*points, strength, max_iterations) for strength in strengths]
        chosen.append([_count_right(predict, validation) for predict in fits])
        right.append([_count_right(predict, test) for predict in fits])
    if not right or not strengths:
        raise ValueError(
            f"there are {len(right)} labelled subsets and {len(strengths)} strengths, "
            "but the probe needs both: give one or more of each, strengths such as "
            f"{STRENGTHS}."
        )
    best = int(np.argmax(np.sum(chosen, axis=0)))
    accuracies = [row[best] / len(test.labels) for row in right]
    accuracy = estimate.mean_of(accuracies)
    if len(accuracies) == 1:
        variance = accuracy.value * (1 - accuracy.value) / len(test.labels)
        accuracy = accuracy._replace(standard_error=math.sqrt(variance))
    return Probe(accuracy, float(strengths[best]))


def label_subset(
    labels: np.ndarray, count: int, *, num_classes: int, seed: int | Sequence[int]
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
            f"least 1 of each is needed, and of the {len(labels)} training images "
            f"that choose no C one class has only {least}: leave label_efficiency "
            "out of --metrics, or train on a larger --config.data.split."
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
    """The calls of the convolutions and the dense layers, in order."""
    calls: list[_Call] = []

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
            calls.append(_Call(is_conv, args[0], outputs))
        return outputs

    with nn.intercept_methods(record):
        discriminator.apply(variables, images, labels, train=False)
    return calls


def _batch_statistics(
    discriminator: nn.Module, variables: Mapping[str, Any], images: jax.Array
) -> dict[tuple[str, ...], jax.Array]:
    """Mean and variance of what each BatchNorm gets, by their paths in batch_stats."""
    found = {}

    def record(
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        module = context.module
        if isinstance(module, nn.Dropout):
            return args[0]
        if isinstance(module, nn.BatchNorm) and context.method_name == "__call__":
            x = args[0].astype(jnp.float32)
            axes = tuple(range(x.ndim - 1))
            found[*module.path, "mean"] = jnp.mean(x, axes)
            found[*module.path, "var"] = jnp.var(x, axes)
        return function(*args, **kwargs)

    labels = jnp.zeros(len(images), jnp.int32)
    with nn.intercept_methods(record):
        discriminator.apply(
            variables, images, labels, train=True, mutable=["batch_stats"]
        )
    return found


def _activations(calls: list[_Call], image_shape: tuple[int, ...]) -> list[jax.Array]:
    """The activations of the layers before the logit, the finest first."""
    convs = [number for number, call in enumerate(calls) if call.is_conv]
    if not convs:
        return [call.inputs for call in calls[1:]]
    hidden = []
    for number, after in zip(convs, [*convs[1:], convs[-1] + 1], strict=True):
        shape = calls[number].outputs.shape
        if math.prod(shape[1:-1]) == 1:
            continue  # this convolution takes the whole map to the logit or to classes
        inputs = calls[after].inputs
        is_whole_map = inputs.size == math.prod(shape)  # flattened for a dense layer
        hidden.append(inputs.reshape(shape) if is_whole_map else inputs)
    # Beside a shortcut, the next convolution gets the images, which are no activation.
    return [x for x in hidden if x.shape != image_shape]


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
    from sklearn import exceptions, svm

    length = math.sqrt(np.mean(np.sum(np.square(features, dtype=np.float64), 1))) or 1.0
    # The dual problem has a variable for each point, the primal one for each feature.
    machine = svm.LinearSVC(
        C=strength, dual="auto", tol=1e-3, max_iter=max_iterations, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", exceptions.ConvergenceWarning)
        try:
            machine.fit(features / length, labels)
        except exceptions.ConvergenceWarning as warning:
            raise ValueError(
                f"the linear SVM of strength {strength:g} has not converged after "
                f"{max_iterations} iterations, so its accuracy is not the optimum's: "
                "leave out this strength or raise max_iterations."
            ) from warning
    return lambda points: machine.predict(points / length)


def _count_right(predict: Callable[[np.ndarray], np.ndarray], points: Points) -> int:
    return int(np.sum(predict(points.features) == points.labels))


def _check_points(labelled: Points, validation: Points, test: Points) -> None:
    for name, (features, labels) in (
        ("labelled", labelled),
        ("validation", validation),
        ("test", test),
    ):
        fits = features.ndim == 2 and features.shape[1:] == labelled.features.shape[1:]
        if not fits or labels.shape != features.shape[:1] or not len(labels):
            raise ValueError(
                f"{name} features are {features.shape} and labels {labels.shape}; "
                "allowed are (N, F) and (N,), the same F for all sets and at least "
                "one point: reshape them or give more."
            )
    if len(np.unique(labelled.labels)) < 2:
        raise ValueError(
            f"all {len(labelled.labels)} labels are {labelled.labels[0]}, but a probe "
            "separates classes: give points of at least two."
        )
