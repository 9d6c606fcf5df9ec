"""Tests of the rules that notice a failed run, on made-up lines of a log."""

import math
import pathlib

import numpy as np
import pytest

from configs import default
from gan_jax.step import losses
from gan_jax.training import watchdog

RUN = pathlib.Path("runs", "one")
GOOD = {
    "d_loss": 0.5,
    "d_grad_norm": 1.0,
    "g_grad_norm": 1.0,
    "sample_distance": 1.0,
    "label_distance": 1.0,
}


@pytest.fixture
def config():
    """A config that stops a run, with a patience of two."""
    config = default.get_config()
    config.watchdog.action = "stop"
    config.watchdog.patience = 2
    return config


def observe_all(dog, values, name, *, saved=()):
    """Shows the watchdog a line every 100 steps, with these values of a metric."""
    for index, value in enumerate(values):
        dog.observe(100 * (index + 1), GOOD | {name: value}, list(saved))


@pytest.mark.parametrize(
    ("name", "low", "rule"),
    [
        ("d_loss", 0.019, "discriminator_won"),
        ("d_grad_norm", 0.0, "gradients_vanished"),
        ("g_grad_norm", 9e-7, "gradients_vanished"),
        ("sample_distance", 0.05, "samples_collapsed"),
        ("label_distance", 0.0, "labels_ignored"),
    ],
)
def test_a_rule_warns_and_then_stops_the_run(config, caplog, name, low, rule):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, [1, low], name)
    assert not caplog.records
    dog.observe(300, GOOD | {name: low}, [200])
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{RUN}: {rule}: ")
    assert "in all 2 measurements since step 200" in record.getMessage()
    dog.observe(400, GOOD | {name: low}, [200])
    with pytest.raises(
        watchdog.FailedError, match=rf"^{rule}: .*step 500 {name} is.*of step 100\."
    ) as caught:
        dog.observe(500, GOOD | {name: low}, [100, 200, 300])
    assert (caught.value.rule, caught.value.step) == (rule, 200)


def test_a_good_measurement_starts_the_count_anew(config):
    observe_all(watchdog.Watchdog(config, RUN), 5 * [0, 0, 0, 1], "d_loss")


def test_lines_without_the_metric_are_no_measurements(config):
    dog = watchdog.Watchdog(config, RUN)
    without = {name: x for name, x in GOOD.items() if name != "sample_distance"}
    for step in range(100, 400, 100):
        dog.observe(step, GOOD | {"sample_distance": 0}, [])
        dog.observe(step + 50, without, [])
    with pytest.raises(watchdog.FailedError, match="in all 4 measurements"):
        dog.observe(400, GOOD | {"sample_distance": 0}, [])


def test_a_warning_comes_back_ever_more_rarely(config, caplog):
    config.watchdog.action = "warn"
    observe_all(watchdog.Watchdog(config, RUN), 40 * [0], "d_loss")
    # Patience times 1, 2, 4, 8 and 16 measurements, which lie 100 steps apart.
    counts = [record.getMessage().split(" in all ")[1][:2] for record in caplog.records]
    assert [int(count) for count in counts] == [2, 4, 8, 16, 32]


def test_zero_turns_a_rule_off(config):
    config.watchdog.min_d_loss = 0
    observe_all(watchdog.Watchdog(config, RUN), 40 * [0], "d_loss")


def test_a_loss_without_a_least_value_has_no_winner(config):
    config.recipe.loss = "wasserstein"
    observe_all(watchdog.Watchdog(config, RUN), 40 * [-1e6], "d_loss")


def test_a_smoothed_loss_counts_from_its_least_value(config):
    config.recipe.real_label = 0.9
    least = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)  # where sigmoid(logit) is 0.9
    observe_all(watchdog.Watchdog(config, RUN), 40 * [least + 0.021], "d_loss")
    with pytest.raises(watchdog.FailedError, match="discriminator_won"):
        observe_all(watchdog.Watchdog(config, RUN), 40 * [least + 0.019], "d_loss")


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_no_discriminator_loss_is_below_its_least_value(name):
    loss = losses.create(name)
    logits = np.random.default_rng(0).normal(0, 30, (2, 500, 16)).astype(np.float32)
    found = [
        float(loss.discriminator(real, fake))
        for real, fake in zip(*logits, strict=True)
    ]
    if loss.lowest is None:
        assert min(found) < 0
    else:
        assert min(found) >= loss.lowest
        right = {"least_squares": (1.0, 0.0)}.get(name, (40.0, -40.0))
        best = loss.discriminator(*(np.full(4, x, np.float32) for x in right))
        np.testing.assert_allclose(best, loss.lowest, atol=1e-6, rtol=0)


def test_the_count_goes_on_after_an_interruption(config):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, [1, 0, 0], "d_loss")
    later = watchdog.Watchdog(config, RUN, dog.progress())
    later.observe(400, GOOD | {"d_loss": 0}, [])
    with pytest.raises(watchdog.FailedError, match="4 measurements since step 200"):
        later.observe(500, GOOD | {"d_loss": 0}, [])


def test_the_last_good_checkpoint_is_older_than_the_fault():
    assert watchdog.last_good_step([100, 200, 300], 250) == 200
    assert watchdog.last_good_step([100, 200, 300], 200) == 100
    assert watchdog.last_good_step([300], 200) == 0
