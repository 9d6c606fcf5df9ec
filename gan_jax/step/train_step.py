"""The training step and its parts, in the order in which the step uses them.

Each gradient is taken with respect to the parameters of a single network. The other
network is a constant, so nothing needs to be frozen. The functions are pure and not
decorated: tests call them directly, under jit, and through parallel.py. Leading axes: B
examples of a pass on this replica, P images in a pack.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import optax

from gan_jax.step import augmentation, losses, recipes, sampling, states

Metrics = dict[str, jax.Array]


class Images(NamedTuple):
    """Images (P, B, H, W, C) float32 in [-1, 1] and labels (P, B) int32."""

    images: jax.Array
    labels: jax.Array


class Fakes(NamedTuple):
    """Generated images, and the function that takes gradients back to the generator.

    Attributes:
      batch: generated images and their labels.
      pull_back: function from `jax.vjp`, from the gradients with respect to the images
        and to the loss that the generator sowed, whose mean over the images of a pack
        counts, to the gradient with respect to the generator's parameters.
      batch_stats: generator's running statistics after the pass.
    """

    batch: Images
    pull_back: Callable[[tuple[jax.Array, jax.Array]], tuple[Any]]
    batch_stats: Any


class Gradient(NamedTuple):
    """The gradient of a network's loss, with the statistics and metrics of its pass."""

    grads: Any
    batch_stats: Any
    metrics: Metrics


def steps_done(state: states.GANState, *, recipe: recipes.Recipe) -> jax.Array:
    """The number of steps that a state has been trained for, an int32 scalar.

    A step may hold several updates of the generator, which the generator's state
    counts.
    """
    return state.generator.step // recipe.generator_steps


def train_step(
    state: states.GANState,
    batch: Mapping[str, jax.Array],
    key: jax.Array,
    *,
    recipe: recipes.Recipe,
) -> tuple[states.GANState, Metrics]:
    """The state after one step of a recipe, and the step's metrics.

    D(G(z)) is d_fake_before the discriminator's update and d_fake_after it; with
    simultaneous updates both networks judge and are judged before it.

    Args:
      state: state of both networks.
      batch: `images` (N, B, H, W, C) uint8 and `labels` (N, B) int32 with N examples
        for each slot, see Recipe.examples_per_slot, and `slots` (B,) int32, the batch
        indices in the global batch.
      key: PRNG key of this step, the same on all replicas.
      recipe: static options of the step.
    """
    flip_key, *d_keys, g_key = jax.random.split(key, 2 + recipe.discriminator_steps)
    g_keys = jax.random.split(g_key, recipe.generator_steps)
    slots = batch["slots"]
    real = prepare_real(batch, flip_key, recipe=recipe)

    for number, d_key in enumerate(d_keys):
        latent_key, judge_key = jax.random.split(d_key)
        fakes = generate(state.generator, slots, latent_key, recipe=recipe)
        data = jax.tree.map(lambda leaf, number=number: leaf[number], real)
        d_gradient = discriminator_gradient(
            state, data, fakes.batch, slots=slots, key=judge_key, recipe=recipe
        )
        before, state = state, update_discriminator(state, d_gradient, recipe=recipe)

    for number, g_key in enumerate(g_keys):
        own_key, judge_key = jax.random.split(g_key)
        latent_key = latent_key if recipe.updates == "same_latents" else own_key
        if recipe.updates == "fresh" or number > 0:
            fakes = generate(state.generator, slots, latent_key, recipe=recipe)
        judges = before if recipe.updates == "simultaneous" else state
        g_gradient = generator_gradient(
            judges, fakes, data, slots=slots, key=judge_key, recipe=recipe
        )
        state = update_generator(state, g_gradient, recipe=recipe)

    norms = {
        "d_grad_norm": optax.tree.norm(d_gradient.grads),
        "g_grad_norm": optax.tree.norm(g_gradient.grads),
    }
    return state, d_gradient.metrics | g_gradient.metrics | norms


def prepare_real(
    batch: Mapping[str, jax.Array], key: jax.Array, *, recipe: recipes.Recipe
) -> Images:
    """The data of a step: images (K, P, B, H, W, C) and labels (K, P, B).

    The K discriminator updates share the K * P examples of each slot.
    """
    shape = (recipe.discriminator_steps, recipe.packing)
    images = sampling.to_float(batch["images"])
    if recipe.flip:
        keys = jax.random.split(key, recipe.examples_per_slot)
        images = jax.vmap(sampling.flip_randomly, in_axes=(0, None, 0))(
            keys, batch["slots"], images
        )
    return Images(
        images.reshape(*shape, *images.shape[1:]),
        batch["labels"].reshape(*shape, -1),
    )


def generate(
    generator: states.TrainState,
    slots: jax.Array,
    key: jax.Array,
    *,
    recipe: recipes.Recipe,
) -> Fakes:
    """P generator passes at slots (B,), each normalised by the batch of the pass."""
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
    dropout_keys = [dropout_key]  # without packing it is used as it is
    dropout_keys += [jax.random.fold_in(dropout_key, member) for member in members[1:]]

    def run(params: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
        passes = [
            generator.apply(params, latents[member], labels[member], member_key)
            for member, member_key in zip(members, dropout_keys, strict=True)
        ]
        stats = [one.batch_stats for one in passes]
        mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *stats)
        loss = sum((one.loss for one in passes), start=jnp.zeros(())) / len(passes)
        return (jnp.stack([one.output for one in passes]), loss), mean

    (images, _), pull_back, batch_stats = jax.vjp(run, generator.params, has_aux=True)
    return Fakes(Images(images, labels), pull_back, batch_stats)


