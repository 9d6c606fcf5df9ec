"""Optimisers against closed forms in float64."""

import math

from flax import serialization
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax
import pytest

from gan_jax import optimizers

GRADS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])  # three steps


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
    tx = optimizers.create(ConfigDict({"name": name, "learning_rate": 0.1}))
    unbroken, _ = run(tx)
    _, state = run(tx, GRADS[:2])
    saved = serialization.to_state_dict(jax.tree.map(np.asarray, state))
    restored = serialization.from_state_dict(tx.init(jnp.zeros(2)), saved)
    resumed, _ = run(tx, GRADS[2:], restored)
    np.testing.assert_array_equal(resumed, unbroken[2:])


@pytest.mark.parametrize(
    "section, message",
    [
        ({"name": "adm"}, "unknown optimizer 'adm'; known are adam, rmsprop"),
        (
            {"name": "rmsprop", "b1": 0.5},
            "'rmsprop' does not take b1, but learning_rate",
        ),
    ],
)
def test_create_refuses_what_it_does_not_know(section, message):
    with pytest.raises(ValueError, match=message):
        optimizers.create(ConfigDict({"learning_rate": 0.1} | section))
