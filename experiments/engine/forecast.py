"""Forecasts what a run costs before it starts: parameters, FLOP and memory."""

from collections.abc import Mapping
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from gan_jax import models
from gan_jax.step import recipes, states, train_step
from gan_jax.training import programs

EFFICIENCY = 0.4  # share of a matrix product's speed that training steps reach


class Forecast(NamedTuple):
    """The forecast for a run.

    Attributes:
      generator_parameters: number of parameters of the generator.
      discriminator_parameters: number of parameters of the discriminator.
      flop: FLOP of a step, as XLA counts them before it optimises the program.
      state_bytes: bytes of the state: networks, optimisers, averages.
    """

    generator_parameters: int
    discriminator_parameters: int
    flop: float
    state_bytes: int


def forecast(config: ConfigDict) -> Forecast:
    """Traces a step of a config without compiling it.

    Raises:
      ValueError: the config cannot be run.
    """
    recipe = recipes.create(config, axis_name=None)
    networks = models.build(config, axis_name=None)
    state = jax.eval_shape(
        lambda: programs.create_state(config, *networks, jax.random.key(0))
    )
    slots = (recipe.examples_per_slot, config.batch_size)
    side = config.data.image_size
    batch = {
        "images": jax.ShapeDtypeStruct(
            (*slots, side, side, config.data.channels), "u1"
        ),
        "labels": jax.ShapeDtypeStruct(slots, "i4"),
        "slots": jax.ShapeDtypeStruct(slots[1:], "i4"),
    }

    def step(state: states.GANState, batch: Mapping[str, jax.Array]) -> object:
        return train_step.train_step(state, batch, jax.random.key(0), recipe=recipe)

    cost = jax.jit(step).lower(state, batch).cost_analysis() or {}
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(network.params))
        for network in (state.generator, state.discriminator)
    ]
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    flop = float(cost.get("flops", np.nan))
    return Forecast(sizes[0], sizes[1], flop=flop, state_bytes=held)


def matrix_product_rate(size: int = 2048, rounds: int = 5) -> float:
    """FLOP per second of a float32 matrix product here, the best of `rounds`."""
    matrix = jnp.ones((size, size))
    multiply = jax.jit(lambda x: x @ x)
    multiply(matrix).block_until_ready()
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        multiply(matrix).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
