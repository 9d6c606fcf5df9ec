"""The training loop: builds the parts of a run and drives them."""

import collections
from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import functools
import math
from pathlib import Path
import signal
import time
from typing import Any

from absl import logging
from flax import serialization
import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checkpoints as checkpoints_lib
from gan_jax import data as data_lib
from gan_jax import models, optimizers, parallel, sampling, train_step
from gan_jax import outputs as outputs_lib
from gan_jax import state as state_lib
from gan_jax import workdir as workdir_lib
from gan_jax.data import feed

INTERVALS = ("log_every_steps", "sample_every_steps", "checkpoint_every_steps")


def is_due(step: int, every: int, last: int) -> bool:
    """Whether something done every so many steps is due after `step` steps.

    Args:
      step: steps done.
      every: interval in steps; 0 leaves only the last step.
      last: the run's number of steps, after which everything is due.
    """
    return step == last or (every > 0 and step % every == 0)


def steps_per_call(config: ConfigDict) -> int:
    """The largest number of steps up to config's own that divides all intervals.

    So each call has the same length, one program serves the run, and every log,
    sample and checkpoint falls on the end of a call.

    Raises:
      ValueError: a count of steps or images that is out of range.
    """
    counts = {"num_train_steps": 1, "batch_size": 1, "steps_per_call": 1}
    for name, least in (counts | dict.fromkeys(INTERVALS, 0)).items():
        if config[name] < least:
            raise ValueError(
                f"{name} is {config[name]}, but must be at least {least}: set "
                f"--config.{name}."
            )
    common = math.gcd(config.num_train_steps, *(config[name] for name in INTERVALS))
    return max(n for n in range(1, config.steps_per_call + 1) if common % n == 0)


def create_state(
    config: ConfigDict, generator: nn.Module, discriminator: nn.Module, key: jax.Array
) -> state_lib.GANState:
    """The GANState at step 0 of the run that a config describes."""
    data = config.data
    create = functools.partial(
        state_lib.create,
        generator=generator,
        discriminator=discriminator,
        generator_tx=optimizers.create(config.optimizer.generator),
        discriminator_tx=optimizers.create(config.optimizer.discriminator),
        latent_size=config.model.latent_size,
        image_shape=(data.image_size, data.image_size, data.channels),
    )
    return jax.jit(create)(key)


def make_call(config: ConfigDict) -> Callable[..., Any]:
    """The compiled call of several training steps; see parallel.scan_steps."""
    step = functools.partial(
        train_step.train_step,
        latent_size=config.model.latent_size,
        num_classes=config.data.num_classes,
        axis_name=parallel.AXIS,
    )

    def step_on_inputs(state: Any, resident: Any, inputs: Any, key: Any) -> Any:
        step_key = jax.random.fold_in(key, state.generator.step)
        return step(state, feed.fetch(resident, inputs), step_key)

    return parallel.scan_steps(step_on_inputs)


def make_draw(
    config: ConfigDict, generator: nn.Module, key: jax.Array
) -> Callable[[Any], jax.Array]:
    """Draws the sample grid's images: the same latents always, row r with class r."""
    count = config.sample_rows * config.sample_columns
    size = config.model.latent_size
    latents = sampling.draw_latents(key, jnp.arange(count), latent_size=size)
    labels = jnp.arange(count) // config.sample_columns % config.data.num_classes
    return jax.jit(
        lambda variables: sampling.generate_images(
            generator, variables, latents, labels
        )
    )


def check_finite(
    metrics: Mapping[str, np.ndarray], step: int, saved_step: int | None
) -> None:
    """Raises if one of the (T,) metrics of the call that ended at `step` is not finite.

    Raises:
      ValueError: names the first such step, the metric and the last checkpoint.
    """
    for name, values in metrics.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            first = step - len(values) + bad[0] + 1
            raise ValueError(
                f"{name} is {values[bad[0]]} at step {first}: the run has diverged and "
                f"stops; the last good checkpoint is that of step {saved_step}. Lower "
                "a learning rate or choose another loss, and start again in another "
                "--workdir."
            )


