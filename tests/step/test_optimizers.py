"""Optimisers against closed forms in float64."""

import inspect
import math

from flax import serialization
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax
import pytest

from gan_jax.step import optimizers

GRADS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])  # three steps


def make_config(section, schedule="constant", warmup_steps=0, **recipe):
    """What the optimisers read of a whole config: a run of ten steps."""
    steps = {"generator_steps": 1, "discriminator_steps": 1} | recipe
    return ConfigDict(
        {
            "num_train_steps": 10,
            "recipe": steps,
            "optimizer": {
                "schedule": schedule,
                "warmup_steps": warmup_steps,
                "decay_share": 0.5,
                "generator": section,
            },
        }
    )


def run(tx, grads=GRADS, state=None):
    """The updates of the steps, and the last state."""
    state = tx.init(jnp.zeros(2)) if state is None else state
    updates = []
    for grad in grads:
        update, state = tx.update(jnp.asarray(grad, jnp.float32), state)
        updates.append(np.asarray(update))
    return np.array(updates), state


def test_keras_rmsprop_is_its_closed_form():
    expected, mean = [], np.zeros(2)
    for step, grad in enumerate(GRADS):
        mean = 0.9 * mean + 0.1 * grad**2
        rate = 0.01 / (1 + 0.5 * step)
        expected.append(-rate * grad / (np.sqrt(mean) + 1e-7))
    updates, _ = run(optimizers.keras_rmsprop(0.01, decay=0.5))
    np.testing.assert_allclose(updates, expected, rtol=1e-5, atol=0)


def test_momentum_sgd_is_its_closed_form():
    tx = optimizers.momentum_sgd(
        0.1, decay_factor=2.0, momentum=0.5, final_momentum=0.7, momentum_steps=2
    )  # momenta 0.5, 0.6, 0.7; rates 0.1, 0.05, 0.025
    first = -0.1 * GRADS[0]
    second = 0.6 * first - 0.05 * GRADS[1]
    third = 0.7 * second - 0.025 * GRADS[2]
    updates, _ = run(tx)
    np.testing.assert_allclose(updates, [first, second, third], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "step, rate, momentum",
    [  # 0.1 / 1.000004^t, not below 0.06; 0.5 + 0.2 t / 124500, not above 0.7
        (0, 0.1, 0.5),
        (62_250, 0.1 * math.exp(-62_250 * math.log(1.000004)), 0.6),
        (124_500, 0.1 * math.exp(-124_500 * math.log(1.000004)), 0.7),
        (1_000_000, 0.06, 0.7),
    ],
)
def test_momentum_sgd_schedules_hold_late_in_a_run(step, rate, momentum):
    tx = optimizers.momentum_sgd(
        0.1,
        decay_factor=1.000004,
        min_learning_rate=0.06,
        momentum=0.5,
        final_momentum=0.7,
        momentum_steps=124_500,
    )
    state = optimizers.MomentumState(jnp.asarray(step), jnp.array([1.0, 0.0]))
    (update,), state = run(tx, [[0.0, -1.0]], state)
    np.testing.assert_allclose(update, [momentum, rate], rtol=1e-5, atol=0)
    assert state.step == step + 1


