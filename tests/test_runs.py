"""The command that lists runs: what it says about whole and damaged runs."""

import os
from pathlib import Path
import subprocess
import sys
import time

import pytest

from gan_jax import runs
from gan_jax.run import listing
from tests.page import support

ROOT = Path(__file__).parent.parent
LAST = support.STEPS[-1]


def finish(run, step=LAST):
    """Puts the names of a complete checkpoint's files there."""
    folder = run / "checkpoints" / str(step)
    (folder / listing.ARRAYS).mkdir(parents=True)
    (folder / listing.ARRAYS / "_METADATA").write_text("")
    (folder / listing.SUMS).write_text("")


def table(under, *flags):
    code = (
        "import atexit, runpy, sys\n"
        "heavy = {'jax', 'tensorflow', 'numpy', 'flax', 'orbax'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        f"sys.argv = {['runs', f'--under={under}', *flags]}\n"
        "runpy.run_module('gan_jax.runs', run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_the_command_lists_runs_at_any_depth_and_changes_nothing(tmp_path):
    finish(support.make_run(tmp_path / "one", grids=0))
    support.make_run(tmp_path / "sweep" / "seed_0", grids=0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")  # another program's
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    done = table(tmp_path)
    assert done.returncode == 0, done.stderr
    head, one, sweep, total, heavy = done.stdout.splitlines()
    assert head.split() == [
        *("run", "config", "step", "state", "s/step", "age"),
        *("last", "scores"),
    ]
    assert "dcgan on mnist  300/300  finished    0.5" in one
    assert sweep.startswith("sweep/seed_0 ") and "300/300  unfinished" in sweep
    assert one.endswith("distance 7 (raw, step 300)")
    assert total == f"Finished under {tmp_path}: 1 of 2."
    assert heavy == "[]"
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_run_is_finished_only_with_the_checkpoint_of_its_last_step(tmp_path):
    run = support.make_run(tmp_path / "run", grids=0)
    finish(run, step=200)
    assert runs.describe(run, "run").state == "unfinished"
    finish(run)
    (run / "checkpoints" / str(LAST) / listing.SUMS).unlink()
    assert runs.describe(run, "run").state == "unfinished"
    (run / "checkpoints" / str(LAST) / listing.SUMS).write_text("")
    assert runs.describe(run, "run").state == "finished"


def test_a_run_that_has_logged_nothing_is_at_step_0(tmp_path):
    run = support.make_run(tmp_path / "run", grids=0)
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        (run / name).unlink()
    row = runs.describe(run, "run")
    assert (row.steps, row.state, row.pace, row.scores) == (
        "0/300",
        "unfinished",
        *2 * [""],
    )


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "config.json is not JSON"),
        ("[]", "config.json is damaged: it holds no object"),
        ('{"seed": 0}', "has num_train_steps None, but a run has a whole number"),
        ('{"num_train_steps": 1e3}', "has num_train_steps 1000.0, but"),
        (None, "config.json does not exist"),
    ],
)
def test_a_damaged_run_has_a_row_that_says_so(tmp_path, content, message):
    run = support.make_run(tmp_path / "run", grids=0)
    (run / "checkpoints").mkdir()
    if content is None:
        (run / "config.json").unlink()
    else:
        (run / "config.json").write_text(content)
    (found,) = runs.find(tmp_path)
    row = runs.describe(found, "run")
    assert row.state == "damaged" and message in row.scores


def test_runs_in_a_bucket_are_listed_alike(tmp_path):
    finish(support.make_run(tmp_path / "one", grids=0))
    support.make_run(tmp_path / "sweep" / "seed_0", grids=0)
    then = time.time() - 7_500
    for path in tmp_path.rglob("*.json*"):
        os.utime(path, (then, then))
    expected, done = table(tmp_path), table(f"file://{tmp_path}")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[:3] == expected.stdout.splitlines()[:3]
    assert shown[3] == f"Finished under file://{tmp_path}: 1 of 2."
    assert shown[4] == "[]" and "  2 h  " in shown[1]


def test_damaged_lines_are_passed_over(tmp_path):
    run = support.make_run(tmp_path / "run", grids=0)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 400, "d_')
    with (run / "evaluations.jsonl").open("a") as file:
        file.write('{"step": 400, "generator": 1}\n')
    row = runs.describe(run, "run")
    assert row.steps == "300/300" and row.scores == "distance 7 (raw, step 300)"


def test_a_strangers_text_changes_no_terminal(tmp_path):
    run = support.make_run(tmp_path / "run", grids=0)
    support.rewrite(run / "config.json", lambda x: x["model"].update(name="\x1b[2J\n"))
    lines = runs.format_table([runs.describe(run, "run")]).splitlines()
    assert len(lines) == 2 and "?[2J? on mnist" in lines[1]


@pytest.mark.parametrize(
    "seconds, age",
    [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_the_age_is_the_time_since_the_last_line(tmp_path, seconds, age):
    run = support.make_run(tmp_path / "run", grids=0)
    then = time.time() - seconds
    for path in run.iterdir():
        os.utime(path, (then, then))
    assert runs.describe(run, "run").age == age


def test_a_folder_that_is_missing_is_refused(tmp_path):
    done = table(tmp_path / "none")
    assert done.returncode == 1
    assert "none does not exist, but --under must be a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_runs_is_said(tmp_path):
    assert "There are no runs under" in table(tmp_path).stdout
