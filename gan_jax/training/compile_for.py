"""Compiles a run's call for a TPU slice that is not at hand, and says what it takes.

The program is that of a real run: XLA's compiler for TPUs, in the package libtpu, runs
on any machine with Linux. Nothing is written, and no data have to be there.
"""

from collections.abc import Sequence
import contextlib
import math
import re
import time
from typing import Any, NamedTuple, cast

import jax
from ml_collections import ConfigDict

from gan_jax import data, memory, models, parallel
from gan_jax.models import convolution
from gan_jax.step import recipes
from gan_jax.training import dry_run, preflight, programs, tpu

ADVICE = "lower --config.batch_size or the widths in --config.model, or take more chips"


class Compiled(NamedTuple):
    """What XLA says about a run's call on a chip of a slice.

    Attributes:
      sizes: XLA's analysis of the memory of a call.
      work: of a step.
      seconds_to_compile: seconds.
    """

    sizes: Any
    work: tpu.Work
    seconds_to_compile: float


def show(config: ConfigDict, name: str, *, default: ConfigDict) -> None:
    """Prints what the run would take on each chip of a slice, part by part.

    Args:
      config: the whole config.
      name: of the slice, such as v5e:16x16.
      default: config of configs/default.py.

    Raises:
      ValueError: no such slice is sold, the compiler is not installed, the config is
        refused, or its call does not fit into a chip's memory.
    """
    of = tpu.parse(name)
    devices = parallel.slice_devices(name)
    preflight.check_values(config)
    data.check(config.data)
    slots = parallel.all_slots(config.batch_size, of.chips)
    images = data.count(config.data)
    for title, lines in (
        ("Config", dry_run.describe_config(config, default)),
        ("Data", describe_images(config.data, images)),
        ("Networks", dry_run.describe_networks(dry_run.shapes(config))),
        ("Slice", describe_slice(of, hosts(devices), slots.shape[1])),
    ):
        dry_run.print_part(title, lines)
    compiled = compile_call(config, devices, images)
    steps = programs.steps_per_call(config)
    for title, lines in (
        (f"A call of {steps} steps on each chip", describe_memory(of, compiled)),
        ("A step on each chip", describe_work(compiled.work)),
        (
            "Its time by data sheets, which was not validated on a TPU",
            describe_time(config, tpu.roofline(of, compiled.work)),
        ),
    ):
        dry_run.print_part(title, lines)
    needed = sum(dry_run.memory_of_call(compiled.sizes).values())
    need = memory.Need(needed, f"a call of {steps} steps", ADVICE)
    memory.refuse_beyond(of.chip.memory, f"a chip of {name}", [need])


def hosts(devices: Sequence[jax.Device]) -> int:
    """How many hosts the devices have."""
    return len({device.process_index for device in devices})


