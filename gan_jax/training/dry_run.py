"""Says what a run would be and cost, and writes nothing.

The checks are those of a real run and refuse alike. A few steps are measured on random
images, so that no data have to be prepared.
"""

from collections.abc import Callable, Generator
import contextlib
import functools
import itertools
import math
from pathlib import Path
import statistics
import time
from typing import Any, NamedTuple, cast

from clu import parameter_overview
import jax
from ml_collections import ConfigDict
import numpy as np
import tqdm

from gan_jax import data, memory, models, parallel
from gan_jax.data import feed
from gan_jax.run import checkpoints, config_file, files
from gan_jax.step import recipes, states
from gan_jax.training import programs, train

_MOST_CALLS, _ENOUGH_SECONDS = 5, 10.0  # measured calls, and when no other one starts
UNKNOWN_IMAGES = 10_000  # take the place of images whose number is not known
_MOST_RANDOM = 2**28  # bytes of random images that take the place of a larger dataset


class Measured(NamedTuple):
    """What the compiled call of a run says, and how long it takes.

    Attributes:
      flop: FLOP of a step on all devices of this host, as XLA counts them before it
        optimises the program; None if the backend does not tell. Winograd's
        convolutions on a CPU have fewer than textbooks count, with 170 GFLOP instead of
        252 for configs/dcgan.py:celeba.
      sizes: XLA's analysis of the memory of a call on a device; None if the backend
        does not tell.
      seconds_to_compile: seconds.
      seconds_per_step: median of the measured calls.
      calls: number of measured calls.
      steps_per_call: number of steps in a call.
    """

    flop: float | None
    sizes: Any
    seconds_to_compile: float
    seconds_per_step: float
    calls: int
    steps_per_call: int


def show(
    config: ConfigDict, workdir: Path, *, default: ConfigDict, override_config: bool
) -> None:
    """Prints what the run would be, part by part.

    Args:
      config: the whole config.
      workdir: the run's folder.
      default: config of configs/default.py.
      override_config: go on with a run whose config differs.

    Raises:
      ValueError: the run would be refused.
      OSError: the run's folder could not be written.
    """
    train.check(config)
    config_file.check_updates(workdir, config)
    if not override_config:
        config_file.check(workdir, config)
    files.check_writable(workdir)
    parallel.local_slots(config.batch_size)
    state = shapes(config)
    first_step = steps_done(workdir)
    outlook = data.foresee(config.data)
    for title, lines in (
        ("Run", describe_folder(config, workdir, first_step)),
        ("Config", describe_config(config, default)),
        ("Data", describe_data(config, outlook)),
        ("Networks", describe_networks(state)),
        ("Checkpoint", describe_checkpoint(config, state)),
        ("Memory, as it is estimated", describe_memory(config, state)),
    ):
        print_part(title, lines)
    recorded = config.steps_per_call or config_file.steps_per_call(workdir)
    with jax.default_matmul_precision(config.matmul_precision):
        measured = measure(programs.with_steps_per_call(config, recorded), outlook)
    print_part("Steps, as they were measured", describe_steps(measured))
    print_part("Time", describe_time(config, measured, first_step))


def print_part(title: str, lines: list[str]) -> None:
    """Prints lines below a title."""
    print(f"{title}:", *(f"  {line}" for line in lines), sep="\n", flush=True)


def shapes(config: ConfigDict) -> states.GANState:
    """The shapes of the run's state."""
    networks = models.build(config, axis_name=None)
    create = functools.partial(programs.create_state, config, *networks)
    found: states.GANState = jax.eval_shape(create, jax.random.key(config.seed))
    return found


def steps_done(workdir: Path) -> int:
    """The step from which the run in `workdir` would go on."""
    return checkpoints.newest_step(workdir / "checkpoints") or 0


def describe_folder(config: ConfigDict, workdir: Path, first_step: int) -> list[str]:
    """Says where the run starts."""
    last = config.num_train_steps
    devices = parallel.describe_devices()
    if first_step >= last:
        start = f"It is finished after {first_step:,} steps: nothing would be trained."
    elif first_step:
        start = (
            f"It holds a run that would go on from step {first_step:,} of {last:,}, "
            f"on {devices}."
        )
    else:
        start = f"The run would start at step 0 of {last:,}, on {devices}."
    there = "" if workdir.exists() else ", which does not exist yet"
    return [f"The folder is {workdir}{there}.", start]


