"""Checks, shows, logs, draws, evaluates and saves a run between calls, on host 0."""

from collections.abc import Callable, Iterator, Mapping
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

INTERVALS = (
    "log_every_steps",
    "sample_every_steps",
    "checkpoint_every_steps",
    "eval_every_steps",
)


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


def make_draw(
    config: ConfigDict, generator: nn.Module, key: jax.Array
) -> Callable[[Any, Any], jax.Array]:
    """A function that draws the images of the sample grid.

    It takes the generator's variables and averaged parameters, and uses the latter if
    the run keeps them. The latents are always the same, and row r has class r.
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

    def draw(variables: Any, averaged: Any) -> jax.Array:
        if averaged:
            variables = trained.averaged_variables(
                config, generator, variables, averaged
            )
        return _draw(generator, variables, latents=latents, labels=labels)

    return draw


def check_finite(
    metrics: Mapping[str, np.ndarray], step: int, saved_step: int | None
) -> None:
    """Refuses metrics (T,) of the call that ended at `step` that are not finite.

    Raises:
      ValueError: a metric is not finite; the message names the first such step, the
        metric and the last checkpoint.
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


class Kept(NamedTuple):
    """What is written of a state that the next call takes over.

    Attributes:
      images: images of the sample grid, or None if none is due.
      state: copy of the state, or None if it is neither evaluated nor saved.
    """

    images: jax.Array | None
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
    draw: Callable[[Any, Any], jax.Array]
    evaluator: evaluator_lib.Evaluator | None
    copy: Callable[[Any], Any]
    worker: files.Worker

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
        images = copy = None
        if due(self.config.sample_every_steps):
            images = self._draw(state)
        if due(self.config.checkpoint_every_steps) or is_evaluated(self.config, step):
            copy = parallel.start_fetch(self.copy(state))
        return Kept(images, copy)

    def write(self, step: int, kept: Kept) -> None:
        """Draws, logs, evaluates and saves what is due after `step` steps.

        Raises:
          ValueError: an evaluation is refused.
          OSError: this or an earlier file cannot be written.
        """
        self.worker.check()
        due = functools.partial(is_due, step, last=self.config.num_train_steps)
        if kept.images is not None:
            self._save_samples(step, kept.images)
        if due(self.config.log_every_steps):
            self.outputs.log(step)
        if self.evaluator and is_evaluated(self.config, step):
            with self.outputs.clock.stopped():
                state = jax.tree.map(np.asarray, kept.state)
                found = self.evaluator.evaluate(step, state)
            self.outputs.log_scores(step, found)
        if due(self.config.checkpoint_every_steps):  # last, so that the rest is done
            self._save(step, kept.state)

    def save_samples(self, step: int, state: Any) -> None:
        """Draws the sample grid from the replicated state and writes it."""
        self._save_samples(step, self._draw(state))

    def save(self, step: int, state: Any) -> None:
        """Starts to save the replicated state."""
        self._save(step, self.copy(state))

    def _draw(self, state: Any) -> jax.Array:
        variables = self.copy((state.generator.variables, state.averaged))
        images: jax.Array = parallel.start_fetch(self.draw(*variables))
        return images

    def _save_samples(self, step: int, images: jax.Array) -> None:
        columns = self.config.sample_columns
        self.outputs.save_samples(step, np.asarray(images), columns)

    def _save(self, step: int, state: Any) -> None:
        self.checkpoints.save(step, state, self.outputs.progress(step))


@contextlib.contextmanager
def open_writer(
    config: ConfigDict,
    workdir: Path,
    *,
    draw: Callable[[Any, Any], jax.Array],
    real_images: np.ndarray,
    first_step: int,
    copy: Callable[[Any], Any] = parallel.copy_first_replica,
) -> Iterator[Writer]:
    """A context with a Writer, whose files are on disk and closed at the end.

    Args:
      config: whole config.
      workdir: folder of the run.
      draw: function that draws the images of the sample grid, see make_draw.
      real_images: as many real images (N, H, W, C) as the grid has.
      first_step: number of steps done before.
      copy: function that copies the run's part of a replicated tree on a device.
    """
    worker = files.Worker()
    checkpoints = checkpoints_lib.Checkpoints(
        workdir / "checkpoints",
        keep=config.checkpoints_to_keep,
        first_step=first_step,
        worker=worker,
    )
    evaluator = None
    if config.eval_every_steps:
        evaluator = evaluator_lib.Evaluator(
            config, workdir, first_step=first_step, worker=worker
        )
    outputs = log.Outputs(
        workdir,
        first_step=first_step,
        num_steps=config.num_train_steps,
        batch_size=config.batch_size,
        trackers=events.open_writers(config, workdir),
        worker=worker,
        real_images=real_images,
        progress=checkpoints_lib.read_progress(workdir / "checkpoints", first_step),
    )
    try:
        yield Writer(config, checkpoints, outputs, draw, evaluator, copy, worker)
        worker.wait()
    finally:
        worker.close()
        outputs.close()
