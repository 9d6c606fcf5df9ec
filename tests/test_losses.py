"""Losses: closed forms, slow references, finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses

LOGITS = np.array([-3.0, -0.5, 0.0, 0.7, 4.0])


def reference_discriminator_loss(real, fake):
    """-log sigmoid(real) and -log(1 - sigmoid(fake)), in float64."""
    return np.mean(np.log1p(np.exp(-real))) + np.mean(np.log1p(np.exp(fake)))


def test_discriminator_loss_at_zero_logits_is_two_ln_two():
    zeros = jnp.zeros(7)
    loss = losses.discriminator_loss(zeros, zeros)
    np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-6, atol=0)


def test_generator_loss_at_zero_logits_is_ln_two():
    loss = losses.generator_loss(jnp.zeros(7))
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6, atol=0)


def test_losses_equal_the_slow_reference():
    real, fake = LOGITS, LOGITS[::-1] * 0.3 + 1
    np.testing.assert_allclose(
        losses.discriminator_loss(jnp.float32(real), jnp.float32(fake)),
        reference_discriminator_loss(real, fake),
        rtol=1e-6,
        atol=0,
    )
    np.testing.assert_allclose(
        losses.generator_loss(jnp.float32(fake)),
        np.mean(np.log1p(np.exp(-fake))),
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_losses_and_gradients_are_finite_and_linear_far_out(logit):
    # softplus(x) is x far above zero and 0 far below it.
    logits = jnp.full(3, logit, jnp.float32)
    d_loss, d_grad = jax.value_and_grad(losses.discriminator_loss, (0, 1))(
        logits, logits
    )
    g_loss, g_grad = jax.value_and_grad(losses.generator_loss)(logits)
    np.testing.assert_allclose(d_loss, 1e4, rtol=1e-6, atol=0)
    np.testing.assert_allclose(g_loss, max(-logit, 0), rtol=1e-6, atol=0)
    assert np.all(np.isfinite(d_grad)) and np.all(np.isfinite(g_grad))


def test_gradients_equal_finite_differences():
    real, fake = LOGITS, LOGITS * 0.5 - 1
    grads = jax.grad(losses.discriminator_loss, (0, 1))(
        jnp.float32(real), jnp.float32(fake)
    )
    step = 1e-6
    for index in range(len(LOGITS)):
        bump = np.eye(len(LOGITS))[index] * step
        for which, shifted in enumerate(((bump, 0 * bump), (0 * bump, bump))):
            above = reference_discriminator_loss(real + shifted[0], fake + shifted[1])
            below = reference_discriminator_loss(real - shifted[0], fake - shifted[1])
            np.testing.assert_allclose(
                grads[which][index], (above - below) / (2 * step), rtol=1e-4, atol=1e-6
            )


def test_column_logits_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 1\).*takes \(B,\)"):
        losses.discriminator_loss(jnp.zeros((5, 1)), jnp.zeros(5))
    with pytest.raises(ValueError, match=r"\(5, 1\).*takes \(B,\)"):
        losses.generator_loss(jnp.zeros((5, 1)))