def compile_call(
    config: ConfigDict, devices: Sequence[jax.Device], images: int | None
) -> Compiled:
    """Compiles the call of the run, as train.py makes it.

    Args:
      config: the whole config, which was checked.
      devices: of the slice.
      images: number of images in the data; None if it is not known.

    Raises:
      ValueError: XLA refuses to compile what does not fit into a chip's memory.
    """
    config = config.copy_and_resolve_references()
    if config.model.convolution == "auto":  # it would ask this machine's backend
        config.model.convolution = convolution.AUTO["default"]
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    networks = models.build(config, axis_name=parallel.AXIS)
    program = programs.of_one_run(config, recipe, networks, devices=devices)
    start = time.perf_counter()
    call = cast(jax.stages.Wrapped, program.call)  # pmap has no type
    arguments = _shapes(config, program, recipe, len(devices), images)
    try:
        with jax.default_matmul_precision(config.matmul_precision):
            compiled = call.lower(*arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        reason = re.match(r"RESOURCE_EXHAUSTED: (.*?)\.?$", str(error), re.M)
        if not reason:
            raise
        raise ValueError(
            f"the call does not fit into a chip's memory ({reason[1]}): {ADVICE}."
        ) from error
    counts = compiled.cost_analysis() or {}  # XLA passes through the loop once
    steps = programs.steps_per_call(config)
    number, reduced = all_reduces(compiled.as_text() or "", steps)
    work = tpu.Work(
        counts.get("flops", 0.0),
        counts.get("bytes accessed", 0.0),
        number / steps,
        reduced / steps,
    )
    return Compiled(compiled.memory_analysis(), work, time.perf_counter() - start)


def _shapes(
    config: ConfigDict,
    program: programs.Program,
    recipe: recipes.Recipe,
    count: int,
    images: int | None,
) -> tuple[Any, ...]:
    """The shapes of the call's arguments on `count` devices."""

    def on_all(tree: Any, first: int = 0) -> Any:
        def stacked(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((count, *leaf.shape[first:]), leaf.dtype)

        return jax.tree.map(stacked, tree)

    dataset = dry_run.random_dataset(config.data, images)
    slots = parallel.all_slots(config.batch_size, count)[:1]  # of a single device
    steps = range(0, config.num_train_steps, programs.steps_per_call(config))
    inputs = programs.create_feed(config, dataset, slots, recipe, steps)
    with contextlib.closing(inputs.calls) as calls:
        one = next(calls)
    key = jax.ShapeDtypeStruct(program.key.shape, program.key.dtype)
    return (
        on_all(jax.eval_shape(program.create)),
        on_all(inputs.resident),
        on_all(one, first=1),
        key,
        jax.ShapeDtypeStruct((count,), "int32"),
    )


def all_reduces(program: str, steps: int) -> tuple[int, int]:
    """The number of all-reduces in a call and the bytes that they reduce.

    Args:
      program: XLA's text of the compiled call.
      steps: how often the body of a loop is run. XLA's other loops reduce nothing.
    """
    own: dict[str, list[int]] = {}  # computation -> bytes of each all-reduce
    called: dict[str, list[tuple[int, str]]] = {}  # -> how often, computation
    entry = name = ""
    for line in program.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.-]+) .*\{$", line):
            name = head[2]
            own[name], called[name] = [], []
            entry = name if head[1] else entry
        if found := re.search(r" = (.*?) all-reduce(?:-start)?\(", line):
            own[name].append(_nbytes(found[1]))
        for role, one in re.findall(r"\b(calls|body)=%?([\w.-]+)", line):
            called[name].append((steps if role == "body" else 1, one))

    def total(name: str) -> tuple[int, int]:
        number, size = len(own[name]), sum(own[name])
        for times, one in called[name]:
            inner = total(one)
            number, size = number + times * inner[0], size + times * inner[1]
        return number, size

    return total(entry)


def _nbytes(shape: str) -> int:
    """The bytes of XLA's text of a shape, such as (f32[3,4]{1,0}, pred[])."""
    total = 0
    for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        bits = re.search(r"\d+", dtype)
        count = 1
        for size in filter(None, sizes.split(",")):
            count *= int(size)
        total += count * (int(bits[0]) // 8 if bits else 1)
    return total


def describe_images(config: ConfigDict, images: int | None) -> list[str]:
    """Says how many images there are, and where they stay."""
    shape = (config.image_size, config.image_size, config.channels)
    count = images or dry_run.UNKNOWN_IMAGES
    size = count * math.prod(shape)
    where = "a copy stays on each chip"
    if size > config.device_bytes:
        where = "the hosts send a chip its share of each batch"
    lines = [
        f"{count:,} images of {'x'.join(map(str, shape))} "
        f"({dry_run.in_words(size)}): {where}."
    ]
    if images is None:
        lines.append("Their number is not known here; it stands for yours.")
    return lines


def describe_slice(of: tpu.Slice, hosts: int, share: int) -> list[str]:
    """Says how large the slice is, and each chip's share of the batch."""
    chips = f"{of.chips} chip{'s' if of.chips > 1 else ''}"
    chips += f" of {hosts} hosts" if hosts > 1 else ""
    size = dry_run.in_words(of.chip.memory)
    return [
        f"{of.name} has {chips}; a chip has {size} of memory.",
        f"A batch of {share * of.chips:,} images is {share:,} on each chip.",
    ]


def describe_memory(of: tpu.Slice, compiled: Compiled) -> list[str]:
    """The memory of a call against that of the chip."""
    parts = dry_run.memory_of_call(compiled.sizes)
    whole = sum(parts.values())
    return [
        *(f"{dry_run.in_words(size)} for {name}" for name, size in parts.items()),
        f"{dry_run.in_words(whole)} together, {100 * whole / of.chip.memory:.2g} % of "
        f"{dry_run.in_words(of.chip.memory)}",
        f"It was compiled in {compiled.seconds_to_compile:.0f} s.",
    ]


def describe_work(work: tpu.Work) -> list[str]:
    """What a chip does in a step."""
    return [
        f"{work.flop / 1e9:,.3g} GFLOP",
        f"{work.bytes / 1e9:,.3g} GB that its operations read and write, some of them "
        "in the chip's smaller and faster memory",
        f"{work.all_reduces:.3g} all-reduces of {work.reduced_bytes / 1e6:,.3g} MB",
    ]


def describe_time(config: ConfigDict, times: tpu.Times) -> list[str]:
    """The times of arithmetic, memory and all-reduces, and of the step."""
    return [
        f"{1e3 * times.compute:.3g} ms for arithmetic",
        f"{1e3 * times.memory:.3g} ms for memory, at the same time",
        f"{1e3 * times.all_reduce:.3g} ms for all-reduces without their latency, after "
        "both",
        f"{1e3 * times.step:.3g} ms together, {config.batch_size / times.step:,.0f} "
        "images a second on the whole slice",
    ]
