"""Array files: images with labels or attributes."""

import math
import pathlib
import tracemalloc

import numpy as np
import pytest

from configs import default
from experiments.faults.hostile import array_files
from gan_jax import data
from gan_jax.data import array

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
        ({"labels": np.arange(6) + 2**31}, "", "integers from 0, below 131,072"),
        ({"attribute_names": np.array("smiling")}, "smiling", r"\(A,\) texts"),
        ({"attributes": np.full((6, 2), "x")}, "smiling", r"\(6, 2\) <U1.*booleans"),
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


def test_a_bomb_is_read_image_by_image(config, arrays, monkeypatch):
    path = pathlib.Path(config.manual_dir)
    path.write_bytes(array_files.bomb("images", (2**24, 8, 8, 3)))  # 3 GB of zeros

    def write(config, key, read):
        source = read()
        assert source.num_examples == 2**24
        image, label = next(source.examples)
        assert image.shape == (8, 8, 3) and not image.any() and label == 0
        source.examples.close()

    monkeypatch.setattr(array.cache, "load_or_write", write)
    tracemalloc.start()
    try:
        array.load(config)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2**14, 2**14, 3), "an image has at most 89,478,485 pixels"),
        ((2**25 + 1, 8, 8, 1), "column-major order, of which at most 2,147,483,648"),
    ],
)
def test_images_that_take_too_much_memory_are_refused(config, shape, message):
    entry = array_files.npy("|u1", shape[0] > 1, shape, b"")
    size = len(entry) + math.prod(shape)
    claim = {"images.npy": (array_files.deflated(entry, 2**20), 8, size, 0)}
    pathlib.Path(config.manual_dir).write_bytes(array_files.archive(claim))
    with pytest.raises(ValueError, match=message):
        data.create(config)


def test_column_major_arrays_are_read(config, arrays):
    images = np.asfortranarray(arrays["images"])
    np.savez(config.manual_dir, images=images)
    np.testing.assert_array_equal(data.create(config).images, arrays["images"])


def test_a_flipped_bit_in_the_middle_is_noticed(config, arrays):
    path = pathlib.Path(config.manual_dir)
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        whole = bytearray(path.read_bytes())
        whole[600] ^= 255
        path.write_bytes(whole)
        with pytest.raises(ValueError, match="arrays.npz cannot be read"):
            data.create(config)


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_all_images_are_read_at_once_if_they_fit(name, arrays, tmp_path):
    path = tmp_path / name
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        np.save(path, arrays["images"])
    images, labels = array.read_whole(path, most=2_000)
    np.testing.assert_array_equal(images, arrays["images"])
    if path.suffix == ".npz":
        np.testing.assert_array_equal(labels, arrays["labels"])
    with pytest.raises(ValueError, match=r"they take 1,\d+ bytes of memory, 1,000 at"):
        array.read_whole(path, most=1_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array_files.zipped({"images": b"no array"}), "images: none"),
        (array_files.saved(np.zeros((2, 3))), r"images: \(2, 3\)"),
        (array_files.bomb("images", (2**20, 8, 8, 3)), "they take 201,326,592 bytes"),
    ],
)
def test_what_holds_no_images_is_told(content, message, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        array.read_whole(tmp_path / "a.npz", most=2**20)
