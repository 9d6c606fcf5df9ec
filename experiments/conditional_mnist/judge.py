"""What digits a classifier reads in generated images, and whether they were asked for.

    python experiments/conditional_mnist/judge.py RUN [RUN ...]

trains a small convolutional network on MNIST's training images, prints its accuracy on
the test images, and then, for each run's folder, how it reads 10,000 generated images:
the share of each digit and, of a conditional run, the share that is what was asked for,
over all and for each digit.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import default
from gan_jax import data, sample, sampling, workdir
from gan_jax.data import batches
from gan_jax.models import layers

STEPS, BATCH, SEED, NUM = 3_000, 128, 0, 10_000


class Classifier(nn.Module):
    """Two 5x5 stride-2 convolutions and two dense layers."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits (B, 10) of images (B, 28, 28, 1) float32 in [-1, 1]."""
        x = images
        for features in (32, 64):
            x = nn.relu(layers.Conv(features, (5, 5), (2, 2))(x))
        x = nn.relu(nn.Dense(256)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


def load(split: str) -> data.Dataset:
    """A split of MNIST."""
    config = default.get_config().data
    config.split = split
    return data.create(config)


def train_classifier() -> jax.Array:
    """Parameters after STEPS of Adam, images shifted by up to 2 pixels."""
    dataset, module = load("train"), Classifier()
    params = module.init(jax.random.key(SEED), jnp.zeros((1, 28, 28, 1)))
    tx = optax.adam(optax.cosine_decay_schedule(1e-3, STEPS))

    @jax.jit
    def step(params, opt_state, images, labels):
        def loss_fn(params):
            logits = module.apply(params, sampling.to_float(images))
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean()

        updates, opt_state = tx.update(jax.grad(loss_fn)(params), opt_state)
        return optax.apply_updates(params, updates), opt_state

    opt_state = tx.init(params)
    rng = np.random.default_rng(SEED)
    for number in range(STEPS):
        indices = batches.batch_indices(
            SEED, number, num_examples=len(dataset.images), batch_size=BATCH
        )
        shift = rng.integers(-2, 3, 2)
        images = np.roll(dataset.images[indices], shift, axis=(1, 2))
        params, opt_state = step(params, opt_state, images, dataset.labels[indices])
    return params


def shares(values: Iterable[float]) -> str:
    """Ten shares in a row."""
    return " ".join(f"{value:.3f}" for value in values)


def main() -> None:
    """Trains the classifier and judges the runs."""
    parser = argparse.ArgumentParser(description="Judges conditional runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    runs = parser.parse_args().runs
    params = train_classifier()

    @jax.jit
    def classify(images):
        logits = Classifier().apply(params, sampling.to_float(images))
        return jnp.argmax(logits, axis=-1)

    test = load("test")
    right = [
        np.asarray(classify(test.images[first : first + 500]))
        == test.labels[first : first + 500]
        for first in range(0, len(test.images), 500)
    ]
    print(f"test accuracy of the classifier: {np.mean(right):.4f}", flush=True)
    for run in runs:
        images, labels = (
            np.concatenate(part)
            for part in zip(
                *sample.generate_batches(run, num=NUM, seed=SEED, batch_size=500),
                strict=True,
            )
        )
        read = np.concatenate(
            [classify(images[first : first + 500]) for first in range(0, NUM, 500)]
        )
        print(f"{run}: digits read {shares(np.bincount(read, minlength=10) / NUM)}")
        if sample.is_conditional(workdir.read_config(run)):
            agree = [np.mean(read[labels == digit] == digit) for digit in range(10)]
            print(f"{run}: as asked {np.mean(read == labels):.4f}, {shares(agree)}")


if __name__ == "__main__":
    main()
