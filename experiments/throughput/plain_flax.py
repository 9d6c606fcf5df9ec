"""DCGAN as a Flax tutorial writes it: nn.Conv, nn.ConvTranspose, one jitted step.

The nets, losses, optimiser and order of updates of configs/dcgan.py, but no layers of
our own and no scan: what gan_jax/models/convolution.py is worth on a CPU.

    python experiments/throughput/plain_flax.py --size=32 --channels=1 --steps=5
    python experiments/throughput/plain_flax.py --size=64 --channels=3

At 64 pixels a step takes some 20 s on two cores, so the default is one step after the
one that compiles. Prints one JSON line with the median.
"""

import argparse
from functools import partial
import json
import statistics
import time

from flax import linen as nn
from flax.training import train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax

BASES = {28: (7, 2), 32: (4, 3), 64: (4, 4)}  # smallest map, doublings
WIDTH, LATENTS = 64, 100
INIT = nn.initializers.normal(0.02)
Conv = partial(nn.Conv, kernel_init=INIT, use_bias=False)
ConvTranspose = partial(nn.ConvTranspose, kernel_init=INIT, use_bias=False)
BatchNorm = partial(nn.BatchNorm, use_running_average=False, momentum=0.9)


class TrainState(train_state.TrainState):
    """Flax's with BatchNorm's running statistics."""

    batch_stats: dict


class Generator(nn.Module):
    """Images (B, H, W, C) from latents (B, Z)."""

    size: int
    channels: int

    @nn.compact
    def __call__(self, latents: jax.Array) -> jax.Array:
        """Projects, then doubles."""
        base, levels = BASES[self.size]
        width = WIDTH * 2 ** (levels - 1)
        x = latents[:, None, None, :]
        x = ConvTranspose(width, (base, base), padding="VALID")(x)
        for level in range(1, levels):
            x = nn.relu(BatchNorm()(x))
            x = ConvTranspose(width // 2**level, (4, 4), (2, 2))(x)
        x = nn.relu(BatchNorm()(x))
        return jnp.tanh(ConvTranspose(self.channels, (4, 4), (2, 2))(x))


class Discriminator(nn.Module):
    """Logits (B,) from images (B, H, W, C)."""

    size: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Halves, then judges."""
        base, levels = BASES[self.size]
        for level in range(levels):
            x = Conv(WIDTH * 2**level, (4, 4), (2, 2))(x)
            x = nn.leaky_relu(BatchNorm()(x) if level else x, 0.2)
        return Conv(1, (base, base), padding="VALID")(x).reshape(-1)


def apply(state: TrainState, params: dict, x: jax.Array) -> tuple[jax.Array, dict]:
    """The network's output and its new statistics."""
    variables = {"params": params, "batch_stats": state.batch_stats}
    output, new = state.apply_fn(variables, x, mutable=["batch_stats"])
    return output, new["batch_stats"]


def bce(logits: jax.Array, label: float) -> jax.Array:
    """Mean cross-entropy against one label."""
    return optax.sigmoid_binary_cross_entropy(logits, label).mean()


@partial(jax.jit, donate_argnums=(0, 1))
def step(g: TrainState, d: TrainState, real: jax.Array, key: jax.Array) -> tuple:
    """Updates the discriminator, then the generator, on one batch of fakes."""
    latents = jax.random.normal(key, (len(real), LATENTS))
    fake, back, g_stats = jax.vjp(
        lambda params: apply(g, params, latents), g.params, has_aux=True
    )

    def d_loss_fn(params: dict) -> tuple[jax.Array, dict]:
        real_logits, stats = apply(d, params, real)
        fake_logits, stats = apply(d.replace(batch_stats=stats), params, fake)
        return bce(real_logits, 1.0) + bce(fake_logits, 0.0), stats

    (d_loss, d_stats), grads = jax.value_and_grad(d_loss_fn, has_aux=True)(d.params)
    d = d.apply_gradients(grads=grads, batch_stats=d_stats)
    g_loss, image_grads = jax.value_and_grad(
        lambda images: bce(apply(d, d.params, images)[0], 1.0)
    )(fake)
    g = g.apply_gradients(grads=back(image_grads)[0], batch_stats=g_stats)
    return g, d, d_loss, g_loss


def create(module: nn.Module, key: jax.Array, inputs: jax.Array) -> TrainState:
    """A network at step 0."""
    variables = jax.jit(module.init)(key, inputs)
    return TrainState.create(
        apply_fn=module.apply, tx=optax.adam(2e-4, b1=0.5), **variables
    )


def main() -> None:
    """Times the steps."""
    parser = argparse.ArgumentParser(description="Times a plain Flax DCGAN.")
    parser.add_argument("--size", type=int, default=64, choices=BASES)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=1)
    arguments = parser.parse_args()
    size, batch = arguments.size, arguments.batch
    shape = (batch, size, size, arguments.channels)
    real = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    key = jax.random.key(0)
    g = create(Generator(size, shape[-1]), key, jnp.zeros((1, LATENTS)))
    d = create(Discriminator(size), key, jnp.asarray(real[:1]))
    times = []
    for number in range(1 + arguments.steps):
        start = time.perf_counter()
        g, d, *_ = jax.block_until_ready(step(g, d, real, jax.random.key(number)))
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[1:])  # the first compiles
    line = {
        "size": size,
        "batch": batch,
        "ms_per_step": round(seconds * 1e3, 1),
        "images_per_second": round(batch / seconds, 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
