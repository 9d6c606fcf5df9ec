"""The parts of a program: how many steps a call has."""

import pytest

from gan_jax.training import programs, writer


@pytest.mark.parametrize(
    "steps, wanted, intervals, expected",
    [
        (10_000, 10, (100, 500, 500, 0), 10),
        (10_000, 16, (100, 500, 500, 0), 10),
        (10_000, 10, (0, 0, 0, 0), 10),
        (30, 10, (9, 0, 0, 0), 3),
        (7, 10, (100, 0, 0, 0), 1),
        (8, 100, (0, 0, 4, 0), 4),
        (8, 100, (0, 0, 4, 2), 2),
        (8, 10**9, (0, 0, 0, 0), 8),
        (2**31 - 1, 10**9, (0, 0, 0, 0), 1),  # a prime
        (2 * 10**9, 10**9, (0, 0, 0, 0), 10**9),
    ],
)
def test_steps_per_call_divides_every_interval(
    tiny_config, steps, wanted, intervals, expected
):
    tiny_config.num_train_steps = steps
    tiny_config.steps_per_call = wanted
    for name, value in zip(writer.INTERVALS, intervals, strict=True):
        tiny_config[name] = value
    assert programs.steps_per_call(tiny_config) == expected
