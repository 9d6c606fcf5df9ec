"""What users see of their mistakes: one sentence, a code, no traceback."""

import configparser
import logging
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

from gan_jax import command

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def run(*flags, module="gan_jax.main"):
    return subprocess.run(
        [sys.executable, "-m", module, *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


CONFIG = "--config=configs/dcgan.py"


@pytest.mark.parametrize(
    "flags, code, sentence",
    [
        ([], 1, "no config was given; name one"),
        (
            ["--config=configs/dcgn.py"],
            2,
            "there is no config configs/dcgn.py (did you",
        ),
        (
            ["--config=dcgn", "--config.seed=1"],
            2,
            "there is no config dcgn (did you mean dcgan?): give the path of a file as "
            "--config, or one of the names cgan, dcgan, dcgan_keras, gan, infogan, ",
        ),
        (["--config=cgan:onehott"], 2, "there is no preset 'onehott'"),
        (
            [CONFIG, "--config.optimizer.generator.learning_rat=1"],
            2,
            "--config.optimizer.generator.learning_rat=1 sets a field that the config "
            "does not have: did you mean learning_rate?",
        ),
        (
            [CONFIG, "--config.data.image_size=small"],
            2,
            "flag --config.data.image_size=small: invalid literal for int()",
        ),
        (
            [CONFIG, "--config.optimizer=adam"],
            2,
            "--config.optimizer=adam sets optimizer, which is a section of the config: "
            "set one of its fields, such as --config.optimizer.discriminator.name=adam."
            "\n",
        ),
        (
            [CONFIG, "--config.optimizer.generator", "adam"],
            2,
            "--config.optimizer.generator=adam sets optimizer.generator, which is a "
            "section of the config: set one of its fields, such as --config.optimizer."
            "generator.name=adam.\n",
        ),
        (
            [CONFIG, "--config.model="],
            2,
            "fields, such as --config.model.name=dcgan.\n",
        ),
        ([CONFIG, "--wrkdir=x"], 2, "Unknown command line flag 'wrkdir'. Did you mean"),
        (["--config=configs/cgan.py:onehott"], 2, "there is no preset 'onehott'"),
        ([CONFIG, "x"], 2, "unexpected argument 'x'"),
        ([CONFIG, "--config.model.name=dcgn"], 1, "model.name is 'dcgn', but"),
        ([CONFIG, "--config.data.image_size=30"], 1, "cannot make images of 30 pixels"),
        ([CONFIG, "--config.data.name=mnst"], 1, "Unknown data set 'mnst'"),
        ([CONFIG, "--config.batch_size=0"], 1, "batch_size is 0, but must be at least"),
        (
            [CONFIG, "--config.optimizer.generator.name=adm"],
            1,
            "name is 'adm', but must be",
        ),
    ],
)
def test_mistakes_are_answered_in_one_sentence(tmp_path, flags, code, sentence):
    done = run(*flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and sentence in done.stderr


@pytest.mark.parametrize(
    "path, level, is_shown",
    [
        (f"{ROOT}/gan_jax/run/files.py", logging.INFO, True),
        ("/site/optax/schedules.py", logging.INFO, False),
        ("/site/optax/schedules.py", logging.WARNING, True),
        ("/site/orbax/checkpoint/manager.py", logging.WARNING, False),
        ("/site/jax/_src/xla_bridge.py", logging.WARNING, False),  # no TPU, no CUDA
    ],
)
def test_which_log_lines_are_shown(path, level, is_shown):
    record = logging.LogRecord("", level, path, 1, "", (), None)
    assert command._is_worth_showing(record) == is_shown


TOO_LONG = "a" * 300  # longer than a file's name can be


@pytest.mark.parametrize(
    "module, flags, code",
    [
        ("main", ["--config=configs/gan.py", f"--workdir={TOO_LONG}"], 1),
        ("main", ["--config=gan", f"--workdir={TOO_LONG}", "--dry_run"], 1),
        ("main", [f"--config={TOO_LONG}"], 2),
        ("runs", [f"--under={TOO_LONG}"], 1),
        ("sample", ["--workdir=run", f"--output={TOO_LONG}.png"], 1),
    ],
)
def test_a_path_that_cannot_be_looked_for_is_a_mistake(module, flags, code):
    # A folder that the user may not enter does the same, but root may enter all.
    done = run(*flags, module=f"gan_jax.{module}")
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    sentence = f"{TOO_LONG}.*cannot be reached: File name too long; give another path"
    assert re.search(sentence if code == 1 else f"no config {TOO_LONG}", done.stderr)


def test_a_path_that_begins_with_a_tilde_is_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = ["main", "--workdir=~/a b", "-output=~", "--config=~/x.py:y", "~/x"]
    expanded = [
        "--workdir=/home/me/a b",
        "-output=/home/me",
        "--config=/home/me/x.py:y",
    ]
    assert command._expand_home(given) == ["main", *expanded, "~/x"]
    left = ["--workdir=./~/x", "--config.data.manual_dir=~/x", "--output=x~/y"]
    assert command._expand_home(left) == left


def test_a_bug_keeps_its_traceback(tmp_path):
    (tmp_path / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    done = run(f"--config={tmp_path / 'broken.py'}")
    assert done.returncode != 0 and "ZeroDivisionError" in done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with gan_jax and its configs as pip lays them out, by setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    options = setup["options"]
    folders = dict(
        re.split(r"\s*=\s*", line)
        for line in options["package_dir"].strip().splitlines()
    )
    site = tmp_path_factory.mktemp("site")
    for package in options["packages"].split():
        source = ROOT / folders.get(package, package.replace(".", "/"))
        target = site / package.replace(".", "/")
        target.mkdir()
        for path in source.glob("*.py"):
            shutil.copy(path, target)
    return site


def test_setup_installs_every_package(installed):
    code = {path.relative_to(ROOT) for path in (ROOT / "gan_jax").rglob("*.py")}
    code |= {Path("gan_jax_configs") / path.name for path in ROOT.glob("configs/*.py")}
    assert {path.relative_to(installed) for path in installed.rglob("*.py")} == code


def read(name, *, cwd, path):
    """The path that a config's name leads to and its batch size, or the error."""
    code = (
        "from ml_collections import config_flags\n"
        "from gan_jax import command\n"
        "config = config_flags.DEFINE_config_file('config', lock_config=True)\n"
        "command.run(lambda: print("
        "command.config_filename(), config.value.batch_size))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"--config={name}"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(path)},
    )
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize(
    "name, file",
    [
        ("dcgan", "dcgan.py 128"),
        ("gan:paper", "gan.py:paper 100"),
        ("cgan:onehot", "cgan.py:onehot 128"),
    ],
)
def test_configs_are_found_by_name_in_the_clone_and_installed(
    installed, tmp_path, name, file
):
    assert read(name, cwd=ROOT, path="") == f"configs/{file}"
    assert read(name, cwd=tmp_path, path=ROOT) == f"{ROOT}/configs/{file}"
    expected = f"{installed}/gan_jax_configs/{file}"
    assert read(name, cwd=tmp_path, path=installed) == expected


@pytest.mark.parametrize("name", ["mine.py", "configs/theirs.py", "theirs"])
def test_a_users_own_config_imports_the_installed_default(installed, tmp_path, name):
    text = "from configs import default\nget_config = default.get_config\n"
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "theirs.py").write_text(text)
    assert read(name, cwd=tmp_path, path=installed).endswith(".py 128")


def test_configs_of_the_folder_come_first_but_not_into_shipped_ones(
    installed, tmp_path
):
    (tmp_path / "configs").mkdir()
    for name in ("default", "gan"):
        (tmp_path / "configs" / f"{name}.py").write_text("raise ValueError('mine')\n")
    assert read("gan", cwd=tmp_path, path=installed) == "error: mine"
    assert read("dcgan", cwd=tmp_path, path=installed).endswith("dcgan.py 128")


def test_a_run_has_the_name_of_its_config_wherever_that_lies():
    code = (
        "from gan_jax.main import _config_name as name; "
        "print(name('configs/dcgan.py'), name('/x/gan_jax_configs/dcgan.py:celeba'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "dcgan dcgan_celeba\n", done.stderr
