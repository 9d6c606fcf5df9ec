"""The gradients of the two losses, each in one network's own parameters.

The other network enters as a constant, so nothing is ever frozen. Functions here are
pure; leading axes: B examples of one pass on this replica, P images in a pack.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from gan_jax import recipes, sampling
from gan_jax import state as state_lib

Metrics = dict[str, jax.Array]


class Images(NamedTuple):
    """Images (P, B, H, W, C) float32 in [-1, 1] and labels (P, B) int32."""

    images: jax.Array
    labels: jax.Array


class Fakes(NamedTuple):
    """Generated images and the way back from them.

    Attributes:
      batch: the images and the labels that they were generated for.
      pull_back: takes the loss's gradient with respect to the images to that with
        respect to the generator's parameters, as `jax.vjp` returns it.
      batch_stats: the generator's running statistics after the pass.
    """

    batch: Images
    pull_back: Callable[[jax.Array], tuple[Any]]
    batch_stats: Any


class Gradient(NamedTuple):
    """The gradient of one network's loss, and what its pass left."""

    grads: Any
    batch_stats: Any
    metrics: Metrics


def average_replicas(tree: Any, axis_name: str | None) -> Any:
    """The mean of a tree over the replicas; the tree itself without an axis."""
    return tree if axis_name is None else lax.pmean(tree, axis_name)


def pack(images: jax.Array) -> jax.Array:
    """Packs (P, B, ..., C) as (B, ..., P * C): the P images of a pack as channels."""
    moved = jnp.moveaxis(images, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


def generate(
    generator: state_lib.TrainState,
    slots: jax.Array,
    key: jax.Array,
    *,
    recipe: recipes.Recipe,
) -> Fakes:
    """P generator passes at (B,) slots, each with its own batch statistics."""
    latent_key, label_key, dropout_key = jax.random.split(key, 3)
    members = range(recipe.packing)

    def draw(draw_one: Callable[..., jax.Array], key: jax.Array, **kw: Any) -> Any:
        keys = [jax.random.fold_in(key, member) for member in members]
        return jnp.stack([draw_one(one, slots, **kw) for one in keys])

    latents = draw(
        sampling.draw_latents,
        latent_key,
        latent_size=recipe.latent_size,
        distribution=recipe.latent_distribution,
    )
    labels = draw(sampling.draw_labels, label_key, num_classes=recipe.num_classes)
    dropout_key = jax.random.fold_in(dropout_key, slots[0])

    def run(params: Any) -> tuple[jax.Array, Any]:
        passes = [
            generator.apply(params, latents[member], labels[member], dropout_key)
            for member in members
        ]
        stats = [one.batch_stats for one in passes]
        mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *stats)
        return jnp.stack([one.output for one in passes]), mean

    images, pull_back, batch_stats = jax.vjp(run, generator.params, has_aux=True)
    return Fakes(Images(images, labels), pull_back, batch_stats)


def _seen(
    batch: Images, slots: jax.Array, key: jax.Array, recipe: recipes.Recipe
) -> jax.Array:
    """What the discriminator sees of a batch: packed, with instance noise."""
    images = pack(batch.images)
    if recipe.instance_noise:
        noise = sampling.draw_noise(key, slots, images)
        images = images + recipe.instance_noise * noise
    return images


def _judge_both(
    discriminator: state_lib.TrainState,
    params: Any,
    images: tuple[jax.Array, jax.Array],
    labels: tuple[jax.Array, jax.Array],
    key: jax.Array,
    *,
    joint: bool,
) -> state_lib.Pass:
    """The pass of real and fake images; its output is the pair of their logits.

    Separately, each with its own batch statistics and the running ones threaded real,
    then fake; jointly, in one pass over both.
    """
    if joint:
        both = discriminator.apply(
            params, jnp.concatenate(images), jnp.concatenate(labels), key
        )
        # What is sown is a mean over both halves: twice it is the sum of their means.
        return both._replace(output=jnp.split(both.output, 2), loss=2 * both.loss)
    real_key, fake_key = jax.random.split(key)
    real = discriminator.apply(params, images[0], labels[0], real_key)
    discriminator = discriminator.replace(batch_stats=real.batch_stats)
    fake = discriminator.apply(params, images[1], labels[1], fake_key)
    return fake._replace(output=(real.output, fake.output), loss=real.loss + fake.loss)


