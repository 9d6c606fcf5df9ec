"""Extractors by name, and features of real images kept for the next time."""

import numpy as np
import pytest

from gan_jax.evaluation import classifier, features

IMAGES = np.random.default_rng(0).integers(0, 256, (1_200, 4, 4, 1), np.uint8)


def counting(digest="a"):
    calls = []

    def extract(images):
        calls.append(len(images))
        values = images.reshape(len(images), -1).astype(np.float32)
        return features.Features(values, values[:, :2])

    return features.Extractor("counting", digest, extract), calls


def test_batches_are_joined_in_order():
    extractor, calls = counting()
    found = features.extract(extractor, IMAGES)
    assert calls == [500, 500, 200]
    np.testing.assert_array_equal(found.values, IMAGES.reshape(1_200, -1))
    np.testing.assert_array_equal(found.probabilities, found.values[:, :2])


def test_pixels_lie_between_0_and_1():
    images = np.array([0, 255, 51, 102], np.uint8).reshape(1, 2, 2, 1)
    found = features.create("pixels").extract(images)
    np.testing.assert_allclose(found.values, [[0, 1, 0.2, 0.4]], rtol=1e-6, atol=0)
    assert found.probabilities is None


def test_features_are_taken_once(tmp_path):
    extractor, calls = counting()
    first = features.extract_once(extractor, IMAGES, tmp_path)
    again = features.extract_once(extractor, IMAGES, tmp_path)
    assert len(calls) == 3
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_images_or_weights_are_taken_anew(tmp_path):
    extractor, calls = counting()
    features.extract_once(extractor, IMAGES[:10], tmp_path)
    changed = IMAGES[:10].copy()
    changed[9, 3, 3, 0] ^= 1
    features.extract_once(extractor, changed, tmp_path)
    assert len(calls) == 2
    other, other_calls = counting(digest="b")
    features.extract_once(other, changed, tmp_path)
    assert len(other_calls) == 1


def test_a_damaged_file_is_made_anew(tmp_path, caplog):
    extractor, calls = counting()
    features.extract_once(extractor, IMAGES[:10], tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:50])
    found = features.extract_once(extractor, IMAGES[:10], tmp_path)
    assert len(calls) == 2 and len(found.values) == 10
    assert "cannot be read" in caplog.text
    features.extract_once(extractor, IMAGES[:10], tmp_path)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "name, weights, message",
    [
        ("vgg", "", "extractor is 'vgg', but must be one of pixels, mnist"),
        ("mnist", "a.npz", "'mnist' takes no weights, not a.npz: leave out"),
        ("classifier", "", "'classifier' needs a weights file: give --weights"),
    ],
)
def test_an_extractor_that_cannot_be_is_refused(name, weights, message):
    with pytest.raises(ValueError, match=message):
        features.create(name, weights)


def test_other_weights_than_the_shipped_are_not_called_so(tmp_path, monkeypatch):
    weights = classifier.load(classifier.MNIST_WEIGHTS)
    path = tmp_path / "mnist_classifier.npz"
    classifier.save(path, weights._replace(facts={}))
    monkeypatch.setattr(classifier, "MNIST_WEIGHTS", path)
    with pytest.raises(ValueError, match="sha256 .*, but the shipped file has d5719"):
        features.create("mnist")
    assert features.create("classifier", str(path)).name == "classifier"
