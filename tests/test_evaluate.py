"""The command that scores a run: its table, its records, a user's mistakes."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gan_jax.run import checkpoints
from gan_jax.training import train
from tests import support

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(shared_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = support.make_dense_config(shared_folder)
    config.recipe.ema_decay = 0.5
    train.train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def command(shared_folder):
    """Runs the command on a run, and with the data that it was trained on."""
    paths = (
        f"--manual_dir={shared_folder / 'images.npz'}",
        f"--cache_dir={shared_folder / 'cache'}",
    )

    def run_command(run, *flags, paths=paths):
        module = ["-m", "gan_jax.evaluate", f"--workdir={run}"]
        return subprocess.run(
            [sys.executable, *module, *paths, *flags], capture_output=True, text=True
        )

    return run_command


def test_every_checkpoint_and_generator_has_a_column_and_a_record(
    run, command, tmp_path
):
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
        json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()
    ]
    assert not (run / "evaluations.jsonl").exists()  # has training as its one writer
    assert [(one["step"], one["generator"]) for one in records[-4:]] == [
        (2, "raw"),
        (2, "averaged"),
        (4, "raw"),
        (4, "averaged"),
    ]


PAIRS = """
from pathlib import Path
import sys
from types import SimpleNamespace
import numpy as np
from gan_jax import evaluate

def nearest(queries, references):
    assert np.shares_memory(references, training)
    return None, np.zeros(len(queries), int)