def describe_config(config: ConfigDict, default: ConfigDict) -> list[str]:
    """The fields that differ from the default config.

    The options of the networks are compared with those of the config's own model.
    """
    base = default.copy_and_resolve_references()
    with base.unlocked():
        for network, options in models.default_options(config.model.name).items():
            base.model[network] = ConfigDict(options)
    old, new = config_file.as_json(base), config_file.as_json(config)
    missing = config_file.MISSING
    lines = []
    for name, (before, now) in config_file.differences(old, new).items():
        if now == missing:
            lines.append(f"{name} is not a field of this config (default {before!r})")
        else:
            known = f"default {before!r}" if before != missing else "not in the default"
            lines.append(f"{name} = {now!r} ({known})")
    return lines or ["All fields have the values of configs/default.py."]


def describe_data(config: ConfigDict, outlook: data.Outlook | None) -> list[str]:
    """Says which data are there, and what has to be prepared."""
    lines = [_describe_split(config.data, outlook)]
    split = config.evaluation.split or data.held_out_split(config.data)
    if config.eval_every_steps and split != config.data.split:
        other = config.data.copy_and_resolve_references()
        other.split = split
        lines.append(_describe_split(other, data.foresee(other)) + " Scores need it.")
    return lines


def _describe_split(config: ConfigDict, outlook: data.Outlook | None) -> str:
    shape = (config.image_size, config.image_size, config.channels)
    pixels = "x".join(map(str, shape))
    name = f"{config.name}, split {config.split}"
    if outlook is None:
        return f"{name}: its source does not tell whether it is prepared."
    if outlook.folder is None:
        return f"{name}: {outlook.num_images:,} points, which are made in memory."
    count = outlook.num_images
    if outlook.is_prepared:
        assert count is not None
        size = in_words(count * math.prod(shape))
        return (
            f"{name}: {count:,} images of {pixels} ({size}) are ready in "
            f"{outlook.folder}."
        )
    words = f"images of {pixels}, whose number is not known yet,"
    if count is not None:
        size = in_words(count * math.prod(shape))
        words = f"at most {count:,} images of {pixels} ({size})"
    return (
        f"{name}: {words} would be prepared in {outlook.folder}. They are made from "
        f"{outlook.reads}."
    )


def describe_networks(state: states.GANState) -> list[str]:
    """A table of the parameters of each network."""
    lines = []
    for name in ("generator", "discriminator"):
        network = getattr(state, name)
        table = parameter_overview.get_parameter_overview(
            network.params, include_stats=False
        )
        lines += [f"The {name}'s parameters:", *table.splitlines()]
    return lines


def describe_checkpoint(config: ConfigDict, state: states.GANState) -> list[str]:
    """The size of a checkpoint and of its parts, before orbax compresses it."""
    networks = (state.generator, state.discriminator)
    parts = {
        "parameters": [network.params for network in networks],
        "optimisers' states": [network.opt_state for network in networks],
        "batch statistics": [network.batch_stats for network in networks],
        "averaged generator": state.averaged,
    }
    sizes = {name: memory.nbytes(tree) for name, tree in parts.items()}
    listed = ", ".join(
        f"{name} {in_words(size)}" for name, size in sizes.items() if size
    )
    kept = config.checkpoints_to_keep + bool(config.evaluation.best_metric)
    whole = memory.nbytes(state)
    return [
        f"It takes at most {in_words(whole)}: {listed}.",
        f"As many as {kept} are kept, {in_words(kept * whole)} together.",
    ]


def describe_memory(config: ConfigDict, state: states.GANState) -> list[str]:
    """The lower bounds with which a run is refused that does not fit."""
    found = memory.needs(
        config,
        state,
        steps_per_call=programs.steps_per_call(config),
        key=jax.random.key(config.seed),
    )
    limits = parallel.memory()
    lines = [f"Each device has {in_words(limits.of_device)}, and needs at least"]
    on_device = [found.own, *found.then]
    lines += [
        f"  {in_words(one.bytes)} for {one.purpose}" for one in on_device if one.bytes
    ]
    lines.append(f"The machine has {in_words(limits.of_host)}, and needs at least")
    return lines + [
        f"  {in_words(one.bytes)} for {one.purpose}"
        for one in found.of_host
        if one.bytes
    ]


