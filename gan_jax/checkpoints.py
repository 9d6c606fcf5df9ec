"""Saves and restores a GANState with orbax."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
import shutil
from typing import Any

from flax import serialization
import jax
import numpy as np
import orbax.checkpoint as ocp

from gan_jax import state as state_lib


class Checkpoints:
    """The checkpoints of one run: atomic, written in the background, the newest kept.

    Of a job's hosts only the first may open it.
    """

    def __init__(self, directory: Path, *, keep: int | None = None) -> None:
        """Opens or creates `directory`; `keep` is the number of newest ones kept."""
        alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(),
            active_processes={jax.process_index()},
            barrier_sync_key_prefix="gan_jax",
        )
        # orbax asks for an absolute path, and for create=False with active_processes.
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=False,
                cleanup_tmp_directories=True,
                multiprocessing_options=alone,
                async_options=ocp.AsyncOptions(barrier_sync_fn=None),
            ),
        )

    def latest_step(self) -> int | None:
        """The newest complete checkpoint's step, None without one."""
        return self._manager.latest_step()

    def all_steps(self) -> list[int]:
        """The steps of the complete checkpoints, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: state_lib.GANState) -> None:
        """Starts to save a state of NumPy arrays; returns before it is on disk.

        Raises:
          OSError: this or an earlier checkpoint could not be written.
        """
        if self.latest_step() == step:
            return
        tree = serialization.to_state_dict(state)
        with self._failures_named():
            self._check_room(tree)
            self._manager.save(step, args=ocp.args.StandardSave(tree), force=True)

    def wait(self) -> None:
        """Returns once everything saved is on disk.

        Raises:
          OSError: a checkpoint could not be written.
        """
        with self._failures_named():
            self._manager.wait_until_finished()

    def restore(self, step: int) -> dict[str, Any]:
        """The state dict saved at `step`, leaves NumPy arrays.

        `flax.serialization.from_state_dict` puts it into a GANState.

        Args:
          step: one of the saved steps.

        Raises:
          ValueError: the checkpoint cannot be read.
        """
        try:
            restored = self._manager.restore(step, args=ocp.args.StandardRestore())
        except Exception as error:
            raise ValueError(
                f"the checkpoint {self._directory / str(step)} cannot be read "
                f"({error}); remove that folder to go on from the one before."
            ) from error
        return jax.tree.map(np.asarray, restored)

    def _check_room(self, tree: Any) -> None:
        # Asked beforehand: on a full disk the writing threads fail one by one, loudly.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise OSError(f"it takes up to {needed:,} bytes, and {free:,} are free")

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            cause = " ".join(str(error).split())[:200]
            raise OSError(
                f"a checkpoint could not be written to {self._directory}: {cause}. The "
                f"last good one is that of step {self.latest_step()}; make room or "
                "mend the folder, and run the same command again to go on from there."
            ) from error

    def close(self) -> None:
        """Ends the background threads."""
        self._manager.close()


def steps(directory: Path) -> list[int]:
    """The steps of the complete checkpoints, in order; none without the folder."""
    if not directory.is_dir():
        return []
    saved = Checkpoints(directory)
    try:
        return saved.all_steps()
    finally:
        saved.close()


def read(directory: Path, step: int | None = None) -> dict[str, Any]:
    """The state dict saved at `step`, or at the newest step, leaves NumPy arrays.

    Raises:
      ValueError: there is no such checkpoint.
    """
    saved = Checkpoints(directory) if directory.is_dir() else None
    steps = saved.all_steps() if saved else []
    if not saved or not steps or step not in (None, *steps):
        found = f"there are those of steps {steps}" if steps else "there is none"
        raise ValueError(
            f"no checkpoint {'' if step is None else f'of step {step} '}in "
            f"{directory}: {found}. Train until one is saved, or give another --step "
            "or --workdir."
        )
    try:
        return saved.restore(steps[-1] if step is None else step)
    finally:
        saved.close()