def test_momentum_sgd_without_schedules_is_optaxs_sgd():
    updates, _ = run(optimizers.momentum_sgd(0.1, momentum=0.9, final_momentum=0.9))
    expected, _ = run(optax.sgd(0.1, momentum=0.9))
    np.testing.assert_allclose(updates, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_optimizers_go_on_from_a_saved_state(name):
    config = make_config({"name": name, "learning_rate": 0.1})
    tx = optimizers.create(config, "generator")
    unbroken, _ = run(tx)
    _, state = run(tx, GRADS[:2])
    saved = serialization.to_state_dict(jax.tree.map(np.asarray, state))
    restored = serialization.from_state_dict(tx.init(jnp.zeros(2)), saved)
    resumed, _ = run(tx, GRADS[2:], restored)
    np.testing.assert_array_equal(resumed, unbroken[2:])


@pytest.mark.parametrize(
    "section, message",
    [
        ({"name": "adm"}, "optimizer.generator.name is 'adm', .*one of adam, rmsprop"),
        (
            {"learning_rate": -1.0, "name": "adam"},
            "rate is -1.0, .*at least 0",
        ),
        ({"learning_rate": math.nan, "name": "sgd"}, "rate is nan, .*0 and finite"),
        ({"b1": 2.0, "name": "adam"}, r"generator.b1 is 2.0, but must be in \[0, 1\)"),
        ({"b2": 1.0, "name": "adam"}, r"generator.b2 is 1.0, but must be in \[0, 1\)"),
        ({"eps": 0.0, "name": "rmsprop"}, "eps is 0.0, but must be at least 1e-30"),
        ({"decay": -1.0, "name": "keras_rmsprop"}, "decay is -1.0, .*at least 0"),
        ({"decay_factor": 0.0, "name": "momentum_sgd"}, "factor is 0.0, .*at least 1"),
        ({"momentum_steps": 0, "name": "momentum_sgd"}, "steps is 0, .*at least 1"),
        (
            {"name": "rmsprop", "b1": 0.5},
            "'rmsprop' does not take b1, but learning_rate",
        ),
        (
            {"name": "sgd", "nesterov": True},
            "generator.nesterov is True, but its momentum is 0",
        ),
        (
            {"name": "rmsprop", "nesterov": True, "momentum": 0.0},
            "generator.nesterov is True, but its momentum is 0",
        ),
    ],
)
def test_create_refuses_what_it_does_not_know(section, message):
    with pytest.raises(ValueError, match=message):
        optimizers.create(make_config({"learning_rate": 0.1} | section), "generator")


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_argument_has_a_range(name):
    known = inspect.signature(optimizers.OPTIMIZERS[name]).parameters
    assert set(optimizers.ARGUMENTS[name]) == set(known)


SGD = {"name": "sgd", "learning_rate": 0.1}


def rates(config, count=10, *, state=None):
    """The learning rates of an SGD's updates, and its last state."""
    tx = optimizers.create(config, "generator")
    updates, state = run(tx, [[-1.0, 0.0]] * count, state)
    return updates[:, 0], state


@pytest.mark.parametrize(
    "schedule, warmup_steps, expected",
    [  # of 0.1; the fall takes the last five of ten steps
        ("constant", 0, [1] * 10),
        ("constant", 4, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]),
        ("linear", 0, [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        ("linear", 2, [0, 0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        (
            "cosine",
            0,
            [1] * 5 + [(1 + math.cos(math.pi * t / 5)) / 2 for t in range(5)],
        ),
    ],
)
def test_rates_follow_the_schedule(schedule, warmup_steps, expected):
    found, _ = rates(make_config(SGD, schedule, warmup_steps))
    np.testing.assert_allclose(found, 0.1 * np.array(expected), rtol=1e-5, atol=1e-8)


def test_a_schedule_follows_the_runs_steps_and_not_the_networks_updates():
    config = make_config(SGD, "linear", generator_steps=2)
    expected, _ = rates(make_config(SGD, "linear"))
    found, _ = rates(config, 20)
    np.testing.assert_array_equal(found, np.repeat(expected, 2))


def test_a_schedule_goes_on_from_a_saved_state():
    config = make_config(SGD, "cosine", 3)
    unbroken, _ = rates(config)
    _, state = rates(config, 7)
    resumed, _ = rates(config, 3, state=state)
    np.testing.assert_array_equal(resumed, unbroken[7:])


def test_a_rate_under_vmap_follows_the_schedule():
    config = make_config(SGD, "linear", 2)

    def updates(rate):
        tx = optimizers.create(config, "generator", values={"learning_rate": rate})
        state, found = tx.init(jnp.zeros(2)), []
        for _ in range(10):
            update, state = tx.update(jnp.array([-1.0, 0.0]), state)
            found.append(update[0])
        return jnp.stack(found)

    expected, _ = rates(config)
    found = jax.vmap(updates)(jnp.array([0.1, 0.3]))
    scales = np.array([[1.0], [3.0]])
    np.testing.assert_allclose(found, scales * expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "section, schedule, warmup_steps, message",
    [
        (SGD, "step", 0, "schedule is 'step', but must be one of constant, linear, co"),
        (SGD, "linear", -1, "warmup_steps is -1, but must be at least 0"),
        (SGD, "linear", 6, "warmup_steps is 6, but of 10 steps the rate falls .* 5"),
        (SGD, "constant", 11, r"is 11, but the run has 10 steps: .* at most 10\."),
        (
            {"name": "keras_rmsprop", "learning_rate": 0.1},
            "linear",
            0,
            "'keras_rmsprop' has a schedule built in: choose one of adam",
        ),
    ],
)
def test_schedules_that_cannot_be_are_refused(section, schedule, warmup_steps, message):
    with pytest.raises(ValueError, match=message):
        optimizers.create(make_config(section, schedule, warmup_steps), "generator")