def measure(config: ConfigDict, outlook: data.Outlook | None) -> Measured:
    """Compiles the call of the run and measures it on random images.

    Args:
      config: the whole config, which was checked.
      outlook: says how many images there are.
    """
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    networks = models.build(config, axis_name=parallel.AXIS)
    program = programs.of_one_run(config, recipe, networks)
    slots = parallel.local_slots(config.batch_size)
    count = outlook.num_images if outlook else None
    dataset = random_dataset(config.data, count)

    def make_feed(steps: int) -> feed.Feed:
        starts = range(0, config.num_train_steps, steps)
        return programs.create_feed(config, dataset, slots, recipe, starts)

    state = parallel.replicate(program.create())
    wanted = config.steps_per_call or programs.choose_steps_per_call(
        program, state, make_feed
    )
    steps = programs.steps_per_call(programs.with_steps_per_call(config, wanted))
    resident = parallel.replicate(make_feed(steps).resident)
    stop = parallel.on_each_device(np.int32(0))
    with contextlib.closing(_endless(lambda: make_feed(steps))) as calls:
        start = time.perf_counter()
        call = cast(jax.stages.Wrapped, program.call)  # pmap has no type
        lowered = call.lower(state, resident, next(calls), program.key, stop)
        compiled = lowered.compile()
        seconds_to_compile = time.perf_counter() - start
        times: list[float] = []
        for one in itertools.islice(calls, _MOST_CALLS + 1):  # the first is a warm-up
            start = time.perf_counter()
            state, *_ = jax.block_until_ready(
                compiled(state, resident, one, program.key, stop)
            )
            times.append(time.perf_counter() - start)
            if len(times) > 1 and sum(times[1:]) > _ENOUGH_SECONDS:
                break
    flop = (lowered.cost_analysis() or {}).get("flops", 0.0)  # of one pass of the loop
    return Measured(
        flop=flop * len(slots) if flop > 0 else None,
        sizes=compiled.memory_analysis(),
        seconds_to_compile=seconds_to_compile,
        seconds_per_step=statistics.median(times[1:]) / steps,
        calls=len(times) - 1,
        steps_per_call=steps,
    )


def random_dataset(config: ConfigDict, count: int | None) -> data.Dataset:
    """Random images or points, as many as there are in the data.

    They are fewer where the host gathers the batches, so that they fit into memory, and
    UNKNOWN_IMAGES if their number is not known.
    """
    count = count or UNKNOWN_IMAGES
    shape = (config.image_size, config.image_size, config.channels)
    size = math.prod(shape)
    if count * size > config.device_bytes:
        fewest = config.device_bytes // size + 1  # which do not fit the device either
        count = min(count, max(fewest, _MOST_RANDOM // size, 1))
    rng = np.random.default_rng(0)
    if config.name in data.MIXTURES:
        images = rng.standard_normal((count, *shape), np.float32)
    else:
        images = np.frombuffer(rng.bytes(count * size), np.uint8)
        images = images.reshape(count, *shape)
    classes = max(1, config.num_classes)
    labels = rng.integers(0, classes, count, np.int32)
    return data.Dataset(images, labels, classes)


def _endless(make_feed: Callable[[], feed.Feed]) -> Generator[dict[str, np.ndarray]]:
    """The inputs of the run's calls, and again those of its first ones."""
    while True:
        with contextlib.closing(make_feed().calls) as calls:
            yield from calls


def describe_steps(measured: Measured) -> list[str]:
    """FLOP and memory of the compiled call, and the time of a step."""
    if measured.flop is None:
        lines = ["This backend does not tell the FLOP of a step."]
    else:
        rate = measured.flop / measured.seconds_per_step
        lines = [
            f"A step has {measured.flop / 1e9:.3g} GFLOP, as XLA counts them before it "
            f"optimises the program: {rate / 1e9:,.3g} GFLOP a second."
        ]
    if measured.sizes is None:
        lines.append("This backend does not tell the memory of a call.")
    else:
        parts = memory_of_call(measured.sizes)
        listed = ", ".join(
            f"{in_words(size)} for {name}" for name, size in parts.items()
        )
        lines.append(
            f"A call of {measured.steps_per_call} steps takes "
            f"{in_words(sum(parts.values()))} on each device: {listed}."
        )
    lines.append(f"It was compiled in {measured.seconds_to_compile:.1f} s.")
    return lines


def memory_of_call(sizes: Any) -> dict[str, int]:
    """The bytes that a call takes on a device, by what they are for.

    Args:
      sizes: XLA's analysis of the memory of the call.
    """
    return {
        "state and data": sizes.argument_size_in_bytes,
        "results that do not replace the state": sizes.output_size_in_bytes
        - sizes.alias_size_in_bytes,
        "temporary arrays": sizes.temp_size_in_bytes,
        "the program": sizes.generated_code_size_in_bytes,
    }


def describe_time(config: ConfigDict, measured: Measured, first_step: int) -> list[str]:
    """The time of the run, without what happens between its calls."""
    left = max(0, config.num_train_steps - first_step)
    images = config.batch_size / measured.seconds_per_step
    duration = tqdm.tqdm.format_interval(round(left * measured.seconds_per_step))
    return [
        f"A step takes {measured.seconds_per_step:.3g} s, {images:,.0f} images a "
        f"second, by the median of the calls that were measured ({measured.calls}).",
        f"The {left:,} steps that are left take {duration}. Preparing data, "
        "compiling, evaluations, sample grids and checkpoints are not counted.",
    ]


def in_words(count: int) -> str:
    """A number of bytes in words."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