def discriminator_gradient(
    state: state_lib.GANState,
    real: Images,
    fake: Images,
    *,
    slots: jax.Array,
    key: jax.Array,
    recipe: recipes.Recipe,
) -> Gradient:
    """The gradient of the discriminator's loss in the discriminator's parameters.

    Args:
      state: both networks.
      real: data.
      fake: generated images, constants here.
      slots: (B,) int32, places in the global batch.
      key: PRNG key of this gradient, the same on all replicas.
      recipe: the step's static options.
    """
    real_key, fake_key, dropout_key, penalty_key = jax.random.split(key, 4)
    dropout_key = jax.random.fold_in(dropout_key, slots[0])
    images = (
        _seen(real, slots, real_key, recipe),
        _seen(fake, slots, fake_key, recipe),
    )
    labels = (real.labels[0], fake.labels[0])
    joint = recipe.discriminator_batches == "joint"

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Any, Metrics]]:
        judged = _judge_both(
            state.discriminator, params, images, labels, dropout_key, joint=joint
        )
        real_logits, fake_logits = judged.output
        loss = recipe.loss.discriminator(real_logits, fake_logits)
        metrics = {
            "d_loss": loss,
            "d_real": jnp.mean(jax.nn.sigmoid(real_logits)),
            "d_fake_before": jnp.mean(jax.nn.sigmoid(fake_logits)),
        }
        if recipe.penalty:
            metrics["penalty"] = recipe.penalty(
                lambda inputs: (
                    state.discriminator.apply(
                        params, inputs, labels[0], dropout_key
                    ).output
                ),
                *images,
                key=penalty_key,
                slots=slots,
                axis_name=recipe.axis_name,
            )
            loss = loss + recipe.penalty_weight * metrics["penalty"]
        return loss + judged.loss, (judged.batch_stats, metrics)

    grads, (batch_stats, metrics) = jax.grad(loss_fn, has_aux=True)(
        state.discriminator.params
    )
    gradient = Gradient(grads, batch_stats, metrics)
    return average_replicas(gradient, recipe.axis_name)


def generator_gradient(
    state: state_lib.GANState,
    fakes: Fakes,
    real: Images,
    *,
    slots: jax.Array,
    key: jax.Array,
    recipe: recipes.Recipe,
) -> Gradient:
    """The gradient of the generator's loss in the generator's parameters.

    Args:
      state: both networks; the fakes come from its generator.
      fakes: the generator's pass.
      real: data, judged only if the loss compares fake logits with real ones.
      slots: (B,) int32, places in the global batch.
      key: PRNG key of this gradient, the same on all replicas.
      recipe: the step's static options.
    """
    discriminator = state.discriminator
    real_key, fake_key, dropout_key = jax.random.split(key, 3)
    dropout_key = jax.random.fold_in(dropout_key, slots[0])
    real_logits = None
    if recipe.loss.uses_real:
        seen = _seen(real, slots, real_key, recipe)
        real_logits = discriminator.apply(
            discriminator.params, seen, real.labels[0], dropout_key
        ).output

    def loss_fn(images: jax.Array) -> tuple[jax.Array, Metrics]:
        seen = _seen(fakes.batch._replace(images=images), slots, fake_key, recipe)
        judged = discriminator.apply(
            discriminator.params, seen, fakes.batch.labels[0], dropout_key
        )
        loss = recipe.loss.generator(judged.output, real_logits)
        metrics = {
            "g_loss": loss,
            "d_fake_after": jnp.mean(jax.nn.sigmoid(judged.output)),
        }
        return loss + judged.loss, metrics

    image_grads, metrics = jax.grad(loss_fn, has_aux=True)(fakes.batch.images)
    (grads,) = fakes.pull_back(image_grads)
    gradient = Gradient(grads, fakes.batch_stats, metrics)
    return average_replicas(gradient, recipe.axis_name)
