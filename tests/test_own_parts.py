"""Parts named `module:name`: each kind runs, and what does not fit is refused."""

import json
import logging
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from configs import default, ring
from experiments.own_parts import config as example
from experiments.own_parts import penalty
import gan_jax
from gan_jax import data, models, own_parts
from gan_jax.evaluation import needs, suite
from gan_jax.run import config_file
from gan_jax.step import losses, penalties
from gan_jax.training import train
from tests import support

FOLDER = Path(example.__file__).parent
TINY = {
    **support.TWO_STEPS,
    "data.image_size": 8,
}
# The name under which a test's copy of each example is imported.
COPIES = {
    "networks": "mine_networks",
    "loss": "mine_loss",
    "penalty": "mine_penalty",
    "discs": "mine_discs",
    "metric": "mine_metric",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, an empty folder; modules of a test are forgotten."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


@pytest.fixture
def config(folder):
    """Two steps with the five examples, which are copied to the working directory."""
    for name, copy in COPIES.items():
        shutil.copy(FOLDER / f"{name}.py", folder / f"{copy}.py")
    made = ring.get_config()
    made.update(example.get_config())
    made.update_from_flattened_dict(TINY)
    text = json.dumps(made.to_dict())
    for name, copy in COPIES.items():
        text = text.replace(f"experiments.own_parts.{name}:", f"{copy}:")
    fields = json.loads(text)
    default.use_networks(made, fields["model"]["name"])
    made.update({path: fields[path] for path in ("data", "recipe", "evaluation")})
    return made


def write(folder, text, name="mine"):
    (folder / f"{name}.py").write_text(text)


def forget(name):
    """Lets the next import read the file again, as a new process does."""
    for module in [x for x in sys.modules if x.startswith(name)]:
        del sys.modules[module]
    shutil.rmtree("__pycache__", ignore_errors=True)


def test_the_form_of_a_name():
    assert own_parts.is_named("my_nets:pair")
    assert own_parts.is_named("folder.my_nets:pair")
    others = ("mnist", "mnist:3.0.1", "a:", ":b", "a:b:c", "a b:c", "../a:b", "a/b:c")
    assert not any(map(own_parts.is_named, (*others, "", "a" * 300 + ":b", 3)))


@pytest.mark.slow
def test_a_run_with_a_part_of_each_kind(config, folder):
    path = list(sys.path)
    train.train_and_evaluate(config.copy_and_resolve_references().lock(), Path("run"))
    assert sys.path == path
    (line,) = Path("run/evaluations.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert set(record["numbers"]) == {"frechet_distance", "area_distance"}
    digests = record["protocol"]["own_parts"]
    assert set(digests) == {
        *("mine_networks:pair", "mine_discs:source", "mine_metric:area")
    }
    (metrics,) = Path("run/metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics)["penalty"] > 0
    saved = json.loads(Path("run/config.json").read_text())["own_parts"]
    assert {part["name"].split(":")[0] for part in saved} == set(COPIES.values())
    assert all(re.fullmatch(r"[0-9a-f]{64}", part["sha256"]) for part in saved)
    model = gan_jax.load("run", allow_code=True)
    assert model.sample(3).shape == (3, 8, 8, 1)

    # The same command finds nothing left to do, and another source is refused.
    train.train_and_evaluate(config, Path("run"))
    forget("mine")
    with open("mine_loss.py", "a") as file:
        file.write("\n# another loss\n")
    with pytest.raises(ValueError, match="source of mine_loss:centred has changed sin"):
        train.train_and_evaluate(config, Path("run"))
    train.train_and_evaluate(config, Path("run"), override_config=True)


def test_a_tracker_gets_what_tensorboard_gets(config, folder, monkeypatch):
    shutil.copy(FOLDER / "tracker.py", folder / "mine_tracker.py")
    calls = []
    record = types.SimpleNamespace(
        log=lambda values, step: calls.append((step, values)),
        finish=lambda: calls.append("finished"),
    )
    wandb = types.SimpleNamespace(Image=np.shape, init=lambda **given: record)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    config.tracker = "mine_tracker:Offline"
    train.train_and_evaluate(config, Path("run"))
    assert calls.pop() == "finished"
    assert calls[0] == (
        0,
        {"samples": (18, 18, 1)},
    )  # 2x2 images of 8
    (line,) = Path("run/metrics.jsonl").read_text().splitlines()
    metrics = json.loads(line)
    assert (metrics.pop("step"), metrics) in calls
    assert any("evaluation/raw/area_distance" in values for _, values in calls)


def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(config, caplog):
    write(Path(), "def opened(workdir, config): raise OSError('no server')")
    config.tracker = "mine:opened"
    with caplog.at_level("WARNING"):
        train.train_and_evaluate(config, Path("run"))
    assert caplog.text.count("mine:opened: not written: no server") == 1
    assert Path("run/metrics.jsonl").read_text()


@pytest.mark.parametrize(
    "text, message",
    [
        ("def opened(workdir): pass", "is called with .workdir, config."),
        ("opened = 3", "of the type int, but must be a function"),
    ],
)
def test_trackers_that_do_not_fit(text, message, config):
    write(Path(), text)
    config.tracker = "mine:opened"
    with pytest.raises(ValueError, match=message):
        train.train_and_evaluate(config, Path("run"))


def make_run(folder):
    """A run's folder as a stranger may send it, and a module that tells its import."""
    write(folder, "open('executed', 'w').close()\npair = None\n")
    config = ring.get_config()
    config.model.name = config.data.name = "mine:pair"
    config_file.claim(folder / "run", config)
    return folder / "run"


def test_reading_imports_nothing_without_permission(folder):
    run = make_run(folder)
    with pytest.raises(
        ValueError, match=r"names mine:pair, code.*executed: if you tru"
    ):
        gan_jax.load(run)
    with pytest.raises(ValueError, match="allow it with --allow_code"):
        config_file.check_code(run, ["data.name"], allow_code=False)
    assert "mine" not in sys.modules and not Path("executed").exists()
    with pytest.raises(ValueError, match="must be a gan_jax.models.Pair"):
        gan_jax.load(run, allow_code=True)  # which is what would have been executed
    assert Path("executed").exists()


@pytest.mark.parametrize(
    "command", ["sample", "evaluate", "evaluate --images=training"]
)
@pytest.mark.slow
def test_commands_import_nothing_without_permission(command, folder):
    run = make_run(folder)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "mine.py").rename(elsewhere / "mine.py")
    code = run_command(command, run, cwd=elsewhere)
    assert code.returncode == 1
    assert "names mine:pair" in code.stderr and "--allow_code" in code.stderr
    assert "Traceback" not in code.stderr
    assert not (elsewhere / "executed").exists()


def run_command(command, run, cwd):
    name, *flags = command.split()
    return subprocess.run(
        [sys.executable, "-m", f"gan_jax.{name}", f"--workdir={run}", *flags],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parents[1])},
        capture_output=True,
        text=True,
    )


