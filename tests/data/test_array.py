"""Array files: images with labels or attributes."""

import pathlib

import numpy as np
import pytest

from configs import default
from gan_jax import data

RNG = np.random.default_rng(0)


@pytest.fixture
def config(tmp_path):
    config = default.get_config().data
    config.update(
        name="array",
        manual_dir=str(tmp_path / "arrays.npz"),
        cache_dir=str(tmp_path / "cache"),
        image_size=8,
        channels=3,
        num_classes=0,
    )
    return config


@pytest.fixture
def arrays():
    images = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
    return {
        "images": images,
        "labels": np.array([0, 1, 2, 0, 1, 2]),
        "attributes": np.eye(6, 2, dtype=bool),
        "attribute_names": np.array(["eyeglasses", "smiling"]),
    }


def test_array_file_has_its_own_labels(config, arrays):
    np.savez(config.manual_dir, **arrays)
    dataset = data.create(config)
    np.testing.assert_array_equal(dataset.images, arrays["images"])
    np.testing.assert_array_equal(dataset.labels, arrays["labels"])
    assert dataset.num_classes == 3


def test_attribute_of_an_array_file_is_a_label(config, arrays):
    np.savez(config.manual_dir, **arrays)
    config.label = "smiling"
    dataset = data.create(config)
    np.testing.assert_array_equal(dataset.labels, [0, 1, 0, 0, 0, 0])
    assert dataset.num_classes == 2


def test_npy_file_has_no_labels(config, arrays):
    config.manual_dir += ".npy"
    np.save(config.manual_dir, arrays["images"])
    dataset = data.create(config)
    np.testing.assert_array_equal(dataset.images, arrays["images"])
    assert not dataset.labels.any() and dataset.num_classes == 1


def test_damaged_array_file_is_named(config, arrays):
    np.savez(config.manual_dir, **arrays)
    path = pathlib.Path(config.manual_dir)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"arrays.npz cannot be read"):
        data.create(config)


def test_a_truncated_archive_is_called_so(config, arrays):
    np.savez(config.manual_dir, **arrays)
    path = pathlib.Path(config.manual_dir)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"an .npz file without its end: it is trun"):
        data.create(config)


@pytest.mark.parametrize(
    ("change", "label", "message"),
    [
        ({"images": np.zeros((6, 8, 8, 3))}, "", "float64.*uint8"),
        ({"images": np.zeros((6, 8, 8), np.uint8)}, "", r"\(6, 8, 8\) uint8.*N, H, W"),
        ({"images": np.zeros((6, 8, 8, 2), np.uint8)}, "", r"\(6, 8, 8, 2\)"),
        ({"images": np.zeros((0, 8, 8, 3), np.uint8)}, "", r"\(0, 8, 8, 3\)"),
        ({"labels": np.arange(5)}, "", r"labels \(5,\) int64 for 6 images"),
        ({"labels": np.arange(6) - 1}, "", "integers from 0"),
        ({"labels": np.zeros(6)}, "", "float64 for 6 images"),
        ({}, "smilling", "'smilling' .did you mean 'smiling'.*eyeglasses, smiling"),
        ({"attributes": np.eye(5, 2)}, "smiling", r"\(5, 2\).*\(6, 2\) booleans"),
    ],
)
def test_wrong_array_file_is_refused(config, arrays, change, label, message):
    np.savez(config.manual_dir, **(arrays | change))
    config.label = label
    with pytest.raises(ValueError, match=message):
        data.create(config)


def test_array_file_without_images_is_refused(config):
    np.savez(config.manual_dir, labels=np.arange(3))
    with pytest.raises(ValueError, match=r"images: none"):
        data.create(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"manual_dir": ""}, "manual_dir is '', which is not a file"),
        ({"manual_dir": "/nowhere.npz"}, "'/nowhere.npz', which is not a file"),
        ({"split": "test"}, "split is 'test'"),
    ],
)
def test_mistake_is_answered_by_a_sentence(config, arrays, fields, message):
    np.savez(config.manual_dir, **arrays)
    config.update(fields)
    with pytest.raises(ValueError, match=message):
        data.create(config)