training = np.zeros((5, 16, 16, 1), np.uint8)
evaluate.neighbours.nearest = nearest
sample = lambda num, seed: np.zeros((num, 16, 16, 1), np.uint8)
run = SimpleNamespace(sample=sample, config=SimpleNamespace(seed=0))
evaluate._save_pairs(Path(sys.argv[1]), run, training)
"""


def test_pairs_copy_no_training_images(tmp_path):
    """Those of CelebA at 64 pixels would take 8 GB as floats."""
    path = tmp_path / "pairs.png"
    subprocess.run([sys.executable, "-c", PAIRS, str(path)], check=True)
    assert path.exists()


def test_the_scores_of_a_run_in_a_bucket_are_sent_back(run, command, tmp_path):
    place = shutil.copytree(run, tmp_path / "run")
    (place / "scores.jsonl").write_text('{"step": 2}\n')
    done = command(f"file://{place}", "--step=4", "--metrics=frechet_distance")
    assert done.returncode == 0, done.stderr
    lines = (place / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 4]


def test_the_training_images_give_the_floor(run, command):
    done = command(run, "--images=training", "--metrics=frechet_distance")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["training"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--step=4,x"], "step is 4,x, but must be numbers"),
        (["--step=3"], "no checkpoint of step 3 in .*those of steps .2, 4."),
        (["--images=none.npz"], "none.npz holds no images .*No such file"),
        (["--metrics=fad"], "there is no metric 'fad', there are: frechet"),
        (["--num_images=1"], "num_images is 1, but must be at least 2"),
        (["--best"], "no checkpoint in .*best: there is none"),
        (["--neighbours=/"], "--neighbours is /, which is a folder: add the name"),
        (
            ["--neighbours=pairs.png", "--images=training"],
            "--neighbours shows images .* does not go with --images: leave one",
        ),
        (["--images=training", "--step=2"], "--images scores no .* --step: leave one"),
        (["--images=training", "--best"], "--images scores no .* --best: leave one"),
    ],
)
def test_a_users_mistake_is_one_sentence(run, command, flags, message):
    done = command(run, *flags)
    assert done.returncode == 1 and done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert re.search(message, lines[0])


def test_a_missing_step_is_refused_before_another_is_scored(run, command, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "scores.jsonl").unlink(missing_ok=True)
    done = command(copy, "--step=4,3", "--metrics=frechet_distance")
    assert done.returncode == 1 and "no checkpoint of step 3 in" in done.stderr
    assert not (copy / "scores.jsonl").exists()


@pytest.mark.parametrize("preset", [None, "grid"])
def test_pairs_of_points_are_refused_before_anything_is_computed(
    preset, command, tmp_path
):
    config = support.get_config("ring", preset)
    (tmp_path / "config.json").write_text(config.to_json())
    done = command(tmp_path, f"--neighbours={tmp_path / 'pairs.png'}")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "error: --neighbours draws pairs of images, but the run has points of "
        f"{preset or 'ring'}: leave --neighbours out, or draw the points with python "
        "-m gan_jax.sample.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_images_that_are_no_images_are_refused(run, command, tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, images=np.full((30, 16, 16, 1), np.nan, np.float32))
    done = command(run, f"--images={path}")
    assert done.returncode == 1
    assert "float32, but the real ones are (16, 16, 1) uint8" in done.stderr


def test_a_folder_without_a_run_is_named(tmp_path, command):
    done = command(tmp_path)
    assert done.returncode == 1 and f"{tmp_path} holds no run" in done.stderr


def test_the_paths_of_a_strangers_run_are_not_followed(
    run, command, tmp_path, shared_folder
):
    stranger = shutil.copytree(run, tmp_path / "stranger")
    config = json.loads((stranger / "config.json").read_text())
    bait = tmp_path / "bait"
    config["data"]["cache_dir"] = config["data"]["data_dir"] = str(bait)
    config["compilation_cache_dir"] = str(bait)
    config["evaluation"]["weights"] = str(shared_folder / "images.npz")
    (stranger / "config.json").write_text(json.dumps(config))
    refused = command(stranger, paths=())
    assert refused.returncode == 1 and refused.stdout == ""
    assert "manual_dir is '', which is not a file" in refused.stderr
    assert f"add --data_dir={bait} --manual_dir={shared_folder}" in refused.stderr
    done = command(stranger, "--metrics=frechet_distance")
    assert done.returncode == 0, done.stderr
    assert f"add --data_dir={bait} --weights={shared_folder}" in done.stderr
    assert not bait.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_scores_of_a_run_that_cannot_be_written_are_printed(run, command, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    copy.chmod(0o555)
    done = command(copy, "--metrics=frechet_distance")
    assert done.returncode == 0 and "frechet_distance" in done.stdout
    assert "The scores are not recorded: " in done.stderr
    copy.chmod(0o755)


def test_scores_that_cannot_be_recorded_are_printed(run, command, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "scores.jsonl").unlink(missing_ok=True)
    (copy / "scores.jsonl").symlink_to(tmp_path / "elsewhere")
    done = command(copy, "--metrics=frechet_distance")
    assert done.returncode == 0 and "frechet_distance" in done.stdout
    assert "scores.jsonl cannot be written: it is a link" in done.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(run, command, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "checkpoints" / "4" / checkpoints.SUMS).write_text("")
    done = command(copy, "--metrics=frechet_distance")
    assert done.stdout.splitlines()[0].split() == ["2", "raw", "2", "averaged"]
    assert "checkpoints/4 is damaged: its files are not those of" in done.stderr
    done = command(copy, "--step=4")
    assert done.returncode == 1
    assert "Take another step, or leave it out to take the newest" in done.stderr


def test_a_config_of_other_networks_is_named(run, command, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    text = (copy / "config.json").read_text()
    config = json.loads(text)
    for value, message in (
        ([9], "hidden0.bias is (8,), but the config asks for (9,)"),
        (["x"], "model.generator.features is ['x'], but must be 1 to 32 numbers"),
        ([2**17] * 32, "most of it for the networks, but this machine has"),
    ):
        config["model"]["generator"]["features"] = value
        (copy / "config.json").write_text(json.dumps(config))
        done = command(copy)
        assert done.returncode == 1 and message in done.stderr
        assert "Traceback" not in done.stderr