def discriminator_gradient(
    state: states.GANState,
    real: Images,
    fake: Images,
    *,
    slots: jax.Array,
    key: jax.Array,
    recipe: recipes.Recipe,
) -> Gradient:
    """The gradient of the discriminator's loss in the discriminator's parameters.

    Args:
      state: state of both networks.
      real: real images.
      fake: generated images, which are constants here.
      slots: (B,) int32, batch indices in the global batch.
      key: PRNG key of this gradient, the same on all replicas.
      recipe: static options of the step.
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
        batch_stats = judged.batch_stats
        if recipe.lecam_weight:
            means = batch_stats[states.LOGIT_MEANS]
            metrics["lecam"] = losses.lecam(real_logits, fake_logits, means)
            loss = loss + recipe.lecam_weight * metrics["lecam"]
            kept = average_decay(state.discriminator.step, recipe.lecam_decay)
            means = _follow(means, real_logits, fake_logits, kept)
            batch_stats = {**batch_stats, states.LOGIT_MEANS: means}
        return loss + judged.loss, (batch_stats, metrics)

    grads, (batch_stats, metrics) = jax.grad(loss_fn, has_aux=True)(
        state.discriminator.params
    )
    gradient = Gradient(grads, batch_stats, metrics)
    return average_replicas(gradient, recipe.axis_name)


def _judge_both(
    discriminator: states.TrainState,
    params: Any,
    images: tuple[jax.Array, jax.Array],
    labels: tuple[jax.Array, jax.Array],
    key: jax.Array,
    *,
    joint: bool,
) -> states.Pass:
    """The pass of real and fake images; its output is the pair of their logits.

    Two separate passes, first of the real and then of the fake images, have different
    batch statistics, and both update the running statistics. A joint pass normalises
    real and fake images together.
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


def _follow(
    means: Mapping[str, jax.Array],
    real_logits: jax.Array,
    fake_logits: jax.Array,
    kept: jax.Array,
) -> Mapping[str, jax.Array]:
    """The moving averages of the mean logits, of which the share `kept` is kept."""
    now = {"real": jnp.mean(real_logits), "fake": jnp.mean(fake_logits)}
    moved: Mapping[str, jax.Array] = optax.incremental_update(now, means, 1 - kept)
    return moved


def generator_gradient(
    state: states.GANState,
    fakes: Fakes,
    real: Images,
    *,
    slots: jax.Array,
    key: jax.Array,
    recipe: recipes.Recipe,
) -> Gradient:
    """The gradient of the generator's loss in the generator's parameters.

    Args:
      state: state of both networks, whose generator made the fakes.
      fakes: images of the generator's pass.
      real: real images, used only if the loss compares fake logits with real logits.
      slots: (B,) int32, batch indices in the global batch.
      key: PRNG key of this gradient, the same on all replicas.
      recipe: static options of the step.
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
    (grads,) = fakes.pull_back((image_grads, jnp.ones(())))
    gradient = Gradient(grads, fakes.batch_stats, metrics)
    return average_replicas(gradient, recipe.axis_name)


def _seen(
    batch: Images, slots: jax.Array, key: jax.Array, recipe: recipes.Recipe
) -> jax.Array:
    """The batch as the discriminator sees it: augmented, packed and with noise."""
    images = batch.images
    if recipe.augment:
        key, augment_key = jax.random.split(key)
        keys = jax.random.split(augment_key, recipe.packing)
        augment = functools.partial(augmentation.augment, names=recipe.augment)
        images = jax.vmap(augment, in_axes=(0, None, 0))(keys, slots, images)
    images = pack(images)
    if recipe.instance_noise:
        noise = sampling.draw_noise(key, slots, images)
        images = images + recipe.instance_noise * noise
    return images


def pack(images: jax.Array) -> jax.Array:
    """Packs (P, B, ..., C) as (B, ..., P * C): the P images of a pack are channels."""
    moved = jnp.moveaxis(images, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


def average_replicas(tree: Any, axis_name: str | None) -> Any:
    """The mean of a tree over the replicas; the unchanged tree without an axis."""
    return tree if axis_name is None else lax.pmean(tree, axis_name)


def update_discriminator(
    state: states.GANState, gradient: Gradient, *, recipe: recipes.Recipe
) -> states.GANState:
    """The state after an update of the discriminator; the generator is unchanged."""
    discriminator = state.discriminator.apply_gradients(
        grads=gradient.grads, batch_stats=gradient.batch_stats
    )
    if recipe.clip_weights:
        bound = recipe.clip_weights
        clipped = jax.tree.map(lambda p: p.clip(-bound, bound), discriminator.params)
        discriminator = discriminator.replace(params=clipped)
    return state.replace(discriminator=discriminator)


def update_generator(
    state: states.GANState, gradient: Gradient, *, recipe: recipes.Recipe
) -> states.GANState:
    """The state after an update of the generator; the discriminator is unchanged."""
    generator = state.generator.apply_gradients(
        grads=gradient.grads, batch_stats=gradient.batch_stats
    )
    averaged = state.averaged
    if recipe.ema_decay:
        kept = average_decay(state.generator.step, recipe.ema_decay)
        averaged = optax.incremental_update(generator.params, averaged, 1 - kept)
    return state.replace(generator=generator, averaged=averaged)


def average_decay(update: jax.Array, decay: float) -> jax.Array:
    """The share that the averaged generator keeps in an update, a float32 scalar.

    It is min(decay, (1 + t) / (10 + t)) for update t, counted from 0, so that the
    average forgets the random initial parameters within few updates. With a constant
    decay of 0.999 they would still have a weight of 61 % after 500 updates.
    TensorFlow's ExponentialMovingAverage has this warm-up if it gets num_updates.
    """
    return jnp.minimum(decay, (1.0 + update) / (10.0 + update))
