"""Saves and restores a GANState with orbax; reading changes no file.

A checkpoint is a folder named by its step. It is written under another name, renamed
when it is complete, and renamed again before it is deleted, so that a reader sees all
of it or nothing. Its file SHA256SUMS lists the digests of the other files, in the
format of `sha256sum -c`, so that a bit that flips later is noticed.
"""

from collections.abc import Collection, Iterator, Mapping
from concurrent import futures
import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path
import shutil
import stat
from typing import Any

from absl import logging
from flax import serialization, traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp

from gan_jax.run import files, listing
from gan_jax.step import states

steps = listing.steps
SUMS = listing.SUMS
PROGRESS = "progress.json"  # what the run's logs need to go on
_LARGEST_TEXT = 2**20  # characters read of SHA256SUMS, which has a few thousand
_UNFINISHED, _DELETED, _DAMAGED = ".incomplete", ".deleted", ".damaged"
# Files that a killed writer may leave in a run's folder. The last pattern is that of
# versions before SHA256SUMS.
_LEFTOVERS = (f"*{_UNFINISHED}", f"*{_DELETED}", "*.orbax-checkpoint-tmp*")


class MisfitError(ValueError):
    """A complete checkpoint belongs to other networks or optimisers than requested."""


class Checkpoints:
    """The checkpoints that a run writes in the background; the newest are kept.

    Only one process at a time may write the checkpoints of a run, see files.own. Others
    may read them meanwhile with the functions below.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int | None = None,
        first_step: int = 0,
        worker: files.Worker | None = None,
    ) -> None:
        """Opens or creates `directory`.

        Args:
          directory: folder of the checkpoints.
          keep: number of newest checkpoints that are kept; None keeps all.
          first_step: number of steps done before. Damaged checkpoints of later steps
            are set aside, since the run will save these steps again.
          worker: thread that writes them, after what it is asked to write before; None
            makes a separate one.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._keep = keep
        for pattern in _LEFTOVERS:
            for leftover in directory.glob(pattern):
                _remove(leftover)
        for step in steps(directory):
            if step > first_step and not is_good(directory, step):
                _set_aside(directory / str(step))
        self._steps = steps(directory)  # the run reads them after every call
        self._worker = worker or files.Worker()
        self._saving: futures.Future[None] | None = None

    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return max(self.all_steps(), default=None)

    def all_steps(self) -> list[int]:
        """The steps of the complete checkpoints, in order."""
        return self._steps

    def save(
        self,
        step: int,
        state: states.GANState,
        progress: Mapping[str, Any] | None = None,
        *,
        spared: Collection[int] = (),
    ) -> None:
        """Starts to save a state; returns before it is on disk.

        Args:
          step: number of steps done; a step that was saved before is not saved again.
          state: state of NumPy arrays, which must not change any more, or of arrays on
            a device, which must not be donated.
          progress: JSON object that `read_progress` returns.
          spared: steps of older checkpoints that this save does not delete.

        Raises:
          OSError: this or an earlier checkpoint could not be written.
        """
        self.wait()
        if step in self.all_steps():
            return
        tree = serialization.to_state_dict(state)
        with self._failures_named():
            self._check_room(tree)
        self._saving = self._worker.submit(
            functools.partial(self._write, step, tree, progress or {}, spared)
        )

    def wait(self) -> None:
        """Returns when all checkpoints are on disk.

        Raises:
          OSError: a checkpoint could not be written.
        """
        saving, self._saving = self._saving, None
        if saving:
            saving.result()

    def close(self) -> None:
        """Ends the background thread."""
        self._worker.close()

    def _write(
        self,
        step: int,
        tree: Any,
        progress: Mapping[str, Any],
        spared: Collection[int],
    ) -> None:
        with self._failures_named():
            self._write_folder(step, jax.tree.map(np.asarray, tree), progress)
            self._delete_old({step, *spared})

    def _write_folder(self, step: int, tree: Any, progress: Mapping[str, Any]) -> None:
        final = self._directory / str(step)
        unfinished = final.with_name(final.name + _UNFINISHED)
        try:
            unfinished.mkdir()
            _save_arrays(unfinished / listing.ARRAYS, tree)
            (unfinished / PROGRESS).write_text(json.dumps(progress))
            (unfinished / SUMS).write_text(_sums(unfinished))
            if final.exists():  # a folder of that name is not a checkpoint
                _set_aside(final)
            unfinished.rename(final)
            self._steps = sorted([*self._steps, step])
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _delete_old(self, spared: Collection[int]) -> None:
        if self._keep is None:
            return
        for step in self._steps[: -self._keep]:
            if step not in spared:
                self._steps = [one for one in self._steps if one != step]
                folder = self._directory / str(step)
                if folder.exists():
                    _remove(folder.rename(folder.with_name(folder.name + _DELETED)))

    def _check_room(self, tree: Any) -> None:
        # On a full disk all writing threads would fail, and each would print an error.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise OSError(
                f"it takes up to {needed:,} bytes, and {free:,} are free: make room"
            )

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            cause = " ".join(str(error).split())[:200]
            last = self.latest_step()
            good, onward = "There is no earlier one", ""
            if last is not None:
                good = f"The last good one is that of step {last}"
                onward = " to go on from there"
            raise OSError(
                f"a checkpoint could not be written to {self._directory}: {cause}. "
                f"{good}; mend this, and run the same command again{onward}."
            ) from error


