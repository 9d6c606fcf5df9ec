"""The mixtures in the plane: their points, their splits, runs on them."""

import json

import numpy as np
from PIL import Image
import pytest

from configs import ring
from gan_jax import data
from gan_jax.evaluation import modes
from gan_jax.run import images
from gan_jax.training import train

pytestmark = pytest.mark.slow


def section(name="ring", **fields):
    config = ring.get_config(None if name == "ring" else name).data
    config.update(fields)
    return config


@pytest.mark.parametrize("name, count", [("ring", 8), ("grid", 25)])
def test_points_follow_the_mixture(name, count):
    dataset = data.create(section(name))
    assert dataset.images.shape == (100_000, 1, 1, 2)
    assert dataset.images.dtype == np.float32 and dataset.num_classes == count
    points = dataset.images.reshape(-1, 2)
    means, std = data.MIXTURES[name]
    for label in range(count):
        own = points[dataset.labels == label]
        assert abs(len(own) / 100_000 - 1 / count) < 0.005
        # Of some thousand points: six standard errors of the mean and of the width.
        np.testing.assert_allclose(
            own.mean(0), means[label], rtol=0, atol=6 * std / len(own) ** 0.5
        )
        np.testing.assert_allclose(own.std(0), std, rtol=6 / (2 * len(own)) ** 0.5)


def test_real_points_reach_the_ceiling_of_quality():
    points = data.create(section(split="test")).images.reshape(-1, 2)
    means, std = data.MIXTURES["ring"]
    score = modes.mixture_score(points, means, std=std)
    # 1 - exp(-9 / 2) of 10,000 points, whose share has a deviation of 0.001.
    np.testing.assert_allclose(score.high_quality, 0.98889, rtol=0, atol=0.005)
    assert score.modes == 8 and score.reverse_kl < 0.005


def test_points_are_the_same_each_time_and_others_in_each_split():
    first, again = (data.create(section()).images for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = data.create(section(split="test")).images
    assert len(other) == 10_000 and np.all(np.any(other != first[:10_000], axis=-1))


@pytest.mark.parametrize(
    "fields, match",
    [
        ({"split": "validation"}, "splits train and test"),
        ({"channels": 1}, "channels is 1.*one pixel with two channels"),
        ({"image_size": 28}, "image_size is 28.*one pixel"),
        ({"num_classes": 10}, "has 8 classes"),
    ],
)
def test_other_shapes_and_splits_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        data.create(section(**fields))


def test_a_density_is_dark_where_points_are():
    points = np.array([[0.75, 0.75]] * 90 + [[-0.75, -0.75]], np.float32)[:, None, None]
    picture = images.draw_density(points, extent=1.0, side=8, bins=4)
    assert picture.shape == (8, 8, 3)
    shades = picture[::2, ::2, 0].astype(int)
    # Up is the second coordinate: the many lie at the top right, the one below left.
    assert shades[0, 3] < shades[3, 0] < 255
    shades[0, 3] = shades[3, 0] = 255
    assert np.all(shades == 255)


def test_a_run_on_points_is_scored_by_modes_and_drawn_as_density(tmp_path):
    config = ring.get_config()
    config.num_train_steps = config.eval_every_steps = 4
    config.sample_every_steps = config.checkpoint_every_steps = 4
    config.log_every_steps = config.steps_per_call = 2
    config.batch_size = 8
    config.sample_rows = config.sample_columns = 4
    config.model.generator.features = (4,)
    config.model.discriminator.features = (4,)
    config.evaluation.num_images = 50
    config.tensorboard = False
    train.train_and_evaluate(config, tmp_path)
    (line,) = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    assert set(json.loads(line)["numbers"]) == {"modes", "high_quality", "reverse_kl"}
    with Image.open(tmp_path / "samples" / "step_0000004.png") as picture:
        assert picture.size == (256, 256)
