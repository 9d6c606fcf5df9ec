"""The files of a run's folder: lines, pictures, and the lock of its writer."""

import json
import math
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from gan_jax.run import files

ROOT = Path(__file__).parents[2]


def write_records(path, *steps):
    for step in steps:
        files.append_line(path, {"step": step, "d_loss": 1.5})


def steps_of(path):
    return [record["step"] for record in files.read_lines(path)]


def test_metrics_after_a_step_are_dropped_with_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_records(path, 10, 20, 30)
    with path.open("a") as file:
        file.write('{"step": 40, "d_')
    assert steps_of(path) == [10, 20, 30]
    files.drop_lines_after(path, 20)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]
    assert [other.name for other in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_record_after_a_torn_line_is_not_lost(tmp_path):
    path = tmp_path / "scores.jsonl"
    write_records(path, 10)
    with path.open("a") as file:
        file.write('{"step": 20, "d_')
    write_records(path, 30, 40)
    assert steps_of(path) == [10, 30, 40]
    assert path.read_bytes().count(b"\n") == 4


def test_a_line_that_a_full_disk_cuts_off_is_taken_back(tmp_path):
    # No file may grow beyond 60 bytes, which are one and a half of the lines.
    code = (
        "import pathlib, resource\n"
        "from gan_jax.run import files\n"
        f"path = pathlib.Path({str(tmp_path)!r}) / 'scores.jsonl'\n"
        "record = {'step': 10, 'd_loss': 1.5, 'g_loss': 1.5}\n"
        "files.append_line(path, record)\n"
        "whole = path.read_bytes()\n"
        "_, most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, most))\n"
        "try:\n"
        "    files.append_line(path, record)\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "assert path.read_bytes() == whole\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("cannot be written: No space left on device.\n")


@pytest.mark.parametrize(
    "damage", ["{", "[1]", "7", "null", '{"d_loss": 1.0}', '{"step": "x"}', "\xff"]
)
def test_a_damaged_line_is_named_and_not_lost(tmp_path, damage, caplog):
    path = tmp_path / "metrics.jsonl"
    write_records(path, 10)
    with path.open("a", encoding="latin-1") as file:
        file.write(damage + "\n")
    write_records(path, 20, 30)
    whole = path.read_bytes()
    assert steps_of(path) == [10, 20, 30]
    assert "metrics.jsonl: line 2 is damaged. It is left out." in caplog.text
    assert path.read_bytes() == whole
    files.drop_lines_after(path, 20)
    assert steps_of(path) == [10, 20]
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == whole
    assert "line 2 is damaged. It is removed" in caplog.text


def test_lines_that_cannot_be_read_or_written_are_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.mkdir()
    with pytest.raises(ValueError, match="metrics.jsonl cannot be read: it is no ord"):
        files.read_lines(path)
    with pytest.raises(
        OSError, match="metrics.jsonl cannot be written: Is a directory"
    ):
        files.append_line(path, {})


def test_a_link_in_a_strangers_folder_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "scores.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="cannot be written: it is a link"):
        files.append_line(tmp_path / "scores.jsonl", {"step": 1})
    assert (tmp_path / "mine").read_text() == "mine"


def test_two_owners_at_once_are_one_too_many(tmp_path):
    with (
        files.own(tmp_path),
        pytest.raises(
            OSError, match=rf"is being trained by process {os.getpid()} on .* since \d"
        ),
        files.own(tmp_path),
    ):
        pass
    with files.own(tmp_path):
        pass  # what the first one left is no obstacle


def test_a_killed_owner_leaves_nothing_that_needs_cleaning(tmp_path):
    code = (
        "import os, pathlib, signal\n"
        "from gan_jax.run import files\n"
        f"with files.own(pathlib.Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "lock").exists()
    with files.own(tmp_path):
        pass


def test_a_folder_that_cannot_be_owned_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"cannot write .*file/run: Not a directory"
    with (
        pytest.raises(OSError, match=message),
        files.own(tmp_path / "file" / "run"),
    ):
        pass


def test_a_record_without_its_numbers_is_named(tmp_path, caplog):
    whole = {"step": 1, "generator": "raw", "numbers": {"x": {"value": 1.0}}}
    whole["protocol"] = {}
    broken = [{"step": 1}, whole | {"numbers": {"x": 1.0}}, whole | {"generator": 0}]
    broken.append(whole | {"numbers": {"x": {"standard_error": None}}})
    path = tmp_path / "evaluations.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (*broken, whole)))
    assert files.read_scores(path) == [whole]
    assert all(f"line {number} is damaged" in caplog.text for number in (1, 2, 3, 4))


def test_protocols_may_differ_in_their_versions_only():
    old = {"split": "test", "versions": {"numpy": "2.2.0"}, "own_parts": {"a:b": "1"}}
    assert files.same_protocol(old, old | {"versions": {"numpy": "2.3.0"}})
    assert files.same_protocol(old, {x: y for x, y in old.items() if x != "versions"})
    assert not files.same_protocol(old, old | {"split": "train"})
    assert not files.same_protocol(old, old | {"own_parts": {"a:b": "2"}})
    assert not files.same_protocol(old, old | {"label": ""})


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_inf_and_nan_are_written_as_json_and_read_as_floats(tmp_path):
    values = {"a": math.inf, "b": -math.inf, "c": math.nan, "d": 1.5}
    numbers = {x: {"value": y, "standard_error": None} for x, y in values.items()}
    record = {"step": 1, "generator": "raw", "numbers": numbers}
    record["protocol"] = {"name": 'NaN, "Infinity" and \\'}
    path = tmp_path / "evaluations.jsonl"
    files.append_line(path, record)
    json.loads(path.read_text(), parse_constant=refuse)
    with path.open("a") as file:  # as earlier versions wrote it
        file.write(json.dumps(record) + "\n")
    assert "Infinity" in path.read_text().splitlines()[1]
    read = [*files.read_scores(path), files.read_last_score(path)]
    for one in read:
        assert one["protocol"] == record["protocol"]
        found = {x: y["value"] for x, y in one["numbers"].items()}
        np.testing.assert_array_equal(list(found.values()), list(values.values()))
    assert len(read) == 3


def test_sample_grids_are_found_in_order_of_their_steps(tmp_path):
    (tmp_path / "samples").mkdir()
    names = ("step_0000500.png", "step_10000000.png", "step_0000000.png")
    for name in (*names, "step_.png", "step_0000001.png.tmp", "grid.png"):
        (tmp_path / "samples" / name).touch()
    found = files.sample_grids(tmp_path)
    assert list(found) == [0, 500, 10_000_000]
    assert found[500] == tmp_path / "samples" / names[0]
    assert files.sample_grids(tmp_path / "none") == {}


def test_only_ordinary_files_of_the_allowed_size_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"four")
    assert files.read_bytes(path, 4) == b"four"
    with pytest.raises(OSError, match="file has more than 3 bytes"):
        files.read_bytes(path, 3)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="it is a link, which is not followed"):
        files.read_bytes(tmp_path / "link", 4)


def test_environments_are_read_and_damaged_lines_are_not(tmp_path):
    lines = '{"environment": "here"}\n[]\n{"environment": 1}\n{"environment": "th'
    (tmp_path / files.ENVIRONMENTS).write_text(lines)
    assert files.read_environments(tmp_path) == ("here",)


def test_a_worker_keeps_the_order_and_stops_at_the_first_error():
    worker, done, may_go = files.Worker(), [], threading.Event()

    def fail():
        may_go.wait()
        raise OSError("the disk is full")

    worker.submit(lambda: done.append(1))
    worker.submit(fail)
    last = worker.submit(lambda: done.append(3))
    worker.check()  # nothing has failed yet
    may_go.set()
    for look in (last.result, worker.check, worker.wait):
        with pytest.raises(OSError, match="the disk is full"):
            look()
    worker.close()
    assert done == [1]