def delete_after(directory: Path, step: int) -> None:
    """Deletes the checkpoints of later steps, the newest first.

    The run must have been stopped.
    """
    for later in reversed(steps(directory)):
        if later > step:
            folder = directory / str(later)
            _remove(folder.rename(folder.with_name(folder.name + _DELETED)))


def is_good(directory: Path, step: int) -> bool:
    """Whether the checkpoint of `step` can be read and is undamaged.

    If it is not, a warning names the damage.
    """
    folder = directory / str(step)
    try:
        _check(folder)
        if listing.has_no_sums(folder):
            _read_arrays(folder, None)
    except (OSError, ValueError) as error:
        logging.warning("%s It is left out.", _damage(folder, error))
        return False
    return True


def newest_step(*directories: Path) -> int | None:
    """The newest step whose checkpoint is good in all directories, or None.

    A warning names each damaged checkpoint that is left out.
    """
    for directory in directories:
        _name_incomplete(directory)
    common = set.intersection(*({*steps(directory)} for directory in directories))
    return next(
        (
            step
            for step in sorted(common, reverse=True)
            if all(is_good(directory, step) for directory in directories)
        ),
        None,
    )


def read(
    directory: Path, step: int | None = None, *, like: Any | None = None
) -> dict[str, Any]:
    """The state dict of NumPy arrays saved at `step`, or at the newest good step.

    `flax.serialization.from_state_dict` puts it into a GANState. Nothing is written,
    and a run that trains meanwhile may delete older checkpoints and write new ones.

    Args:
      directory: folder of the checkpoints.
      step: step of the checkpoint; None takes the newest that is not damaged.
      like: state dict of the arrays to read, or of their shapes; None reads all.

    Raises:
      MisfitError: the arrays have other shapes than those of `like`.
      ValueError: there is no such checkpoint, or it is damaged.
    """
    damaged: dict[int, str] = {}
    if step is None:
        _name_incomplete(directory)
    while True:
        left = [one for one in steps(directory) if one not in damaged]
        if not left or step not in (None, *left):
            raise ValueError(_nothing_to_read(directory, step, left, damaged))
        chosen = left[-1] if step is None else step
        folder = directory / str(chosen)
        try:
            _check(folder)
            return _read_arrays(folder, like)
        except MisfitError:
            raise
        except (OSError, ValueError) as error:
            if not listing.is_complete(directory, chosen):
                continue  # the run has saved newer checkpoints and deleted this one
            damaged[chosen] = _damage(folder, error)
        if step is not None:
            raise ValueError(
                f"{damaged[chosen]} Take another step, or leave it out to take the "
                "newest good one."
            )
        logging.warning("%s It is left out.", damaged[chosen])


def restore(directory: Path, step: int, state: states.GANState) -> states.GANState:
    """The state saved at `step`, of the same networks and optimisers as `state`.

    Raises:
      MisfitError: the checkpoint has more or fewer arrays than `state`, or arrays of
        other shapes.
      ValueError: there is no such checkpoint, or it is damaged.
    """
    saved = read(directory, step)
    like = serialization.to_state_dict(state)
    folder = directory / str(step)
    _compare_shapes(folder, saved, like)
    more = sorted(_shapes(saved).keys() - _shapes(like).keys())
    if more:
        raise _misfit(folder, f"it has {more[0]}, for which the config does not ask")
    return serialization.from_state_dict(state, saved)


def read_progress(directory: Path, step: int) -> dict[str, Any]:
    """The progress that was given to `save`; empty if there was none."""
    path = directory / str(step) / PROGRESS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _name_incomplete(directory: Path) -> None:
    for step in listing.numbered(directory):
        folder = directory / str(step)
        if not listing.is_complete(directory, step) and folder.exists():
            logging.warning("%s is no complete checkpoint. It is left out.", folder)


def _damage(folder: Path, error: Exception) -> str:
    cause = " ".join(str(error).split())[:300]
    if listing.has_no_sums(folder):
        return (
            f"The checkpoint {folder}, which an earlier version of gan_jax wrote, "
            f"cannot be read: {cause}."
        )
    return f"The checkpoint {folder} is damaged: {cause}."