def test_a_run_whose_parts_are_not_read_needs_no_permission(folder):
    config = ring.get_config()
    write(folder, "loss = None\n")
    config.recipe.loss = "mine:loss"
    config_file.claim(folder / "run", config)
    config_file.check_code(
        folder / "run", ["model.name", "data.name"], allow_code=False
    )


def test_reading_with_a_changed_source_warns(folder, caplog):
    run = make_run(folder)
    write(folder, "pair = 1\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        config_file.check_code(run, ["model.name"], allow_code=True)
    assert "the source of mine:pair has changed since" in caplog.text


def test_a_damaged_list_of_parts_is_refused(folder):
    run = make_run(folder)
    fields = json.loads((run / "config.json").read_text())
    fields["own_parts"] = [{"name": 3}]
    (run / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="own_parts is no list of parts"):
        config_file.read(run)


LOSS = """
from gan_jax.step import losses
def discriminator(real, fake): return {d_result}
def generator({parameters}): return fake.mean()
loss = losses.Loss(discriminator, generator)
"""
NETWORKS = """
import flax.linen as nn
from gan_jax import models
class Generator(nn.Module):
    {attributes}
    @nn.compact
    def __call__(self, latents, labels=None{train}):
        return nn.Dense({features})(latents).reshape(-1, 1, 1, {features})
class Discriminator(nn.Module):
    condition: str = "none"
    @nn.compact
    def __call__(self, images, labels=None, *, train):
        return nn.Dense(1)(images.reshape(len(images), -1)){squeezed}
pair = models.Pair(Generator, Discriminator)
"""
GOOD = {
    "attributes": "condition: str = 'none'",
    "train": ", *, train",
    "features": 2,
    "squeezed": ".reshape(-1)",
}


@pytest.mark.parametrize(
    "text, name, message",
    [
        (
            None,
            "mine:loss",
            "recipe.loss is 'mine:loss', but there is no mine.py in th",
        ),
        ("los = 1", "mine:loss", r"defines no 'loss' \(did you mean 'los'\?\): define"),
        ("loss = 1", "mine:loss", "which is of the type int, but must be a gan_jax.st"),
        (
            LOSS.format(d_result="fake.mean()", parameters="fake"),
            "mine:loss",
            r"loss.generator has the parameters \(fake\), but is called with \(fake_lo",
        ),
        (
            LOSS.format(d_result="fake", parameters="fake, real"),
            "mine:loss",
            r"loss.discriminator makes .* of logits \(2,\), but a loss is a scalar",
        ),
        ("", "json:loads", "which is of the type function, but must be a"),
    ],
)
def test_losses_that_do_not_fit(text, name, message, folder):
    if text is not None:
        write(folder, text)
    with pytest.raises(ValueError, match=message):
        losses.create(name)


def test_a_module_of_the_same_name_is_not_taken_for_the_users(folder):
    write(folder, "loads = 1", name="json")
    with pytest.raises(ValueError, match="but Python has imported the module json fro"):
        losses.create("json:loads")


@pytest.mark.parametrize(
    "text, message",
    [
        ("penalty = 1", "mine:penalty is of the type int, but must be a function"),
        (
            "def penalty(discriminate, real_images, fake_images): return 0",
            "is called with .*axis_name=axis_name.* error .got an unexpected keyword",
        ),
    ],
)
def test_penalties_that_do_not_fit(text, message, folder):
    write(folder, text)
    with pytest.raises(ValueError, match=message):
        penalties.create("mine:penalty")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"train": ""}, r"Generator.__call__ has the parameters .*train=train"),
        ({"attributes": "pass"}, "mine:pair.Generator has no attribute condition"),
        (
            {"attributes": "condition: str\n    width: int = 1"},
            "has the attribute condition without a default",
        ),
        ({"features": 3}, r"Generator makes .* must make an array \(2, 1, 1, 2\)"),
        ({"squeezed": ""}, r"Discriminator makes .* must make an array \(2,\)"),
    ],
)
def test_networks_that_do_not_fit(change, message, folder):
    write(folder, NETWORKS.format(**{**GOOD, **change}))
    config = ring.get_config()
    with pytest.raises(ValueError, match=message):
        default.use_networks(config, "mine:pair")
        models.build(config, axis_name=None)


