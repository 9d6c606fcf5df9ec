"""An own penalty: the gradient's norm halfway between real and generated images."""

import jax
import jax.numpy as jnp

from gan_jax.step import penalties


def halfway(
    discriminate: penalties.Discriminate,
    real_images: jax.Array,
    fake_images: jax.Array,
    *,
    key: jax.Array,
    slots: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean ||gradient||^2 at the mean of each real image and a generated one.

    Thanh-Tung et al. 2019 (arXiv 1902.03984), section 5, draw the point between the two
    at random. Here it is the middle.
    """
    del key, slots, axis_name
    points = (real_images + fake_images) / 2
    gradients = jax.grad(lambda x: jnp.sum(discriminate(x)))(points)
    squares = jnp.square(gradients.astype(jnp.float32))
    return jnp.mean(jnp.sum(squares, axis=(1, 2, 3)))
