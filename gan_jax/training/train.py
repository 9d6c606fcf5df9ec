"""The training loop: builds the parts of a run and drives them."""

import collections
from collections.abc import Callable, Iterator
import contextlib
import functools
import math
from pathlib import Path
import shlex
import signal
import time
from typing import Any

from absl import logging
import flax.linen as nn
import jax
from ml_collections import ConfigDict
import numpy as np

from gan_jax import data as data_lib
from gan_jax import memory, models, parallel
from gan_jax.data import batches, feed
from gan_jax.run import checkpoints as checkpoints_lib
from gan_jax.run import files
from gan_jax.step import optimizers, recipes, states, train_step
from gan_jax.training import preflight
from gan_jax.training import writer as writer_lib


def check(config: ConfigDict, *, runs: int = 1) -> None:
    """Refuses what cannot be run, before anything is prepared or allocated.

    Args:
      config: the whole config.
      runs: as many like this one train together.

    Raises:
      ValueError: a value out of its range, values that exclude each other, or a run
        that does not fit into memory.
    """
    preflight.check(config)
    key = jax.random.key(config.seed)
    networks = models.build(config, axis_name=None)
    memory.check(
        config,
        jax.eval_shape(functools.partial(create_state, config, *networks), key),
        steps_per_call=steps_per_call(config),
        key=key,
        runs=runs,
    )


