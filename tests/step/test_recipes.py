"""What each option of a recipe means, and which exclude each other."""

import functools

import chex
from flax import linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from gan_jax.step import (
    losses,
    optimizers,
    penalties,
    recipes,
    sampling,
    states,
    train_step,
)
from tests.step.support import (
    BATCH,
    DISCRIMINATOR,
    LATENTS,
    RECIPE,
    SIZE,
    make_batch,
    make_state,
    run_step,
)

pytestmark = pytest.mark.slow

KEY = jax.random.key(3)


def test_default_config_gives_the_default_recipe(tiny_config):
    recipe = recipes.create(tiny_config, axis_name=None)
    assert recipe == recipes.Recipe(latent_size=5, num_classes=3)


@pytest.mark.parametrize(
    "section, changes, message",
    [
        (
            "recipe",
            {"updates": "both"},
            "recipe.updates is 'both', but must be one of sha",
        ),
        ("recipe", {"discriminator_batches": "x"}, "must be one of separate, joint"),
        ("recipe", {"penalty": "r3"}, "must be one of none, .*r1"),
        ("recipe", {"loss": "hing"}, "recipe.loss is 'hing', .*did you mean 'hinge'"),
        ("recipe", {"packing": 0}, "recipe.packing is 0, but must be at least 1"),
        ("recipe", {"ema_decay": 1.0}, r"recipe.ema_decay is 1.0, but must be in \[0"),
        (
            "recipe",
            {"augment": "color,blur"},
            "'color,blur', but must be some of color",
        ),
        ("recipe", {"augment": "cutout,cutout"}, "each once, with commas"),
        ("recipe", {"augment": "color,"}, "'color,', but must be some of color"),
        ("recipe", {"lecam_weight": -1.0}, "lecam_weight is -1.0, but must be at lea"),
        ("recipe", {"lecam_decay": 1.0}, r"lecam_decay is 1.0, but must be in \[0"),
        ("recipe", {"clip_weights": 0.01}, "clip_weights is 0.01, .*'non_saturating'"),
        ("recipe", {"real_label": 0.9, "loss": "hinge"}, "no cross-entropy"),
        (
            "recipe",
            {"updates": "simultaneous", "discriminator_steps": 2},
            "from one pass, but discriminator_steps is 2",
        ),
        ("model", {"latent_distribution": "cauchy"}, "one of normal, uniform"),
    ],
)
def test_options_that_mean_nothing_are_refused(tiny_config, section, changes, message):
    tiny_config[section].update(changes)
    with pytest.raises(ValueError, match=message):
        recipes.create(tiny_config, axis_name=None)


def test_points_are_not_augmented(tiny_config):
    tiny_config.data.channels = 2
    tiny_config.recipe.augment = "cutout"
    with pytest.raises(ValueError, match="points of the plane are no images.*=''"):
        recipes.create(tiny_config, axis_name=None)


def test_points_are_not_mirrored(tiny_config):
    tiny_config.data.update(channels=2, flip=True)
    with pytest.raises(ValueError, match="flip is True, but .* plane .*flip=False"):
        recipes.create(tiny_config, axis_name=None)


@pytest.mark.parametrize("penalty", ["r2", "r1_r2"])
def test_penalties_on_generated_images_and_labels_exclude_each_other(
    tiny_config, penalty
):
    tiny_config.recipe.penalty = penalty
    tiny_config.model.discriminator.norm = "none"
    tiny_config.model.discriminator.condition = "onehot"
    with pytest.raises(ValueError, match=f"'{penalty}', on generated images, .*=r1 or"):
        recipes.create(tiny_config, axis_name=None)


def test_packing_and_labels_exclude_each_other(tiny_config):
    tiny_config.recipe.packing = 2
    tiny_config.model.discriminator.condition = "onehot"
    with pytest.raises(ValueError, match="a pack of images has no one label"):
        recipes.create(tiny_config, axis_name=None)


