"""An own loss: least squares towards -1 for generated and 1 for real images."""

import jax
import jax.numpy as jnp

from gan_jax.step import losses


def discriminator_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Half the mean square of (real - 1) plus half that of (fake + 1).

    Mao et al. 2017 (arXiv 1611.04076), equation 8, whose a is -1 and b is 1.
    """
    real, fake = jnp.square(real_logits - 1), jnp.square(fake_logits + 1)
    return (jnp.mean(real) + jnp.mean(fake)) / 2


def generator_loss(
    fake_logits: jax.Array, real_logits: jax.Array | None = None
) -> jax.Array:
    """Half the mean square of the fake logits: Mao et al., equation 8, whose c is 0."""
    del real_logits
    return jnp.mean(jnp.square(fake_logits)) / 2


centred = losses.Loss(discriminator_loss, generator_loss)
