"""README's recipes for a loss, a model and so on are followed, and a run is trained.

A test changes only the tables that the recipe names. Each run is two steps long and
ends with scores, and its folder is read by gan_jax.load.
"""

import json
import shutil
from types import SimpleNamespace
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
import jinja2
import numpy as np
import pytest

from configs import default, ring
from experiments.engine import collect, page, published, runner, trials
import gan_jax
from gan_jax import checks, data, models
from gan_jax.data import cache
from gan_jax.evaluation import suite
from gan_jax.step import losses
from gan_jax.training import train
from tests import support

pytestmark = pytest.mark.slow

TINY = {
    **support.TWO_STEPS,
    "model.generator.features": (4,),
    "model.discriminator.features": (4,),
}


@pytest.fixture
def config():
    """A run of two steps on points in the plane, for which nothing is prepared."""
    made = ring.get_config()
    made.update_from_flattened_dict(TINY)
    return made


def run(config, workdir):
    """The logged metrics and the scores of a run, from which images are drawn."""
    train.train_and_evaluate(config.copy_and_resolve_references().lock(), workdir)
    (metrics,) = read(workdir / "metrics.jsonl")
    scores = read(workdir / "evaluations.jsonl")[-1]["numbers"]
    model = gan_jax.load(workdir)
    assert model.step == 2
    assert np.isfinite(model.sample(3).astype(np.float32)).all()
    return metrics, {name: number["value"] for name, number in scores.items()}


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_loss(config, tmp_path, monkeypatch):
    def discriminator_loss(real_logits, fake_logits):
        return jnp.mean(fake_logits**2) + jnp.mean(real_logits**2) + 3

    def generator_loss(fake_logits, real_logits=None):
        return jnp.mean(fake_logits**2) + 5

    config.recipe.loss = "mine"
    with pytest.raises(ValueError, match="loss is 'mine', but must be one of non_sat"):
        train.check(config)
    mine = losses.Loss(discriminator_loss, generator_loss)
    monkeypatch.setitem(losses.LOSSES, "mine", mine)
    metrics, _ = run(config, tmp_path / "run")
    # The first logits are nearly 0, and what is added to their squares remains.
    np.testing.assert_allclose(metrics["d_loss"], 3, rtol=0, atol=0.1)
    np.testing.assert_allclose(metrics["g_loss"], 5, rtol=0, atol=0.1)


class Generator(nn.Module):
    """A linear map with BatchNorm, with the attributes that the recipe names."""

    image_size: int = 1
    channels: int = 2
    condition: Literal["none"] = "none"
    stretch: float = 1.0
    norm_momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        shape = (self.image_size, self.image_size, self.channels)
        x = nn.Dense(int(np.prod(shape)), name="to_image")(latents)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.norm_momentum,
            axis_name=self.axis_name,
            name="norm",
        )(x)
        return self.stretch * x.reshape(-1, *shape)


class Discriminator(nn.Module):
    """A linear map."""

    condition: Literal["none"] = "none"

    @nn.compact
    def __call__(self, images, labels=None, *, train):
        flat = images.reshape(len(images), -1)
        return nn.Dense(1, name="to_logit")(flat).reshape(-1)


def test_a_model(config, tmp_path, monkeypatch):
    module = SimpleNamespace(
        Generator=Generator,
        Discriminator=Discriminator,
        check_image_size=lambda image_size: None,
    )
    monkeypatch.setitem(models.MODELS, "mine", module)
    monkeypatch.setitem(models.ATTRIBUTES, "stretch", checks.POSITIVE)
    default.use_networks(config, "mine")
    config.model.generator.stretch = 0.0
    with pytest.raises(ValueError, match="generator.stretch is 0.0, but must be at le"):
        train.check(config)
    config.model.generator.stretch = 2.0
    config.recipe.ema_decay = 0.5  # the average takes new statistics of BatchNorm
    run(config, tmp_path / "run")
    model = gan_jax.load(tmp_path / "run")
    assert model.generator == Generator(stretch=2.0)
    assert set(model.variables["params"]) == {"to_image", "norm"}


