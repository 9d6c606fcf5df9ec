"""Probe: which activations are taken, how they are pooled, and the linear SVM."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from gan_jax.evaluation import probe, suite
from gan_jax.models import convolution, dcgan, keras_dcgan, mlp, pacgan, resnet

SIZE = 28


def images(count=3, size=SIZE):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 1), np.uint8)


def fill(module, size=SIZE):
    """Variables drawn by numpy, running statistics too: positive where they must be."""
    inputs = jnp.zeros((2, size, size, 1))
    create = functools.partial(module.init, train=False)
    shapes = jax.eval_shape(create, jax.random.key(0), inputs, jnp.zeros(2, int))
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        values = rng.normal(0, 0.3, leaf.shape)
        name = path[-1].key.rpartition("/")[2]
        positive = name in ("var", "scale", "sigma")
        return jnp.asarray(np.abs(values) + 0.5 if positive else values, leaf.dtype)

    variables = {name: shapes[name] for name in shapes if name != "losses"}
    return jax.tree_util.tree_map_with_path(draw, variables)


def numpy(tree):
    return jax.tree.map(np.asarray, tree)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def conv(x, layer, stride):
    """The layer's own convolution, which test_convolution.py holds to a reference."""
    strides = (stride, stride)
    result = convolution.convolve(
        jnp.float32(x), layer["kernel"], strides=strides, implementation="lax"
    )
    return np.asarray(result) + layer.get("bias", np.zeros(1))


def slow_pool(x):
    """Maxima over 4x4 cells, which share the pixels that a boundary cuts."""
    (b, h, w, _), cells = x.shape, []
    for i in range(min(h, 4)):
        for j in range(min(w, 4)):
            rows = [r for r in range(h) if r + 1 > i * h / 4 and r < (i + 1) * h / 4]
            columns = [r for r in range(w) if r + 1 > j * w / 4 and r < (j + 1) * w / 4]
            cells.append(x[:, rows][:, :, columns].max((1, 2)))
    return np.stack(cells, 1).reshape(b, -1)


def test_dcgan_features_are_the_pooled_activations_after_norm_and_leaky_relu():
    module = dcgan.Discriminator(features=4, convolution="lax")
    variables = fill(module)
    params, stats = numpy(variables["params"]), numpy(variables["batch_stats"])
    x = images() / 127.5 - 1
    first = leaky(conv(x, params["from_image"], 2))  # 14x14
    second = conv(first, params["down1"], 2)  # 7x7
    second = (second - stats["down1_norm"]["mean"]) / np.sqrt(
        stats["down1_norm"]["var"] + 1e-5
    )
    norm = params["down1_norm"]
    second = leaky(second * norm["scale"] + norm["bias"])
    expected = np.concatenate([slow_pool(first), slow_pool(second)], axis=1)
    features = probe.discriminator_features(module, variables, images())
    assert features.dtype == np.float32
    assert features.shape == (3, 16 * 4 + 16 * 8)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def test_keras_dcgan_features_end_with_its_last_map():
    # 28 -> 14 -> 7 -> 4 -> 4 pixels; the last map meets no LeakyReLU.
    module = keras_dcgan.Discriminator(features=(2, 3, 4, 5), convolution="lax")
    variables = numpy(fill(module))
    x, expected = images() / 255, []
    for level in range(4):
        stride = 1 if level == 3 else 2
        x = conv(leaky(x), variables["params"][f"down{level}"], stride)
        expected.append(slow_pool(x if level == 3 else leaky(x)))
    features = probe.discriminator_features(module, variables, images())
    assert features.shape == (3, 16 * (2 + 3 + 4 + 5))
    np.testing.assert_allclose(
        features, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-4
    )


def dense_inputs(module, variables, images):
    """What the dense layers get, in order."""
    seen = []

    def watch(function, args, kwargs, context):
        is_dense = isinstance(context.module, nn.Dense)
        if is_dense and context.method_name == "__call__":
            seen.append(args[0])
        return function(*args, **kwargs)

    with nn.intercept_methods(watch):
        module.apply(variables, images / 127.5 - 1, train=False)
    return seen


