"""The classifier: shipped weights, training, prediction, file format, augmentation."""

import gzip
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data import raw_files
from gan_jax.evaluation import classifier, classifier_training

pytestmark = pytest.mark.slow

SHAPE = (8, 8, 1)


def toy(num, seed=0):
    """Images 8x8x1 of noise, the upper (label 0) or lower half (label 1) brighter."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 128, (num, *SHAPE), np.uint8)
    labels = np.arange(num) % 2
    images[labels == 0, :4] += 120
    images[labels == 1, 4:] += 120
    return images, labels


def fit_toy(seed):
    return classifier_training.fit(
        *toy(64), num_classes=2, steps=40, batch_size=16, seed=seed
    )


@pytest.fixture(scope="module")
def trained():
    return fit_toy(seed=0)


def read_mnist_test():
    """The idx files of the test set: 16 and 8 bytes of header, then the bytes."""
    folder = raw_files.default_folder("mnist", None)
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.reshape(-1, 28, 28, 1), labels.astype(np.int32)


def test_shipped_weights_read_the_mnist_test_images():
    images, labels = read_mnist_test()
    weights = classifier.load(classifier.MNIST_WEIGHTS)
    found = classifier.accuracy(weights, images, labels)
    assert len(images) == 10_000 and found >= 0.994
    # Another backend may round a rare image to the other side.
    np.testing.assert_allclose(found, weights.facts["test_accuracy"], rtol=0, atol=5e-4)


def test_shipped_weights_are_small():
    assert classifier.MNIST_WEIGHTS.stat().st_size < 1_000_000


@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3), (33, 20, 3), (3, 3, 1)])
def test_features_and_logits_have_their_shapes(shape):
    module = classifier.Classifier(num_classes=5, num_features=7, width=8)
    images = jnp.zeros((2, *shape))

    def run():
        return module.init_with_output(jax.random.key(0), images, train=False)[0]

    features, logits = jax.eval_shape(run)
    assert features.shape == (2, 7) and logits.shape == (2, 5)
    assert features.dtype == logits.dtype == jnp.float32


def test_a_separable_toy_is_learned_in_few_steps(trained):
    assert classifier.accuracy(trained, *toy(200, seed=1)) == 1.0


def test_equal_seeds_give_equal_weights_and_others_do_not(trained):
    again, other = (fit_toy(seed) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, trained.variables, again.variables)
    kernels = [w.variables["params"]["dense"]["kernel"] for w in (trained, other)]
    assert np.all(kernels[0] != kernels[1])


def test_training_moves_parameters_and_statistics(trained):
    key, _ = jax.random.split(jax.random.key(0))
    before = jax.tree.map(np.asarray, classifier.init(2, SHAPE, key))
    moved = jax.tree.map(lambda a, b: np.any(a != b), before, trained.variables)
    assert all(jax.tree.leaves(moved))


def test_every_image_comes_once_before_any_comes_again():
    batches = classifier_training._batches(num_images=5, batch_size=3, seed=0)
    rows = np.concatenate([next(batches) for _ in range(10)]).reshape(6, 5)
    np.testing.assert_array_equal(np.sort(rows), np.tile(np.arange(5), (6, 1)))
    assert len(np.unique(rows, axis=0)) > 1


def test_predictions_do_not_depend_on_the_batch_size(trained):
    images, _ = toy(10)
    features, probabilities = classifier.predict(trained, images, batch_size=10)
    assert features.shape == (10, 64) and features.dtype == np.float32
    assert probabilities.shape == (10, 2) and probabilities.dtype == np.float32
    for batch_size in (1, 3, 64):
        again = classifier.predict(trained, images, batch_size=batch_size)
        np.testing.assert_allclose(again[0], features, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(again[1], probabilities, rtol=1e-4, atol=1e-6)


def test_prediction_compiles_once_for_all_batches(trained):
    images, _ = toy(11)
    before = classifier._predict_batch._cache_size()
    classifier.predict(trained, images, batch_size=5)
    classifier.predict(trained, images[:2], batch_size=5)
    assert classifier._predict_batch._cache_size() == before + 1


def test_probabilities_are_the_softmax_of_the_logits_of_the_features(trained):
    features, probabilities = classifier.predict(trained, toy(6)[0])
    layer = trained.variables["params"]["logits"]
    logits = np.float64(features) @ layer["kernel"] + layer["bias"][None]
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
    assert np.all(features >= 0)


def test_accuracy_is_the_share_of_right_labels(trained):
    images, labels = toy(8)
    labels[:2] = 1 - labels[:2]  # two of eight are wrong now
    assert classifier.accuracy(trained, images, labels) == 0.75


def test_saved_weights_come_back_with_their_facts(trained, tmp_path):
    path = tmp_path / "a.npz"
    weights = trained._replace(facts={**trained.facts, "test_accuracy": 0.5})
    classifier.save(path, weights)
    loaded = classifier.load(path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, weights.variables)
    assert loaded.image_shape == SHAPE and loaded.num_classes == 2
    assert loaded.facts == weights.facts
    assert loaded.facts["steps"] == 40 and loaded.facts["versions"]["jax"]


def test_equal_weights_give_equal_files_at_any_time(trained, tmp_path, monkeypatch):
    classifier.save(tmp_path / "a.npz", trained)
    monkeypatch.setattr("time.time", lambda: 2e9)
    classifier.save(tmp_path / "b.npz", trained)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_digest_is_the_sha256_of_the_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # the first example of FIPS 180-2
    assert classifier.digest(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none.npz cannot be read .*name another"):
        classifier.load(tmp_path / "none.npz")


def test_a_damaged_file_is_refused(trained, tmp_path):
    path = tmp_path / "a.npz"
    classifier.save(path, trained)
    content = path.read_bytes()
    middle = len(content) // 2
    changed = bytes([content[middle] ^ 255])
    for damaged in (
        content[:middle],
        content[:middle] + changed + content[middle + 1 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a.npz cannot be read .*train it again"):
            classifier.load(path)


@pytest.mark.parametrize(
    "facts",
    [
        *("{", "[]", "3", '{"num_classes": 2}'),
        '{"image_shape": [8], "num_classes": 2}',
        '{"image_shape": [8, 8, 0], "num_classes": 2}',
        '{"image_shape": [8, 8, 1], "num_classes": "x"}',
    ],
)
def test_a_file_with_other_facts_is_refused(facts, tmp_path):
    np.savez(tmp_path / "a.npz", facts=np.array(facts))
    with pytest.raises(ValueError, match=r"a.npz (cannot be read|has)"):
        classifier.load(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", ["text", "npy", "npz", "empty"])
def test_a_file_that_is_no_classifier_is_refused(kind, tmp_path):
    path = tmp_path / "a.npz"
    if kind in ("text", "empty"):
        path.write_text("hello" if kind == "text" else "")
    else:
        with open(path, "wb") as file:
            if kind == "npy":
                np.save(file, np.zeros(3))
            else:
                np.savez(file, images=np.zeros(3))
    with pytest.raises(ValueError, match="a.npz cannot be read .*train_classifier"):
        classifier.load(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"params/dense/kernel": None}, "params/dense/kernel absent instead of"),
        ({"params/more": np.zeros(2)}, r"params/more \(2,\) float64 instead of absent"),
        (
            {"batch_stats/norm/mean": np.zeros(3, np.float32)},
            r"batch_stats/norm/mean \(3,\) float32 instead of \(64,\) float32",
        ),
        (
            {"params/logits/bias": np.zeros(2)},
            r"params/logits/bias \(2,\) float64 instead of \(2,\) float32",
        ),
    ],
)
def test_a_file_of_other_arrays_is_refused(trained, tmp_path, change, message):
    path = tmp_path / "a.npz"
    classifier.save(path, trained)
    with np.load(path) as opened:
        arrays = {**opened, **change}
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    with pytest.raises(ValueError, match=message):
        classifier.load(path)


def test_facts_are_readable_without_this_package(trained, tmp_path):
    classifier.save(tmp_path / "a.npz", trained)
    with np.load(tmp_path / "a.npz") as opened:
        facts = json.loads(str(opened["facts"]))
    assert facts["image_shape"] == [8, 8, 1] and facts["seed"] == 0


@pytest.mark.parametrize("shape", [(2, 9, 8, 1), (2, 8, 8, 3)])
def test_images_of_another_shape_are_refused(trained, shape):
    with pytest.raises(ValueError, match=rf"\({shape[1]}, .* trained on \(8, 8, 1\)"):
        classifier.predict(trained, np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, *SHAPE), np.float32),
        np.zeros((0, *SHAPE), np.uint8),
        np.zeros(SHAPE, np.uint8),
    ],
)
def test_other_arrays_than_images_are_refused(trained, images):
    with pytest.raises(ValueError, match=r"must be \(N, H, W, C\) uint8"):
        classifier.predict(trained, images)


@pytest.mark.parametrize(
    "labels, message",
    [
        (
            np.zeros(3, int),
            r"labels are \(3,\) int64 for images \(4, .*one for each image",
        ),
        (np.zeros(4), "must be .* integers"),
        (np.array([0, 1, 2, 1]), "span 0 to 2, but num_classes is 2"),
        (np.array([0, -1, 1, 1]), "span -1 to 1, .*must be 0 to 1"),
        (np.ones(4, int), "have 1 class, but .* at least 2 apart"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        classifier_training.fit(toy(4)[0], labels, num_classes=2, steps=1)


def transform(images, angle=0.0, scale=1.0, shift=(0.0, 0.0)):
    b = len(images)
    return jax.jit(classifier_training.transform)(
        np.float32(images),
        angles=np.full(b, angle, np.float32),
        scales=np.full(b, scale, np.float32),
        shifts=np.tile(np.float32(shift), (b, 1)),
    )


def pictures(height=5, width=7):
    return np.random.default_rng(0).normal(size=(2, height, width, 3))


def test_no_angle_no_scale_and_no_shift_change_nothing():
    np.testing.assert_array_equal(transform(pictures()), np.float32(pictures()))


def test_a_shift_moves_down_and_right_and_repeats_the_edge():
    images = np.float32(pictures())
    rows, columns = np.maximum(np.arange(5) - 2, 0), np.maximum(np.arange(7) - 1, 0)
    expected = images[:, rows][:, :, columns]
    shifted = transform(images, shift=(2, 1))
    np.testing.assert_allclose(shifted, expected, rtol=0, atol=1e-6)


def test_half_a_pixel_of_shift_averages_neighbours():
    images = np.float32(pictures())
    shifted = transform(images, shift=(0.5, 0))
    expected = (images[:, 1:] + images[:, :-1]) / 2
    np.testing.assert_allclose(shifted[:, 1:], expected, rtol=0, atol=1e-6)


def test_a_quarter_turn_is_counterclockwise():
    images = np.float32(pictures(6, 6))
    turned = transform(images, angle=math.pi / 2)
    expected = np.rot90(images, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, rtol=0, atol=1e-5)


def test_scale_two_doubles_distances_from_the_centre():
    # Output pixel c + 2 k shows input pixel c + k: centre (2, 3), all within.
    images = np.float32(pictures())
    larger = transform(images, scale=2.0)
    np.testing.assert_allclose(
        larger[:, [0, 2, 4]][:, :, [1, 3, 5]],
        images[:, 1:4, 2:5],
        rtol=0,
        atol=1e-6,
    )


def test_augmentation_draws_for_each_image_within_its_limits(monkeypatch):
    seen = []
    monkeypatch.setattr(
        classifier_training,
        "transform",
        lambda images, **drawn: seen.append(drawn) or images,
    )

    @jax.jit
    def draw(key):
        classifier_training._augment(jnp.zeros((2000, 20, 10, 1)), key, False)
        return seen.pop()

    drawn = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    parts = [drawn["angles"], np.log(drawn["scales"]), *drawn["shifts"].T]
    # 2,000 uniform draws: their largest is within 1 % of the limit but for 1e-8.
    limits = (0.2, 0.1, 0.07 * 20, 0.07 * 10)
    for part, limit in zip(parts, limits, strict=True):
        np.testing.assert_allclose([part.min(), part.max()], [-limit, limit], rtol=0.01)
        assert len(np.unique(part)) > 1900
    correlations = np.corrcoef(parts) - np.eye(4)
    assert np.abs(correlations).max() < 0.11  # five standard errors of 1 / sqrt(2000)


def test_flip_mirrors_about_half_of_the_images(monkeypatch):
    monkeypatch.setattr(classifier_training, "transform", lambda images, **_: images)
    images = np.tile(np.float32([0, 1, 2]).reshape(1, 1, 3, 1), (400, 1, 1, 1))
    augment = jax.jit(classifier_training._augment, static_argnums=2)
    flipped = np.asarray(augment(images, jax.random.key(0), True))[:, 0, :, 0]
    mirrored = flipped[:, 0] == 2
    np.testing.assert_array_equal(flipped[mirrored], [[2, 1, 0]] * mirrored.sum())
    np.testing.assert_array_equal(flipped[~mirrored], [[0, 1, 2]] * (~mirrored).sum())
    assert 150 <= mirrored.sum() <= 250  # five standard errors of 10
    unchanged = augment(images, jax.random.key(0), False)
    np.testing.assert_array_equal(unchanged, images)


@pytest.mark.parametrize(
    "facts, message",
    [
        ('{"image_shape": [28, 28, Infinity], "num_classes": 10}', "28, inf"),
        ('{"image_shape": [28, 28, 1e30], "num_classes": 10}', "28, 1e\\+30"),
        ('{"image_shape": [9, 9, 1], "num_classes": 1%s}' % ("0" * 99), "classes"),
        ("[" * 100_000, "recursion"),
        ("x" * 2**19, "no text facts of at most 1,048,576 bytes"),
    ],
)
def test_hostile_facts_are_refused(facts, message, tmp_path):
    np.savez(tmp_path / "a.npz", facts=np.array(facts))
    with pytest.raises(ValueError, match=f"a.npz cannot be read .*{message}"):
        classifier.load(tmp_path / "a.npz")
