"""A dry run says what the run would be, refuses what it refuses, writes nothing."""

import os
from pathlib import Path
import re
import subprocess
import sys

from ml_collections import ConfigDict
import numpy as np
from PIL import Image
import pytest

from configs import default
from gan_jax import data
from gan_jax.run import config_file
from gan_jax.training import dry_run
from tests import support

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BATCH = 256  # so many that the optimisers' FLOP hardly count


@pytest.fixture
def config(shared_folder, tmp_path) -> ConfigDict:
    config = support.make_dense_config(shared_folder)
    config.batch_size = BATCH
    config.data.cache_dir = str(tmp_path / "cache")
    return config


def show(config, workdir, **kwargs):
    kwargs = {"default": default.get_config(), "override_config": False} | kwargs
    dry_run.show(config, workdir, **kwargs)


def test_the_flop_of_dense_networks_agree_with_a_count_by_hand(config):
    config.data.device_bytes = 0  # the host gathers the batches
    measured = dry_run.measure(config, None)
    first, second = 256 * 8, 8  # multiplications of the discriminator's layers
    generator, last = 5 * 8 + 8 * 256, 8 * 256
    discriminator = first + second
    # Forward passes, gradients in the kernels, gradients in the layers' inputs.
    d_update = generator + 2 * (discriminator + discriminator + second)
    g_update = discriminator + discriminator + (generator + last)
    by_hand = 2 * BATCH * (d_update + g_update)
    np.testing.assert_allclose(measured.flop, by_hand, rtol=0.1, atol=0)
    assert measured.steps_per_call == 2 and measured.calls == 5
    assert measured.seconds_per_step > 0 and measured.sizes.temp_size_in_bytes > 0