def test_pacgan_features_end_with_what_its_dense_layer_gets():
    module = pacgan.Discriminator(features=2, convolution="lax")
    variables = fill(module)
    # A map of 2x2 positions after BatchNorm and LeakyReLU, flattened.
    (last,) = dense_inputs(module, variables, images())
    features = probe.discriminator_features(module, variables, images())
    assert features.shape == (3, 16 * (2 + 4 + 8) + 4 * 16)
    np.testing.assert_allclose(features[:, -4 * 16 :], last, rtol=1e-4, atol=1e-4)


def test_resnet_features_are_no_pixels_and_end_with_the_pooled_map():
    module = resnet.Discriminator(
        image_size=32, features=(2, 3, 4, 5), convolution="lax"
    )
    variables, x = fill(module, 32), images(size=32)
    (last,) = dense_inputs(module, variables, x)
    features = probe.discriminator_features(module, variables, x)
    np.testing.assert_allclose(features[:, -5:], last, rtol=1e-4, atol=1e-4)
    pixels = slow_pool(x / 127.5 - 1)
    assert not np.allclose(features[:, :16], pixels, rtol=0, atol=1e-3)


@pytest.mark.parametrize("activation", ["leaky_relu", "maxout"])
def test_mlp_features_are_the_hidden_layers_outputs(activation):
    module = mlp.Discriminator(
        features=(5, 4), activation=activation, pieces=3, hidden_dropout=0.5
    )
    variables = numpy(fill(module))
    x, expected = images().reshape(3, -1) / 127.5 - 1, []
    for level, width in enumerate((5, 4)):
        layer = variables["params"][f"hidden{level}"]
        x = x @ layer["kernel"] + layer["bias"]
        # A maxout unit has three columns, `width` apart.
        x = x.reshape(3, 3, width).max(1) if activation == "maxout" else leaky(x)
        expected.append(x)
    np.testing.assert_allclose(
        probe.discriminator_features(module, variables, images()),
        np.concatenate(expected, axis=1),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "layer"},
        {"condition": "auxiliary"},
        {"condition": "projection"},
        {"condition": "onehot"},
        {"condition": "embedding"},
        {"norm": "spectral", "condition": "auxiliary"},
        {"downsampling": "max_pool", "norm_ends": True},
        {"downsampling": "average_pool", "hidden_dense": 5},
    ],
)
def test_every_dcgan_has_the_features_of_its_two_hidden_maps(options):
    module = dcgan.Discriminator(features=2, convolution="lax", **options)
    features = probe.discriminator_features(module, fill(module), images())
    assert features.shape == (3, 16 * 2 + 16 * 4)
    assert np.all(np.isfinite(features))


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_spectral_features_equal_those_of_the_divided_kernels():
    # Flax's layer takes one power iteration from the stored vector at each call.
    spectral = dcgan.Discriminator(features=2, norm="spectral", convolution="lax")
    variables = fill(spectral)
    params = numpy(variables["params"])
    for name, layer in params.items():
        stored = variables["batch_stats"][f"{name}_spectral"][f"{name}/kernel/u"]
        matrix = layer["kernel"].reshape(-1, layer["kernel"].shape[-1])
        left = unit(np.asarray(stored) @ matrix.T)
        layer["kernel"] = layer["kernel"] / np.linalg.norm(left @ matrix)
    plain = dcgan.Discriminator(features=2, norm="none", convolution="lax")
    np.testing.assert_allclose(
        probe.discriminator_features(spectral, variables, images()),
        probe.discriminator_features(plain, {"params": params}, images()),
        rtol=1e-4,
        atol=1e-4,
    )


