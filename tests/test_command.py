"""What users see of their mistakes: one sentence, a code, no traceback."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

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
        (["--config=configs/dcgn.py"], 1, "there is no config file configs/dcgn.py"),
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


def test_a_bug_keeps_its_traceback(tmp_path):
    (tmp_path / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    done = run(f"--config={tmp_path / 'broken.py'}")
    assert done.returncode != 0 and "ZeroDivisionError" in done.stderr
