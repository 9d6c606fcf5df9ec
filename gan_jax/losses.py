"""Adversarial losses on logits: label 1 is real, 0 is fake.

At zero logits the discriminator's loss is 2 ln 2 and the generator's ln 2.
"""

import jax
import jax.numpy as jnp
import optax


def _check(logits: jax.Array) -> None:
    if logits.ndim != 1:
        raise ValueError(
            f"logits have shape {logits.shape}, but a loss takes (B,): a shape such "
            "as (B, 1) would broadcast against labels (B,) in silence; reshape the "
            "discriminator's output to (B,)."
        )


def discriminator_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Mean BCE of the real logits against 1 plus mean BCE of the fake against 0.

    Goodfellow et al. 2014 (arXiv 1406.2661), equation 1, as a loss to minimise.

    Args:
      real_logits: (B,) discriminator's output on data.
      fake_logits: (B,) discriminator's output on generated images.

    Raises:
      ValueError: logits that are not (B,).
    """
    _check(real_logits)
    _check(fake_logits)
    real = optax.sigmoid_binary_cross_entropy(real_logits, jnp.ones_like(real_logits))
    fake = optax.sigmoid_binary_cross_entropy(fake_logits, jnp.zeros_like(fake_logits))
    return jnp.mean(real) + jnp.mean(fake)


def generator_loss(fake_logits: jax.Array) -> jax.Array:
    """Mean BCE of the fake logits against 1: the non-saturating loss.

    Goodfellow et al. 2014 (arXiv 1406.2661), section 3: maximise log D(G(z)).

    Args:
      fake_logits: (B,) discriminator's output on generated images.

    Raises:
      ValueError: logits that are not (B,).
    """
    _check(fake_logits)
    return jnp.mean(
        optax.sigmoid_binary_cross_entropy(fake_logits, jnp.ones_like(fake_logits))
    )
