"""One training step: the discriminator's update, the generator's, and their order.

Functions here are pure and undecorated: tests call them bare, under jit, and through
parallel.py.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from gan_jax import gradients, recipes, sampling
from gan_jax import state as state_lib


def steps_done(state: state_lib.GANState, *, recipe: recipes.Recipe) -> jax.Array:
    """The steps that a state has behind it, an int32 scalar.

    A step may hold several updates of the generator, whose own count is higher then.
    """
    return state.generator.step // recipe.generator_steps


def average_decay(update: jax.Array, decay: float) -> jax.Array:
    """The share that the averaged generator keeps in an update, a float32 scalar.

    min(decay, (1 + t) / (10 + t)) for update t, counted from 0: the average forgets
    the random initial parameters within few updates, where a constant decay of 0.999
    still gives them 61 % after 500. It is the warm-up of TensorFlow's
    ExponentialMovingAverage with num_updates.
    """
    return jnp.minimum(decay, (1.0 + update) / (10.0 + update))


def update_discriminator(
    state: state_lib.GANState, gradient: gradients.Gradient, *, recipe: recipes.Recipe
) -> state_lib.GANState:
    """The state after one update of the discriminator; the generator is untouched."""
    discriminator = state.discriminator.apply_gradients(
        grads=gradient.grads, batch_stats=gradient.batch_stats
    )
    if recipe.clip_weights:
        bound = recipe.clip_weights
        clipped = jax.tree.map(lambda p: p.clip(-bound, bound), discriminator.params)
        discriminator = discriminator.replace(params=clipped)
    return state.replace(discriminator=discriminator)


def update_generator(
    state: state_lib.GANState, gradient: gradients.Gradient, *, recipe: recipes.Recipe
) -> state_lib.GANState:
    """The state after one update of the generator; the discriminator is untouched."""
    generator = state.generator.apply_gradients(
        grads=gradient.grads, batch_stats=gradient.batch_stats
    )
    averaged = state.averaged
    if recipe.ema_decay:
        kept = average_decay(state.generator.step, recipe.ema_decay)
        averaged = optax.incremental_update(generator.params, averaged, 1 - kept)
    return state.replace(generator=generator, averaged=averaged)


def prepare_real(
    batch: Mapping[str, jax.Array], key: jax.Array, *, recipe: recipes.Recipe
) -> gradients.Images:
    """The data of a step: (K, P, B, H, W, C) images and (K, P, B) labels.

    K discriminator updates take the K * P examples of each slot in turn.
    """
    shape = (recipe.discriminator_steps, recipe.packing)
    images = sampling.to_float(batch["images"])
    if recipe.flip:
        keys = jax.random.split(key, recipe.examples_per_slot)
        images = jax.vmap(sampling.flip_randomly, in_axes=(0, None, 0))(
            keys, batch["slots"], images
        )
    return gradients.Images(
        images.reshape(*shape, *images.shape[1:]),
        batch["labels"].reshape(*shape, -1),
    )


def train_step(
    state: state_lib.GANState,
    batch: Mapping[str, jax.Array],
    key: jax.Array,
    *,
    recipe: recipes.Recipe,
) -> tuple[state_lib.GANState, gradients.Metrics]:
    """The state after one step of a recipe, and the step's metrics.

    Args:
      state: both networks.
      batch: `images` (N, B, H, W, C) uint8 and `labels` (N, B) int32 with N examples
        for each slot, see Recipe.examples_per_slot, and `slots` (B,) int32, the places
        in the global batch.
      key: PRNG key of this step, the same on all replicas.
      recipe: the step's static options.
    """
    flip_key, *d_keys, g_key = jax.random.split(key, 2 + recipe.discriminator_steps)
    g_keys = jax.random.split(g_key, recipe.generator_steps)
    slots = batch["slots"]
    real = prepare_real(batch, flip_key, recipe=recipe)

    for number, d_key in enumerate(d_keys):
        latent_key, judge_key = jax.random.split(d_key)
        fakes = gradients.generate(state.generator, slots, latent_key, recipe=recipe)
        data = jax.tree.map(lambda leaf, number=number: leaf[number], real)
        d_gradient = gradients.discriminator_gradient(
            state, data, fakes.batch, slots=slots, key=judge_key, recipe=recipe
        )
        before, state = state, update_discriminator(state, d_gradient, recipe=recipe)

    for number, g_key in enumerate(g_keys):
        latent_key, judge_key = jax.random.split(g_key)
        if recipe.updates == "fresh" or number > 0:
            fakes = gradients.generate(
                state.generator, slots, latent_key, recipe=recipe
            )
        judges = before if recipe.updates == "simultaneous" else state
        g_gradient = gradients.generator_gradient(
            judges, fakes, data, slots=slots, key=judge_key, recipe=recipe
        )
        state = update_generator(state, g_gradient, recipe=recipe)

    norms = {
        "d_grad_norm": optax.tree.norm(d_gradient.grads),
        "g_grad_norm": optax.tree.norm(g_gradient.grads),
    }
    return state, d_gradient.metrics | g_gradient.metrics | norms