NORMED = """
from flax import linen as nn
from gan_jax import models

class Generator(nn.Module):
    condition: str = "none"
    {attributes}

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(2)(latents))
        x = nn.Dropout(0.5, deterministic={deterministic})(x)
        return x.reshape(-1, 1, 1, 2)

class Discriminator(nn.Module):
    condition: str = "none"

    @nn.compact
    def __call__(self, images, labels=None, *, train):
        return nn.Dense(1)(images.reshape(len(images), -1)).reshape(-1)

pair = models.Pair(Generator, Discriminator)
"""
BOTH = "norm_momentum: float = 0.9\n    axis_name: str | None = None"
WITH_KEY = "not (train and self.has_rng('dropout'))"


@pytest.mark.parametrize(
    "attributes, deterministic, message",
    [
        (BOTH, WITH_KEY, None),
        (BOTH, "not train", "mine:pair.Generator needs a key for dropout"),
        ("axis_name: str | None = None", WITH_KEY, "no attribute norm_momentum: give"),
        ("norm_momentum: float = 0.9", WITH_KEY, "no attribute axis_name: give it"),
    ],
)
def test_own_generators_whose_statistics_cannot_be_measured(
    attributes, deterministic, message, folder
):
    write(folder, NORMED.format(attributes=attributes, deterministic=deterministic))
    config = ring.get_config()
    default.use_networks(config, "mine:pair")
    if message is None:
        models.build(config, axis_name=None)
        return
    with pytest.raises(ValueError, match=message):
        models.build(config, axis_name=None)


def test_a_pair_of_functions_is_refused(folder):
    write(folder, "from gan_jax import models\npair = models.Pair(print, print)")
    with pytest.raises(ValueError, match="must be a class derived from flax.linen.Mod"):
        models.default_options("mine:pair")


def test_a_model_named_on_the_command_line_brings_its_fields(folder):
    attributes = "condition: str = 'none'\n    width: int = 5\n    scale: float = 1.0"
    write(folder, NETWORKS.format(**{**GOOD, "attributes": attributes}))
    config = ring.get_config().lock()
    config.model.name = "mine:pair"
    with pytest.raises(ValueError, match="but the model's generator takes condition"):
        models.build(config, axis_name=None)  # with the fields of another model
    overrides = {"model.name": "mine:pair", "model.generator.width": 7}
    models.use_own(config, overrides)
    expected = {"condition": "none", "width": 7, "scale": 1.0}
    assert config.model.generator.to_dict() == expected
    assert models.build(config, axis_name=None)[0].width == 7
    config.model.generator.scale = float("nan")
    with pytest.raises(ValueError, match="generator.scale is nan, but must be finite"):
        models.build(config, axis_name=None)