def _nothing_to_read(
    directory: Path, step: int | None, left: list[int], damaged: Mapping[int, str]
) -> str:
    if damaged and not left:
        return (
            f"no good checkpoint in {directory}: those of steps {sorted(damaged)} are "
            "damaged. Restore one from a copy, or train again in another --workdir."
        )
    found = f"there are those of steps {left}" if left else "there is none"
    return (
        f"no checkpoint {'' if step is None else f'of step {step} '}in {directory}: "
        f"{found}. Train until one is saved, or give another --step or --workdir."
    )


def _files(folder: Path) -> list[str]:
    """The names of the files in a folder and below, in order.

    Raises:
      ValueError: there is a link or another special file, which may lead anywhere.
    """
    found = []
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.append(str(path.relative_to(folder)))
            elif not stat.S_ISDIR(mode):
                raise ValueError(f"{path.relative_to(folder)} is no ordinary file")
    return sorted(found)


def _digest(path: Path, *, flush: bool = False) -> str:
    with path.open("rb") as file:
        if flush:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sums(folder: Path) -> str:
    """The text of SHA256SUMS; also flushes the files to the disk."""
    return "".join(
        f"{_digest(folder / name, flush=True)}  {name}\n" for name in _files(folder)
    )


def _check(folder: Path) -> None:
    """Compares the files of a checkpoint with SHA256SUMS.

    Raises:
      ValueError: a file is missing, was added or holds other bytes.
      OSError: a file cannot be read.
    """
    names = [
        name
        for name in _files(folder)
        if name != SUMS and not Path(name).name.startswith(".")  # of file systems
    ]
    if listing.has_no_sums(folder):
        logging.info("%s was written without checksums, by an earlier version.", folder)
        return
    with (folder / SUMS).open(errors="replace") as file:
        lines = file.read(_LARGEST_TEXT).split("\n")
    digests = {name: digest for digest, _, name in (x.partition("  ") for x in lines)}
    digests.pop("", None)
    different = sorted(set(names) ^ digests.keys())
    if different:
        raise ValueError(f"its files are not those of {SUMS}: {different[0]!r}")
    for name in names:
        if _digest(folder / name) != digests[name]:
            raise ValueError(f"{name} does not hold the bytes that were written")


def _checkpointer() -> ocp.Checkpointer:
    # Only the writing host takes part: orbax would wait for the other hosts of a job.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix="gan_jax",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _save_arrays(folder: Path, tree: Any) -> None:
    with _checkpointer() as checkpointer:
        checkpointer.save(folder.absolute(), args=ocp.args.PyTreeSave(tree))


def _read_arrays(folder: Path, like: Any | None) -> dict[str, Any]:
    """The arrays of a checkpoint, or only those in `like`, whose shapes must agree.

    Raises:
      ValueError: the arrays cannot be read, or their shapes differ.
    """
    path = (folder / listing.ARRAYS).absolute()
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    try:
        with _checkpointer() as checkpointer:
            shapes = checkpointer.metadata(path).item_metadata.tree
            wanted = shapes if like is None else like
            _compare_shapes(folder, shapes, wanted)
            restored: dict[str, Any] = checkpointer.restore(
                path,
                args=ocp.args.PyTreeRestore(
                    item=wanted,
                    restore_args=jax.tree.map(lambda _: as_numpy, wanted),
                    partial_restore=True,
                ),
            )
    except MisfitError:
        raise
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return jax.tree.map(np.asarray, restored)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = traverse_util.flatten_dict(tree, sep=".")
    return {name: tuple(x.shape) for name, x in leaves.items() if x is not None}


def _compare_shapes(folder: Path, saved: Any, wanted: Any) -> None:
    """Raises MisfitError unless all wanted arrays were saved with the same shapes."""
    there = _shapes(saved)
    for name, shape in _shapes(wanted).items():
        if there.get(name) != shape:
            raise _misfit(
                folder,
                f"{name} is {there.get(name, 'not in it')}, but the config asks for "
                f"{shape}",
            )


def _misfit(folder: Path, what: str) -> MisfitError:
    return MisfitError(
        f"the checkpoint {folder} does not fit the config: {what}. Restore the config "
        "with which it was trained, or take another --workdir."
    )


def _set_aside(folder: Path) -> None:
    """Renames a bad checkpoint, and replaces an older one that has the new name."""
    aside = folder.with_name(folder.name + _DAMAGED)
    _remove(aside)
    folder.rename(aside)
    logging.warning("%s was set aside as %s.", folder, aside.name)


def _remove(path: Path) -> None:
    """Removes a folder, file or link, if there is something at `path`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
