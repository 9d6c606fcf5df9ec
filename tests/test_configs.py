"""Every config file and preset: its fields exist, it builds, and it says so itself."""

import json

from ml_collections import ConfigDict
import numpy as np
import pytest

from configs import cgan, default, gan
from gan_jax import models
from gan_jax.step import optimizers
from gan_jax.training import train
from tests import support

OWN = (  # sections whose fields follow from a name: builders check them
    "model.generator",
    "model.discriminator",
    "optimizer.generator",
    "optimizer.discriminator",
)


def flatten(tree, prefix=""):
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and path not in OWN:
            yield from flatten(value, f"{path}.")
        else:
            yield path, value


def test_the_systems_of_the_sources_are_here():
    assert set(support.NAMES) >= {"gan", "dcgan", "dcgan_keras", "cgan"}
    presets = set(support.CASES)
    assert {("gan", "paper"), ("dcgan", "celeba"), ("dcgan", "folder")} < presets
    mechanisms = {"onehot", "embedding", "projection", "acgan"}
    assert set(cgan.PRESETS) == {*mechanisms, "celeba", "paper"}


@pytest.mark.parametrize("name, preset", support.CASES)
def test_every_field_is_in_default_with_its_type(name, preset):
    fields = dict(flatten(default.get_config().to_dict()))
    for path, value in flatten(support.get_config(name, preset).to_dict()):
        assert path in fields
        assert type(value) is type(fields[path]), path


@pytest.mark.parametrize("name, preset", support.CASES)
def test_every_config_builds_networks_and_optimisers(name, preset):
    config = support.get_config(name, preset)
    config.lock()
    models.build(config, axis_name=None)
    optimizers.create(config, "generator")
    optimizers.create(config, "discriminator")


@pytest.mark.parametrize("name, preset", support.CASES)
def test_a_networks_section_has_every_option_of_its_module(name, preset):
    model = support.get_config(name, preset).model
    for network, options in models.default_options(model.name).items():
        assert set(model[network]) == set(options)


def test_the_default_config_states_the_defaults_of_the_dcgan():
    model = default.get_config().model.to_dict()
    for network, options in models.default_options("dcgan").items():
        assert model[network] == options


def test_an_option_that_no_preset_sets_can_be_set():
    config = gan.get_config().lock()
    config.update_from_flattened_dict({"model.generator.norm": "batch"})
    generator, _ = models.build(config, axis_name=None)
    assert generator.norm == "batch"


RESIDUAL = {
    "model.convolution": "lax",
    "model.generator.features": (4, 4, 4),
    "model.discriminator.features": (4, 4, 4),
    "model.discriminator.halvings": 2,
    "recipe.discriminator_steps": 1,
}
SMALL = {"features": 4, "hidden_dense": 5}
TINY = [
    *(("sngan", preset, RESIDUAL) for preset in ("projection", "wgan_gp")),
    (
        *("infogan", "cifar10"),
        {
            f"model.{network}.{field}": value
            for network in ("generator", "discriminator")
            for field, value in SMALL.items()
        },
    ),
    (
        "cgan",
        "paper",
        {"model.generator.features": (9,), "evaluation.extractor": "pixels"},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, preset, sizes", TINY)
def test_a_published_setting_trains_two_steps_when_it_is_small(
    name, preset, sizes, shared_folder, tmp_path
):
    config = support.get_config(name, preset)
    config.update_from_flattened_dict(
        {
            **support.TWO_STEPS,
            **sizes,
            "eval_every_steps": 0,
            "data.name": "array",
            "data.split": "train",
            "data.manual_dir": str(shared_folder / "images.npz"),
            "data.cache_dir": str(shared_folder / "cache"),
            "data.image_size": support.IMAGE_SIZE,
            "data.channels": 1,
            "data.num_classes": 3,
        }
    )
    train.train_and_evaluate(config.lock(), tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert metrics["step"] == 2
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("name, preset", support.CASES)
def test_every_config_can_be_written_as_json(name, preset):
    json.dumps(support.get_config(name, preset).to_dict())


@pytest.mark.parametrize("name, preset", support.CASES)
def test_every_config_and_preset_is_a_command_in_its_docstring(name, preset):
    suffix = f":{preset}" if preset else ""
    command = f"python -m gan_jax.main --config=configs/{name}.py{suffix}"
    assert command in support.MODULES[name].__doc__ or (name, preset) == ("cgan", None)


@pytest.mark.parametrize("name", support.NAMES)
def test_an_unknown_preset_is_answered_with_the_known_ones(name):
    known = ", ".join(getattr(support.MODULES[name], "PRESETS", {})) or "none"
    with pytest.raises(ValueError, match=f"no preset 'onehott'.*presets are: {known}"):
        support.MODULES[name].get_config("onehott")


def test_a_presets_section_replaces_the_section():
    config = gan.get_config("paper")
    assert set(config.optimizer.generator).isdisjoint({"b1", "b2"})
    assert config.optimizer.discriminator.learning_rate == 0.05


def test_configs_do_not_share_sections():
    changed = gan.get_config("paper")
    changed.model.generator.init_range = 1.0
    changed.optimizer.generator.learning_rate = 1.0
    fresh = gan.get_config("paper")
    assert fresh.model.generator.init_range == 0.05
    assert fresh.optimizer.generator.learning_rate == 0.1


def test_every_row_of_a_conditional_sample_grid_is_a_class():
    config = cgan.get_config()
    assert config.sample_rows == config.data.num_classes == 10


def test_no_field_is_named_like_a_method_of_config_dict():
    # config.section.update would be the method, whatever the field says.
    def names(config):
        for name, value in config.items():
            yield name
            if isinstance(value, ConfigDict):
                yield from names(value)

    taken = [name for name in names(default.get_config()) if hasattr(ConfigDict, name)]
    assert not taken
