"""A run's folder: its config, its metrics, and what belongs to it."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from gan_jax import workdir

ROOT = Path(__file__).parent.parent


def test_config_comes_back_as_it_was_written(tiny_config, tmp_path):
    workdir.claim(tmp_path / "run", tiny_config)
    workdir.check(tmp_path / "run", tiny_config)
    read = workdir.read_config(tmp_path / "run")
    assert workdir.differences(read, tiny_config) == {}


def test_differences_name_changed_new_and_missing_fields(tiny_config):
    other = tiny_config.copy_and_resolve_references()
    with other.unlocked():
        other.data.image_size = 32
        other.data.fresh = 1
        del other.model.latent_size
    assert workdir.differences(tiny_config, other) == {
        "data.image_size": (16, 32),
        "data.fresh": (workdir.MISSING, 1),
        "model.latent_size": (5, workdir.MISSING),
    }


def test_another_config_is_refused(tiny_config, tmp_path):
    workdir.check(tmp_path, tiny_config)  # nobody's folder yet
    workdir.claim(tmp_path, tiny_config)
    tiny_config.seed = 5
    with pytest.raises(ValueError, match="seed was 0, now 5"):
        workdir.check(tmp_path, tiny_config)


def test_a_folder_that_cannot_be_made_is_refused(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*file/run: Not a directory"):
        workdir.claim(tmp_path / "file" / "run", tiny_config)


def write_records(path, *steps):
    for step in steps:
        workdir.append_line(path, {"step": step, "d_loss": 1.5})


def steps_of(path):
    return [record["step"] for record in workdir.read_lines(path)]


def test_metrics_after_a_step_are_dropped_with_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_records(path, 10, 20, 30)
    with path.open("a") as file:
        file.write('{"step": 40, "d_')
    assert steps_of(path) == [10, 20, 30]
    workdir.drop_lines_after(path, 20)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]
    assert [other.name for other in tmp_path.iterdir()] == ["metrics.jsonl"]


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
    workdir.drop_lines_after(path, 20)
    assert steps_of(path) == [10, 20]
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == whole
    assert "line 2 is damaged. It is removed" in caplog.text


def test_lines_that_cannot_be_read_or_written_are_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.mkdir()
    with pytest.raises(ValueError, match="metrics.jsonl cannot be read: it is no ord"):
        workdir.read_lines(path)
    with pytest.raises(
        OSError, match="metrics.jsonl cannot be written: Is a directory"
    ):
        workdir.append_line(path, {})


def test_a_link_in_a_strangers_folder_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "scores.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="cannot be written: it is a link"):
        workdir.append_line(tmp_path / "scores.jsonl", {"step": 1})
    assert (tmp_path / "mine").read_text() == "mine"


def test_two_owners_at_once_are_one_too_many(tmp_path):
    with (
        workdir.own(tmp_path),
        pytest.raises(
            OSError, match=rf"is being trained by process {os.getpid()} on .* since \d"
        ),
        workdir.own(tmp_path),
    ):
        pass
    with workdir.own(tmp_path):
        pass  # what the first one left is no obstacle


def test_a_killed_owner_leaves_nothing_that_needs_cleaning(tmp_path):
    code = (
        "import os, pathlib, signal\n"
        "from gan_jax import workdir\n"
        f"with workdir.own(pathlib.Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "lock").exists()
    with workdir.own(tmp_path):
        pass


def test_a_folder_that_cannot_be_owned_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"cannot write .*file/run: Not a directory"
    with (
        pytest.raises(OSError, match=message),
        workdir.own(tmp_path / "file" / "run"),
    ):
        pass


def test_a_folder_without_a_run_and_a_broken_config_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no run: .*config.json does not exist"):
        workdir.read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is not JSON"):
        workdir.read_config(tmp_path)
    with pytest.raises(ValueError, match="config.json is a file: .*give the folder"):
        workdir.read_config(tmp_path / "config.json")


def change(tree, path, value):
    *sections, name = path.split(".")
    for section in sections:
        tree = tree[section]
    if value is None:
        del tree[name]
    else:
        tree[name] = value


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("seed", None, "it lacks the field seed"),
        ("seed", "0", "seed is '0', a text"),
        ("data", None, "it lacks the field data.name"),
        ("data", [], "it lacks the field data.name"),
        ("model.generator", 3, "it lacks the field model.generator.condition"),
        ("model.latent_size", 1.5, "model.latent_size is '1.5', a number"),
        ("recipe.ema_decay", "x", "recipe.ema_decay is 'x', a text"),
        ("evaluation.weights", 0, "evaluation.weights is '0', a number"),
        ("data.get", 1, "'get' is no name of a field"),
        ("a.b", 1, "'a.b' is no name of a field"),
    ],
)
def test_a_config_that_is_json_but_wrong_is_named(
    tiny_config, tmp_path, path, value, message
):
    workdir.claim(tmp_path, tiny_config)
    tree = json.loads((tmp_path / "config.json").read_text())
    if path == "a.b":
        tree[path] = value
    else:
        change(tree, path, value)
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=f"config.json is damaged: {message}"):
        workdir.read_config(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("[]", "it holds a list and not an object"),
        ("null", "it holds null and not an object"),
        ("1", "it holds a number and not an object"),
        ("{}", "it lacks the field seed"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "it is nested too deeply"),
        (" " * 2**20 + "{}", "more than 1,048,576 bytes"),
    ],
    ids=["list", "null", "number", "empty", "deep", "large"],
)
def test_what_is_no_config_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        workdir.read_config(tmp_path)


def test_a_config_that_is_a_link_is_not_followed(tiny_config, tmp_path):
    workdir.claim(tmp_path / "run", tiny_config)
    (tmp_path / "config.json").symlink_to(tmp_path / "run" / "config.json")
    with pytest.raises(ValueError, match="it is a link, which is not followed"):
        workdir.read_config(tmp_path)
