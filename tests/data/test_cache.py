"""The array cache: complete or absent, whatever happens while it is written."""

import errno
import os
import pathlib
import shutil
import threading
import types

import numpy as np
import pytest

from configs import default
from gan_jax.data import cache

KEY = {"source": "test"}


@pytest.fixture
def config(tmp_path):
    config = default.get_config().data
    config.update({"image_size": 2, "channels": 1, "cache_dir": str(tmp_path)})
    return config


def make_source(count=3, bound=None, error=None):
    def examples():
        for number in range(count):
            yield np.full((2, 2, 1), number, np.uint8), number % 2
        if error:
            raise error

    return cache.Source(examples(), bound or count, None)


def visible(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_arrays_come_back_read_only_and_memory_mapped(config):
    dataset = cache.load_or_write(config, KEY, make_source)
    assert isinstance(dataset.images, np.memmap) and not dataset.images.flags.writeable
    np.testing.assert_array_equal(dataset.images[:, 0, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(dataset.labels, [0, 1, 0])
    assert dataset.images.dtype == np.uint8 and dataset.labels.dtype == np.int32
    assert dataset.images.shape == (3, 2, 2, 1) and dataset.num_classes == 2


def test_second_call_does_not_read_the_source(config):
    first = cache.load_or_write(config, KEY, make_source)
    second = cache.load_or_write(config, KEY, lambda: pytest.fail("read again"))
    np.testing.assert_array_equal(first.images, second.images)


def test_source_may_have_fewer_examples_than_announced(config):
    dataset = cache.load_or_write(config, KEY, lambda: make_source(3, bound=10**6))
    assert len(dataset.images) == len(dataset.labels) == 3


@pytest.mark.parametrize("field", ["image_size", "channels", "crop", "source"])
def test_key_covers_everything_that_changes_the_arrays(config, field):
    cache.load_or_write(config, KEY, make_source)
    source = make_source()
    key = dict(KEY)
    if field == "source":
        key["source"] = "other"
    else:
        config[field] += 2
        shape = (config.image_size, config.image_size, config.channels)
        images = iter([(np.zeros(shape, np.uint8), 0)])
        source = cache.Source(images, 1, 1)
    cache.load_or_write(config, key, lambda: source)
    assert len(visible(pathlib.Path(config.cache_dir))) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_interrupted_writing_leaves_no_cache(config, error):
    with pytest.raises(type(error)):
        cache.load_or_write(config, KEY, lambda: make_source(error=error))
    assert visible(pathlib.Path(config.cache_dir)) == []
    assert len(cache.load_or_write(config, KEY, make_source).images) == 3


def test_leftover_of_a_killed_run_is_removed_and_not_used(config):
    root = pathlib.Path(config.cache_dir)
    cache.load_or_write(config, KEY, make_source)
    (name,) = visible(root)
    (root / name).rename(root / f"incomplete.{name}.0123")
    dataset = cache.load_or_write(config, KEY, lambda: make_source(5))
    assert len(dataset.images) == 5 and visible(root) == [name]


def test_full_disk_is_one_sentence_and_leaves_nothing(config):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ValueError, match=r"No space left.*cache_dir"):
        cache.load_or_write(config, KEY, lambda: make_source(error=full))
    assert visible(pathlib.Path(config.cache_dir)) == []


def test_too_small_disk_is_refused_before_writing(config, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: types.SimpleNamespace(free=11)
    )
    with pytest.raises(ValueError, match=r"needs 12 bytes.*11 free"):
        cache.load_or_write(config, KEY, make_source)


def test_cache_dir_that_is_a_file_is_refused(config, tmp_path):
    config.cache_dir = str(tmp_path / "file")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"could not be written.*file"):
        cache.load_or_write(config, KEY, make_source)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "facts.json"])
def test_damaged_cache_is_named(config, name):
    cache.load_or_write(config, KEY, make_source)
    (path,) = pathlib.Path(config.cache_dir).glob(f"*/{name}")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"damaged.*Delete that folder"):
        cache.load_or_write(config, KEY, make_source)


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("images", np.zeros((2, 2, 2, 1), np.uint8), r"\(2, 2, 2, 1\) uint8 are not 3"),
        ("images", np.zeros((3, 2, 2, 3), np.uint8), r"\(3, 2, 2, 3\) uint8 are not 3"),
        ("images", np.zeros((3, 2, 2, 1)), r"float64 are not 3 of \(2, 2, 1\)"),
        ("labels", np.zeros(2, np.int32), r"\(2,\) int32 labels for 3 images"),
        ("labels", np.array([0, 1, 99], np.int32), "labels from 0 to 99 of 2 classes"),
        ("labels", np.array([-1, 0, 1], np.int32), "labels from -1 to 1 of 2 classes"),
    ],
)
def test_cached_arrays_that_do_not_fit_are_named(config, name, array, message):
    cache.load_or_write(config, KEY, make_source)
    (path,) = pathlib.Path(config.cache_dir).glob(f"*/{name}.npy")
    np.save(path, array)
    with pytest.raises(ValueError, match=f"damaged .*{message}.*Delete that folder"):
        cache.load_or_write(config, KEY, make_source)