@dataclasses.dataclass(frozen=True)
class Writer:
    """What host 0 does between calls: check, show, log, draw, save."""

    config: ConfigDict
    checkpoints: checkpoints_lib.Checkpoints
    outputs: outputs_lib.Outputs
    draw: Callable[[Any], jax.Array]

    def settle(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Checks and shows the metrics (T,) of the call that ended at `step`."""
        check_finite(metrics, step, self.checkpoints.latest_step())
        self.outputs.add(step, metrics)

    def write(self, step: int, state: Any) -> None:
        """Logs, draws and saves what is due after `step` steps."""
        due = functools.partial(is_due, step, last=self.config.num_train_steps)
        if due(self.config.log_every_steps):
            self.outputs.log(step)
        if due(self.config.sample_every_steps):
            self.save_samples(step, state)
        if due(self.config.checkpoint_every_steps):
            self.save(step, state)

    def save_samples(self, step: int, state: Any) -> None:
        """Writes the grid of the replicated state."""
        generator = parallel.unreplicate(state.generator.variables)
        images = np.asarray(self.draw(generator))
        self.outputs.save_samples(step, images, self.config.sample_columns)

    def save(self, step: int, state: Any) -> None:
        """Starts to save the replicated state."""
        self.checkpoints.save(step, parallel.unreplicate(state))


@contextlib.contextmanager
def open_writer(
    config: ConfigDict,
    workdir: Path,
    *,
    draw: Callable[[Any], jax.Array],
    first_step: int,
) -> Iterator[Writer]:
    """A Writer whose files are closed, and whose checkpoints are on disk, at the end."""
    checkpoints = checkpoints_lib.Checkpoints(
        workdir / "checkpoints", keep=config.checkpoints_to_keep
    )
    outputs = outputs_lib.Outputs(
        workdir,
        first_step=first_step,
        num_steps=config.num_train_steps,
        batch_size=config.batch_size,
        tensorboard=config.tensorboard,
    )
    try:
        yield Writer(config, checkpoints, outputs, draw)
        checkpoints.wait()
    finally:
        outputs.close()
        checkpoints.close()


@contextlib.contextmanager
def catch_signals() -> Iterator[list[str]]:
    """Collects the names of SIGTERM and SIGINT as they come; a second one kills."""
    caught: list[str] = []
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
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
    key: jax.Array,
    first_step: int,
    writer: Writer | None,
) -> int:
    """Runs the remaining steps and returns how many are done in all.

    The metrics of a call are fetched while the next one runs. A signal that reached
    any host reaches all of them with the metrics, so that they leave after the same
    step, the last of which is saved.

    Args:
      config: the whole config.
      state: the replicated GANState after first_step steps; donated.
      inputs: the batches of the steps from first_step on.
      key: the run's train key.
      first_step: steps done before.
      writer: host 0's; None on the others.
    """
    call = make_call(config)
    resident = parallel.replicate(inputs.resident)
    last, step, leaving = config.num_train_steps, first_step, False
    in_flight: collections.deque[tuple[int, Any]] = collections.deque()

    def settle() -> bool:
        done, outcome = in_flight.popleft()
        metrics, stop = parallel.unreplicate(outcome)
        if writer:
            writer.settle(done, metrics)
        return bool(stop)

    with catch_signals() as caught, contextlib.closing(inputs.calls) as calls:
        for one in calls:
            start = time.perf_counter()
            stop = parallel.on_each_device(np.int32(len(caught)))
            state, *outcome = call(state, resident, one, key, stop)
            if step == first_step:
                logging.info("Compiled in %.1f s.", time.perf_counter() - start)
                if writer:
                    writer.outputs.start_clock()
            step += steps_per_call(config)
            in_flight.append((step, outcome))
            boundary = any(is_due(step, config[name], last) for name in INTERVALS)
            while len(in_flight) > (0 if boundary or leaving else 1):
                leaving = settle() or leaving
            if writer and boundary:
                writer.write(step, state)
            elif writer and leaving:
                writer.save(step, state)
            if leaving:
                break
    if caught and step < last:
        logging.info("Left after step %d because of %s.", step, caught[0])
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
      OSError: a checkpoint could not be written.
    """
    last, slots = config.num_train_steps, parallel.local_slots(config.batch_size)
    stride = steps_per_call(config)
    generator, discriminator = models.build(config, axis_name=parallel.AXIS)
    init_key, train_key, sample_key = jax.random.split(jax.random.key(config.seed), 3)
    if parallel.is_writer() and not override_config:
        workdir_lib.check(workdir, config)
    first_step = _first_step(workdir)
    if first_step >= last:
        logging.info("%s is finished: all %d steps are done.", workdir, last)
        return
    state = create_state(config, generator, discriminator, init_key)
    dataset = data_lib.create(config.data)
    with contextlib.ExitStack() as stack:
        writer = None
        if parallel.is_writer():
            workdir_lib.claim(workdir, config)
            draw = make_draw(config, generator, sample_key)
            writer = stack.enter_context(
                open_writer(config, workdir, draw=draw, first_step=first_step)
            )
        if first_step:
            state = _restore(state, first_step, writer)
        state = parallel.replicate(state)
        if writer and first_step == 0:
            writer.save_samples(0, state)
        inputs = feed.create(
            dataset,
            seed=config.seed,
            steps=range(first_step, last, stride),
            batch_size=config.batch_size,
            slots=slots,
            device_bytes=config.data.device_bytes,
        )
        run_steps(
            config,
            state,
            inputs,
            key=train_key,
            first_step=first_step,
            writer=writer,
        )


def _first_step(workdir: Path) -> int:
    """The steps that the run in `workdir` has done, as host 0 sees it, on all hosts."""
    step = 0
    if parallel.is_writer():
        step = checkpoints_lib.latest_step(workdir / "checkpoints")
    return int(parallel.broadcast_from_writer(np.int32(step)))


def _restore(
    state: state_lib.GANState, step: int, writer: Writer | None
) -> state_lib.GANState:
    """The state of `step`: read by host 0, which gives it to the others."""
    logging.info("Going on from the checkpoint of step %d.", step)
    state = jax.tree.map(np.asarray, state)
    if writer:
        state = serialization.from_state_dict(state, writer.checkpoints.restore(step))
    return parallel.broadcast_from_writer(state)
