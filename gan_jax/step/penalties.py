"""Gradient penalties on the discriminator, which are weighted and added to its loss.

A penalty is a mean over the given examples of a function of the gradient of an image's
logit with respect to that image. Random draws depend only on the examples' batch
indices, so the mean over replicas is the penalty of the whole batch, however the batch
is divided.
"""

from collections.abc import Callable
from typing import Protocol

import jax
from jax import lax
import jax.numpy as jnp

from gan_jax import own_parts
from gan_jax.step import sampling

Discriminate = Callable[[jax.Array], jax.Array]

# Is added to squared norms, since the derivative of the square root is infinite at 0.
EPSILON = 1e-12


class Penalty(Protocol):
    """A function of a discriminator and a batch."""

    def __call__(
        self,
        discriminate: Discriminate,
        real_images: jax.Array,
        fake_images: jax.Array,
        *,
        key: jax.Array,
        slots: jax.Array,
        axis_name: str | None = None,
    ) -> jax.Array:
        """The penalty, a float32 scalar; differentiate it through `discriminate`.

        Args:
          discriminate: function from images (B, H, W, C) to logits (B,), which holds
            the parameters. Logit i must depend on image i only, so there must be no
            BatchNorm over the batch.
          real_images: (B, H, W, C) float32 in [-1, 1].
          fake_images: (B, H, W, C) float32 in [-1, 1].
          key: PRNG key of this step, the same on all replicas.
          slots: (B,) int32, batch indices of the examples in the global batch.
          axis_name: axis of the replicas that share the batch. dragan computes its
            standard deviation over all of them; the other penalties do not use it.

        Raises:
          ValueError: a penalty that draws at random gets images or slots whose numbers
            differ.
        """


def wgan_gp(
    discriminate: Discriminate,
    real_images: jax.Array,
    fake_images: jax.Array,
    *,
    key: jax.Array,
    slots: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean (||gradient|| - 1)^2 at random points between real and fake images.

    Gulrajani et al. 2017 (arXiv 1704.00028), equation 3; their weight is 10. For each
    example an epsilon in [0, 1) is drawn, the share of the real image.
    """
    if real_images.shape != fake_images.shape:
        raise ValueError(
            f"real images {real_images.shape} and fake images {fake_images.shape}, but "
            "wgan_gp goes from one to the other: give it as many of the same shape."
        )
    shares = _draw(key, slots, real_images, per_pixel=False)
    points = shares * real_images + (1 - shares) * fake_images
    return _distance_from_one(discriminate, points)


def dragan(
    discriminate: Discriminate,
    real_images: jax.Array,
    fake_images: jax.Array,
    *,
    key: jax.Array,
    slots: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean (||gradient|| - 1)^2 at real images with noise.

    Kodali et al. 2017 (arXiv 1705.07215), with the noise of the authors' code
    (github.com/kodalinaveen3/DRAGAN; weight 10): alpha * std / 2 * u, where alpha in
    [0, 1) is drawn for each example, u in [0, 1) for each value, and std is the
    standard deviation of all values of the batch. The paper writes N(0, c I).
    """
    alpha_key, noise_key = jax.random.split(key)
    alpha = _draw(alpha_key, slots, real_images, per_pixel=False)
    noise = _draw(noise_key, slots, real_images, per_pixel=True)
    std = _standard_deviation(real_images, axis_name)
    points = real_images + alpha * std / 2 * noise
    return _distance_from_one(discriminate, points)


def r1(
    discriminate: Discriminate,
    real_images: jax.Array,
    fake_images: jax.Array,
    *,
    key: jax.Array,
    slots: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """Half the mean ||gradient||^2 at the real images; nothing is drawn at random.

    Mescheder et al. 2018 (arXiv 1801.04406), equation 9; gamma is the weight.
    """
    return jnp.mean(_squared_norms(discriminate, real_images)) / 2


def r2(
    discriminate: Discriminate,
    real_images: jax.Array,
    fake_images: jax.Array,
    *,
    key: jax.Array,
    slots: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """Half the mean ||gradient||^2 at the fake images; nothing is drawn at random.

    Mescheder et al. 2018 (arXiv 1801.04406), equation 10; gamma is the weight.
    """
    return jnp.mean(_squared_norms(discriminate, fake_images)) / 2


def r1_r2(
    discriminate: Discriminate,
    real_images: jax.Array,
    fake_images: jax.Array,
    *,
    key: jax.Array,
    slots: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """r1 plus r2: both zero-centred penalties with the same weight.

    Huang et al. 2024 (R3GAN, arXiv 2501.05441), section 2, where they go with the
    relativistic loss; gamma is the weight.
    """
    arguments = (discriminate, real_images, fake_images)
    return r1(*arguments, key=key, slots=slots) + r2(*arguments, key=key, slots=slots)


PENALTIES: dict[str, Penalty] = {
    "wgan_gp": wgan_gp,
    "dragan": dragan,
    "r1": r1,
    "r2": r2,
    "r1_r2": r1_r2,
}


def create(name: str) -> Penalty | None:
    """The penalty of that name, or None for "none".

    Args:
      name: name in PENALTIES, `module:name` of an own Penalty, or "none".

    Raises:
      ValueError: there is no such penalty, or an own penalty has another form.
    """
    if not own_parts.is_named(name):
        return None if name == "none" else PENALTIES[name]
    field = "recipe.penalty"
    penalty: Penalty = own_parts.load(name, field=field)
    own_parts.check_call(
        penalty,
        name,
        field=field,
        positional=("discriminate", "real_images", "fake_images"),
        keywords=("key", "slots", "axis_name"),
    )
    return penalty


def _draw(
    key: jax.Array, slots: jax.Array, images: jax.Array, *, per_pixel: bool
) -> jax.Array:
    """Uniform draws in [0, 1) for the slots, for each pixel or (B, 1, 1, 1)."""
    if slots.shape != images.shape[:1]:
        raise ValueError(
            f"slots have shape {slots.shape} and images {images.shape}, but each image "
            "needs the place that its draws follow: give (B,) slots for B images."
        )
    shape = images.shape[1:] if per_pixel else (1,) * (images.ndim - 1)
    keys = sampling.fold_in_each(key, slots)
    return jax.vmap(lambda k: jax.random.uniform(k, shape))(keys)


def _standard_deviation(images: jax.Array, axis_name: str | None) -> jax.Array:
    """The standard deviation of all values of the images of all replicas."""

    def average(values: jax.Array) -> jax.Array:
        mean = jnp.mean(values)
        return mean if axis_name is None else lax.pmean(mean, axis_name)

    return jnp.sqrt(average(jnp.square(images - average(images))))


def _squared_norms(discriminate: Discriminate, points: jax.Array) -> jax.Array:
    """||gradient of logit i with respect to point i||^2, (B,) float32."""
    gradients = jax.grad(lambda x: jnp.sum(discriminate(x)))(points)
    squares = jnp.square(gradients.astype(jnp.float32))
    return jnp.sum(squares, axis=tuple(range(1, squares.ndim)))


def _distance_from_one(discriminate: Discriminate, points: jax.Array) -> jax.Array:
    """Mean (sqrt(||gradient||^2 + EPSILON) - 1)^2; its derivative is finite at 0."""
    norms = jnp.sqrt(_squared_norms(discriminate, points) + EPSILON)
    return jnp.mean(jnp.square(norms - 1))
