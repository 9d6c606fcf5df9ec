"""The parts of a program: how many steps a call has."""

import jax
import pytest

from gan_jax import data, models, parallel
from gan_jax.step import recipes
from gan_jax.training import programs, writer
from tests import support

BATCH = 256  # on each of two devices; so many that the optimisers' FLOP hardly count


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
        (10_000, 0, (100, 500, 500, 0), 10),  # not chosen yet
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
    left = programs.steps_per_call(tiny_config, 3 * expected)
    assert left == expected
    assert 7 % programs.steps_per_call(tiny_config, 7) == 0


@pytest.fixture(scope="module")
def choose(shared_folder):
    """Chooses the steps of a call, with data on the device or on the host."""
    config = support.make_dense_config(shared_folder)
    config.batch_size = 2 * BATCH
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    networks = models.build(config, axis_name=parallel.AXIS)
    program = programs.of_one_run(config, recipe, networks)
    state = parallel.replicate(program.create())
    dataset, slots = data.create(config.data), parallel.local_slots(config.batch_size)

    def choose(device_bytes=2**30):
        config.data.device_bytes = device_bytes

        def make_feed(steps):
            starts = range(0, config.num_train_steps, steps)
            return programs.create_feed(config, dataset, slots, recipe, starts)

        return programs.choose_steps_per_call(program, state, make_feed)

    return choose


def test_a_cpu_has_ten_steps_per_call(choose):
    assert choose() == 10


@pytest.mark.parametrize(
    "flop_of_a_call, bytes_of_a_call, expected",
    [
        (50, 10**9, 50),
        (7, 10**9, 10),  # fewer would leave the device waiting for the host
        (1_000, 10**9, 200),  # more would take too long where a step has few FLOP
        # Images of 16x16x1, and as many labels and slots of four bytes.
        (200, 30 * 2 * BATCH * (256 + 4 + 4), 30),
    ],
)
def test_elsewhere_flop_and_bytes_decide(
    choose, monkeypatch, flop_of_a_call, bytes_of_a_call, expected
):
    # On each device, by hand as in test_dry_run.
    generator, discriminator, first, second = 5 * 8 + 8 * 256, 256 * 8 + 8, 8 * 256, 8
    passes = 2 * generator + first + 6 * discriminator + 2 * second
    flop = 2 * BATCH * passes
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(programs, "_FLOP_OF_A_CALL", flop_of_a_call * flop)
    monkeypatch.setattr(programs, "_BYTES_OF_A_CALL", bytes_of_a_call)
    assert choose(device_bytes=0) == pytest.approx(expected, rel=0.1)