def test_pack_puts_the_images_of_a_pack_side_by_side_as_channels():
    images = jnp.arange(2 * 3 * 4 * 4 * 3).reshape(2, 3, 4, 4, 3)
    packed = train_step.pack(images)
    by_hand = np.concatenate([images[0], images[1]], axis=-1)
    np.testing.assert_array_equal(packed, by_hand)
    points = jnp.arange(2 * 3 * 2).reshape(2, 3, 2)
    np.testing.assert_array_equal(train_step.pack(points)[0], [0, 1, 6, 7])


def test_a_pack_holds_images_of_its_own_and_one_logit():
    recipe = RECIPE._replace(packing=3)
    fakes = train_step.generate(
        make_state().generator, jnp.arange(BATCH), KEY, recipe=recipe
    )
    assert fakes.batch.images.shape == (3, BATCH, SIZE, SIZE, 1)
    flat = np.asarray(fakes.batch.images).reshape(3 * BATCH, -1)
    assert len(np.unique(flat, axis=0)) == 3 * BATCH


class Dropped(nn.Module):
    """Draws ones of which dropout leaves half."""

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        images = jnp.ones((len(latents), SIZE, SIZE, 1))
        return nn.Dropout(0.5, deterministic=not train)(images)


def test_each_image_of_a_pack_has_a_dropout_of_its_own():
    state = make_state().generator.replace(
        apply_fn=Dropped().apply, params={}, batch_stats={}
    )
    first, other = (
        train_step.generate(
            state, jnp.arange(BATCH), KEY, recipe=RECIPE._replace(packing=packing)
        ).batch.images
        for packing in (1, 2)
    )
    np.testing.assert_array_equal(first[0], other[0])
    assert 0.4 < np.mean(np.asarray(other[0] != other[1])) < 0.6


def test_packed_step_trains_on_all_images_of_the_packs():
    state = make_state(packing=2)
    batch = make_batch(examples=2)
    new, metrics = run_step_jitted(packing=2)(state, batch, KEY)
    assert np.isfinite(metrics["d_loss"])
    other = batch | {"images": batch["images"].at[1].add(50)}
    changed, _ = run_step_jitted(packing=2)(state, other, KEY)
    kernels = [s.discriminator.params["from_image"]["kernel"] for s in (new, changed)]
    assert kernels[0].shape == (4, 4, 2, 4) and np.any(kernels[0] != kernels[1])


@functools.cache
def run_step_jitted(**options):
    return jax.jit(functools.partial(run_step, **options))


def test_two_discriminator_steps_are_two_updates_on_data_of_their_own():
    state, batch = make_state(), make_batch(examples=2)
    got, _ = run_step_jitted(discriminator_steps=2)(state, batch, KEY)
    assert got.discriminator.step == 2 and got.generator.step == 1
    # By hand: two updates in a row, the second on the second half of the data.
    recipe = RECIPE._replace(discriminator_steps=2)
    _, *d_keys, _ = jax.random.split(KEY, 4)
    expected = state
    for number, key in enumerate(d_keys):
        latent_key, judge_key = jax.random.split(key)
        fakes = train_step.generate(
            state.generator, batch["slots"], latent_key, recipe=recipe
        )
        gradient = train_step.discriminator_gradient(
            expected,
            train_step.Images(
                sampling.to_float(batch["images"][number])[None],
                batch["labels"][number][None],
            ),
            fakes.batch,
            slots=batch["slots"],
            key=judge_key,
            recipe=recipe,
        )
        expected = train_step.update_discriminator(expected, gradient, recipe=recipe)
    chex.assert_trees_all_close(
        got.discriminator.opt_state[0].mu,
        expected.discriminator.opt_state[0].mu,
        rtol=1e-3,
        atol=1e-6,
    )


def test_two_generator_steps_are_two_updates():
    new, _ = run_step_jitted(generator_steps=2)(make_state(), make_batch(), KEY)
    assert new.discriminator.step == 1 and new.generator.step == 2


