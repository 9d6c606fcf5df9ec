"""Checks, shows, logs, draws, evaluates and saves a run between calls, on host 0."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from gan_jax import parallel
from gan_jax.run import checkpoints as checkpoints_lib
from gan_jax.run import files, trained
from gan_jax.step import sampling
from gan_jax.training import evaluator as evaluator_lib
from gan_jax.training import events, log
from gan_jax.training import watchdog as watchdog_lib

INTERVALS = (
    "log_every_steps",
    "sample_every_steps",
    "checkpoint_every_steps",
    "eval_every_steps",
)
WATCHDOG = "watchdog"  # its place in a checkpoint's progress


def is_due(step: int, every: int, last: int) -> bool:
    """Whether something that is done every `every` steps is due after `step` steps.

    Args:
      step: number of steps done.
      every: interval in steps; 0 leaves only the last step.
      last: number of steps of the run, after which everything is due.
    """
    return step == last or (every > 0 and step % every == 0)


def is_boundary(config: ConfigDict, step: int) -> bool:
    """Whether anything is due after `step` steps."""
    last = config.num_train_steps
    return any(is_due(step, config[name], last) for name in INTERVALS)


def is_evaluated(config: ConfigDict, step: int) -> bool:
    """Whether the run is evaluated after `step` steps."""
    every = config.eval_every_steps
    return every > 0 and is_due(step, every, config.num_train_steps)


@functools.partial(jax.jit, static_argnums=0)
def _draw(
    generator: nn.Module, variables: Any, *, latents: jax.Array, labels: jax.Array
) -> jax.Array:
    return sampling.generate_images(generator, variables, latents, labels)


class Drawn(NamedTuple):
    """Images of a sample grid.

    Attributes:
      images: (N, H, W, C), row by row.
      relabelled: images of the same latents, each with the next class; None for a run
        without labels.
    """

    images: jax.Array
    relabelled: jax.Array | None


def make_draw(
    config: ConfigDict, generator: nn.Module, key: jax.Array
) -> Callable[[Any, Any], Drawn]:
    """A function that draws the images of the sample grid.

    It takes the generator's variables and averaged parameters, and uses the latter if
    the run keeps them. It waits for nothing. The latents are always the same, and row r
    has class r.
    """
    count = config.sample_rows * config.sample_columns
    latents = sampling.draw_latents(
        key,
        jnp.arange(count),
        latent_size=config.model.latent_size,
        distribution=config.model.latent_distribution,
    )
    classes = max(1, config.data.num_classes)
    labels = jnp.arange(count) // config.sample_columns % classes

    has_labels = config.model.generator.condition != "none"

    def draw(variables: Any, averaged: Any) -> Drawn:
        if averaged:
            variables = trained.averaged_variables(
                config, generator, variables, averaged, waits=False
            )
        images = _draw(generator, variables, latents=latents, labels=labels)
        if not has_labels:
            return Drawn(images, None)
        others = (labels + 1) % classes
        return Drawn(
            images, _draw(generator, variables, latents=latents, labels=others)
        )

    return draw


def check_finite(
    metrics: Mapping[str, np.ndarray], step: int, saved_step: int | None
) -> None:
    """Refuses metrics (T,) of the call that ended at `step` that are not finite.

    Raises:
      FailedError: a metric is not finite; the message names the first such step, the
        metric and the last checkpoint.
    """
    places = {
        name: int(np.argmin(np.isfinite(values)))
        for name, values in metrics.items()
        if not np.all(np.isfinite(values))
    }
    if not places:
        return
    name = min(places, key=places.__getitem__)
    values, place = metrics[name], places[name]
    first = step - len(values) + place + 1
    raise watchdog_lib.FailedError(
        f"{name} is {values[place]} at step {first}: the run has diverged and stops; "
        f"{watchdog_lib.say_last_good(saved_step)}. Lower a learning rate or choose "
        "another loss, and start again in another --workdir.",
        rule=watchdog_lib.NON_FINITE,
        step=first,
    )


class Kept(NamedTuple):
    """What is written of a state that the next call takes over.

    Attributes:
      drawn: images of the sample grid, or None if none is due.
      state: copy of the state, or None if it is neither evaluated nor saved.
    """

    drawn: Drawn | None
    state: Any


@dataclasses.dataclass(frozen=True)
class Writer:
    """Checks, shows, logs, draws, evaluates and saves a run between calls.

    After a call `keep` starts what is due on the device, and the next call is started
    behind it. While that one runs, `settle` and `write` take the results. Files that
    take long are left to a thread.
    """

    config: ConfigDict
    checkpoints: checkpoints_lib.Checkpoints
    outputs: log.Outputs
    watchdog: watchdog_lib.Watchdog
    draw: Callable[[Any, Any], Drawn]
    evaluator: evaluator_lib.Evaluator | None
    copy: Callable[[Any], Any]
    worker: files.Worker

    @property
    def has_failed(self) -> bool:
        """False, since a run that fails alone raises an error instead."""
        return False

    def start_clock(self) -> None:
        """Starts to count seconds, once the first call is compiled."""
        self.outputs.clock.restart()

    def settle(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Checks and shows the metrics (T,) of the call that ended at `step`."""
        check_finite(metrics, step, self.checkpoints.latest_step())
        self.outputs.add(step, metrics)

    def keep(self, step: int, state: Any) -> Kept:
        """Draws and copies what is due from the replicated state; waits for nothing."""
        due = functools.partial(is_due, step, last=self.config.num_train_steps)
        drawn = copy = None
        if due(self.config.sample_every_steps):
            drawn = self._draw(state)
        if self.is_saved(step) or is_evaluated(self.config, step):
            copy = parallel.start_fetch(self.copy(state))
        return Kept(drawn, copy)

    def write(self, step: int, kept: Kept, *, clocks: Sequence[log.Clock] = ()) -> None:
        """Draws, logs, evaluates and saves what is due after `step` steps.

        Args:
          step: number of steps done.
          kept: result of `keep` after this step.
          clocks: clocks of the other runs in the program, which an evaluation stops.

        Raises:
          FailedError: a rule of the watchdog stops the run.
          ValueError: an evaluation is refused.
          OSError: this or an earlier file cannot be written.
        """
        self.worker.check()
        due = functools.partial(is_due, step, last=self.config.num_train_steps)
        if kept.drawn:
            self._save_samples(step, kept.drawn)
        if due(self.config.log_every_steps):
            means = self.outputs.log(step)
            self.watchdog.observe(step, means, self.checkpoints.all_steps())
        if self.evaluator and is_evaluated(self.config, step):
            with contextlib.ExitStack() as stack:
                for clock in (self.outputs.clock, *clocks):
                    stack.enter_context(clock.stopped())
                state = jax.tree.map(np.asarray, kept.state)
                found = self.evaluator.evaluate(step, state)
            self.outputs.log_scores(step, found)
        if self.is_saved(step):  # last, so that the rest is done
            self._save(step, kept.state)

    def is_saved(self, step: int) -> bool:
        """Whether a checkpoint is due after `step` steps."""
        every = self.config.checkpoint_every_steps
        return is_due(step, every, self.config.num_train_steps)

    def save_samples(self, step: int, state: Any) -> None:
        """Draws the sample grid from the replicated state and writes it."""
        self._save_samples(step, self._draw(state))

    def save(self, step: int, state: Any) -> None:
        """Starts to save the replicated state."""
        self._save(step, self.copy(state))

    def _draw(self, state: Any) -> Drawn:
        variables = self.copy((state.generator.variables, state.averaged))
        drawn: Drawn = parallel.start_fetch(self.draw(*variables))
        return drawn

    def _save_samples(self, step: int, drawn: Drawn) -> None:
        images, relabelled = jax.tree.map(np.asarray, drawn)
        columns = self.config.sample_columns
        self.outputs.save_samples(step, images, columns, relabelled=relabelled)

    def _save(self, step: int, state: Any) -> None:
        progress = self.outputs.progress(step)
        progress[WATCHDOG] = self.watchdog.progress()
        self.checkpoints.wait()  # the one before may have to be spared
        spared = self.watchdog.spared(self.checkpoints.all_steps())
        self.checkpoints.save(step, state, progress, spared=spared)


