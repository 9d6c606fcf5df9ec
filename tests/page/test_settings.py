"""What differs between configs, and the command that repeats a run."""

from pathlib import Path
import shlex

import pytest

from configs import default
from gan_jax.page import history, settings
from gan_jax.run import config_file, files
from tests import support as configs
from tests.page import support

SHIPPED = {"default": default.get_config()} | {
    f"{name}:{preset}" if preset else name: configs.get_config(name, preset)
    for name, preset in configs.CASES
}


def history_of(workdir, config):
    config_file.claim(workdir, config)
    files.append_line(workdir / "metrics.jsonl", {"step": 1})
    return history.read(workdir, "run")


def test_rows_that_differ_are_those_with_two_values():
    rows = settings.rows_that_differ([{"a": 1, "b": "x"}, {"a": 1, "b": 2, "c": None}])
    assert rows == [("b", ('"x"', "2")), ("c", ("(no such field)", "null"))]


def test_a_run_of_the_default_config_differs_in_what_was_set(tmp_path):
    run = history.read(support.make_run(tmp_path, seed=7), "run")
    rows = settings.rows_that_differ(
        [settings.default_for(run, SHIPPED["default"]), run.fields()]
    )
    assert [row.field for row in rows] == ["num_train_steps", "seed"]
    assert rows[1].values == ("0", "7")


def test_a_run_of_another_model_is_compared_with_that_models_options(tmp_path):
    run = history_of(tmp_path, configs.get_config("gan", None))
    expected = settings.default_for(run, SHIPPED["default"])
    rows = settings.rows_that_differ([expected, run.fields()])
    assert all(config_file.MISSING not in row.values for row in rows)
    assert "model.name" in [row.field for row in rows]


@pytest.mark.parametrize("name", ["cgan:projection", "gan:paper", "ring:grid"])
def test_the_command_gives_the_config_of_the_run(tmp_path, name):
    config = configs.get_config(*name.split(":"))
    config.seed = 3
    run = history_of(tmp_path / "a run", config)
    near = settings.nearest(run, SHIPPED)
    assert near == name
    line = settings.command(run, near, SHIPPED[near])
    words = shlex.split(line.replace("\\\n", ""))
    assert words == [
        *["python", "-m", "gan_jax.main", f"--config={name}"],
        *["--workdir=runs/a run_again", "--config.seed=3"],
    ]


def test_values_of_the_command_are_quoted(tmp_path):
    evil = "'; rm -rf ~ #\n$(x)"
    fields = {"data.manual_dir": evil, "data.flip": True}
    run = history.read(support.make_run(tmp_path, **fields), "run")
    line = settings.command(run, "default", SHIPPED["default"])
    words = shlex.split(line.replace(" \\\n", " "))
    assert f"--config.data.manual_dir={evil}" in words
    assert "--config.data.flip=True" in words


def test_lists_become_the_tuples_that_a_flag_takes(tmp_path):
    config = configs.get_config("gan", None)
    config.model.generator.features = (8, 16)
    run = history_of(tmp_path, config)
    line = settings.command(run, "gan", SHIPPED["gan"])
    assert "--config.model.generator.features=(8, 16)" in shlex.split(line)


def test_a_run_with_a_field_of_its_own_has_no_command(tmp_path):
    run = history.read(support.make_run(Path(tmp_path)), "run")
    run.config.recipe.colour = 1
    assert settings.nearest(run, SHIPPED) is None