def test_same_latents_serve_all_updates_of_a_step():
    # By hand: the images of the discriminator's update, and then those that the changed
    # generator makes of the same latents.
    recipe = RECIPE._replace(updates="same_latents", generator_steps=2)
    state, batch = make_state(), make_batch()
    got, _ = run_step_jitted(updates="same_latents", generator_steps=2)(
        state, batch, KEY
    )
    flip_key, d_key, g_key = jax.random.split(KEY, 3)
    latent_key, judge_key = jax.random.split(d_key)
    data = train_step.prepare_real(batch, flip_key, recipe=recipe)
    real = jax.tree.map(lambda leaf: leaf[0], data)
    options = {"slots": batch["slots"], "recipe": recipe}

    @jax.jit
    def expect(state):
        fakes = train_step.generate(
            state.generator, batch["slots"], latent_key, recipe=recipe
        )
        gradient = train_step.discriminator_gradient(
            state, real, fakes.batch, key=judge_key, **options
        )
        state = train_step.update_discriminator(state, gradient, recipe=recipe)
        for key in jax.random.split(g_key):
            fakes = train_step.generate(
                state.generator, batch["slots"], latent_key, recipe=recipe
            )
            gradient = train_step.generator_gradient(
                state, fakes, real, key=jax.random.split(key)[1], **options
            )
            state = train_step.update_generator(state, gradient, recipe=recipe)
        return state

    chex.assert_trees_all_close(
        got.generator.opt_state[0].mu,
        expect(state).generator.opt_state[0].mu,
        rtol=1e-3,
        atol=1e-6,
    )
    other, _ = run_step_jitted(generator_steps=2)(state, batch, KEY)
    pairs = zip(
        jax.tree.leaves(got.generator.opt_state[0].mu),
        jax.tree.leaves(other.generator.opt_state[0].mu),
        strict=True,
    )
    assert all(np.any(np.abs(a - b) > 1e-5) for a, b in pairs)


def test_a_step_counts_once_however_many_updates_it_holds():
    recipe, state = RECIPE._replace(generator_steps=2), make_state()
    for updates in range(5):
        assert train_step.steps_done(state, recipe=recipe) == updates // 2
        state = train_step.update_generator(state, make_gradient(), recipe=recipe)


def make_gradient():
    """A gradient of the generator, the same whenever it is made."""
    generator = make_state().generator
    ones = jax.tree.map(jnp.ones_like, generator.params)
    return train_step.Gradient(ones, generator.batch_stats, {})


def test_the_average_keeps_its_share():
    # Decays min(0.25, (1 + t) / (10 + t)): 1/10, 2/11, 3/12 and from there on 0.25.
    recipe, state = (
        RECIPE._replace(ema_decay=0.25),
        make_state(average=True),
    )
    averaged = state.averaged
    for kept in (1 / 10, 2 / 11, 0.25, 0.25):
        state = train_step.update_generator(state, make_gradient(), recipe=recipe)
        averaged = jax.tree.map(
            lambda old, now, kept=kept: kept * old + (1 - kept) * now,
            averaged,
            state.generator.params,
        )
        chex.assert_trees_all_close(state.averaged, averaged, rtol=1e-5, atol=1e-7)


def test_the_initial_parameters_weigh_the_product_of_the_decays():
    recipe, state = (
        RECIPE._replace(ema_decay=0.5),
        make_state(average=True),
    )
    shifted = state.replace(averaged=jax.tree.map(lambda x: x + 1, state.averaged))
    for _ in range(12):
        state, shifted = (
            train_step.update_generator(one, make_gradient(), recipe=recipe)
            for one in (state, shifted)
        )
    decays = [min(0.5, (1 + t) / (10 + t)) for t in range(12)]
    weight = jax.tree.map(lambda a, b: a - b, shifted.averaged, state.averaged)
    for leaf in jax.tree.leaves(weight):
        np.testing.assert_allclose(leaf, np.prod(decays), rtol=1e-2, atol=1e-6)


def test_clipping_bounds_every_parameter_of_the_discriminator():
    loss = losses.create("wasserstein")
    new, _ = run_step_jitted(loss=loss, clip_weights=0.01)(
        make_state(), make_batch(), KEY
    )
    leaves = jax.tree.leaves(new.discriminator.params)
    assert max(np.abs(leaf).max() for leaf in leaves) <= np.float32(0.01)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(new.generator.params)) > 1


