"""Samples from a run's folder."""

import json
import subprocess
import sys

import conftest
import numpy as np
import pytest

from gan_jax import sample, train


@pytest.fixture(scope="module")
def run(shared_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = conftest.make_tiny_config(shared_folder)
    config.model.generator.condition = "onehot"
    config.model.discriminator.condition = "onehot"
    train.train_and_evaluate(config, workdir)
    return workdir


def draw(workdir, **arguments):
    parts = zip(*sample.generate_batches(workdir, **arguments), strict=True)
    return [np.concatenate(part) for part in parts]


def test_images_depend_on_seed_and_place_alone(run):
    images, labels = draw(run, num=10, seed=0)
    assert images.shape == (10, 16, 16, 1) and images.dtype == np.uint8
    assert labels.shape == (10,)
    for batch_size in (1, 4):
        again, again_labels = draw(run, num=10, seed=0, batch_size=batch_size)
        # The order of additions in a batch may move a level by one.
        np.testing.assert_allclose(again.astype(int), images, rtol=0, atol=1)
        np.testing.assert_array_equal(again_labels, labels)
    other, _ = draw(run, num=10, seed=1)
    assert np.any(other != images)


def test_an_older_checkpoint_can_be_asked_for(run):
    old, _ = draw(run, num=4, seed=0, step=2)
    new, _ = draw(run, num=4, seed=0)
    assert np.any(old != new)


def test_a_label_can_be_asked_for(run):
    images, labels = draw(run, num=4, seed=0, label=2)
    other, _ = draw(run, num=4, seed=0, label=1)
    np.testing.assert_array_equal(labels, [2] * 4)
    assert np.any(images != other)


def test_a_run_with_conditional_batch_norm_can_be_sampled(shared_folder, tmp_path):
    config = conftest.make_tiny_config(shared_folder)
    config.model.generator.condition = "batch_norm"
    config.model.discriminator.condition = "projection"
    train.train_and_evaluate(config, tmp_path)
    images, labels = draw(tmp_path, num=4, seed=0, batch_size=2)
    assert images.shape == (4, 16, 16, 1) and labels.shape == (4,)


def test_an_unconditional_run_has_no_labels(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["model"]["generator"]["condition"] = "none"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="label is 1, but .* is unconditional"):
        draw(tmp_path, num=1, seed=0, label=1)


def test_a_label_that_does_not_exist_is_refused(run):
    with pytest.raises(ValueError, match="label is 3, but .* classes 0 to 2"):
        draw(run, num=1, seed=0, label=3)


@pytest.mark.parametrize(
    "output, message",
    [("a.gif", "must end in .npz"), ("no/a.png", "folder of the output .* not exist")],
)
def test_an_output_that_cannot_be_is_refused(run, tmp_path, output, message):
    done = command(run, f"--output={tmp_path / output}")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def command(run, *flags):
    return subprocess.run(
        [sys.executable, "-m", "gan_jax.sample", f"--workdir={run}", *flags],
        capture_output=True,
        text=True,
    )


def test_the_command_writes_arrays_without_tensorflow(run, tmp_path):
    code = (
        "import runpy, sys, atexit\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules))\n"
        f"sys.argv = ['sample', '--workdir={run}', '--num=5',"
        f" '--output={tmp_path / 'samples.npz'}']\n"
        "runpy.run_module('gan_jax.sample', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    with np.load(tmp_path / "samples.npz") as arrays:
        assert arrays["images"].shape == (5, 16, 16, 1)
        assert arrays["labels"].shape == (5,)


def test_the_command_writes_a_grid(run, tmp_path):
    done = command(run, "--num=5", f"--output={tmp_path / 'grid.png'}")
    assert done.returncode == 0, done.stderr
    from PIL import Image

    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 18 - 2, 2 * 18 - 2)
