"""Chance and real data: what no training makes, against closed forms."""

import numpy as np
import pytest

from experiments.engine import references, spec
from experiments.engine.spec import Column, Part
from gan_jax import data as data_lib
from gan_jax.evaluation import scores

pytestmark = pytest.mark.slow

COLUMNS = [Column("modes", "modes"), Column("high_quality", "quality")]


def collected(config, reference):
    part = Part("Points", config, {"GAN": {}}, COLUMNS, references=(reference,))
    found = list(references.results("points", part))
    assert {one.trial.row for one in found} == {reference}
    assert [one.trial.seed for one in found] == list(references.SEEDS)
    return [
        np.array([one.numbers[x] for one in found]) for x in ("modes", "high_quality")
    ]


def near(values, wanted):
    error = values.std(ddof=1) / np.sqrt(len(values))
    return abs(values.mean() - wanted) < 4 * error


def test_the_region_holds_the_modes_with_half_their_distance_around():
    low, high = references.region(data_lib.MIXTURES["grid"].means)
    np.testing.assert_allclose([low, high], [[-5, -5], [5, 5]], 1e-12)
    low, high = references.region(data_lib.MIXTURES["ring"].means)
    # Neighbours on the unit circle are 2 sin(pi / 8) apart.
    np.testing.assert_allclose(high, 1 + np.sin(np.pi / 8), 1e-12)


@pytest.mark.parametrize(
    "config, count, radius, side",
    [
        ("configs/ring.py:grid", 25, 0.15, 10),
        ("configs/ring.py", 8, 0.03, 2 + 2 * np.sin(np.pi / 8)),
    ],
)
def test_chance_is_that_of_discs_in_a_square(config, count, radius, side):
    modes, quality = collected(config, spec.UNIFORM)
    share = np.pi * radius**2 / side**2  # of a disc
    assert near(quality, count * share)
    assert near(modes, count * (1 - (1 - share) ** 2_500))


def test_real_points_have_all_modes_and_their_own_quality():
    modes, quality = collected("configs/ring.py:grid", spec.REAL)
    assert (modes == 25).all()
    assert near(quality, 1 - np.exp(-4.5))


def test_real_images_score_without_a_discriminator():
    part = Part(
        "Digits",
        "configs/dcgan.py",
        {"GAN": {}},
        [Column("frechet_distance", "distance")],
        overrides={
            "evaluation.metrics": "frechet_distance,linear_probe",
            "evaluation.num_images": 200,
            "evaluation.split": "test[:500]",
        },
        seeds=(0, 1),
        references=(spec.REAL,),
    )
    found = list(references.results("digits", part))
    assert [sorted(one.numbers) for one in found] == [["frechet_distance"]] * 2
    assert found[0].numbers != found[1].numbers


@pytest.mark.parametrize("reference", [spec.REAL, spec.UNIFORM])
def test_all_draws_have_images_that_are_not_compared_with(reference, monkeypatch):
    seen = []

    def score(scorer, images, labels):
        seen.append(np.concatenate([scorer.real.images, images]).reshape(-1, 2))
        return scores.Scores({}, None, {}, 0.0)

    monkeypatch.setattr(scores.Scorer, "score_images", score)
    monkeypatch.setattr(references, "SEEDS", range(1))
    draws = {"num_images": 20_000, "draws": 3, "split": "train"}
    part = Part(
        "Points",
        "configs/ring.py:grid",
        {"GAN": {}},
        COLUMNS,
        overrides={f"evaluation.{name}": value for name, value in draws.items()},
        references=(reference,),
    )
    list(references.results("points", part))
    (points,) = seen
    assert len(points) == len(np.unique(points, axis=0)) == 80_000


@pytest.mark.parametrize("reference", [spec.UNIFORM, spec.UNTRAINED])
def test_references_have_the_cheap_metrics(reference, monkeypatch):
    monkeypatch.setattr(references, "SEEDS", range(1))
    part = Part(
        "Points",
        "configs/ring.py",
        {"GAN": {}},
        COLUMNS,
        overrides={"evaluation.metrics": "cheap", "evaluation.num_images": 100},
        references=(reference,),
    )
    (found,) = references.results("points", part)
    assert {"modes", "high_quality"} <= found.numbers.keys()


def test_more_images_than_the_training_set_has_are_refused():
    part = Part(
        "Points",
        "configs/ring.py",
        {"GAN": {}},
        COLUMNS,
        overrides={"evaluation.num_images": 50_001, "evaluation.draws": 2},
        references=(spec.REAL,),
    )
    message = "draws 100002 images for the reference row 'real', .* 100000 .*: lower"
    with pytest.raises(ValueError, match=message):
        next(references.results("points", part))
