"""Trains several runs together, which differ in seeds and floats of the optimisers.

Each run has a separate folder, in the form of a run that trained alone, so that it can
be sampled and scored like any run.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
import contextlib
import functools
import json
from pathlib import Path
from typing import Any

from absl import logging
import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from gan_jax import parallel
from gan_jax.data import feed
from gan_jax.run import config_file, files
from gan_jax.step import recipes
from gan_jax.training import loop, preflight, programs, train, vmapped, watchdog
from gan_jax.training import writer as writer_lib

FAILURE = "failed.json"  # in the folder of a run that diverged: the step and the error
SWEEP_SIZE = "sweep.json"  # in each run's folder: how many runs train together
LOG = "log.txt"  # in each run's folder: what the run would print if it trained alone


def failure(workdir: Path) -> Mapping[str, Any] | None:
    """The `step` and `error` with which the run in `workdir` failed, if it did."""
    return _read_mark(workdir / FAILURE, "step", "error")


def sweep_size(workdir: Path) -> int:
    """How many runs trained together, including the run in `workdir`."""
    mark = _read_mark(workdir / SWEEP_SIZE, "runs")
    return int(mark["runs"]) if mark else 1


def _read_mark(path: Path, *names: str) -> Mapping[str, Any] | None:
    """The JSON object in a file, or None without the file.

    Raises:
      ValueError: the file does not hold an object with these names.
    """
    try:
        mark: Mapping[str, Any] = json.loads(path.read_text())
        return {name: mark[name] for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): remove it to train that run again."
        ) from None


def record_failure(workdir: Path, step: int, error: Exception) -> None:
    """Marks the run in `workdir` as failed after `step` steps."""
    workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"step": step, "error": str(error)})
    files.write_whole(workdir / FAILURE, text)


@contextlib.contextmanager
def printing_to_log(workdir: Path) -> Iterator[None]:
    """A context in which everything printed goes to the run's log.txt."""
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / LOG).open("a") as file, contextlib.redirect_stdout(file):
        yield


