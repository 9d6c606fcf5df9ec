"""Sources of TFDS: the embedded MNIST, and a small set in the shape of CelebA."""

import contextlib
import gzip
import io
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from configs import default
from gan_jax import data
from gan_jax.data import resize

pytestmark = pytest.mark.slow

DATA = pathlib.Path(__file__).parents[1] / "fixtures"
MNIST = pathlib.Path(data.__file__).parent / "mnist"


def make_config(folder: pathlib.Path, **fields):
    """The data section of a config that writes below `folder` only."""
    config = default.get_config().data
    config.update({"data_dir": str(folder), "cache_dir": str(folder / "cache")})
    config.update(fields)
    return config


@pytest.fixture
def celeb_a(tmp_path):
    return make_config(
        tmp_path,
        name="celeb_a",
        data_dir=str(DATA),
        image_size=64,
        channels=3,
        num_classes=0,
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """MNIST prepared without a connection: its config, its data, what is printed."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    config = make_config(tmp_path_factory.mktemp("mnist"))
    with pytest.MonkeyPatch.context() as patch:
        # The class itself stays, since PySocks derives another from it on import.
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, refuse)
        patch.setattr(socket, "create_connection", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            return config, data.create(config), printed.getvalue()


@pytest.fixture(scope="session")
def mnist(prepared):
    """The config and the data of MNIST."""
    return prepared[:2]


def test_preparing_prints_nothing(prepared):
    assert prepared[2] == ""


def read_idx(name: str, offset: int) -> np.ndarray:
    with gzip.open(MNIST / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)


def test_mnist_without_network_equals_its_original_files(mnist):
    _, dataset = mnist
    images = read_idx("train-images-idx3-ubyte.gz", 16).reshape(60_000, 784)
    labels = read_idx("train-labels-idx1-ubyte.gz", 8)
    assert dataset.images.shape == (60_000, 28, 28, 1) and dataset.num_classes == 10
    # TFDS has an order of its own, so both are sorted.
    ours = [
        (i.tobytes(), int(k))
        for i, k in zip(dataset.images, dataset.labels, strict=True)
    ]
    originals = [(i.tobytes(), int(k)) for i, k in zip(images, labels, strict=True)]
    assert sorted(ours) == sorted(originals)


def test_second_open_imports_no_tensorflow(mnist):
    config, dataset = mnist
    program = (
        "import sys; from ml_collections import ConfigDict; from gan_jax import data;"
        f"dataset = data.create(ConfigDict({config.to_dict()!r}));"
        "print(dataset.images.shape, int(dataset.images[7].sum()));"
        "print([m for m in sys.modules if m.startswith(('tensorflow', 'jax'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    expected = f"(60000, 28, 28, 1) {int(dataset.images[7].sum())}\n[]\n"
    assert result.stdout == expected


def test_a_machine_without_tensorflow_needs_prepared_arrays(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delitem(sys.modules, "gan_jax.data.tfds_reader", raising=False)
    monkeypatch.delattr(data, "tfds_reader", raising=False)
    with pytest.raises(ValueError, match="tensorflow, which is not installed: inst"):
        data.create(make_config(tmp_path))
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_prepared_data_are_used_without_the_raw_files(mnist, tmp_path):
    config, _ = mnist
    config = config.copy_and_resolve_references()
    config.update(split="test[:50]", manual_dir=str(tmp_path), image_size=32, crop=32)
    dataset = data.create(config)
    assert dataset.images.shape == (50, 32, 32, 1)
    assert not dataset.images[:, [0, 1, 30, 31]].any()  # Two rows of padding each.


def test_nothing_of_the_preparation_is_left_over(mnist):
    config, _ = mnist
    folder = pathlib.Path(config.data_dir)
    assert not list(folder.rglob("incomplete*"))
    assert {path.name for path in folder.iterdir()} == {"mnist", "cache"}


@pytest.fixture(scope="module")
def celeb_a_examples():
    """The 32 training examples as TFDS gives them."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(DATA / "celeb_a" / "2.1.0")
    return list(tfds.as_numpy(builder.as_dataset(split="train")))


@pytest.mark.parametrize("crop", [0, 140, 200])
def test_celeb_a_is_cropped_and_resized_in_order(celeb_a, celeb_a_examples, crop):
    celeb_a.crop = crop
    dataset = data.create(celeb_a)
    expected = [
        resize.crop_and_resize(example["image"], crop=crop, size=64, channels=3)
        for example in celeb_a_examples
    ]
    np.testing.assert_array_equal(dataset.images, expected)
    assert not dataset.labels.any() and dataset.num_classes == 1


def test_any_attribute_of_celeb_a_is_a_label(celeb_a, celeb_a_examples):
    celeb_a.label = "Smiling"
    dataset = data.create(celeb_a)
    expected = [example["attributes"]["Smiling"] for example in celeb_a_examples]
    np.testing.assert_array_equal(dataset.labels, expected)
    assert 0 < dataset.labels.sum() < 32 and dataset.num_classes == 2


def test_splits_have_the_syntax_of_tfds(celeb_a, celeb_a_examples):
    celeb_a.split = "train[4:6]+test"
    dataset = data.create(celeb_a)
    assert len(dataset.images) == 10
    expected = resize.crop_and_resize(
        celeb_a_examples[4]["image"], crop=0, size=64, channels=3
    )
    np.testing.assert_array_equal(dataset.images[0], expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "smilling"}, "no label 'smilling' .did you mean 'Smiling'?.*Young"),
        ({"split": "validaton"}, "'validaton'.*train, validation, test"),
        ({"split": "train[30:50]"}, "32 examples.*--config.data.split"),
        ({"split": "train[5:5]"}, "0 images.*--config.data.split"),
        ({"split": "test+train[50:10]"}, "part .50:10. has 0 images"),
        ({"split": "train[50%:10%]"}, "part .50%:10%. has 0 images"),
        ({"split": "train[10:-30]"}, "train.10:-30.*--config.data.split"),
        ({"num_classes": 10}, "num_classes is 10, but celeb_a has 1"),
        ({"image_size": 0}, "image_size is 0.*at least 1 and at most 8,192 pixels"),
        ({"crop": 1_000_000}, "crop is 1000000.*at most 8,192 pixels, 0 for the larg"),
        ({"name": ""}, "Unknown data set ''"),
        ({"name": ".."}, "Unknown data set '..'"),
        ({"channels": 4}, "channels is 4.*1 .grey. or 3"),
        ({"crop": -1}, "crop is -1"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"name": "celebA"}, "'celebA' .did you mean 'celeb_a'?.*mnist, celeb_a"),
        ({"name": "mnist", "split": "trian[:9]"}, "no split 'trian' .did you mean 't"),
        ({"name": "mnist", "num_classes": 9}, "is 9, but mnist has 10 classes"),
        ({"name": "mnits"}, "Unknown data set 'mnits' .did you mean 'mnist'?"),
        ({"name": "glue"}, "glue/cola/2.0.0 has no 8-bit feature 'image'"),
        ({"name": "mnist:9.9.9"}, "cannot open the set 'mnist:9.9.9'.*3.0.1"),
    ],
)
def test_mistake_is_answered_by_a_sentence(celeb_a, tmp_path, fields, message):
    celeb_a.update(fields)
    if "name" in fields:
        celeb_a.data_dir = str(tmp_path)
    with pytest.raises(ValueError, match=message):
        data.create(celeb_a)


def test_damaged_prepared_data_are_named_and_leave_no_cache(celeb_a, tmp_path):
    shutil.copytree(DATA / "celeb_a", tmp_path / "celeb_a")
    celeb_a.data_dir = str(tmp_path)
    (file,) = tmp_path.glob("celeb_a/2.1.0/*train*")
    os.truncate(file, 100_000)
    with pytest.raises(ValueError, match=r"celeb_a/2.1.0 are damaged.*Delete"):
        data.create(celeb_a)
    assert not list(tmp_path.glob("cache/[!.]*"))


@pytest.mark.parametrize(
    "split, count", [("train", 162_770), ("test[:10]", 19_962), ("train+test", None)]
)
def test_images_that_are_not_here_are_counted_as_they_are_published(
    tmp_path, split, count
):
    config = make_config(tmp_path, name="celeb_a", manual_dir="", split=split)
    assert data.count(config) == count
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_here_are_not_counted(tmp_path):
    config = make_config(tmp_path, name="folder", manual_dir=str(tmp_path / "none"))
    assert data.count(config) is None