@pytest.mark.parametrize(
    "label, num_classes, message",
    [
        (
            -1,
            2,
            "the label -1, but labels must be at least 0 and below 2: .*data.split",
        ),
        (2, 2, "the label 2, but labels must be at least 0 and below 2: "),
        (-1, None, "the label -1, but labels must be at least 0 and below 131,072: "),
        (2**31, None, "the label 2,147,483,648, but labels must .* below 131,072: "),
    ],
)
def test_labels_out_of_range_are_refused_before_there_is_a_cache(
    config, label, num_classes, message
):
    def read():
        images = [(np.zeros((2, 2, 1), np.uint8), one) for one in (0, 1, label)]
        return cache.Source(iter(images), 3, num_classes)

    for _ in range(2):  # the second call does not find a damaged cache
        with pytest.raises(ValueError, match=message):
            cache.load_or_write(config, KEY, read)
    assert visible(pathlib.Path(config.cache_dir)) == []


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/x", "x" * 300])
def test_cache_dir_that_cannot_be_made_is_refused_before_data_are_read(
    config, tmp_path, folder
):
    config.cache_dir = str(tmp_path / folder)
    with pytest.raises(ValueError, match=r"could not be written in .*cache_dir to one"):
        cache.load_or_write(config, KEY, lambda: pytest.fail("data read"))


@pytest.mark.parametrize(
    "name, array",
    [("images", np.zeros((3, 2, 2, 1), np.uint8)), ("labels", np.zeros(3, np.int32))],
)
def test_arrays_other_than_those_written_are_named(config, name, array):
    cache.load_or_write(config, KEY, make_source)
    (path,) = pathlib.Path(config.cache_dir).glob(f"*/{name}.npy")
    np.save(path, array)
    with pytest.raises(
        ValueError, match=f"damaged.*{name}.npy does not hold the bytes that were"
    ):
        cache.load_or_write(config, KEY, make_source)


@pytest.mark.parametrize(
    "facts",
    [
        "[]",
        '{"num_examples": 4, "num_classes": 2}',
        '{"num_examples": 3, "num_classes": null}',
        '{"num_examples": 3, "num_classes": 2, "sha256": []}',
    ],
)
def test_damaged_facts_are_named(config, facts):
    cache.load_or_write(config, KEY, make_source)
    (path,) = pathlib.Path(config.cache_dir).glob("*/facts.json")
    path.write_text(facts)
    with pytest.raises(ValueError, match="damaged or not readable"):
        cache.load_or_write(config, KEY, make_source)


def test_a_cache_of_an_earlier_version_is_read(config):
    cache.load_or_write(config, KEY, make_source)
    (path,) = pathlib.Path(config.cache_dir).glob("*/facts.json")
    path.write_text('{"num_examples": 3, "num_classes": 2}')
    assert len(cache.load_or_write(config, KEY, make_source).images) == 3


def test_two_writers_at_once_both_get_the_arrays_of_one(config):
    read = []
    datasets = []
    start = threading.Barrier(2)

    def work():
        start.wait()
        datasets.append(
            cache.load_or_write(config, KEY, lambda: read.append(1) or make_source(200))
        )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 1
    np.testing.assert_array_equal(datasets[0].images, datasets[1].images)


def test_writer_without_locks_takes_what_another_wrote_first(config, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(cache.fcntl, "flock", refuse)

    def read():
        # Meanwhile another process writes the same cache.
        cache.load_or_write(config, KEY, lambda: make_source(4))
        return make_source(3)

    assert len(cache.load_or_write(config, KEY, read).images) == 4
    assert len(visible(pathlib.Path(config.cache_dir))) == 1


def test_data_dir_defaults_to_that_of_tfds(config, monkeypatch):
    config.data_dir = ""
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    assert cache.data_dir(config) == pathlib.Path("/somewhere")
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache.data_dir(config) == pathlib.Path("/home/ada/tensorflow_datasets")