class Writers:
    """The writers of all runs, which loop.run_steps uses like a single writer.

    A run that fails is marked and no longer written; the others go on. Once all have
    failed, the loop stops on all hosts.
    """

    def __init__(
        self, writers: Sequence[writer_lib.Writer | None], workdirs: Sequence[Path]
    ) -> None:
        """Takes a writer for each run, and None for a run that failed before."""
        self._all = [
            (index, writer, workdir)
            for index, (writer, workdir) in enumerate(
                zip(writers, workdirs, strict=True)
            )
            if writer
        ]

    @property
    def has_failed(self) -> bool:
        """Whether all runs have failed."""
        return not self._all

    def start_clock(self) -> None:
        """Starts to count seconds, once the first call is compiled."""
        for _, writer, _ in self._all:
            writer.start_clock()

    def settle(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Checks and shows the metrics (T, S) of the call that ended at `step`."""
        for one in list(self._all):
            index, writer, workdir = one
            own = {name: values[:, index] for name, values in metrics.items()}
            with self._failing_alone(one, step), printing_to_log(workdir):
                writer.settle(step, own)

    def keep(self, step: int, state: Any) -> dict[int, writer_lib.Kept]:
        """Copies what is due from the replicated state, for each run by its index."""
        return {index: writer.keep(step, state) for index, writer, _ in self._all}

    def write(self, step: int, kept: Mapping[int, writer_lib.Kept]) -> None:
        """Draws, logs, evaluates and saves what is due after `step` steps."""
        if any(writer.is_saved(step) for _, writer, _ in self._all):
            self._wait()
        for one in list(self._all):
            index, writer, workdir = one
            with self._failing_alone(one, step), printing_to_log(workdir):
                clocks = [x.outputs.clock for _, x, _ in self._all if x is not writer]
                writer.write(step, kept[index], clocks=clocks)

    @contextlib.contextmanager
    def _failing_alone(self, one: Any, step: int) -> Iterator[None]:
        """A context in which a run that fails is marked and no longer written."""
        try:
            yield
        except watchdog.FailedError as error:
            *_, workdir = one
            logging.warning("%s: %s", workdir, error)
            record_failure(workdir, step, error)
            self._all.remove(one)

    def save_samples(self, step: int, state: Any) -> None:
        """Writes the grids of the replicated state."""
        for _, writer, _ in self._all:
            writer.save_samples(step, state)

    def save(self, step: int, state: Any) -> None:
        """Starts to save the replicated state."""
        self._wait()
        for _, writer, _ in self._all:
            writer.save(step, state)

    def _wait(self) -> None:
        """Returns when the checkpoints of all runs are on disk.

        A run that saves deletes an old checkpoint. So no run may save before all have
        the one before, or else there might be no step from which all can go on.

        Raises:
          OSError: a checkpoint could not be written.
        """
        for _, writer, _ in self._all:
            writer.checkpoints.wait()


def _join_calls(feeds: Sequence[feed.Feed]) -> Generator[dict[str, np.ndarray]]:
    """The joint inputs of all runs: leaves (D, T, S, ...), except for the slots."""
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(contextlib.closing(one.calls)) for one in feeds]
        for inputs in zip(*calls, strict=True):
            yield {
                name: first
                if name == "slots"
                else np.stack([one[name] for one in inputs], axis=2)
                for name, first in inputs[0].items()
            }


def _join(feeds: Sequence[feed.Feed]) -> feed.Feed:
    return feed.Feed(feeds[0].resident, _join_calls(feeds))


def train_and_evaluate(configs: Sequence[ConfigDict], workdirs: Sequence[Path]) -> None:
    """Trains runs together, from the newest step that all have saved to the end.

    Apart from rounding, each run has the parameters that it would have if it trained
    alone. A run that diverges is marked, see `failure`, and the others go on, until
    none is left. Memory grows linearly with the number of runs. Each run keeps at least
    two checkpoints, so that all can go on from a common step wherever the program ends.

    Args:
      configs: configs of the runs, which differ only in the seed and in vmapped.FLOATS.
      workdirs: folders of the runs.

    Raises:
      ValueError: the runs cannot train together, a config cannot be run, or the runs
        have checkpoints but no step in common.
      OSError: a checkpoint could not be written, or another process trains a run.
    """
    config, floats = configs[0], vmapped.differing_floats(configs)
    for one in configs:
        preflight.check(one)
    train.check(config, runs=len(configs))
    if config.watchdog.retries:
        raise ValueError(
            f"watchdog.retries is {config.watchdog.retries}, but runs that train "
            "together are not retried: set --config.watchdog.retries=0."
        )
    if parallel.is_writer():
        for one, workdir in zip(configs, workdirs, strict=True):
            config_file.check(workdir, one)

    def gather(writers: Sequence[writer_lib.Writer | None]) -> Writers:
        for writer, workdir in zip(writers, workdirs, strict=True):
            if writer:
                text = json.dumps({"runs": len(configs)})
                files.write_whole(workdir / SWEEP_SIZE, text)
        return Writers(writers, workdirs)

    def make_program(
        recipe: recipes.Recipe, networks: tuple[nn.Module, nn.Module]
    ) -> programs.Program:
        init, keys, _ = jnp.stack([programs.split_seed(x) for x in configs], axis=1)
        create = jax.vmap(functools.partial(programs.create_state, config, *networks))
        return programs.Program(
            create=functools.partial(create, init),
            call=parallel.scan_steps(vmapped.train_step_of(config, recipe)),
            key={"key": keys, "floats": floats},
            join=_join,
            split=lambda index, tree: jax.tree.map(lambda leaf: leaf[index], tree),
            stack=lambda trees: jax.tree.map(lambda *x: np.stack(x), *trees),
            copy=lambda index, tree: parallel.copy_first_replica(tree, index),
            gather=gather,
        )

    failed = [bool(failure(workdir)) for workdir in workdirs]
    with loop.catching_signals() as catch:
        train.drive(configs, workdirs, make_program, failed=failed, catch=catch)
