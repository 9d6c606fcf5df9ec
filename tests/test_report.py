"""The command that writes a page about runs."""

import configparser
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from gan_jax import command
from tests import support as configs
from tests.page import support

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def report(*flags, cwd, code="runpy.run_module('gan_jax.report', run_name='__main__')"):
    words = ["report", *(str(flag) for flag in flags)]
    return subprocess.run(
        [sys.executable, "-c", f"import runpy, sys\nsys.argv = {words}\n{code}"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [support.make_run(folder / name) for name in ("first", "second")]


def test_the_command_writes_a_page_here_without_tensorflow(runs, tmp_path):
    before = sorted(path for run in runs for path in run.rglob("*"))
    code = (
        "import atexit\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules))\n"
        "runpy.run_module('gan_jax.report', run_name='__main__')"
    )
    done = report(f"--workdir={runs[0]}", cwd=tmp_path, code=code)
    assert done.returncode == 0, done.stderr
    said = r"report.html \(0.1 MB\) shows first.\nFalse\n"
    assert re.fullmatch(said, done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert before == sorted(path for run in runs for path in run.rglob("*"))
    assert "--config=default" in (tmp_path / "report.html").read_text()


def test_the_command_compares_runs(runs, tmp_path):
    flags = [f"--workdir={runs[0]}", f"--compare={runs[1]}", "--output=both.html"]
    done = report(*flags, "--grids=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("shows first, second.\n")
    assert (tmp_path / "both.html").read_text().count("<img ") == 4


def test_a_run_in_a_bucket_has_the_page_of_its_folder(runs, tmp_path):
    done = report(f"--workdir=file://{runs[0]}", "--grids=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "shows first." in done.stdout
    assert (tmp_path / "report.html").read_text().count("<img ") == 2


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["--workdir=none"], 1, "none holds no run: "),
        (["--workdir={0}", "--compare={0}"], 1, "first is given twice"),
        (["--workdir={0}", "--output=a.txt"], 1, "--output is a.txt, but must end in"),
        (["--workdir={0}", "--output=no/a.html"], 1, "folder of the output .* not exi"),
        (["--workdir={0}", "--output=."], 1, "--output is ., which is a folder"),
        (["--workdir={0}", "--grids=0"], 2, "flag --grids=0"),
        (["--workdir={0}", *["--compare={1}"] * 8], 1, "9 runs, but a page shows 8"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(runs, tmp_path, flags, code, message):
    done = report(*(flag.format(*runs) for flag in flags), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.search(message, done.stderr) and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_jinja2_is_named(runs, tmp_path):
    code = (
        "sys.modules['jinja2'] = None\n"
        "runpy.run_module('gan_jax.report', run_name='__main__')"
    )
    done = report(f"--workdir={runs[0]}", cwd=tmp_path, code=code)
    assert done.returncode == 1 and not list(tmp_path.iterdir())
    assert done.stderr.startswith("error: jinja2 is not installed, which makes the ")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options.extras_require"]["report"].strip()
    assert f'python -m pip install "{wanted}"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_shipped_config_has_the_name_that_the_flag_takes(monkeypatch):
    monkeypatch.setitem(sys.modules, "configs", sys.modules["configs"])
    shipped = command.shipped_configs()
    named = {f"{name}:{preset}" if preset else name for name, preset in configs.CASES}
    assert set(shipped) == {"default", *named} and next(iter(shipped)) == "default"
    assert shipped["cgan:onehot"] == configs.get_config("cgan", "onehot")