def test_large_data_are_replaced_by_fewer_random_images(config, monkeypatch):
    monkeypatch.setattr(dry_run, "_MOST_RANDOM", 0)
    config.data.device_bytes = 2**16
    images = dry_run.random_dataset(config.data, 10**9).images
    assert images.shape == (2**16 // 16**2 + 1, 16, 16, 1)  # too many for the device


def test_prepared_data_are_said_to_be_ready(config):
    data.create(config.data)
    (line,) = dry_run.describe_data(config, data.foresee(config.data))
    assert "array, split train: 48 images of 16x16x1 (12.0 KiB) are ready in" in line


def test_images_that_scores_need_are_said_too(config, tmp_path):
    config.data.update(name="mnist", data_dir=str(tmp_path), manual_dir="")
    config.data.num_classes = 10
    config.eval_every_steps = 2
    train, test = dry_run.describe_data(config, data.foresee(config.data))
    assert "split train: at most 60,000 images" in train
    assert "from the raw files in" in train and "(11.1 MiB)" in train
    assert "split test: at most 10,000 images" in test
    assert test.endswith("Scores need it.")


MNIST = {"name": "mnist", "num_classes": 10}


@pytest.mark.parametrize(
    "fields, count, reads",
    [
        ({"name": "folder", "num_classes": 0}, 3, "3 files below"),
        ({**MNIST, "split": "test[:100]"}, 10_000, "from the raw files"),
        ({**MNIST, "split": "train+test"}, None, "from the raw files"),
        ({"name": "stacked_mnist", "channels": 3}, 128_000, "TFDS prepares"),
    ],
)
def test_what_will_be_read_is_counted_and_not_prepared(
    config, tmp_path, fields, count, reads
):
    images = tmp_path / "images"
    images.mkdir()
    for index in range(3):
        Image.new("L", (4, 4)).save(images / f"{index}.png")
    config.data.update(data_dir=str(tmp_path / "tfds"), manual_dir="", **fields)
    if config.data.name == "folder":
        config.data.manual_dir = str(images)
    outlook = data.foresee(config.data)
    assert not outlook.is_prepared and outlook.num_images == count
    assert reads in outlook.reads
    assert list(tmp_path.iterdir()) == [images]


def test_a_mixture_needs_no_preparation(config):
    config.data.update(name="ring", image_size=1, channels=2)
    assert data.foresee(config.data) == data.Outlook(None, True, 100_000, "")


def test_a_source_that_does_not_tell_is_no_mistake(config):
    (line,) = dry_run.describe_data(config, None)
    assert line.endswith("its source does not tell whether it is prepared.")


def test_the_default_config_differs_in_nothing():
    plain = default.get_config()
    said = dry_run.describe_config(plain, default.get_config())
    assert said == ["All fields have the values of configs/default.py."]


def test_fields_that_one_of_two_configs_lacks_are_said(config):
    plain = default.get_config()
    with config.unlocked():
        del config.optimizer.generator.b1
        config.optimizer.generator.momentum = 0.5
    said = dry_run.describe_config(config, plain)
    assert "optimizer.generator.b1 is not a field of this config (default 0.5)" in said
    assert "optimizer.generator.momentum = 0.5 (not in the default)" in said


@pytest.mark.parametrize(
    "first_step, said",
    [
        (0, "start at step 0 of 4"),
        (2, "would go on from step 2 of 4"),
        (4, "It is finished after 4 steps: nothing would be trained"),
    ],
)
def test_where_the_run_starts_is_said(config, tmp_path, first_step, said):
    folder, start = dry_run.describe_folder(config, tmp_path, first_step)
    assert folder == f"The folder is {tmp_path}." and said in start


def test_what_a_run_refuses_is_refused_alike(config, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write the run's folder .*file is a file"):
        show(config, tmp_path / "file" / "run")
    config_file.claim(tmp_path / "run", config)
    config.seed = 5
    with pytest.raises(ValueError, match="seed was 0, now 5"):
        show(config, tmp_path / "run")
    config.recipe.generator_steps = 2
    with pytest.raises(ValueError, match="recipe.generator_steps was 1, now 2"):
        show(config, tmp_path / "run", override_config=True)
    config.batch_size = 3
    with pytest.raises(ValueError, match="batch_size is 3, which 2 devices cannot"):
        show(config, tmp_path / "new")
    config.batch_size = 0
    with pytest.raises(ValueError, match="batch_size is 0, but must be at least 1"):
        show(config, tmp_path / "new")
    assert capsys.readouterr().out == ""


def dry(*flags, cwd):
    words = [sys.executable, "-m", "gan_jax.main", "--config=gan", "--dry_run", *flags]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )


def test_the_command_says_every_part_and_writes_nothing(tmp_path):
    networks = ("generator", "discriminator")
    flags = [f"--config.model.{name}.features=(8,)" for name in networks]
    done = dry(*flags, f"--config.data.data_dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    said = done.stdout
    assert said.startswith("Run:\n  The folder is runs/gan, which does not exist yet.")
    assert "start at step 0 of 30,000, on 1 device" in said
    assert "model.name = 'mlp' (default 'dcgan')" in said
    assert "at most 60,000 images of 28x28x1 (44.9 MiB) would be prepared in" in said
    # Dense layers 100 -> 8 -> 784 and 784 -> 8 -> 1 with biases.
    totals = [100 * 8 + 8 + 8 * 784 + 784, 784 * 8 + 8 + 8 * 1 + 1]
    found = [int(x.replace(",", "")) for x in re.findall(r"Total: ([\d,]+)", said)]
    assert found == totals
    # Parameters and Adam's two means of gradients and their two counts.
    assert f"It takes at most {4 * 3 * sum(totals) / 2**10:.1f} KiB" in said
    assert "The 30,000 steps that are left take" in said


def test_the_command_refuses_a_job_of_several_processes(tmp_path):
    done = dry("--num_processes=2", cwd=tmp_path)
    assert done.returncode == 1
    assert "--num_processes came with --dry_run, which takes a single" in done.stderr
