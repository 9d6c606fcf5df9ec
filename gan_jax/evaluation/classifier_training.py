"""Trains the classifier on real or generated images."""

from collections.abc import Iterator
from functools import partial
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from gan_jax.evaluation import classifier
from gan_jax.step import sampling

STEPS = 12_000
BATCH_SIZE = 64  # with this size, STEPS are 12.8 epochs of MNIST
LEARNING_RATE = 2e-3  # highest learning rate, at the end of the warm-up
WEIGHT_DECAY = 0.05  # is multiplied by the learning rate of a step
MAX_ANGLE = 0.2  # radians
MAX_LOG_SCALE = 0.1
MAX_SHIFT = 0.07  # share of the image's height and width: 2 of 28 pixels


def fit(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int,
    steps: int = STEPS,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    flip: bool = False,
) -> classifier.Weights:
    """A classifier trained on labelled images, real or generated.

    AdamW minimises the cross-entropy. The learning rate rises linearly and then falls
    to 0 as a cosine. Labels are not smoothed, since metrics use the probabilities.

    Args:
      images: (N, H, W, C) uint8 in [0, 255], memory-mapped or not.
      labels: (N,) integers in [0, num_classes).
      num_classes: K, number of classes.
      steps: number of updates.
      seed: seed of the initial parameters, the order and the augmentation.
      batch_size: number of images in an update.
      flip: mirror images left to right at random.

    Raises:
      ValueError: images or labels have another form, or all labels are the same.
    """
    classifier.check_examples(images, labels, num_classes)
    if (found := len(np.unique(labels))) < 2:
        raise ValueError(
            f"the labels have {found} class, but a classifier tells at least 2 apart: "
            "give images with labels (--config.data.label picks an attribute)."
        )
    init_key, augment_key = jax.random.split(jax.random.key(seed))
    variables = classifier.init(num_classes, images.shape[1:], init_key)
    opt_state = _optimizer(steps).init(variables["params"])
    batches = _batches(len(images), batch_size, seed)
    progress = tqdm.trange(steps, desc="training", unit=" steps", disable=None)
    for step in progress:
        rows = next(batches)
        variables, opt_state, loss = _train_step(
            variables,
            opt_state,
            images[rows],
            labels[rows].astype(np.int32),
            jax.random.fold_in(augment_key, step),
            num_classes=num_classes,
            steps=steps,
            flip=flip,
        )
        if step % 20 == 0:  # reading the loss waits, so that few batches are queued
            progress.set_postfix(loss=f"{float(loss):.3f}")
    names = ("flax", "jax", "numpy", "optax")
    facts = {
        "num_images": len(images),
        "steps": steps,
        "seed": seed,
        "batch_size": batch_size,
        "flip": flip,
        "versions": {name: metadata.version(name) for name in names},
    }
    variables = jax.tree.map(np.asarray, variables)
    return classifier.Weights(variables, images.shape[1:], num_classes, facts)


def _optimizer(steps: int) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, warmup_steps=steps // 20, decay_steps=steps
    )
    return optax.adamw(schedule, weight_decay=WEIGHT_DECAY)


@partial(
    jax.jit, static_argnames=("num_classes", "steps", "flip"), donate_argnums=(0, 1)
)
def _train_step(
    variables: Any,
    opt_state: Any,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    num_classes: int,
    steps: int,
    flip: bool,
) -> tuple[Any, Any, jax.Array]:
    """Variables and optimiser state after an update, and the loss before it."""
    module = classifier.Classifier(num_classes)
    inputs = _augment(sampling.to_float(images), key, flip)

    def loss_fn(params: Any) -> tuple[jax.Array, Any]:
        (_, logits), updated = module.apply(
            {**variables, "params": params}, inputs, train=True, mutable=["batch_stats"]
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses), updated

    params = variables["params"]
    (loss, updated), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = _optimizer(steps).update(gradients, opt_state, params)
    params = optax.apply_updates(params, updates)
    return {"params": params, **updated}, opt_state, loss


def _batches(num_images: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of indices (B,), in which no image comes again before all others came."""
    rng = np.random.default_rng(seed)
    rows = np.empty(0, np.int64)
    while True:
        while len(rows) < batch_size:
            rows = np.concatenate([rows, rng.permutation(num_images)])
        yield rows[:batch_size]
        rows = rows[batch_size:]


def _augment(images: jax.Array, key: jax.Array, flip: bool) -> jax.Array:
    """Images (B, H, W, C) turned, resized, shifted and maybe mirrored at random."""
    angle_key, scale_key, shift_key, flip_key = jax.random.split(key, 4)
    b, h, w, _ = images.shape
    draw = partial(jax.random.uniform, minval=-1)
    images = transform(
        images,
        angles=draw(angle_key, (b,)) * MAX_ANGLE,
        scales=jnp.exp(draw(scale_key, (b,)) * MAX_LOG_SCALE),
        shifts=draw(shift_key, (b, 2)) * jnp.array([[h, w]]) * MAX_SHIFT,
    )
    if flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(b, 1, 1, 1))
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    return images


def transform(
    images: jax.Array, *, angles: jax.Array, scales: jax.Array, shifts: jax.Array
) -> jax.Array:
    """Images turned and resized about their centre and then shifted.

    Values are interpolated bilinearly. Outside the image, the pixels at its edge are
    repeated.

    Args:
      images: (B, H, W, C) float32.
      angles: (B,) radians, counterclockwise.
      scales: (B,) factors of the size; above 1 the content becomes larger.
      shifts: (B, 2) pixels, down and to the right.
    """
    h, w = images.shape[1:3]
    centre = jnp.array([h - 1, w - 1]).reshape(2, 1, 1) / 2
    grid = jnp.stack(jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij"))

    def transform_one(
        image: jax.Array, angle: jax.Array, scale: jax.Array, shift: jax.Array
    ) -> jax.Array:
        y, x = (grid - centre - shift.reshape(2, 1, 1)) / scale
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        turned = [
            cosine * y + sine * x + centre[0],
            cosine * x - sine * y + centre[1],
        ]
        interpolate = partial(
            jax.scipy.ndimage.map_coordinates, order=1, mode="nearest"
        )
        return jax.vmap(interpolate, (2, None), 2)(image, turned)

    return jax.vmap(transform_one)(images, angles, scales, shifts)
