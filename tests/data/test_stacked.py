"""Stacked MNIST: channels are digits, labels their number, modes are counted."""

import numpy as np
import pytest

from configs import stacked_mnist
from gan_jax import data
from gan_jax.data import cache, stacked
from gan_jax.evaluation import features, suite


@pytest.fixture
def section(tmp_path, monkeypatch):
    """The data section, with twelve grey images of MNIST in place of all."""
    grey = np.arange(12, dtype=np.uint8)[:, None, None, None] + np.zeros(
        (1, 28, 28, 1), np.uint8
    )
    digits = cache.Dataset(grey, np.arange(12, dtype=np.int32) % 10, 10)
    asked = []

    def load(config):
        asked.append((config.name, config.channels, config.split))
        return digits

    monkeypatch.setattr(stacked.tfds_source, "load", load)
    counts = {"train": 500, "test": 20, "train+test": 30}
    monkeypatch.setattr(stacked, "NUM_IMAGES", counts)
    config = stacked_mnist.get_config().data
    config.cache_dir = str(tmp_path)
    return config, asked


def test_channels_are_digits_and_labels_their_number(section):
    config, asked = section
    dataset = data.create(config)
    assert asked == [("mnist", 1, "train")] and dataset.num_classes == 1_000
    assert dataset.images.shape == (500, 28, 28, 3)
    drawn = dataset.images[:, 0, 0].astype(int)  # (N, 3) places in MNIST
    np.testing.assert_array_equal(drawn % 10 @ [100, 10, 1], dataset.labels)
    # Each of twelve images is drawn 125 times in 1,500, give or take five deviations.
    counts = np.bincount(drawn.ravel(), minlength=12)
    assert np.all(np.abs(counts - 125) < 5 * (125 * 11 / 12) ** 0.5)
    assert len({tuple(row) for row in drawn}) > 400


@pytest.mark.parametrize("split, count", [("test", 20), ("train+test", 30)])
def test_splits_stack_their_own_split(section, split, count):
    config, asked = section
    config.split = split
    assert len(data.create(config).images) == count
    assert asked == [("mnist", 1, split)]


@pytest.mark.parametrize(
    "fields, match",
    [
        ({"split": "train[:10]"}, "split is 'train\\[:10\\]'.*'train' or 'test'"),
        ({"channels": 1}, "channels is 1.*takes 3"),
        ({"label": "odd"}, "label is 'odd'"),
    ],
)
def test_other_data_are_refused(section, fields, match):
    config, _ = section
    config.update(fields)
    with pytest.raises(ValueError, match=match):
        data.create(config)


def test_the_extractor_reads_a_digit_in_each_channel(monkeypatch):
    def read(images):  # the class is the value of the pixels
        assert images.shape[-1] == 1
        return features.Features(
            images[:, 0, 0].astype(np.float32), np.eye(10)[images[:, 0, 0, 0]]
        )

    shipped = features.Extractor("mnist", "digest", read)
    monkeypatch.setattr(features, "_shipped", lambda: shipped)
    extractor = features.create("stacked_mnist")
    images = np.zeros((2, 28, 28, 3), np.uint8) + np.uint8([3, 1, 4])
    images[1] = [0, 0, 7]
    found = extractor.extract(images)
    assert found.probabilities.shape == (2, 1_000)
    np.testing.assert_array_equal(found.probabilities.argmax(1), [314, 7])
    np.testing.assert_array_equal(found.values, [[3, 1, 4], [0, 0, 7]])
    sets = suite.Images(images, None, found.values, found.probabilities)
    metric = suite.METRICS["stacked_modes"]
    nothing = suite.Sets(sets, sets, images, None, lambda: images, 0, None, None, 0)
    results = metric.compute(nothing)
    number, divergence = results
    assert number == 2
    np.testing.assert_allclose(divergence, np.log(1_000 / 2), rtol=1e-12)
    with pytest.raises(ValueError, match="a digit in each of three channels"):
        extractor.extract(images[..., :1])