def steps_per_call(config: ConfigDict) -> int:
    """The largest number of steps up to config's own that divides all intervals.

    So each call has the same length, one program serves the run, and every log,
    sample and checkpoint falls on the end of a call.
    """
    common = math.gcd(
        config.num_train_steps, *(config[name] for name in writer_lib.INTERVALS)
    )
    small = [n for n in range(1, math.isqrt(common) + 1) if common % n == 0]
    divisors = {*small, *(common // n for n in small)}
    return max(n for n in divisors if n <= config.steps_per_call)


def create_state(
    config: ConfigDict, generator: nn.Module, discriminator: nn.Module, key: jax.Array
) -> states.GANState:
    """The GANState at step 0 of the run that a config describes."""
    data = config.data
    create = functools.partial(
        states.create,
        generator=generator,
        discriminator=discriminator,
        generator_tx=optimizers.create(config, "generator"),
        discriminator_tx=optimizers.create(config, "discriminator"),
        latent_size=config.model.latent_size,
        image_shape=(
            data.image_size,
            data.image_size,
            data.channels * config.recipe.packing,
        ),
        average=config.recipe.ema_decay > 0,
    )
    return jax.jit(create)(key)


def make_call(recipe: recipes.Recipe) -> Callable[..., Any]:
    """The compiled call of several training steps; see parallel.scan_steps."""

    def step(state: Any, resident: Any, inputs: Any, key: Any) -> Any:
        batch = feed.fetch(resident, inputs)
        done = train_step.steps_done(state, recipe=recipe)
        step_key = jax.random.fold_in(key, done)
        return train_step.train_step(state, batch, step_key, recipe=recipe)

    return parallel.scan_steps(step)


@contextlib.contextmanager
def catch_signals() -> Iterator[list[str]]:
    """Collects the names of SIGTERM and SIGINT as they come; a second one kills."""
    caught: list[str] = []
    previous: dict[signal.Signals, Any] = {}

    def handle(number: Any, frame: Any) -> None:
        del frame
        caught.append(signal.Signals(number).name)
        signal.signal(number, previous[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, handle)
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_steps(
    config: ConfigDict,
    state: Any,
    inputs: feed.Feed,
    *,
    call: Callable[..., Any],
    key: Any,
    first_step: int,
    writer: Any,
) -> int:
    """Runs the remaining steps and returns the last one that was done.

    The metrics of a call are fetched while the next one runs. A signal that reached
    any host reaches all of them with the metrics, so that they leave after the same
    step, the last of which is saved.

    Args:
      config: the whole config.
      state: the replicated GANState after first_step steps; donated.
      inputs: the batches of the steps from first_step on.
      call: several compiled steps, see make_call.
      key: the run's train key, the last argument of the compiled step.
      first_step: steps done before.
      writer: host 0's writer_lib.Writer, or sweep.Writers; None on the others.
    """
    resident = parallel.replicate(inputs.resident)
    last, step, leaving = config.num_train_steps, first_step, False
    in_flight: collections.deque[tuple[int, Any]] = collections.deque()

    def settle() -> bool:
        done, outcome = in_flight.popleft()
        metrics, stop = parallel.unreplicate(outcome)
        if writer:
            writer.settle(done, metrics)
        return bool(stop)

    logging.info(
        "Compiling the step: up to a minute, less the next time. Then there is a line "
        "every %d steps.",
        config.log_every_steps or last,
    )
    with catch_signals() as caught, contextlib.closing(inputs.calls) as calls:
        for one in calls:
            start = time.perf_counter()
            stop = parallel.on_each_device(np.int32(len(caught)))
            state, *outcome = call(state, resident, one, key, stop)
            if step == first_step:
                logging.info("Compiled in %.1f s.", time.perf_counter() - start)
                if writer:
                    writer.start_clock()
            step += steps_per_call(config)
            in_flight.append((step, outcome))
            boundary = writer_lib.is_boundary(config, step)
            while len(in_flight) > (0 if boundary or leaving else 1):
                leaving = settle() or leaving
            if writer and boundary:
                writer.write(step, state)
            if writer and leaving:
                writer.save(step, state)
            if leaving:
                break
    if caught and step < last:
        logging.info(
            "Left after step %d because of %s: the same command goes on from there.",
            step,
            caught[0],
        )
    return step


def train_and_evaluate(
    config: ConfigDict, workdir: Path, *, override_config: bool = False
) -> None:
    """Trains from the newest checkpoint in `workdir`, or from step 0, to the end.

    Args:
      config: the whole config, see configs/default.py.
      workdir: the run's folder.
      override_config: go on with a run whose config differs.

    Raises:
      ValueError: a config that cannot be run, or a run that diverged.
      OSError: a checkpoint could not be written, or another process trains the run.
    """
    check(config)
    last, slots = config.num_train_steps, parallel.local_slots(config.batch_size)
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    generator, discriminator = models.build(config, axis_name=parallel.AXIS)
    init_key, train_key, sample_key = jax.random.split(jax.random.key(config.seed), 3)
    if parallel.is_writer() and not override_config:
        files.check(workdir, config)
    seen = checkpoints_lib.steps(workdir / "checkpoints")
    first_step = _first_step(workdir)
    if first_step >= last:
        _say_what_lies_where(config, workdir)
        return
    with contextlib.ExitStack() as stack:
        exists = workdir.exists()
        if parallel.is_writer() and exists:
            stack.enter_context(own(workdir, seen))
        state = create_state(config, generator, discriminator, init_key)
        _say_what_is_trained(workdir, state, steps=last - first_step)
        if first_step:
            state = _restore(state, first_step, workdir)
        dataset = data_lib.create(config.data)
        _say_what_data(config.data, dataset)
        writer = None
        if parallel.is_writer():
            if not exists:  # a mistake found before now leaves no folder
                stack.enter_context(own(workdir, seen))
            files.claim(workdir, config)
            writer = stack.enter_context(
                writer_lib.open_writer(
                    config,
                    workdir,
                    draw=writer_lib.make_draw(config, generator, sample_key),
                    real_images=some_images(config, dataset),
                    first_step=first_step,
                )
            )
        state = parallel.replicate(state)
        if writer and first_step == 0:
            writer.save_samples(0, state)
        inputs = create_feed(config, dataset, slots, recipe, first_step)
        step = run_steps(
            config,
            state,
            inputs,
            call=make_call(recipe),
            key=train_key,
            first_step=first_step,
            writer=writer,
        )
    if writer and step == last:
        _say_what_lies_where(config, workdir)


def _say_what_is_trained(workdir: Path, state: states.GANState, *, steps: int) -> None:
    generator, discriminator = (
        sum(leaf.size for leaf in jax.tree.leaves(network.params))
        for network in (state.generator, state.discriminator)
    )
    logging.info(
        "%s steps are to be trained on %s; the run's folder is %s.",
        f"{steps:,}",
        parallel.describe_devices(),
        workdir,
    )
    logging.info(
        "The generator has %s parameters, the discriminator %s.",
        f"{generator:,}",
        f"{discriminator:,}",
    )


def _say_what_data(config: ConfigDict, dataset: data_lib.Dataset) -> None:
    size = "x".join(str(length) for length in dataset.images.shape[1:])
    logging.info(
        "The data are %s %s: %s, split %s.",
        f"{len(dataset.images):,}",
        "points" if config.name in data_lib.MIXTURES else f"images of {size}",
        config.name,
        config.split,
    )


def _say_what_lies_where(config: ConfigDict, workdir: Path) -> None:
    logging.info(
        "%s is finished: all %d steps are done. It holds pictures in samples/, "
        "checkpoints in checkpoints/, losses in metrics.jsonl%s.",
        workdir,
        config.num_train_steps,
        " and scores in evaluations.jsonl" if config.eval_every_steps else "",
    )
    flag = f"--workdir={shlex.quote(str(workdir))}"
    logging.info("To draw: python -m gan_jax.sample %s --output=samples.png", flag)
    logging.info("To score: python -m gan_jax.evaluate %s", flag)


@contextlib.contextmanager
def own(workdir: Path, seen: list[int]) -> Iterator[None]:
    """Keeps other processes from writing a run's folder, see files.own.

    Args:
      workdir: the run's folder.
      seen: the steps of its checkpoints as they were when the run was looked at.

    Raises:
      OSError: another process trains the run, or has trained it since.
    """
    with files.own(workdir):
        if checkpoints_lib.steps(workdir / "checkpoints") != seen:
            raise OSError(
                f"another process has trained {workdir} meanwhile: run the same "
                "command again to go on from there."
            )
        yield


def create_feed(
    config: ConfigDict,
    dataset: data_lib.Dataset,
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


def some_images(config: ConfigDict, dataset: data_lib.Dataset) -> np.ndarray:
    """As many real images as a sample grid has."""
    indices = batches.batch_indices(
        config.seed,
        0,
        num_examples=len(dataset.images),
        batch_size=config.sample_rows * config.sample_columns,
    )
    return dataset.images[indices]


def _first_step(workdir: Path) -> int:
    """The steps that the run in `workdir` has done, as host 0 sees it, on all hosts."""
    step = 0
    if parallel.is_writer():
        step = checkpoints_lib.newest_step(workdir / "checkpoints") or 0
    return int(parallel.broadcast_from_writer(np.int32(step)))


def _restore(state: states.GANState, step: int, workdir: Path) -> states.GANState:
    """The state of `step`: read by host 0, which gives it to the others.

    Raises:
      ValueError: the checkpoint cannot be read, or has other networks or optimisers.
    """
    logging.info("Going on from the checkpoint of step %d.", step)
    state = jax.tree.map(np.asarray, state)
    if parallel.is_writer():
        with files.naming_version(workdir, checkpoints_lib.MisfitError):
            state = checkpoints_lib.restore(workdir / "checkpoints", step, state)
    return parallel.broadcast_from_writer(state)