@contextlib.contextmanager
def open_writer(
    config: ConfigDict,
    workdir: Path,
    *,
    draw: Callable[[Any, Any], Drawn],
    real_images: np.ndarray,
    first_step: int,
    least_kept: int = 1,
    copy: Callable[[Any], Any] = parallel.copy_first_replica,
) -> Iterator[Writer]:
    """A context with a Writer, whose files are on disk and closed at the end.

    Args:
      config: whole config.
      workdir: folder of the run.
      draw: function that draws the images of the sample grid, see make_draw.
      real_images: as many real images (N, H, W, C) as the grid has.
      first_step: number of steps done before.
      least_kept: as many checkpoints are kept, even where the config keeps fewer.
      copy: function that copies the run's part of a replicated tree on a device.
    """
    worker = files.Worker()
    checkpoints = checkpoints_lib.Checkpoints(
        workdir / "checkpoints",
        keep=max(config.checkpoints_to_keep, least_kept),
        first_step=first_step,
        worker=worker,
    )
    evaluator = None
    if config.eval_every_steps:
        evaluator = evaluator_lib.Evaluator(
            config, workdir, first_step=first_step, worker=worker
        )
    progress = checkpoints_lib.read_progress(workdir / "checkpoints", first_step)
    outputs = log.Outputs(
        workdir,
        first_step=first_step,
        num_steps=config.num_train_steps,
        batch_size=config.batch_size,
        trackers=events.open_writers(config, workdir),
        worker=worker,
        real_images=real_images,
        progress=progress,
    )
    watchdog = watchdog_lib.Watchdog(config, workdir, progress.get(WATCHDOG))
    try:
        yield Writer(
            config, checkpoints, outputs, watchdog, draw, evaluator, copy, worker
        )
        worker.wait()
    finally:
        worker.close()
        outputs.close()
