"""The step: which tree moves, by which gradient, and what does not matter."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.step import sampling, states, train_step
from tests.step.support import (
    BATCH,
    DISCRIMINATOR,
    GENERATOR,
    LATENTS,
    RECIPE,
    SIZE,
    make_batch,
    make_state,
    run_step,
)

pytestmark = pytest.mark.slow

step_jitted = jax.jit(run_step)


def assert_trees_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_all_leaves_differ(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    assert all(np.any(np.asarray(a) != np.asarray(b)) for a, b in pairs)


def make_images(seed):
    """Images (P, B, H, W, C) and labels of one pack."""
    batch = make_batch(seed)
    images = batch["images"] / np.float32(127.5) - 1
    return train_step.Images(images, batch["labels"])


def test_update_of_the_discriminator_leaves_the_generator_untouched():
    state, slots, key = (
        make_state(),
        jnp.arange(BATCH),
        jax.random.key(1),
    )
    gradient = jax.jit(
        lambda: train_step.discriminator_gradient(
            state,
            make_images(0),
            make_images(1),
            slots=slots,
            key=key,
            recipe=RECIPE,
        )
    )()
    new = train_step.update_discriminator(state, gradient, recipe=RECIPE)
    assert_trees_equal(new.generator, state.generator)
    assert_all_leaves_differ(new.discriminator.params, state.discriminator.params)
    assert_all_leaves_differ(
        new.discriminator.batch_stats, state.discriminator.batch_stats
    )
    assert new.discriminator.step == 1


def test_update_of_the_generator_leaves_the_discriminator_untouched():
    state, slots, key = (
        make_state(),
        jnp.arange(BATCH),
        jax.random.key(1),
    )

    @jax.jit
    def run():
        fakes = train_step.generate(state.generator, slots, key, recipe=RECIPE)
        return train_step.generator_gradient(
            state, fakes, make_images(0), slots=slots, key=key, recipe=RECIPE
        )

    new = train_step.update_generator(state, run(), recipe=RECIPE)
    assert_trees_equal(new.discriminator, state.discriminator)
    assert_all_leaves_differ(new.generator.params, state.generator.params)
    assert_all_leaves_differ(new.generator.batch_stats, state.generator.batch_stats)
    assert new.generator.step == 1


def draw_latents(step_key, *, generator_step=None):
    """The latents of a step with one discriminator and one generator update."""
    _, d_key, g_key = jax.random.split(step_key, 3)
    if generator_step is not None:
        d_key = jax.random.split(g_key, generator_step + 1)[generator_step]
    latent_key, _ = jax.random.split(d_key)
    latent_key, _, _ = jax.random.split(latent_key, 3)
    member_key = jax.random.fold_in(latent_key, 0)
    return sampling.draw_latents(member_key, jnp.arange(BATCH), latent_size=LATENTS)


def slow_reference(state, batch, key, *, updates="shared", joint=False):
    """Both updates from two whole losses, each written out and differentiated alone."""
    latents = draw_latents(key)
    g_latents = draw_latents(key, generator_step=0) if updates == "fresh" else latents
    real = batch["images"][0] / 127.5 - 1

    def run(module, variables, inputs):
        return module.apply(variables, inputs, train=True, mutable=["batch_stats"])

    def d_loss(d_params):
        fake, _ = run(GENERATOR, state.generator.variables, latents)
        fake = jax.lax.stop_gradient(fake)
        variables = {**state.discriminator.variables, "params": d_params}
        if joint:
            logits, new = run(DISCRIMINATOR, variables, jnp.concatenate([real, fake]))
            real_logits, fake_logits = logits[:BATCH], logits[BATCH:]
        else:
            real_logits, new = run(DISCRIMINATOR, variables, real)
            fake_logits, new = run(DISCRIMINATOR, {**variables, **new}, fake)
        loss = jnp.mean(nn.softplus(-real_logits)) + jnp.mean(nn.softplus(fake_logits))
        return loss, new["batch_stats"]

    grads, stats = jax.grad(d_loss, has_aux=True)(state.discriminator.params)
    discriminator = state.discriminator.apply_gradients(grads=grads, batch_stats=stats)
    judge = state.discriminator if updates == "simultaneous" else discriminator

    def g_loss(g_params):
        variables = {**state.generator.variables, "params": g_params}
        fake, new = run(GENERATOR, variables, g_latents)
        logits, _ = run(DISCRIMINATOR, judge.variables, fake)
        return jnp.mean(nn.softplus(-logits)), new["batch_stats"]

    grads, stats = jax.grad(g_loss, has_aux=True)(state.generator.params)
    generator = state.generator.apply_gradients(grads=grads, batch_stats=stats)
    return states.GANState(generator, discriminator, averaged={})


@pytest.mark.parametrize(
    "options",
    [
        {"updates": "shared"},
        {"updates": "fresh"},
        {"updates": "simultaneous"},
        {"updates": "shared", "joint": True},
    ],
    ids=str,
)
def test_train_step_equals_two_separately_differentiated_losses(options):
    # The gradients are read back from Adam's first moments, (1 - b1) g after one step,
    # since the parameters' own change hides their size.
    state, batch, key = make_state(), make_batch(), jax.random.key(3)
    recipe = {
        "updates": options["updates"],
        "discriminator_batches": "joint" if options.get("joint") else "separate",
    }
    got, _ = jax.jit(functools.partial(run_step, **recipe))(state, batch, key)
    expected = jax.jit(functools.partial(slow_reference, **options))(state, batch, key)
    for name in ("generator", "discriminator"):
        one, other = getattr(got, name), getattr(expected, name)
        chex.assert_trees_all_close(
            one.opt_state[0].mu, other.opt_state[0].mu, rtol=1e-3, atol=1e-6
        )
        chex.assert_trees_all_close(
            one.batch_stats, other.batch_stats, rtol=1e-4, atol=1e-6
        )


class Sowing(nn.Module):
    """A generator that sows half of its weight times the square of its kernel."""

    weight: float

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        kernel = self.param("kernel", nn.initializers.normal(), (LATENTS, SIZE * SIZE))
        self.sow("losses", "decay", self.weight / 2 * jnp.sum(kernel**2))
        return jnp.tanh(latents @ kernel).reshape(-1, SIZE, SIZE, 1)


@pytest.mark.parametrize("packing", [1, 2])
def test_losses_that_the_generator_sows_are_trained_with(packing):
    # Their gradient is the weight times the kernel, however many images are packed.
    def kernels(weight):
        state = states.create(
            jax.random.key(0),
            Sowing(weight),
            DISCRIMINATOR,
            generator_tx=optax.sgd(0.1),
            discriminator_tx=optax.sgd(0.1),
            latent_size=LATENTS,
            image_shape=(SIZE, SIZE, packing),
        )
        batch = make_batch(examples=packing)
        step = jax.jit(functools.partial(run_step, packing=packing))
        new, _ = step(state, batch, jax.random.key(3))
        return state.generator.params["kernel"], new.generator.params["kernel"]

    _, without = kernels(0.0)
    before, after = kernels(2.0)
    np.testing.assert_allclose(after - without, -0.1 * 2 * before, rtol=0, atol=1e-6)


def test_metrics_are_those_of_the_losses():
    # A fresh DCGAN's logits are near 0: losses near 2 ln 2 and ln 2, D near a half.
    _, metrics = step_jitted(make_state(), make_batch(), jax.random.key(3))
    assert set(metrics) == {
        *("d_loss", "g_loss", "d_real", "d_fake_before", "d_fake_after"),
        *("d_grad_norm", "g_grad_norm"),
    }
    np.testing.assert_allclose(metrics["d_loss"], 2 * np.log(2), rtol=0.1, atol=0)
    np.testing.assert_allclose(metrics["g_loss"], np.log(2), rtol=0.1, atol=0)
    for name in ("d_real", "d_fake_before", "d_fake_after"):
        np.testing.assert_allclose(metrics[name], 0.5, rtol=0.1, atol=0)


def test_same_key_same_result_and_new_key_new_noise():
    state, batch = make_state(), make_batch()
    one, _ = step_jitted(state, batch, jax.random.key(1))
    same, _ = step_jitted(state, batch, jax.random.key(1))
    other, _ = step_jitted(state, batch, jax.random.key(2))
    assert_trees_equal(one, same)
    assert_all_leaves_differ(one.generator.params, other.generator.params)


def test_bare_step_equals_jitted_step():
    state, batch, key = make_state(), make_batch(), jax.random.key(1)
    bare, _ = run_step(state, batch, key)
    jitted, _ = step_jitted(state, batch, key)
    chex.assert_trees_all_close(
        bare.generator.opt_state, jitted.generator.opt_state, rtol=1e-3, atol=1e-6
    )


def test_scanned_steps_equal_stepped_steps():
    batches = [make_batch(seed) for seed in range(3)]
    stepped = make_state()
    for number, batch in enumerate(batches):
        key = jax.random.fold_in(jax.random.key(1), number)
        stepped, _ = step_jitted(stepped, batch, key)

    def body(state, batch):
        key = jax.random.fold_in(jax.random.key(1), state.generator.step)
        return run_step(state, batch, key)

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
    scanned, metrics = jax.jit(lambda s, b: jax.lax.scan(body, s, b))(
        make_state(), stacked
    )
    assert metrics["d_loss"].shape == (3,)
    # Adam turns a gradient's rounding at zero into a whole step of 2e-4.
    chex.assert_trees_all_close(
        scanned.generator.params, stepped.generator.params, rtol=1e-4, atol=1e-4
    )


def test_ten_steps_compile_once():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state, batch, key):
        return run_step(state, batch, key)

    state = make_state()
    for number in range(10):
        state, _ = step(state, make_batch(number), jax.random.key(number))
    assert state.generator.step == state.discriminator.step == 10


@pytest.mark.parametrize("count", [1, 4])
def test_draws_of_an_example_depend_on_its_slot_alone(count):
    key = jax.random.key(0)
    whole = sampling.draw_latents(key, jnp.arange(8), latent_size=LATENTS)
    part = sampling.draw_latents(key, jnp.arange(4, 4 + count), latent_size=LATENTS)
    np.testing.assert_array_equal(part, whole[4 : 4 + count])
    labels = sampling.draw_labels(key, jnp.arange(8), num_classes=3)
    part = sampling.draw_labels(key, jnp.arange(4, 4 + count), num_classes=3)
    np.testing.assert_array_equal(part, labels[4 : 4 + count])


def test_drawn_labels_are_uniform():
    labels = sampling.draw_labels(jax.random.key(0), jnp.arange(3000), num_classes=3)
    # Binomial(3000, 1/3): standard deviation 26.
    np.testing.assert_allclose(np.bincount(labels), 1000, rtol=0, atol=4 * 26)


def test_to_float_maps_bytes_to_minus_one_to_one():
    got = sampling.to_float(np.array([0, 51, 255], np.uint8))
    np.testing.assert_allclose(got, [-1, -0.6, 1], rtol=0, atol=1e-6)
