"""A run's folder: its config, its metrics, and what belongs to it."""

import json

import pytest

from gan_jax import workdir


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


def test_metrics_after_a_step_are_dropped_with_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (10, 20, 30):
        workdir.append_line(path, {"step": step, "d_loss": 1.5})
    with path.open("a") as file:
        file.write('{"step": 40, "d_')
    assert [record["step"] for record in workdir.read_lines(path)] == [10, 20, 30]
    workdir.drop_lines_after(path, 20)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


def test_a_folder_without_a_run_and_a_broken_config_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no run: .*config.json does not exist"):
        workdir.read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is not JSON"):
        workdir.read_config(tmp_path)
