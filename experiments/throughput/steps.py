"""A config's bare training steps as one compiled call: what the benchmarks time."""

from collections.abc import Callable, Iterator
import functools
import os
import resource
import statistics
import time
import typing
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from gan_jax import models, parallel
from gan_jax.data import toy
from gan_jax.step import recipes
from gan_jax.training import programs, vmapped

MIB = 2**20


class Program(NamedTuple):
    """Compiled steps and what they are called with.

    Attributes:
      call: `(state, data, inputs, key, stop)`, see parallel.scan_steps.
      state: the replicated state at step 0.
      rest: the arguments after the state.
      steps: that one call runs.
    """

    call: Callable[..., Any]
    state: Any
    rest: tuple[Any, ...]
    steps: int


def build(config: ConfigDict, *, seeds: int = 0) -> Program:
    """The steps of a config on made-up data; of several vmapped seeds, if above 0."""
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    networks = models.build(config, axis_name=parallel.AXIS)
    create = functools.partial(programs.create_state, config, *networks)
    key: Any = jax.random.key(config.seed)
    if seeds:
        keys = jax.random.split(key, seeds)
        state, key = jax.vmap(create)(keys), {"key": keys, "floats": {}}
        call = parallel.scan_steps(vmapped.train_step_of(config, recipe))
    else:
        state, call = create(key), programs.make_call(recipe)
    steps = config.steps_per_call or programs.FEWEST_STEPS
    inputs: Any = _inputs(config, steps, recipe.examples_per_slot, seeds)
    if jax.default_backend() != "cpu":  # as where a run's data lie on the device
        inputs = parallel.place(inputs)
    rest: tuple[Any, ...] = ({}, inputs, key, parallel.on_each_device(np.int32(0)))
    return Program(call, parallel.replicate(state), rest, steps)


def _inputs(
    config: ConfigDict, steps: int, examples: int, seeds: int
) -> dict[str, np.ndarray]:
    """Random images, or points where the config has those; leaves (D, T, [S,] ...)."""
    size = config.data.image_size
    slots = parallel.local_slots(config.batch_size)
    each = (seeds,) if seeds else ()
    shape = (len(slots), steps, *each, examples, slots.shape[1])
    pixels = (*shape, size, size, config.data.channels)
    rng = np.random.default_rng(0)
    if config.data.name in toy.MIXTURES:
        images = rng.standard_normal(pixels, np.float32)
    else:
        images = rng.integers(0, 256, pixels, np.uint8)
    return {
        "images": images,
        "labels": np.zeros(shape, np.int32),
        "slots": np.broadcast_to(slots[:, None], (len(slots), steps, slots.shape[1])),
    }


def run_calls(program: Program) -> Iterator[float]:
    """Seconds a step of one call after another, endlessly; the first one compiles."""
    state = program.state
    while True:
        start = time.perf_counter()
        state, *_ = jax.block_until_ready(program.call(state, *program.rest))
        yield (time.perf_counter() - start) / program.steps


def seconds_per_step(program: Program, calls: int) -> float:
    """The median of some calls after a first one."""
    runs = run_calls(program)
    next(runs)
    return statistics.median(next(runs) for _ in range(calls))


def lower(program: Program) -> jax.stages.Lowered:
    """The program traced and lowered for its arguments, before it is compiled."""
    call = typing.cast(jax.stages.Wrapped, program.call)  # pmap has no type
    return call.lower(program.state, *program.rest)


def compile_and_count(program: Program) -> tuple[Program, dict[str, float]]:
    """The program compiled ahead of its first call, and what XLA says about it.

    Returns:
      The program, as it was where several processes share it, since theirs must not be
      called with what is local; and of all devices of this process: `flop_per_step`
      before and `bytes_per_step` after XLA's optimisation (it counts a loop's body
      once), `program_mib`: what a call holds, its arguments included, and
      `predicted_peak_mib`: what this process holds now, and what the call will add.
    """
    lowered = lower(program)
    compiled, devices = lowered.compile(), jax.local_device_count()
    flop = (lowered.cost_analysis() or {}).get("flops", np.nan)
    moved = (compiled.cost_analysis() or {}).get("bytes accessed", np.nan)
    memory = compiled.memory_analysis()
    assert memory is not None  # CPUs, GPUs and TPUs all have it
    inputs = sum(leaf.nbytes for leaf in program.rest[1].values()) / devices
    fresh = memory.output_size_in_bytes - memory.alias_size_in_bytes
    fresh += memory.temp_size_in_bytes
    holds = (memory.argument_size_in_bytes + fresh) * devices
    peak = resident_bytes() + (inputs + fresh) * devices
    counts = {
        "flop_per_step": flop * devices,
        "bytes_per_step": moved * devices,
        "program_mib": round(holds / MIB, 1),
        "predicted_peak_mib": round(peak / MIB, 1),
    }
    if jax.process_count() > 1:
        return program, counts
    return program._replace(call=compiled), counts


def resident_bytes() -> int:
    """Memory that this process holds now (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most memory that this process has held, at least its parent's (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
