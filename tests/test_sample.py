"""Samples from a run's folder."""

import re
import subprocess
import sys

import numpy as np
import pytest

from gan_jax.training import train
from tests import support

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(shared_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = support.make_tiny_config(shared_folder)
    config.model.generator.condition = "onehot"
    config.model.discriminator.condition = "onehot"
    train.train_and_evaluate(config, workdir)
    return workdir


@pytest.mark.parametrize(
    "output, message",
    [
        ("a.gif", "must end in .npz"),
        ("no/a.png", "folder of the output .* not exist"),
        ("folder.npz", "--output is .*folder.npz, which is a folder"),
    ],
)
def test_an_output_that_cannot_be_is_refused(run, tmp_path, output, message):
    (tmp_path / "folder.npz").mkdir()
    done = command(run, f"--output={tmp_path / output}")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr)


@pytest.mark.parametrize(
    "flag, message",
    [
        (
            "--num=2000000000",
            "at least .* for 2,000,000,000 images, .*lower --num",
        ),
        ("--num=1000000000000", "flag --num=1000000000000"),
    ],
)
def test_numbers_that_cannot_be_are_refused(run, flag, message):
    done = command(run, flag)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert re.search(message, done.stderr) and len(done.stderr.splitlines()) == 1


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
