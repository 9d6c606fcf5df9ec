"""One training step: the discriminator's update, the generator's, and their order.

Functions here are pure and undecorated: tests call them bare, under jit, and through
parallel.py. Each gradient is taken with respect to one network's tree; the other
network enters as a constant, so nothing is ever frozen.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import optax

from gan_jax import losses, sampling
from gan_jax import state as state_lib

Metrics = dict[str, jax.Array]


def average_replicas(tree: Any, axis_name: str | None) -> Any:
    """The mean of a tree over the replicas; the tree itself without an axis."""
    return tree if axis_name is None else lax.pmean(tree, axis_name)


def discriminator_step(
    state: state_lib.GANState,
    real_images: jax.Array,
    real_labels: jax.Array,
    *,
    fake_images: jax.Array,
    fake_labels: jax.Array,
    axis_name: str | None = None,
) -> tuple[state_lib.GANState, Metrics]:
    """The state after one update of the discriminator; the generator is untouched.

    Real and fake images go through the discriminator in two passes, each with its own
    batch statistics; the running statistics are threaded real, then fake.

    Args:
      state: both networks.
      real_images: (B, H, W, C) float32 in [-1, 1].
      real_labels: (B,) int32.
      fake_images: (B, H, W, C) float32 in [-1, 1].
      fake_labels: (B,) int32.
      axis_name: replicas to average gradients, statistics and metrics over.
    """
    discriminator = state.discriminator

    def loss_fn(params: Any) -> tuple[jax.Array, Any]:
        real_logits, stats = discriminator.apply(params, real_images, real_labels)
        fake_logits, stats = discriminator.replace(batch_stats=stats).apply(
            params, fake_images, fake_labels
        )
        loss = losses.discriminator_loss(real_logits, fake_logits)
        return loss, (real_logits, fake_logits, stats)

    (loss, (real_logits, fake_logits, stats)), grads = jax.value_and_grad(
        loss_fn, has_aux=True
    )(discriminator.params)
    metrics = {
        "d_loss": loss,
        "d_real": jnp.mean(jax.nn.sigmoid(real_logits)),
        "d_fake_before": jnp.mean(jax.nn.sigmoid(fake_logits)),
    }
    grads, stats, metrics = average_replicas((grads, stats, metrics), axis_name)
    metrics["d_grad_norm"] = optax.tree.norm(grads)
    discriminator = discriminator.apply_gradients(grads=grads, batch_stats=stats)
    return state.replace(discriminator=discriminator), metrics


def generator_step(
    state: state_lib.GANState,
    fake_images: jax.Array,
    fake_labels: jax.Array,
    *,
    pull_back: Callable[[jax.Array], tuple[Any]],
    batch_stats: Any,
    axis_name: str | None = None,
) -> tuple[state_lib.GANState, Metrics]:
    """The state after one update of the generator; the discriminator is untouched.

    Args:
      state: both networks; fake_images come from its generator.
      fake_images: (B, H, W, C) float32 in [-1, 1].
      fake_labels: (B,) int32, the labels that the images were generated for.
      pull_back: takes the loss's gradient with respect to fake_images to that with
        respect to the generator's parameters, as `jax.vjp` returns it.
      batch_stats: the generator's running statistics after the pass that made
        fake_images.
      axis_name: replicas to average gradients, statistics and metrics over.
    """
    discriminator = state.discriminator

    def loss_fn(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, _ = discriminator.apply(discriminator.params, images, fake_labels)
        return losses.generator_loss(logits), logits

    (loss, logits), image_grads = jax.value_and_grad(loss_fn, has_aux=True)(fake_images)
    (grads,) = pull_back(image_grads)
    metrics = {"g_loss": loss, "d_fake_after": jnp.mean(jax.nn.sigmoid(logits))}
    grads, batch_stats, metrics = average_replicas(
        (grads, batch_stats, metrics), axis_name
    )
    metrics["g_grad_norm"] = optax.tree.norm(grads)
    generator = state.generator.apply_gradients(grads=grads, batch_stats=batch_stats)
    return state.replace(generator=generator), metrics


def train_step(
    state: state_lib.GANState,
    batch: Mapping[str, jax.Array],
    key: jax.Array,
    *,
    latent_size: int,
    num_classes: int,
    axis_name: str | None = None,
) -> tuple[state_lib.GANState, Metrics]:
    """The state after one discriminator and one generator update, and the metrics.

    The recipe of Radford et al. 2015 (arXiv 1511.06434) as the PyTorch DCGAN example
    has it: one generator pass, whose images serve both gradients, and the
    discriminator is updated first.

    Args:
      state: both networks.
      batch: `images` (B, H, W, C) uint8, `labels` (B,) int32 and `slots` (B,) int32,
        the examples' places in the global batch.
      key: PRNG key of this step, the same on all replicas.
      latent_size: length of a latent vector.
      num_classes: labels of generated images are uniform in [0, num_classes).
      axis_name: replicas to average over; None for one.
    """
    latent_key, label_key = jax.random.split(key)
    latents = sampling.draw_latents(latent_key, batch["slots"], latent_size=latent_size)
    labels = sampling.draw_labels(label_key, batch["slots"], num_classes=num_classes)

    def generate(params: Any) -> tuple[jax.Array, Any]:
        return state.generator.apply(params, latents, labels)

    fake_images, pull_back, g_stats = jax.vjp(
        generate, state.generator.params, has_aux=True
    )
    state, d_metrics = discriminator_step(
        state,
        sampling.to_float(batch["images"]),
        batch["labels"],
        fake_images=fake_images,
        fake_labels=labels,
        axis_name=axis_name,
    )
    state, g_metrics = generator_step(
        state,
        fake_images,
        labels,
        pull_back=pull_back,
        batch_stats=g_stats,
        axis_name=axis_name,
    )
    return state, d_metrics | g_metrics