def test_instance_noise_has_its_standard_deviation_and_reaches_both_gradients():
    recipe = RECIPE._replace(instance_noise=0.3)
    images = train_step.Images(jnp.zeros((1, 64, 16, 16, 1)), jnp.zeros((1, 64), int))
    seen = train_step._seen(images, jnp.arange(64), KEY, recipe)
    # 16,384 draws: the deviation is known to 0.6 percent.
    np.testing.assert_allclose(np.std(seen), 0.3, rtol=0.03, atol=0)
    plain, _ = run_step_jitted()(make_state(), make_batch(), KEY)
    noisy, _ = run_step_jitted(instance_noise=0.3)(make_state(), make_batch(), KEY)
    for name in ("generator", "discriminator"):
        one, other = (getattr(s, name).opt_state[0].mu for s in (plain, noisy))
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        assert all(np.any(a != b) for a, b in pairs)


@functools.cache
def adam_moments(**options):
    """Both networks' first moments after a step, (1 - b1) times the gradients."""
    new, _ = run_step_jitted(**options)(make_state(), make_batch(), KEY)
    return new.generator.opt_state[0].mu, new.discriminator.opt_state[0].mu


def test_augmentation_reaches_the_gradients_of_both_networks():
    seen = adam_moments(augment=("color", "translation", "cutout"))
    pairs = zip(jax.tree.leaves(adam_moments()), jax.tree.leaves(seen), strict=True)
    assert all(np.any(a != b) for a, b in pairs)


def test_images_are_augmented_before_they_are_packed_and_before_noise():
    # A cutout of each image of the pack: a pixel is cut in one, in both or in none.
    recipe = RECIPE._replace(augment=("cutout",), packing=2)
    shape = (2, BATCH, SIZE, SIZE, 1)
    images = train_step.Images(jnp.ones(shape), jnp.zeros((2, BATCH), int))
    seen = np.asarray(train_step._seen(images, jnp.arange(BATCH), KEY, recipe))
    assert seen.shape == (BATCH, SIZE, SIZE, 2)
    kinds = {tuple(pixel) for pixel in seen.reshape(-1, 2)}
    assert kinds == {(0, 0), (0, 1), (1, 0), (1, 1)}
    noisy = train_step._seen(
        images, jnp.arange(BATCH), KEY, recipe._replace(instance_noise=0.01)
    )
    assert not np.any(noisy == 0)
    np.testing.assert_allclose(noisy, seen, rtol=0, atol=0.06)


def test_lecam_enters_the_discriminators_gradient_with_its_weight():
    # The gradient is linear in the weight: g(2) - g(0) = 2 (g(1) - g(0)).
    state, batch, moments = make_state(follow_logits=True), make_batch(), []
    for weight in (1e3, 2e3):
        new, metrics = run_step_jitted(lecam_weight=weight)(state, batch, KEY)
        assert metrics["lecam"] > 0
        moments.append(new.discriminator.opt_state[0].mu)
    flat = [jax.flatten_util.ravel_pytree(x)[0] for x in (adam_moments()[1], *moments)]
    once, twice = flat[1] - flat[0], flat[2] - flat[0]
    largest = np.abs(twice).max()
    assert largest > 1e-4
    np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=1e-3 * largest)


