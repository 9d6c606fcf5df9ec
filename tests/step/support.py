"""What tests of the step share: a tiny pair, its state and its data."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.models import dcgan
from gan_jax.step import recipes, states, train_step

LATENTS, SIZE, BATCH = 5, 16, 6
RECIPE = recipes.Recipe(latent_size=LATENTS, num_classes=3)
GENERATOR = dcgan.Generator(image_size=SIZE, features=4)
DISCRIMINATOR = dcgan.Discriminator(image_size=SIZE, features=4)


@functools.cache
def make_state(packing=1, average=False, norm="batch", follow_logits=False):
    tx = optax.adam(2e-4, b1=0.5)
    create = functools.partial(
        states.create,
        generator=GENERATOR,
        discriminator=DISCRIMINATOR.clone(norm=norm),
        generator_tx=tx,
        discriminator_tx=tx,
        latent_size=LATENTS,
        image_shape=(SIZE, SIZE, packing),
        average=average,
        follow_logits=follow_logits,
    )
    return jax.jit(create)(jax.random.key(0))


def make_batch(seed=0, examples=1):
    rng = np.random.default_rng(seed)
    return {
        "images": jnp.asarray(
            rng.integers(0, 256, (examples, BATCH, SIZE, SIZE, 1), np.uint8)
        ),
        "labels": jnp.asarray(rng.integers(0, 3, (examples, BATCH)), jnp.int32),
        "slots": jnp.arange(BATCH),
    }


def run_step(state, batch, key, **options):
    recipe = RECIPE._replace(**options)
    return train_step.train_step(state, batch, key, recipe=recipe)