def test_an_override_that_own_networks_do_not_have_is_refused(folder):
    write(folder, NETWORKS.format(**GOOD))
    config = ring.get_config().lock()
    config.model.name = "mine:pair"
    overrides = {"model.name": "mine:pair", "model.generator.features": (3,)}
    models.use_own(config, overrides)
    with pytest.raises(ValueError, match="model.generator has the field 'features'"):
        models.build(config, axis_name=None)


SOURCE = """
import numpy as np
from gan_jax import data
def check({parameters}): pass
def load(config):
    return data.Dataset(np.{images}, np.zeros(4, {labels}), 1)
source = data.Source(check, load)
"""


@pytest.mark.parametrize(
    "change, message",
    [
        ({"parameters": ""}, r"mine:source.check has the parameters \(\), but is call"),
        ({"images": "zeros((4, 3, 3, 1), 'u1')"}, r"loads images \(4, 3, 3, 1\) uint8"),
        ({"images": "zeros((4, 2, 2, 1))"}, r"\(4, 2, 2, 1\) float64, but the config"),
        ({"labels": "'i8'"}, r"loads labels \(4,\) int64, but must load \(4,\) int32"),
        ({"labels": "'i4') + np.ones(4, 'i4'"}, "loads labels from 1 to 1, but num_cl"),
    ],
)
def test_sources_that_do_not_fit(change, message, folder):
    good = {"parameters": "config", "images": "zeros((4, 2, 2, 1), 'u1')"}
    write(folder, SOURCE.format(**{**good, "labels": "'i4'", **change}))
    section = default.get_config().data
    section.name, section.image_size, section.num_classes = "mine:source", 2, 0
    with pytest.raises(ValueError, match=message):
        data.create(section)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            "lambda: 1, {'mine': 1}",
            r"compute has the parameters \(\), but is called wit",
        ),
        ("compute, {}", r"gives the numbers \(none\), but must give one or more"),
        ("compute, {'prdc': 1, 'recall': 1}", r"no metric of gan_jax has \(recall\)"),
        ("compute, {'mine': 1}, ['label']", r"needs 'label' \(did you mean 'labels'\?"),
    ],
)
def test_metrics_that_do_not_fit(arguments, message, folder):
    text = "from gan_jax.evaluation import suite\ndef compute(sets): yield 1.0\n"
    write(folder, f"{text}metric = suite.Metric({arguments})")
    with pytest.raises(ValueError, match=message):
        suite.select(["mine:metric"], available=needs.REASONS, num=100)


def test_own_metrics_follow_the_others_and_have_directions(folder):
    text = "from gan_jax.evaluation import suite\ndef compute(sets): yield 1.0\n"
    write(folder, f"{text}a = suite.Metric(compute, {{'mine': -1}})\nb = a\n")
    names = ["mine:a", "prdc"]
    chosen = suite.select(names, available=needs.REASONS, num=100)
    assert chosen == ["prdc", "mine:a"]
    assert suite.direction("mine", ["mine:a"]) == -1
    with pytest.raises(ValueError, match="no number 'mine' to choose by"):
        suite.direction("mine")
    with pytest.raises(ValueError, match="mine:a and mine:b give numbers of the same"):
        suite.select(["mine:a", "mine:b"], available=needs.REASONS, num=100)


def test_a_process_keeps_the_code_with_which_it_began(folder):
    write(folder, "part = 1\n")
    assert own_parts.load("mine:part", field="recipe.loss") == 1
    before = own_parts.digests(["mine:part"])
    write(folder, "part = 2222\n")
    assert own_parts.load("mine:part", field="recipe.loss") == 1
    assert own_parts.digests(["mine:part"]) == before
    forget("mine")
    assert own_parts.load("mine:part", field="recipe.loss") == 2222
    assert own_parts.digests(["mine:part"]) != before


def test_the_examples_penalty_is_that_of_a_linear_discriminator():
    weights = np.full((1, 4, 4, 1), 0.5, np.float32)  # squared norm 16 / 4
    zeros = np.zeros((2, 4, 4, 1), np.float32)
    value = penalty.halfway(
        lambda x: (x * np.broadcast_to(weights, x.shape)).sum((1, 2, 3)),
        zeros,
        zeros,
        key=None,
        slots=None,
    )
    np.testing.assert_allclose(value, 4, rtol=1e-6)
