"""Samples from a run's folder."""

import re
import subprocess
import sys

import numpy as np
import pytest

from configs import ring
import gan_jax
from gan_jax.run import latents as latents_lib
from gan_jax.training import train
from tests import support

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(shared_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = support.make_conditional_config(shared_folder)
    train.train_and_evaluate(config, workdir)
    return workdir


@pytest.mark.parametrize(
    "output, message",
    [
        ("a.jpg", "must end in .npz"),
        ("a.gif", "only a path is shown as an animation: give --between or --walk"),
        ("no/a/", "folder of the output .* not exist"),
        ("full/", "--output is the folder .*full/, which holds files: empty it"),
        ("no/a.png", "folder of the output .* not exist"),
        ("folder.npz", "--output is .*folder.npz, which is a folder"),
    ],
)
def test_an_output_that_cannot_be_is_refused(run, tmp_path, output, message):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "00000.png").touch()
    done = command(run, f"--output={tmp_path}/{output}")
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
        ("--between=3 --walk=1", "--between and --walk draw different pictures"),
        ("--by_class --label=1", "--label and --by_class exclude each other"),
        ("--between=1,2 --rows=3", "--rows and --between exclude each other"),
        ("--rows=3 --columns=2 --num=4", "give --rows and --columns without --num"),
        ("--rows=3", "--rows goes with --columns"),
        ("--walk=0 --statistics=batch", "--statistics=batch .* cannot go with --walk"),
        ("--walk=0", "all images of --walk have one class: give --label, from 0 to 2"),
        ("--walk=5 --label=1", "coordinate is 5, but .* coordinates 0 to 4"),
        ("--between=3 --label=1", "--between is 3, but must have the form 3,7"),
        ("--arithmetic=1-2 --label=1", "form 1,2,3-4,5,6\\+7,8,9"),
        ("--truncation=0", "the truncation is 0.0, but must be above 0"),
    ],
)
def test_flags_that_cannot_be_are_refused(run, flag, message):
    done = command(run, *flag.split())
    assert done.returncode in (1, 2) and done.stdout == ""
    assert re.search(message, done.stderr) and len(done.stderr.splitlines()) == 1


def test_a_path_through_latents_that_decide_a_dropout_is_refused(
    shared_folder, tmp_path
):
    config = support.make_dense_config(shared_folder)
    config.model.generator.hidden_dropout = 0.5
    config.model.generator.test_dropout = True
    train.train_and_evaluate(config, tmp_path / "run")
    for flag in ("--between=0,1", "--walk=0", "--arithmetic=0-1+2"):
        done = command(tmp_path / "run", flag, f"--output={tmp_path / 'path.png'}")
        kind = flag.partition("=")[0]
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert re.search(f"{kind} was given, but .* drawn with dropout", done.stderr)
    done = command(tmp_path / "run", "--num=4", f"--output={tmp_path / 'plain.png'}")
    assert done.returncode == 0


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


def read(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def test_the_command_writes_pictures_of_latents(run, tmp_path):
    """Every kind of drawing is compared with what Python draws."""
    model = gan_jax.load(run)
    latents = model.draw_latents(8, seed=4)

    def arrays(*flags):
        path = tmp_path / "samples.npz"
        done = command(run, "--seed=4", f"--output={path}", *flags)
        assert done.returncode == 0, done.stderr
        with np.load(path) as loaded:
            return loaded["images"], loaded["labels"]

    images, labels = arrays("--between=3,7", "--label=1", "--num=5")
    path = latents_lib.interpolate(latents[3], latents[7], 5)
    np.testing.assert_array_equal(images, model.generate(path, 1))
    np.testing.assert_array_equal(labels, [1] * 5)

    images, _ = arrays("--walk=2", "--label=0", "--num=3")
    path = latents_lib.walk(latents[0], 2, [-3, 0, 3])
    np.testing.assert_array_equal(images, model.generate(path, 0))

    images, _ = arrays("--arithmetic=1,2-3+4,5", "--label=2")
    means = latents[[1, 2]].mean(0), latents[3], latents[[4, 5]].mean(0)
    result = [*means, means[0] - means[1] + means[2]]
    np.testing.assert_allclose(images.astype(int), model.generate(result, 2), atol=1)

    images, labels = arrays("--by_class", "--columns=2", "--truncation=0.5")
    truncated = model.draw_latents(2, seed=4, truncation=0.5)
    expected = [model.generate(truncated, label) for label in range(3)]
    np.testing.assert_allclose(images.astype(int), np.concatenate(expected), atol=1)
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 2, 2])


def test_the_command_writes_rows_and_columns_and_folders(run, tmp_path):
    grid = tmp_path / "grid.png"
    done = command(run, "--rows=2", "--columns=4", f"--output={grid}")
    assert done.returncode == 0, done.stderr
    assert read(grid).shape == (2 * 18 - 2, 4 * 18 - 2)
    done = command(run, "--num=3", f"--output={tmp_path}/folder/")
    assert done.returncode == 0, done.stderr
    names = ["00000.png", "00001.png", "00002.png"]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == names
    third = gan_jax.load(run).sample(3)[2, ..., 0]
    np.testing.assert_array_equal(read(tmp_path / "folder" / names[2]), third)


def test_a_path_is_shown_as_an_animation_that_goes_there_and_back(run, tmp_path):
    path = tmp_path / "path.gif"
    done = command(run, "--between=0,1", "--label=1", "--num=4", f"--output={path}")
    assert done.returncode == 0, done.stderr
    from PIL import Image

    with Image.open(path) as animation:
        assert animation.n_frames == 6 and animation.size == (16, 16)
        assert animation.info["loop"] == 0


def test_points_of_the_plane_are_drawn_but_not_as_pictures(run, tmp_path):
    workdir = tmp_path / "ring"
    config = ring.get_config()
    config.num_train_steps = config.steps_per_call = config.log_every_steps = 2
    config.checkpoint_every_steps = 2
    config.sample_every_steps = config.eval_every_steps = 0
    config.tensorboard = False
    config.data.cache_dir = str(tmp_path / "cache")
    config.model.generator.features = config.model.discriminator.features = (8,)
    train.train_and_evaluate(config, workdir)
    output = tmp_path / "points.npz"
    done = command(workdir, "--between=0,1", "--num=3", f"--output={output}")
    assert done.returncode == 0, done.stderr
    with np.load(output) as arrays:
        assert arrays["images"].shape == (3, 1, 1, 2)
        assert arrays["images"].dtype == np.float32
    done = command(workdir, f"--output={tmp_path}/folder/")
    assert done.returncode == 1
    assert "the run draws points of the plane, which are no pictures" in done.stderr
