"""Every experiment file: its rows build, its numbers exist, its trials are apart."""

import importlib
from pathlib import Path

import pytest

from experiments.engine import published, spec, trials
from gan_jax import models
from gan_jax.evaluation import needs, suite
from gan_jax.step import optimizers, recipes
from gan_jax.training import preflight

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in ROOT.glob("experiments/*/experiment.py"))
EXPERIMENTS = {
    name: importlib.import_module(f"experiments.{name}.experiment").EXPERIMENT
    for name in NAMES
}
PARTS = [
    pytest.param(part, id=f"{name}-{key}")
    for name, experiment in EXPERIMENTS.items()
    for key, part in experiment.parts.items()
]


def row_configs(part):
    """Each row's config with each choice of a search; an unknown field raises."""
    for row in part.rows:
        for choice in part.search.choices if part.search else [""]:
            trial = spec.Trial("part", row, choice, 0)
            yield f"{row} {choice}", trials.make_config(part, trial)


def test_the_experiments_are_here():
    wanted = "ring_and_grid losses dcgan_rules update_recipes conditioning parzen"
    wanted += " stabilisers representation paper_tables"
    assert set(NAMES) >= set(wanted.split())


@pytest.mark.parametrize("part", PARTS)
def test_every_row_builds_its_networks_optimisers_and_recipe(part):
    for _, config in row_configs(part):
        models.build(config, axis_name=None)
        recipes.create(config, axis_name=None)
        optimizers.create(config, "generator")
        optimizers.create(config, "discriminator")
        preflight.check_values(config)


@pytest.mark.parametrize("part", PARTS)
def test_no_two_rows_are_the_same_run(part):
    texts = [config.to_json() for _, config in row_configs(part)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("part", PARTS)
def test_every_row_computes_the_numbers_of_the_table_and_the_curves(part):
    wanted = {*(column.number for column in part.columns), *part.curves}
    if part.search:
        wanted.add(part.search.number)
    for row, config in row_configs(part):
        # Of a run everything is there that a metric may need, but perhaps labels.
        names = suite.select(
            config.evaluation.metrics.split(","),
            available=set(needs.REASONS),
            num=config.evaluation.num_images,
        )
        computed = {n for name in names for n in suite.METRICS[name].numbers}
        if config.evaluation.extractor == "inception":
            computed = {suite.INCEPTION_NAMES.get(name, name) for name in computed}
        if config.recipe.ema_decay:
            computed |= {f"{spec.RAW}{name}" for name in computed}
        assert wanted <= computed, row


@pytest.mark.parametrize("part", PARTS)
def test_every_row_is_evaluated_at_its_end(part):
    for row, config in row_configs(part):
        assert config.eval_every_steps > 0, row
        assert config.num_train_steps % config.eval_every_steps == 0, row


@pytest.mark.parametrize("part", PARTS)
def test_published_numbers_stand_beside_rows_and_exist(part):
    assert set(part.published) <= set(part.rows)
    keys = {key for row in part.published.values() for key in row}
    assert keys <= set(published.VALUES)


@pytest.mark.parametrize("name", NAMES)
def test_trials_have_folders_of_their_own(name):
    experiment = EXPERIMENTS[name]
    chosen = {
        (key, row): next(iter(part.search.choices))
        for key, part in experiment.parts.items()
        for row in part.rows
        if part.search
    }
    folders = [trial.folder for trial in spec.trials(experiment, chosen)]
    assert folders and len(set(folders)) == len(folders)


def test_an_unknown_field_is_refused():
    part = next(iter(EXPERIMENTS["dcgan_rules"].parts.values()))
    part = part._replace(rows={"misspelt": {"model.generator.featurs": 1}})
    with pytest.raises(ValueError, match="featurs"):
        list(row_configs(part))