def test_lecams_means_follow_the_mean_logits():
    # Decays min(0.15, (1 + t) / (10 + t)): 1/10, then 0.15.
    state, expected = make_state(follow_logits=True), {"real": 0.0, "fake": 0.0}
    recipe = RECIPE._replace(lecam_weight=0.3, lecam_decay=0.15)
    assert state.discriminator.batch_stats[states.LOGIT_MEANS] == expected
    step = run_step_jitted(lecam_weight=0.3, lecam_decay=0.15)
    for kept in (0.1, 0.15, 0.15):
        real = train_step.prepare_real(make_batch(), KEY, recipe=recipe)
        _, d_key, _ = jax.random.split(KEY, 3)
        fakes = train_step.generate(
            state.generator,
            jnp.arange(BATCH),
            jax.random.split(d_key)[0],
            recipe=recipe,
        )
        images = {"real": real.images[0, 0], "fake": fakes.batch.images[0]}
        for name, ones in images.items():
            logits, _ = DISCRIMINATOR.apply(
                state.discriminator.variables, ones, train=True, mutable=["batch_stats"]
            )
            expected[name] = kept * expected[name] + (1 - kept) * np.mean(logits)
        state, _ = step(state, make_batch(), KEY)
        for name, mean in state.discriminator.batch_stats[states.LOGIT_MEANS].items():
            np.testing.assert_allclose(mean, expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_lecam_goes_with_any_norm(norm):
    state = make_state(norm=norm, follow_logits=True)
    new, _ = run_step_jitted(lecam_weight=0.3)(state, make_batch(), KEY)
    chex.assert_trees_all_equal_shapes(new, state)
    assert new.discriminator.batch_stats[states.LOGIT_MEANS]["fake"] != 0


def test_each_rate_reaches_its_own_network(tiny_config):
    # Both gradients are taken at the old parameters, so that a change is rate times
    # gradient, whatever the other network's rate is.
    section = {"name": "sgd", "learning_rate": 1.0}

    def changes(g_rate, d_rate):
        config = ConfigDict(tiny_config.to_dict())
        config.optimizer.generator = section | {"learning_rate": g_rate}
        config.optimizer.discriminator = section | {"learning_rate": d_rate}
        old = make_state()
        old = old.replace(
            **{
                name: getattr(old, name).replace(tx=tx, opt_state=tx.init({}))
                for name in ("generator", "discriminator")
                for tx in [optimizers.create(config, name)]
            }
        )
        new, _ = run_step_jitted(updates="simultaneous")(old, make_batch(), KEY)
        return [
            jax.flatten_util.ravel_pytree(x.params)[0]
            - jax.flatten_util.ravel_pytree(y.params)[0]
            for x, y in (
                (new.generator, old.generator),
                (new.discriminator, old.discriminator),
            )
        ]

    for one, scaled, rate in zip(
        changes(1.0, 1.0), changes(0.25, 4.0), (0.25, 4.0), strict=True
    ):
        assert np.abs(one).max() > 1e-4
        np.testing.assert_allclose(scaled, rate * one, rtol=1e-3, atol=1e-6)


def test_flips_mirror_half_of_the_images_by_their_slots():
    images = jax.random.normal(KEY, (1000, 2, 3, 1))
    flipped = sampling.flip_randomly(KEY, jnp.arange(1000), images)
    mirrored = np.all(flipped == images[:, :, ::-1], axis=(1, 2, 3))
    kept = np.all(flipped == images, axis=(1, 2, 3))
    assert np.all(mirrored ^ kept)
    np.testing.assert_allclose(mirrored.sum(), 500, rtol=0, atol=4 * 16)  # binomial
    part = sampling.flip_randomly(KEY, jnp.arange(300, 400), images[300:400])
    np.testing.assert_array_equal(part, flipped[300:400])


def test_uniform_latents_fill_minus_one_to_one():
    latents = sampling.draw_latents(
        KEY, jnp.arange(1000), latent_size=LATENTS, distribution="uniform"
    )
    assert latents.min() >= -1 and latents.max() < 1
    np.testing.assert_allclose(np.std(latents), 3**-0.5, rtol=0.03, atol=0)


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_a_penalty_enters_the_discriminators_gradient_with_its_weight(name):
    # The gradient is linear in the weight: g(2) - g(0) = 2 (g(1) - g(0)).
    state, batch = make_state(norm="none"), make_batch()
    moments = {}
    for weight in (0.0, 1e3, 2e3):
        step = run_step_jitted(penalty=penalties.PENALTIES[name], penalty_weight=weight)
        new, metrics = step(state, batch, KEY)
        assert metrics["penalty"] > 0
        moments[weight] = jax.flatten_util.ravel_pytree(
            new.discriminator.opt_state[0].mu
        )[0]
    once = moments[1e3] - moments[0.0]
    twice = moments[2e3] - moments[0.0]
    largest = np.abs(twice).max()
    assert largest > 1e-4
    np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=1e-3 * largest)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_trains_both_networks(name):
    step = run_step_jitted(loss=losses.create(name))
    new, metrics = step(make_state(), make_batch(), KEY)
    assert metrics["d_grad_norm"] > 0 and metrics["g_grad_norm"] > 0
    assert all(np.isfinite(value) for value in metrics.values())
    assert new.generator.step == new.discriminator.step == 1
