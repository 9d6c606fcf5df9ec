"""The command that trains a classifier: its data, its facts, its mistakes."""

import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from configs import default
from gan_jax import data, train_classifier
from gan_jax.data import cache
from gan_jax.evaluation import classifier
from tests import support

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ARRAY = ["--config=configs/dcgan.py", "--config.data.name=array"]


@pytest.fixture
def config(shared_folder):
    return support.make_tiny_config(shared_folder).data


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "gan_jax.train_classifier", *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def test_every_tenth_image_of_an_array_is_held_out(config):
    whole = data.create(config)
    train, test, num_classes = train_classifier.load_examples(config)
    rows = [9, 19, 29, 39]
    np.testing.assert_array_equal(test.images, whole.images[rows])
    np.testing.assert_array_equal(test.labels, whole.labels[rows])
    np.testing.assert_array_equal(train.images, np.delete(whole.images, rows, axis=0))
    np.testing.assert_array_equal(train.labels, np.delete(whole.labels, rows))
    assert num_classes == 3


def test_the_number_of_classes_is_the_datas_own(config):
    config.num_classes = 1  # as the preset celeba has it
    assert train_classifier.load_examples(config)[2] == 3
    assert config.num_classes == 1


@pytest.mark.parametrize("name", ["mnist", "celeb_a", "mnist:3.0.1"])
def test_sets_with_a_test_split_are_tested_on_it(name, monkeypatch):
    def create(section):
        labels = np.full(3, int(section.split == "test"))
        return cache.Dataset(np.zeros((3, 8, 8, 1), np.uint8), labels, 2)

    monkeypatch.setattr(data, "create", create)
    config = default.get_config().data
    config.name, config.split = name, "train[:3]"
    train, test, _ = train_classifier.load_examples(config)
    assert not train.labels.any() and test.labels.all()
    assert config.split == "train[:3]"


@pytest.mark.parametrize("split", ["test", "train+test", "all", "test[:10]"])
def test_training_on_the_test_split_is_refused(split):
    config = default.get_config().data
    config.split = split
    with pytest.raises(ValueError, match="measured on the split 'test': train on"):
        train_classifier.load_examples(config)


def test_too_few_images_to_hold_one_out_are_refused(config, tmp_path):
    path = tmp_path / "few.npy"
    np.save(path, np.zeros((9, 16, 16, 1), np.uint8))
    config.manual_dir = str(path)
    with pytest.raises(ValueError, match="have 9 images, .* give at least 10"):
        train_classifier.load_examples(config)


def test_data_without_labels_are_refused(config, tmp_path):
    path = tmp_path / "plain.npy"
    np.save(path, np.zeros((20, 16, 16, 1), np.uint8))
    config.manual_dir = str(path)
    with pytest.raises(ValueError, match="have 1 class, .*--config.data.label"):
        train_classifier.train(config, steps=1, seed=0, batch_size=8)


def test_the_command_writes_a_classifier_and_how_well_it_reads(config, tmp_path):
    output = tmp_path / "own.npz"
    fields = ("name", "manual_dir", "cache_dir", "image_size")
    overrides = [f"--config.data.{field}={config[field]}" for field in fields]
    flags = ["--steps=2", "--seed=3", "--batch_size=8", f"--output={output}"]
    done = run("--config=configs/dcgan.py", *overrides, *flags)
    assert done.returncode == 0, done.stderr
    weights = classifier.load(output)
    assert weights.image_shape == (16, 16, 1) and weights.num_classes == 3
    _, test, _ = train_classifier.load_examples(config)
    found = classifier.accuracy(weights, *test)
    facts = {name: value for name, value in weights.facts.items() if name != "versions"}
    assert facts == {
        "data": {"name": "array", "split": "train", "label": "", "crop": 0},
        "num_images": 44,  # of 48, without images 9, 19, 29 and 39
        "steps": 2,
        "seed": 3,
        "batch_size": 8,
        "flip": False,
        "test_images": 4,
        "test_accuracy": found,
        "test_share_of_commonest": 0.5,  # the labels are 0, 1, 2, 0
    }
    assert f"Classified {100 * found:.2f} % of 4 unseen images" in done.stderr
    assert classifier.digest(output) in done.stderr


def test_an_output_that_is_a_folder_is_refused_before_training(tmp_path):
    folder = tmp_path / "own.npz"
    folder.mkdir()
    done = run(*ARRAY, f"--output={folder}")
    assert done.returncode == 1, done.stderr
    assert done.stderr == (
        f"error: --output is {folder}, which is a folder: add the name of a file in "
        "it.\n"
    )


@pytest.mark.parametrize(
    "flags, code, sentence",
    [
        ([], 1, "no config was given; name one, for example --config=dcgan."),
        (["--config=configs/dcgn.py"], 2, "there is no config configs/dcgn.py"),
        ([*ARRAY, "--output=a.txt"], 1, "output is a.txt, but must be an .npz file"),
        ([*ARRAY, "--output=no/a.npz"], 1, "the output no/a.npz does not exist: make"),
        (
            [*ARRAY, "--output=/proc/self/a.npz"],
            1,
            "/proc/self/a.npz cannot be written",
        ),
        (
            [*ARRAY, f"--seed={2**70}"],
            2,
            "is not an integer in the range [0, 4294967295]",
        ),
    ],
)
def test_mistakes_are_answered_in_one_sentence(flags, code, sentence):
    done = run(*flags)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and sentence in done.stderr
