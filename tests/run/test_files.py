"""A run's folder: its config, its metrics, and what belongs to it."""

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys

import pytest

import gan_jax
from gan_jax.run import files
from gan_jax.training import writer as writer_lib

DATA = Path(__file__).parents[1] / "fixtures"
ROOT = Path(__file__).parents[2]


def test_config_comes_back_as_it_was_written(tiny_config, tmp_path):
    files.claim(tmp_path / "run", tiny_config)
    files.check(tmp_path / "run", tiny_config)
    read = files.read_config(tmp_path / "run")
    assert files.differences(read, tiny_config) == {}


def test_differences_name_changed_new_and_missing_fields(tiny_config):
    other = tiny_config.copy_and_resolve_references()
    with other.unlocked():
        other.data.image_size = 32
        other.data.fresh = 1
        del other.model.latent_size
    assert files.differences(tiny_config, other) == {
        "data.image_size": (16, 32),
        "data.fresh": (files.MISSING, 1),
        "model.latent_size": (5, files.MISSING),
    }


def test_another_config_is_refused(tiny_config, tmp_path):
    files.check(tmp_path, tiny_config)  # nobody's folder yet
    files.claim(tmp_path, tiny_config)
    tiny_config.seed = 5
    with pytest.raises(ValueError, match="seed was 0, now 5"):
        files.check(tmp_path, tiny_config)


def test_a_folder_that_cannot_be_made_is_refused(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*file/run: Not a directory"):
        files.claim(tmp_path / "file" / "run", tiny_config)


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


def test_a_folder_without_a_run_and_a_broken_config_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no run: .*config.json does not exist"):
        files.read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is not JSON"):
        files.read_config(tmp_path)
    with pytest.raises(ValueError, match="config.json is a file: .*give the folder"):
        files.read_config(tmp_path / "config.json")


def test_config_json_names_the_version_which_is_no_field(tiny_config, tmp_path):
    files.claim(tmp_path, tiny_config)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written[files.VERSION] == gan_jax.__version__
    assert files.VERSION not in files.read_config(tmp_path)
    assert files.other_version(tmp_path) is None


@pytest.mark.parametrize(
    "field, value",
    [
        ("num_train_steps", 6),
        *((name, 3) for name in writer_lib.INTERVALS),
        ("steps_per_call", 1),
        ("sample_columns", 3),
        ("data.device_bytes", 0),
        ("evaluation.metrics", "prdc"),
    ],
)
def test_what_is_written_and_the_length_may_change(tiny_config, tmp_path, field, value):
    files.claim(tmp_path, tiny_config)
    tiny_config.update_from_flattened_dict({field: value})
    files.check(tmp_path, tiny_config)


def test_all_that_may_change_is_a_field(tiny_config):
    for name in files.CHANGEABLE:
        section = tiny_config
        for part in name.split("."):
            section = section[part]


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("num_train_steps", 3, "num_train_steps was 4, now 3"),
        ("batch_size", 16, "batch_size was 8, now 16"),
        ("data.manual_dir", "x", "data.manual_dir was .* now 'x'"),
        ("data.flip", True, "data.flip was False, now True"),
        ("recipe.ema_decay", 0.9, "recipe.ema_decay was 0.0, now 0.9"),
    ],
)
def test_what_parameters_depend_on_may_not_change(
    tiny_config, tmp_path, field, value, message
):
    files.claim(tmp_path, tiny_config)
    tiny_config.update_from_flattened_dict({field: value})
    tiny_config.log_every_steps = 1  # may change, and so is not named
    with pytest.raises(ValueError, match=message) as raised:
        files.check(tmp_path, tiny_config)
    assert "log_every_steps" not in str(raised.value)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_longer_schedule_is_spoken_of(tiny_config, tmp_path, caplog, schedule):
    with tiny_config.unlocked():
        tiny_config.optimizer.schedule = schedule
    files.claim(tmp_path, tiny_config)
    tiny_config.num_train_steps = 6
    with caplog.at_level("INFO", logger="absl"):
        files.check(tmp_path, tiny_config)
    spoken = "The cosine schedule of the learning rates now spans 6 steps, before 4"
    assert (spoken in caplog.text) == (schedule == "cosine")


def test_a_run_of_an_earlier_version_is_read_and_not_resumed_with_other_fields(
    tiny_config, tmp_path
):
    shutil.copy(DATA / "config_of_0.1.0.json", tmp_path / "config.json")
    config = files.read_config(tmp_path)
    assert config.model.generator.features == 4
    files.check(tmp_path, config)
    with config.unlocked():
        config.recipe.fresh = 1
    with pytest.raises(
        ValueError,
        match=r"another config, made by gan_jax 0.1.0 or earlier: recipe.fresh was "
        r"'.no such field.', now 1.*or use the version that made it",
    ):
        files.check(tmp_path, config)


def test_an_error_over_a_run_of_another_version_names_it(tiny_config, tmp_path):
    files.claim(tmp_path, tiny_config)
    with pytest.raises(KeyError), files.naming_version(tmp_path):
        raise KeyError("params")
    fields = json.loads((tmp_path / "config.json").read_text())
    fields[files.VERSION] = "9.0.0"
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with (
        pytest.raises(
            ValueError,
            match=rf"was made by gan_jax 9.0.0, and gan_jax {gan_jax.__version__} "
            r"cannot use it: 'params'\. Use the version that made it",
        ),
        files.naming_version(tmp_path),
    ):
        raise KeyError("params")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("get", 1, "'get' is no name of a field"),
        ("a.b", 1, "'a.b' is no name of a field"),
        (files.VERSION, 1, "gan_jax_version is no version"),
        (files.VERSION, "9" * 41, "gan_jax_version is no version"),
    ],
)
def test_names_and_versions_that_cannot_be_are_named(
    tiny_config, tmp_path, field, value, message
):
    files.claim(tmp_path, tiny_config)
    tree = json.loads((tmp_path / "config.json").read_text())
    tree[field] = value
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=f"config.json is damaged: {message}"):
        files.read_config(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("[]", "damaged: it holds no object"),
        ("null", "damaged: it holds no object"),
        ("1", "damaged: it holds no object"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "it is nested too deeply"),
        (" " * 2**20 + "{}", "more than 1,048,576 bytes"),
    ],
    ids=["list", "null", "number", "deep", "large"],
)
def test_what_is_no_config_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        files.read_config(tmp_path)


def test_a_config_that_is_a_link_is_not_followed(tiny_config, tmp_path):
    files.claim(tmp_path / "run", tiny_config)
    (tmp_path / "config.json").symlink_to(tmp_path / "run" / "config.json")
    with pytest.raises(ValueError, match="it is a link, which is not followed"):
        files.read_config(tmp_path)


def test_a_record_without_its_numbers_is_named(tmp_path, caplog):
    whole = {"step": 1, "generator": "raw", "numbers": {"x": {"value": 1.0}}}
    whole["protocol"] = {}
    broken = [{"step": 1}, whole | {"numbers": {"x": 1.0}}, whole | {"generator": 0}]
    path = tmp_path / "evaluations.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (*broken, whole)))
    assert files.read_scores(path) == [whole]
    assert all(f"line {number} is damaged" in caplog.text for number in (1, 2, 3))


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
