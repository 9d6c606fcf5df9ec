"""Memory estimated from shapes: what is refused, for what, with which advice."""

import functools

import jax
import pytest

from configs import cgan, dcgan, default, ring
from gan_jax import memory, parallel
from gan_jax.training import programs, train

GIB = 2**30


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine with 24 GiB and one device on it."""
    found = parallel.Memory(of_host=24 * GIB, of_device=24 * GIB, devices=1)
    monkeypatch.setattr(parallel, "memory", lambda: found)


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"batch_size": 10**9},
            "a batch of 1,000,000,000 .*: lower --config.batch",
        ),
        ({"batch_size": 2**31 - 1}, "a batch of 2,147,483,647 and its gradients"),
        (
            {"model.latent_size": 2**17, "model.generator.features": 2**17},
            "GiB of memory, most of it for parameters .*lower the widths in --conf",
        ),
        (
            {"num_train_steps": 10**9, "steps_per_call": 10**9},
            "the batches of 1,000,000,000 steps, .*lower --config.steps_per_call",
        ),
        (
            {"sample_rows": 10_000, "sample_columns": 10_000},
            "this machine has 24.0 GiB: lower --config.sample_rows and --config.s",
        ),
        (
            {"eval_every_steps": 2, "evaluation.num_images": 10**9},
            "1,000,000,000 images to score, .*: lower --config.evaluation.num_images",
        ),
        (
            {
                "eval_every_steps": 2,
                "evaluation.statistics": "batch",
                "evaluation.batch_size": 10**9,
            },
            "an evaluation that draws 1,000,000,000 images at once, .*evaluation.bat",
        ),
    ],
)
def test_what_cannot_fit_is_refused(tiny_config, fields, message):
    for name in ("log", "sample", "checkpoint"):
        tiny_config[f"{name}_every_steps"] = 0
    tiny_config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=f"this needs at least .*{message}"):
        train.check(tiny_config)


def test_a_batch_that_two_cores_cannot_hold_is_refused():
    config = default.get_config()
    config.batch_size = 60_001
    with pytest.raises(ValueError, match="at least .*, but each device has 24.0 GiB"):
        train.check(config)


def test_runs_that_train_together_need_as_many_times_the_memory(tiny_config):
    train.check(tiny_config)
    with pytest.raises(ValueError, match="this needs at least"):
        train.check(tiny_config, runs=10**6)


def test_a_copy_is_counted_while_the_run_saves_checkpoints(tiny_config):
    state = shapes(tiny_config)
    at_its_end, meanwhile = (
        memory._on_device(tiny_config, state, jax.random.key(0), 1)[0]
        for tiny_config.checkpoint_every_steps in (0, 2)
    )
    assert meanwhile.bytes == 2 * at_its_end.bytes == 2 * memory.nbytes(state)


def test_devices_share_the_batch(monkeypatch):
    config = default.get_config()
    config.batch_size = 60_032
    many = parallel.Memory(of_host=24 * GIB, of_device=24 * GIB, devices=64)
    monkeypatch.setattr(parallel, "memory", lambda: many)
    train.check(config)


@pytest.mark.parametrize(
    "config",
    [default.get_config(), dcgan.get_config("celeba"), ring.get_config()],
    ids=["mnist", "celeba", "ring"],
)
def test_the_shipped_configs_fit(config):
    memory.check(config, shapes(config), **call(config))


def test_what_a_pass_keeps_grows_with_the_pack(tiny_config):
    def needed(packing):
        tiny_config.recipe.packing = packing
        state, key = shapes(tiny_config), jax.random.key(0)
        return memory._on_device(tiny_config, state, key, 1)[1].bytes

    one, two = needed(1), needed(2)
    assert one < two < 2 * one


def test_images_to_draw_are_counted_before_they_are_drawn():
    memory.check_images(10**6, (28, 28, 1), "--num")
    with pytest.raises(ValueError, match="2,000,000,000 images, .*: lower --num"):
        memory.check_images(2 * 10**9, (28, 28, 1), "--num")


def shapes(config):
    networks = train.models.build(config, axis_name=None)
    create = functools.partial(programs.create_state, config, *networks)
    return jax.eval_shape(create, jax.random.key(0))


def call(config):
    return {"steps_per_call": programs.steps_per_call(config), "key": jax.random.key(0)}


def test_a_conditional_networks_pass_is_estimated_too():
    config = cgan.get_config("acgan")
    memory.check(config, shapes(config), **call(config))