def test_labels_reach_a_conditional_discriminator_and_default_to_zero():
    module = dcgan.Discriminator(features=2, condition="onehot", convolution="lax")
    variables = fill(module)
    features = [
        probe.discriminator_features(module, variables, images(), labels)
        for labels in (None, np.zeros(3, np.int64), np.array([0, 0, 1]))
    ]
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0][:2], features[2][:2])
    assert np.any(features[0][2] != features[2][2])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_features_do_not_depend_on_the_batch(batch_size):
    module = dcgan.Discriminator(features=2, convolution="lax")
    variables = fill(module)
    whole = probe.discriminator_features(module, variables, images())
    parts = probe.discriminator_features(
        module, variables, images(), batch_size=batch_size
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)


def test_real_statistics_are_means_over_batches_that_normalise_themselves():
    module = dcgan.Discriminator(features=2, norm_ends=True, convolution="lax")
    variables = fill(module)
    params, expected = numpy(variables["params"]), []
    for batch in (images(7)[:3], images(7)[3:6]):  # the seventh fills no batch
        x, found = batch / 127.5 - 1, {}
        for name in ("from_image", "down1"):
            x, norm = conv(x, params[name], 2), params[f"{name}_norm"]
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            found[f"{name}_norm"] = {"mean": mean, "var": var}
            x = leaky((x - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"])
        expected.append(found)
    result = probe.with_real_statistics(module, variables, images(7), batch_size=3)
    jax.tree.map(
        lambda x, a, b: np.testing.assert_allclose(x, (a + b) / 2, 1e-4, 1e-4),
        result["batch_stats"],
        *expected,
    )
    assert result["params"] is variables["params"]


def test_fewer_images_than_a_batch_are_a_batch():
    module = dcgan.Discriminator(features=2, convolution="lax")
    variables = fill(module)
    small, whole = (
        probe.with_real_statistics(module, variables, images(5), batch_size=size)
        for size in (5, 128)
    )
    jax.tree.map(np.testing.assert_array_equal, small, whole)


def test_without_batch_norm_the_variables_stay():
    module = dcgan.Discriminator(features=2, norm="spectral", convolution="lax")
    variables = fill(module)
    assert probe.with_real_statistics(module, variables, images()) is variables


def test_real_statistics_drop_nothing():
    class Dropping(nn.Module):
        @nn.compact
        def __call__(self, images, labels, *, train):
            x = nn.Dropout(0.5, deterministic=not train)(images)
            x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
            return x.mean((1, 2, 3))

    module = Dropping()
    result = probe.with_real_statistics(module, fill(module), images())
    pixels = images() / 127.5 - 1
    norm = result["batch_stats"]["norm"]
    np.testing.assert_allclose(norm["mean"], [pixels.mean()], rtol=0, atol=1e-5)
    np.testing.assert_allclose(norm["var"], [pixels.var()], rtol=1e-5, atol=0)


@pytest.mark.parametrize("side", [1, 4, 5, 14])
def test_pooling_keeps_at_most_four_positions_a_side(side):
    x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    pooled = np.asarray(jax.jit(probe._pool)(x))
    assert pooled.shape == (2, min(side, 4), min(side, 4), 3)
    expected = x.reshape(2, -1) if side <= 4 else slow_pool(x)
    np.testing.assert_array_equal(pooled.reshape(2, -1), expected)


def blobs(count, spread, seed):
    """Points of three classes around three centres."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    centres = np.array([[0, 0], [4, 0], [0, 4]])[labels]
    features = centres + rng.normal(0, spread, (count, 2)) + 7
    return probe.Points(features.astype(np.float32), labels)


def test_separate_classes_are_found():
    points = blobs(60, 0.3, 1)
    result = probe.linear_probe([blobs(90, 0.3, 0)], validation=points, test=points)
    assert result.accuracy == (1, 0)


def test_labels_without_relation_are_guessed():
    # 1/3 of 900 within 5 standard errors, 0.0157; the estimate gives that error.
    labelled, test = blobs(300, 0.3, 0), blobs(900, 0.3, 1)
    labelled = labelled._replace(labels=np.random.default_rng(2).permutation(300) % 3)
    test = test._replace(labels=np.random.default_rng(3).permutation(900) % 3)
    result = probe.linear_probe([labelled], validation=test, test=test)
    np.testing.assert_allclose(result.accuracy.value, 1 / 3, rtol=0, atol=0.08)
    np.testing.assert_allclose(result.accuracy.standard_error, 0.0157, rtol=0.1, atol=0)


@pytest.mark.parametrize("width", [2, 100])
def test_classifier_minimises_the_squared_hinge_on_features_of_unit_length(width):
    # liblinear: ||(w, b)||^2 / 2 + C sum max(0, 1 - y (w x + b))^2, minimised here by
    # another solver; both then decide 500 points alike. With 100 features for 60 or so
    # points the dual problem is solved, otherwise the primal one.
    features, labels = blobs(80, 2.5, 0)
    keep = labels < 2
    turn = np.random.default_rng(1).normal(size=(2, width))
    features, labels = features[keep] @ turn, labels[keep]
    points = blobs(500, 2.5, 1).features @ turn
    length = np.sqrt(np.mean([x @ x for x in features]))
    signs = 2 * labels - 1

    def objective(w):
        slack = np.maximum(0, 1 - signs * (features @ w[:-1] / length + w[-1]))
        return np.sum(w**2) / 2 + 2 * np.sum(slack**2)

    w = optimize.minimize(objective, np.zeros(width + 1), tol=1e-8).x
    scores = points @ w[:-1] / length + w[-1]
    predicted = probe._fit(features, labels, 2.0, 1000)(points)
    clear = np.abs(scores) > 1e-2
    assert np.mean(clear) > 0.9
    np.testing.assert_array_equal(predicted[clear], scores[clear] > 0)


def test_the_unit_of_the_features_does_not_matter():
    labelled, points = blobs(60, 3, 0), blobs(300, 3, 1)
    small, large = (
        probe._fit(labelled.features * unit, labelled.labels, 3.0, 10_000)
        for unit in (2.0**-10, 2.0**10)
    )
    found = small(points.features * 2.0**-10)
    assert len(set(found)) == 3
    np.testing.assert_array_equal(found, large(points.features * 2.0**10))


def weak(count, seed):
    """Points of two classes: 59 features of noise and one weak feature."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=count)
    features = rng.normal(size=(count, 60)).astype(np.float32)
    features[:, 0] += labels
    return probe.Points(features, labels)


def test_validation_points_choose_the_strength_and_test_points_are_averaged():
    subsets = [weak(60, seed) for seed in (10, 11, 12)]
    validation, test = weak(200, 13), weak(150, 14)
    strengths = (0.01, 0.3, 3, 30)
    shares = {
        part: [
            [
                np.mean(
                    probe._fit(*subset, c, 10_000)(points.features) == points.labels
                )
                for subset in subsets
            ]
            for c in strengths
        ]
        for part, points in (("validation", validation), ("test", test))
    }
    best = int(np.argmax(np.mean(shares["validation"], axis=1)))
    assert best != np.argmax(np.mean(shares["test"], axis=1))
    result = probe.linear_probe(
        iter(subsets), validation=validation, test=test, strengths=strengths[::-1]
    )
    assert result.strength == strengths[best]
    expected = shares["test"][best]
    np.testing.assert_allclose(result.accuracy.value, np.mean(expected), rtol=1e-9)
    error = np.std(expected, ddof=1) / 3**0.5
    np.testing.assert_allclose(result.accuracy.standard_error, error, rtol=1e-9)


def test_the_smallest_of_equal_strengths_is_chosen():
    points = blobs(60, 0.1, 0)
    result = probe.linear_probe(
        [points], validation=points, test=points, strengths=(30, 3, 10)
    )
    assert result.strength == 3


def test_features_that_are_all_zero_are_no_obstacle():
    points = blobs(60, 0.3, 0)
    points = points._replace(features=points.features * 0)
    result = probe.linear_probe([points], validation=points, test=points)
    share = np.max(np.bincount(points.labels)) / 60
    np.testing.assert_allclose(result.accuracy.value, share, rtol=1e-9)


def test_solver_that_stops_early_is_refused():
    points = blobs(60, 3, 0)
    with pytest.raises(
        ValueError, match="strength 100 has not .* after 1 .* raise max"
    ):
        probe.linear_probe(
            [points], validation=points, test=points, strengths=(100,), max_iterations=1
        )


def test_unpaired_images_and_labels_are_refused():
    module = dcgan.Discriminator(features=2, convolution="lax")
    with pytest.raises(ValueError, match=r"\(3, 28, .*labels \(2,\).* give \(N,\)"):
        probe.discriminator_features(module, {}, images(), np.zeros(2, int))
    with pytest.raises(ValueError, match=r"images are \(0, 28.*N > 0 images"):
        probe.discriminator_features(module, {}, images(0))


@pytest.mark.parametrize(
    "shapes, name",
    [
        (((9, 2), (8,), (3, 2), (3,), (3, 2), (3,)), "labelled"),
        (((0, 2), (0,), (3, 2), (3,), (3, 2), (3,)), "labelled"),
        (((9, 2), (9,), (3, 3), (3,), (3, 2), (3,)), "validation"),
        (((9, 2), (9,), (0, 2), (0,), (3, 2), (3,)), "validation"),
        (((9, 2), (9,), (3, 2), (3,), (3, 3), (3,)), "test"),
        (((9, 2), (9,), (3, 2), (3,), (0, 2), (0,)), "test"),
    ],
)
def test_unfit_points_are_refused(shapes, name):
    arrays = [np.zeros(shape) for shape in shapes]
    labelled, validation, test = map(probe.Points, arrays[::2], arrays[1::2])
    with pytest.raises(ValueError, match=f"{name} features are .*allowed.* give more"):
        probe.linear_probe([labelled], validation=validation, test=test)


def test_a_single_class_is_refused():
    points = blobs(20, 1, 0)
    labelled = points._replace(labels=points.labels * 0)
    with pytest.raises(ValueError, match="all 20 labels are 0.*at least two"):
        probe.linear_probe([labelled], validation=points, test=points)


@pytest.mark.parametrize("subsets, strengths", [(0, 1), (1, 0)])
def test_no_subsets_and_no_strengths_are_refused(subsets, strengths):
    points = blobs(20, 1, 0)
    message = f"{subsets} labelled subsets and {strengths} strengths.* give one or more"
    with pytest.raises(ValueError, match=message):
        probe.linear_probe(
            [points] * subsets,
            validation=points,
            test=points,
            strengths=(1.0,) * strengths,
        )


def test_label_subsets_are_nested_and_have_equally_many_of_each_class():
    labels = np.random.default_rng(0).integers(3, size=300)
    draw = functools.partial(probe.label_subset, labels, num_classes=3)
    small, large, other = draw(31, seed=0), draw(90, seed=0), draw(90, seed=1)
    np.testing.assert_array_equal(np.bincount(labels[small]), [10] * 3)  # 31 // 3
    np.testing.assert_array_equal(np.bincount(labels[large]), [30] * 3)
    assert set(small) < set(large) != set(other)
    assert len(set(large)) == 90


@pytest.mark.parametrize("count", [2, 30])
def test_more_labels_than_there_are_or_too_few_are_refused(count):
    labels = np.repeat([0, 1, 2], [20, 9, 20])
    message = (
        rf"{count} labelled .* are {count // 3} of each of 3 .*least 1 .*of the 49 .*"
        "only 9: leave label_efficiency out .*data.split"
    )
    with pytest.raises(ValueError, match=message):
        probe.label_subset(labels, count, num_classes=3, seed=0)


def two_pixels(labels, shown):
    """Images (N, 1, 2, 1): the label that is shown, and noise beside it."""
    noise = np.random.default_rng(len(labels)).integers(0, 256, len(labels))
    return np.uint8(np.stack([255 * shown, noise], 1)).reshape(-1, 1, 2, 1)


def discriminate(images):
    left = images[:, 0, 0, 0]
    shown, is_marked = left > 127, np.isin(left, (1, 254))
    return np.float32(shown ^ is_marked)[:, None]


def made_up_sets(count):
    # The left pixel shows the class, but the wrong one in 100 of 400 test images. The
    # made-up discriminator is told by the marks 254 and 1 that these are wrong.
    labels, test_labels = np.arange(count) % 2, np.arange(400) % 2
    wrong = np.arange(400) < 100
    test = two_pixels(test_labels, test_labels ^ wrong)
    test[:, 0, 0, 0] ^= np.uint8(wrong)
    real = suite.Images(test, test_labels, test, None)
    training = two_pixels(labels, labels)
    return suite.Sets(
        real=real,
        fake=real,
        training=training,
        training_labels=labels,
        validation=lambda: training,
        num_classes=2,
        discriminate=discriminate,
        mixture=None,
        seed=0,
    )


def test_label_efficiency_finds_what_features_show_and_pixels_do_not():
    metric = suite.METRICS["label_efficiency"]
    found = dict(zip(metric.numbers, metric.compute(made_up_sets(12_400)), strict=True))
    # Pixels: 300 of 400 right; for one subset to sqrt(0.75 * 0.25 / 400), and equally
    # many for each of several.
    for count, error in ((100, 0), (1_000, 0), (10_000, 0.02165)):
        assert found[f"probe_{count}"] == (1, 0)
        np.testing.assert_allclose(
            found[f"pixels_{count}"], [0.75, error], rtol=1e-3, atol=1e-9
        )


def test_linear_probe_takes_training_images_in_any_order():
    sets = made_up_sets(600)
    order = np.argsort(sets.training_labels, kind="stable")
    sets = sets._replace(
        training=sets.training[order], training_labels=sets.training_labels[order]
    )
    (found,) = suite.METRICS["linear_probe"].compute(sets)
    assert found == (1, 0)


def numbered(count):
    """Sets whose images are their numbers as points, with the calls for features."""
    sets, calls = made_up_sets(12), []
    labels = np.arange(count) % 2

    def discriminate(points):
        calls.append(points[:, 0, 0, 0].astype(int))
        return np.float32(points[:, 0, 0] % 2)

    real = sets.real._replace(
        images=-np.ones((4, 1, 1, 1), np.float32), labels=np.ones(4, int)
    )
    return sets._replace(
        real=real,
        training=np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1),
        training_labels=labels,
        discriminate=discriminate,
    ), calls


@pytest.mark.parametrize("count, choosing", [(12_600, 2_100), (72_000, 10_000)])
def test_each_probe_has_subsets_of_its_own_and_none_of_the_choosing_images(
    count, choosing
):
    sets, calls = numbered(count)
    list(suite.METRICS["label_efficiency"].compute(sets))
    validation, test, *subsets = calls
    sizes = [100] * 10 + [1_000] * 10 + [10_000]
    assert list(map(len, calls)) == [choosing, 4, *sizes]
    assert np.all(test == -1)
    assert len(set(validation)) == choosing
    assert len({frozenset(subset) for subset in subsets}) == 21
    for subset in subsets:
        assert set(subset).isdisjoint(validation)
        assert np.sum(subset % 2) == len(set(subset)) / 2 == len(subset) / 2


def test_label_efficiency_refuses_a_training_set_of_fewer_labels():
    metric = suite.METRICS["label_efficiency"]
    with pytest.raises(ValueError, match="10000 labelled .* 5000 of each .* only 49"):
        list(metric.compute(made_up_sets(11_990)))
