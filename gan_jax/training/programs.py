"""The compiled program of a run: its keys, first state, call of several steps and feed.

train.py drives a program, and sweep.py makes that of several runs.
"""

from collections.abc import Callable, Sequence
import contextlib
import functools
import math
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, data, parallel
from gan_jax.data import feed
from gan_jax.step import optimizers, recipes, states, train_step
from gan_jax.training import writer

# What choose_steps_per_call aims at.
FEWEST_STEPS, _MOST_STEPS = 10, 200
_FLOP_OF_A_CALL = 5e12  # 50 to 100 ms at 50 to 100 TFLOP a second
_BYTES_OF_A_CALL = 2**26  # of inputs, which count where the host gathers the batches


class Program(NamedTuple):
    """A run, or several runs along a further axis, as train.drive needs them.

    Attributes:
      create: makes the state at step 0.
      call: several compiled steps, see parallel.scan_steps.
      key: the last argument of the compiled step.
      join: the feed of the program, made of those of its runs.
      split: the share of a run, by its index, in a tree on the host.
      stack: a tree on the host, made of the shares of all runs.
      copy: a copy of the share of a run, by its index, in a replicated tree, on a
        device; see parallel.copy_first_replica.
      gather: a single writer, made of those of all runs; None stands for a run that
        failed before and is not written.
    """

    create: Callable[[], states.GANState]
    call: Callable[..., Any]
    key: Any
    join: Callable[[Sequence[feed.Feed]], feed.Feed]
    split: Callable[[int, Any], Any]
    stack: Callable[[Sequence[Any]], Any]
    copy: Callable[[int, Any], Any]
    gather: Callable[[Sequence[writer.Writer | None]], Any]


def of_one_run(
    config: ConfigDict,
    recipe: recipes.Recipe,
    networks: tuple[nn.Module, nn.Module],
    *,
    retries: int = 0,
    devices: Sequence[jax.Device] | None = None,
) -> Program:
    """The program of a run that trains alone.

    Args:
      config: whole config.
      recipe: recipe of a step.
      networks: generator and discriminator.
      retries: how often the run was set back. After a retry each step has other latents
        than before, from a key that is no step's.
      devices: as in parallel.scan_steps.
    """
    init_key, train_key, _ = split_seed(config)
    if retries:
        train_key = jax.random.fold_in(train_key, checks.MOST + retries)
    return Program(
        create=functools.partial(create_state, config, *networks, init_key),
        call=make_call(recipe, devices),
        key=train_key,
        join=lambda feeds: feeds[0],
        split=lambda index, tree: tree,
        stack=lambda trees: trees[0],
        copy=lambda index, tree: parallel.copy_first_replica(tree),
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


def steps_per_call(config: ConfigDict, first_step: int = 0) -> int:
    """The largest number of steps up to config's own that divides all intervals.

    So each call has the same length, one program serves the run, and every log,
    sample and checkpoint falls on the end of a call. FEWEST_STEPS stand for a number
    that is to be chosen.

    Args:
      config: the whole config.
      first_step: steps done before, which it divides too: a signal may have ended the
        run before in the midst of an interval, at the end of a shorter call.
    """
    wanted = config.steps_per_call or FEWEST_STEPS
    intervals = (config[name] for name in writer.INTERVALS)
    common = math.gcd(config.num_train_steps, first_step, *intervals)
    small = [n for n in range(1, math.isqrt(common) + 1) if common % n == 0]
    divisors = {*small, *(common // n for n in small)}
    return max(n for n in divisors if n <= wanted)


def with_steps_per_call(config: ConfigDict, steps: int) -> ConfigDict:
    """A copy of the config with another number of steps per call."""
    copy: ConfigDict = config.copy_and_resolve_references()
    copy.steps_per_call = steps
    return copy


def choose_steps_per_call(
    program: Program, state: Any, make_feed: Callable[[int], feed.Feed]
) -> int:
    """How many steps a call should have where the config leaves it open.

    What the host does for a call must take less time than the call. On a CPU that holds
    for FEWEST_STEPS. Elsewhere a call should take 50 to 100 ms, which is also short
    enough for signals. The FLOP of a step decide, as XLA counts them for a device in
    the traced program, and no clock: so equal runs on equal devices have equal calls,
    and with them equal rounding; and nothing is compiled twice, where a measurement
    would take as long as it saves. Devices differ in speed: a call takes several times
    as long on a slow one, which does no harm. Steps with few FLOP are bound by the
    start of their kernels, about 0.25 ms a step, and get _MOST_STEPS.

    Args:
      program: the program of the run or runs.
      state: replicated state, of which only the shapes are used.
      make_feed: makes the program's feed with a number of steps per call.
    """
    if jax.default_backend() == "cpu":
        return FEWEST_STEPS
    resident, calls = make_feed(1)
    with contextlib.closing(calls):
        inputs = next(calls)
    # A job of several processes takes no shapes. One image has the FLOP of all.
    first = parallel.replicate(jax.tree.map(lambda leaf: leaf[:1], resident))
    stop = parallel.on_each_device(np.int32(0))
    call = cast(jax.stages.Wrapped, program.call)  # pmap has no type
    lowered = call.lower(state, first, inputs, program.key, stop)
    flop = (lowered.cost_analysis() or {}).get("flops", 0.0)  # of one pass of the loop
    if flop <= 0:  # the backend does not tell
        return FEWEST_STEPS
    size = sum(leaf.nbytes for leaf in inputs.values())
    steps = min(_MOST_STEPS, _FLOP_OF_A_CALL / flop, _BYTES_OF_A_CALL / size)
    return max(FEWEST_STEPS, int(steps))


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
    steps: range,
) -> feed.Feed:
    """The feed of a run's calls, whose first steps are those of the range."""
    return feed.create(
        dataset,
        seed=config.seed,
        steps=steps,
        batch_size=config.batch_size,
        slots=slots,
        examples_per_slot=recipe.examples_per_slot,
        device_bytes=config.data.device_bytes,
    )