def test_a_metric(config, tmp_path, monkeypatch):
    def spread(points):
        return float(np.std(points))

    def mine(sets):
        yield spread(sets.real.images)
        yield spread(sets.fake.images)

    numbers = {"real_spread": 0, "fake_spread": 1}
    monkeypatch.setitem(suite.METRICS, "mine", suite.Metric(mine, numbers))
    config.evaluation.metrics = "modes,mine"
    config.evaluation.best_metric = "fake_spread"
    _, scores = run(config, tmp_path / "run")
    assert set(scores) == {"modes", "high_quality", "reverse_kl", *numbers}
    # The ring's coordinates are cosines of equally spaced angles: sqrt(1/2).
    np.testing.assert_allclose(scores["real_spread"], np.sqrt(0.5), rtol=0.2)
    assert gan_jax.load(tmp_path / "run", best=True).step == 2


def test_a_dataset(config, tmp_path, monkeypatch):
    def check(section):
        if section.image_size != 3:
            raise ValueError("mine has images of 3 pixels only.")

    def load(section):
        rng = np.random.default_rng(("train", "test").index(section.split))
        images = rng.integers(0, 256, (40, 3, 3, section.channels), np.uint8)
        return cache.Dataset(images, np.arange(40, dtype=np.int32) % 5, 5)

    monkeypatch.setitem(data.SOURCES, "mine", SimpleNamespace(check=check, load=load))
    config.data.update(name="mine", image_size=4, channels=1, num_classes=5)
    config.evaluation.metrics = "frechet_distance"
    with pytest.raises(ValueError, match="mine has images of 3 pixels only"):
        train.check(config)
    config.data.image_size = 3
    _, scores = run(config, tmp_path / "run")
    assert scores["frechet_distance"] > 0
    assert gan_jax.load(tmp_path / "run").sample(2).shape == (2, 3, 3, 1)


EXPERIMENT = f'''
"""What a smaller rate does."""

from experiments.engine.spec import Column, Experiment, Part

EXPERIMENT = Experiment(
    parts={{
        "rates": Part(
            title="Rates",
            config="configs/ring.py",
            overrides={TINY},
            rows={{
                "slow": {{"optimizer.generator.learning_rate": 1e-5}},
                "as it is": {{}},
            }},
            columns=(Column("high_quality", "high quality, %", 1, scale=100),),
            seeds=(0,),
            published={{"slow": ("someone/ring/slow/high_quality",)}},
        ),
    }},
)
'''
PAGE = """
{% extends "engine/page.md.j2" %}

{% block title %}Mine{% endblock %}
{% block question %}What does a smaller rate do?{% endblock %}
{% block source %}Someone 2026{% endblock %}
{% block answer %}{{ number("rates", "slow", "high_quality") }} %{% endblock %}
"""


def test_an_experiment(tmp_path, monkeypatch):
    folder = tmp_path / "experiments" / "mine"
    folder.mkdir(parents=True)
    (folder / "experiment.py").write_text(EXPERIMENT)
    (folder / "page.md.j2").write_text(PAGE)
    for name, line in (
        (
            "published.csv",
            "someone/ring/slow/high_quality,mine,slow,high_quality,12.5,,percent,",
        ),
        ("sources.csv", 'mine,"Someone 2026, Mine",2601.00000,table 1,not said,once'),
    ):
        copy = shutil.copy(published.FOLDER / name, tmp_path)
        with open(copy, "a") as file:
            file.write(line + "\n")
    key = "someone/ring/slow/high_quality"
    monkeypatch.setitem(published.VALUES, key, published.read(tmp_path)[key])
    monkeypatch.syspath_prepend(tmp_path)  # a second folder `experiments` of modules
    monkeypatch.setattr(trials, "FOLDER", folder.parent)
    loader = jinja2.FileSystemLoader([folder.parent, *page.TEMPLATES.loader.searchpath])
    monkeypatch.setattr(page.TEMPLATES, "loader", loader)

    experiment = trials.load("mine")
    programs = trials.programs(experiment, tmp_path / "runs")
    assert runner.run_all(programs, processes=1)
    collect.collect("mine", experiment, tmp_path / "runs", folder)
    text = (folder / "README.md").read_text()
    assert text.startswith("# Mine\n\n**Question.** What does a smaller rate do?\n")
    assert "2 of 2 runs finished" in text
    assert "12.5" in text and "Someone 2026, table 1" in text


def test_a_config_field(config, monkeypatch):
    monkeypatch.setitem(data.RANGES, "mine", checks.POSITIVE)
    with pytest.raises(ValueError, match="no field data.mine, but must have every"):
        train.check(config)
    config.data.mine = 0.0
    with pytest.raises(
        ValueError, match="data.mine is 0.0, but must be at least 1e-30"
    ):
        train.check(config)
    config.data.mine = 1.0
    train.check(config)
