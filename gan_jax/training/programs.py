"""The compiled program of a run: its keys, first state, call of several steps and feed.

train.py drives a program, and sweep.py makes that of several runs.
"""

from collections.abc import Callable, Sequence
import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from ml_collections import ConfigDict
import numpy as np

from gan_jax import data, parallel
from gan_jax.data import feed
from gan_jax.step import optimizers, recipes, states, train_step
from gan_jax.training import writer


class Program(NamedTuple):
    """A run, or several runs along a further axis, as train.drive needs them.

    Attributes:
      create: makes the state at step 0.
      call: several compiled steps, see parallel.scan_steps.
      key: the last argument of the compiled step.
      join: the feed of the program, made of those of its runs.
      split: the share of a run, by its index, in a tree on the host.
      stack: a tree on the host, made of the shares of all runs.
      to_host: the share of a run, by its index, in a replicated tree, as NumPy arrays.
      gather: a single writer, made of those of all runs; None stands for a run that
        failed before and is not written.
    """

    create: Callable[[], states.GANState]
    call: Callable[..., Any]
    key: Any
    join: Callable[[Sequence[feed.Feed]], feed.Feed]
    split: Callable[[int, Any], Any]
    stack: Callable[[Sequence[Any]], Any]
    to_host: Callable[[int, Any], Any]
    gather: Callable[[Sequence[writer.Writer | None]], Any]


def of_one_run(
    config: ConfigDict,
    recipe: recipes.Recipe,
    networks: tuple[nn.Module, nn.Module],
    devices: Sequence[jax.Device] | None = None,
) -> Program:
    """The program of a run that trains alone; devices as in parallel.scan_steps."""
    init_key, train_key, _ = split_seed(config)
    return Program(
        create=functools.partial(create_state, config, *networks, init_key),
        call=make_call(recipe, devices),
        key=train_key,
        join=lambda feeds: feeds[0],
        split=lambda index, tree: tree,
        stack=lambda trees: trees[0],
        to_host=lambda index, tree: parallel.unreplicate(tree),
        gather=lambda writers: writers[0],
    )


def split_seed(config: ConfigDict) -> jax.Array:
    """The keys of a run: of its parameters, of its steps and of its sample grid."""
    return jax.random.split(jax.random.key(config.seed), 3)


def create_state(
    config: ConfigDict, generator: nn.Module, discriminator: nn.Module, key: jax.Array
) -> states.GANState:
    """The GANState at step 0 of the run that a config describes."""
    create = states.creator(
        config,
        generator,
        discriminator,
        generator_tx=optimizers.create(config, "generator"),
        discriminator_tx=optimizers.create(config, "discriminator"),
    )
    return jax.jit(create)(key)


def steps_per_call(config: ConfigDict) -> int:
    """The largest number of steps up to config's own that divides all intervals.

    So each call has the same length, one program serves the run, and every log,
    sample and checkpoint falls on the end of a call.
    """
    common = math.gcd(
        config.num_train_steps, *(config[name] for name in writer.INTERVALS)
    )
    small = [n for n in range(1, math.isqrt(common) + 1) if common % n == 0]
    divisors = {*small, *(common // n for n in small)}
    return max(n for n in divisors if n <= config.steps_per_call)


def make_call(
    recipe: recipes.Recipe, devices: Sequence[jax.Device] | None = None
) -> Callable[..., Any]:
    """The compiled call of several training steps; see parallel.scan_steps."""

    def step(state: Any, resident: Any, inputs: Any, key: Any) -> Any:
        batch = feed.fetch(resident, inputs)
        done = train_step.steps_done(state, recipe=recipe)
        step_key = jax.random.fold_in(key, done)
        return train_step.train_step(state, batch, step_key, recipe=recipe)

    return parallel.scan_steps(step, devices)


def create_feed(
    config: ConfigDict,
    dataset: data.Dataset,
    slots: np.ndarray,
    recipe: recipes.Recipe,
    first_step: int,
) -> feed.Feed:
    """The feed of a run's steps after `first_step`."""
    return feed.create(
        dataset,
        seed=config.seed,
        steps=range(first_step, config.num_train_steps, steps_per_call(config)),
        batch_size=config.batch_size,
        slots=slots,
        examples_per_slot=recipe.examples_per_slot,
        device_bytes=config.data.device_bytes,
    )
