"""A run's config.json: written, read, and compared."""

import json
from pathlib import Path
import shutil

import pytest

import gan_jax
from gan_jax.run import config_file
from gan_jax.training import writer as writer_lib

DATA = Path(__file__).parents[1] / "fixtures"


def test_config_comes_back_as_it_was_written(tiny_config, tmp_path):
    config_file.claim(tmp_path / "run", tiny_config)
    config_file.check(tmp_path / "run", tiny_config)
    read = config_file.read(tmp_path / "run")
    assert config_file.differences(read, tiny_config) == {}


def test_differences_name_changed_new_and_missing_fields(tiny_config):
    other = tiny_config.copy_and_resolve_references()
    with other.unlocked():
        other.data.image_size = 32
        other.data.fresh = 1
        del other.model.latent_size
    assert config_file.differences(tiny_config, other) == {
        "data.image_size": (16, 32),
        "data.fresh": (config_file.MISSING, 1),
        "model.latent_size": (5, config_file.MISSING),
    }


def test_another_config_is_refused(tiny_config, tmp_path):
    config_file.check(tmp_path, tiny_config)  # nobody's folder yet
    config_file.claim(tmp_path, tiny_config)
    tiny_config.seed = 5
    with pytest.raises(ValueError, match="seed was 0, now 5"):
        config_file.check(tmp_path, tiny_config)


def test_another_number_of_updates_a_step_is_refused(tiny_config, tmp_path):
    config_file.check_updates(tmp_path, tiny_config)  # nobody's folder yet
    config_file.claim(tmp_path, tiny_config)
    tiny_config.seed = 5
    config_file.check_updates(tmp_path, tiny_config)
    tiny_config.recipe.discriminator_steps = 3
    with pytest.raises(
        ValueError, match="discriminator_steps was 1, now 3.*not change"
    ):
        config_file.check_updates(tmp_path, tiny_config)
    (tmp_path / "config.json").write_text("{")  # --override_config replaces it
    config_file.check_updates(tmp_path, tiny_config)


def test_a_folder_that_cannot_be_made_is_refused(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*file/run: Not a directory"):
        config_file.claim(tmp_path / "file" / "run", tiny_config)


def test_a_folder_without_a_run_and_a_broken_config_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no run: .*config.json does not exist"):
        config_file.read(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is not JSON"):
        config_file.read(tmp_path)
    with pytest.raises(ValueError, match="config.json is a file: .*give the folder"):
        config_file.read(tmp_path / "config.json")


def test_config_json_names_the_version_which_is_no_field(tiny_config, tmp_path):
    config_file.claim(tmp_path, tiny_config)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written[config_file.VERSION] == gan_jax.__version__
    assert config_file.VERSION not in config_file.read(tmp_path)
    assert config_file.other_version(tmp_path) is None


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
    config_file.claim(tmp_path, tiny_config)
    tiny_config.update_from_flattened_dict({field: value})
    config_file.check(tmp_path, tiny_config)


def test_all_that_may_change_is_a_field(tiny_config):
    for name in config_file.CHANGEABLE:
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
    config_file.claim(tmp_path, tiny_config)
    tiny_config.update_from_flattened_dict({field: value})
    tiny_config.log_every_steps = 1  # may change, and so is not named
    with pytest.raises(ValueError, match=message) as raised:
        config_file.check(tmp_path, tiny_config)
    assert "log_every_steps" not in str(raised.value)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_longer_schedule_is_spoken_of(tiny_config, tmp_path, caplog, schedule):
    with tiny_config.unlocked():
        tiny_config.optimizer.schedule = schedule
    config_file.claim(tmp_path, tiny_config)
    tiny_config.num_train_steps = 6
    with caplog.at_level("INFO", logger="absl"):
        config_file.check(tmp_path, tiny_config)
    spoken = "The cosine schedule of the learning rates now spans 6 steps, before 4"
    assert (spoken in caplog.text) == (schedule == "cosine")


def test_a_run_of_an_earlier_version_is_read_and_not_resumed_with_other_fields(
    tiny_config, tmp_path
):
    shutil.copy(DATA / "config_of_0.1.0.json", tmp_path / "config.json")
    config = config_file.read(tmp_path)
    assert config.model.generator.features == 4
    config_file.check(tmp_path, config)
    with config.unlocked():
        config.recipe.fresh = 1
    with pytest.raises(
        ValueError,
        match=r"another config, made by gan_jax 0.1.0 or earlier: recipe.fresh was "
        r"'.no such field.', now 1.*or use the version that made it",
    ):
        config_file.check(tmp_path, config)


def test_a_run_without_the_added_fields_has_their_former_values(tiny_config, tmp_path):
    config_file.claim(tmp_path, tiny_config)
    written = json.loads((tmp_path / "config.json").read_text())
    for path in config_file.ADDED:
        *sections, name = path.split(".")
        section = written
        for one in sections:
            section = section[one]
        del section[name]
    del written["watchdog"]  # says when a run stops, which may change
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert config_file.read(tmp_path).matmul_precision == "default"
    config_file.check(tmp_path, tiny_config)
    tiny_config.deterministic = True
    with pytest.raises(ValueError, match="deterministic was False, now True"):
        config_file.check(tmp_path, tiny_config)


def test_an_error_over_a_run_of_another_version_names_it(tiny_config, tmp_path):
    config_file.claim(tmp_path, tiny_config)
    with pytest.raises(KeyError), config_file.naming_version(tmp_path):
        raise KeyError("params")
    fields = json.loads((tmp_path / "config.json").read_text())
    fields[config_file.VERSION] = "9.0.0"
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with (
        pytest.raises(
            ValueError,
            match=rf"was made by gan_jax 9.0.0, and gan_jax {gan_jax.__version__} "
            r"cannot use it: 'params'\. Use the version that made it",
        ),
        config_file.naming_version(tmp_path),
    ):
        raise KeyError("params")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("get", 1, "'get' is no name of a field"),
        ("a.b", 1, "'a.b' is no name of a field"),
        (config_file.VERSION, 1, "gan_jax_version is no version"),
        (config_file.VERSION, "9" * 41, "gan_jax_version is no version"),
    ],
)
def test_names_and_versions_that_cannot_be_are_named(
    tiny_config, tmp_path, field, value, message
):
    config_file.claim(tmp_path, tiny_config)
    tree = json.loads((tmp_path / "config.json").read_text())
    tree[field] = value
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=f"config.json is damaged: {message}"):
        config_file.read(tmp_path)


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
        config_file.read(tmp_path)


def test_a_config_that_is_a_link_is_not_followed(tiny_config, tmp_path):
    config_file.claim(tmp_path / "run", tiny_config)
    (tmp_path / "config.json").symlink_to(tmp_path / "run" / "config.json")
    with pytest.raises(ValueError, match="it is a link, which is not followed"):
        config_file.read(tmp_path)
