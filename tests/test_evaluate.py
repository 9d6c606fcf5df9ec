"""The command that scores a run: its table, its records, a user's mistakes."""

import json
import re
import subprocess
import sys

import conftest
import numpy as np
import pytest

from gan_jax import train


@pytest.fixture(scope="module")
def run(shared_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = conftest.make_tiny_config(shared_folder)
    config.recipe.ema_decay = 0.5
    config.model.convolution = "lax"
    train.train_and_evaluate(config, workdir)
    return workdir


def command(run, *flags):
    return subprocess.run(
        [sys.executable, "-m", "gan_jax.evaluate", f"--workdir={run}", *flags],
        capture_output=True,
        text=True,
    )


def test_every_checkpoint_and_generator_has_a_column_and_a_record(run, tmp_path):
    pairs = tmp_path / "pairs.png"
    done = command(
        run,
        "--step=all",
        "--metrics=frechet_distance,prdc",
        "--draws=2",
        f"--neighbours={pairs}",
    )
    assert done.returncode == 0, done.stderr
    head, *rows, protocol = done.stdout.splitlines()
    assert head.split() == ["2", "raw", "2", "averaged", "4", "raw", "4", "averaged"]
    names = ["frechet_distance", "precision", "recall", "density", "coverage"]
    assert [row.split()[0] for row in rows] == names
    assert all(row.count("+-") == 4 for row in rows)
    assert protocol.startswith("protocol: extractor pixels, num_images 20, draws 2")
    assert pairs.stat().st_size
    records = [
        json.loads(line)
        for line in (run / "evaluations.jsonl").read_text().splitlines()
    ]
    assert [(one["step"], one["generator"]) for one in records[-4:]] == [
        (2, "raw"),
        (2, "averaged"),
        (4, "raw"),
        (4, "averaged"),
    ]


def test_the_training_images_give_the_floor(run):
    done = command(run, "--images=training", "--metrics=frechet_distance")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["training"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--step=4,x"], "step is 4,x, but must be numbers"),
        (["--step=3"], "no checkpoint of step 3 in .*those of steps .2, 4."),
        (["--images=none.npz"], "none.npz holds no images .*No such file"),
        (["--metrics=fid"], "there is no metric 'fid', there are: frechet"),
        (["--num_images=1"], "num_images is 1, but must be at least 2"),
        (["--best"], "no checkpoint in .*best: there is none"),
    ],
)
def test_a_users_mistake_is_one_sentence(run, flags, message):
    done = command(run, *flags)
    assert done.returncode == 1 and done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert re.search(message, lines[0])


def test_images_that_are_no_images_are_refused(run, tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, images=np.full((30, 16, 16, 1), np.nan, np.float32))
    done = command(run, f"--images={path}")
    assert done.returncode == 1
    assert "float32, but the real ones are (16, 16, 1) uint8" in done.stderr


def test_a_folder_without_a_run_is_named(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 1 and f"{tmp_path} holds no run" in done.stderr
