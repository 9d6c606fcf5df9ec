"""Saves and restores a GANState with orbax; who reads changes nothing.

A checkpoint is a folder named by its step. It is written under another name and
renamed when it is whole, and renamed again before it is deleted, so that a reader
either finds all of it or none. SHA256SUMS in it lists the digests of its files, in the
format of `sha256sum -c`, so that a bit that flips later is noticed.
"""

from collections.abc import Iterator, Mapping
from concurrent import futures
import contextlib
import hashlib
import json
import os
from pathlib import Path
import re
import shutil
import stat
from typing import Any

from absl import logging
from flax import serialization, traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp

from gan_jax.step import states

SUMS = "SHA256SUMS"
PROGRESS = "progress.json"  # what the run's logs need to go on
_LARGEST_TEXT = 2**20  # characters of SHA256SUMS that are read; it has some thousand
_ITEM = "default"  # the folder of the arrays, orbax's own name for a single item
_UNFINISHED, _DELETED, _DAMAGED = ".incomplete", ".deleted", ".damaged"
# What may lie in a run's folder when its writer was killed. The last pattern is that
# of versions before SHA256SUMS.
_LEFTOVERS = (f"*{_UNFINISHED}", f"*{_DELETED}", "*.orbax-checkpoint-tmp*")
# By one of these files orbax marked what is whole, in versions before SHA256SUMS.
_MARKS_WITHOUT_SUMS = ("commit_success.txt", "_CHECKPOINT_METADATA")


class MisfitError(ValueError):
    """A whole checkpoint, but of other networks or optimisers than those asked for."""


class Checkpoints:
    """The checkpoints that a run writes: atomic, in the background, the newest kept.

    One process at a time may open it, see files.own; anybody may read meanwhile with
    the functions below.
    """

    def __init__(
        self, directory: Path, *, keep: int | None = None, first_step: int = 0
    ) -> None:
        """Opens or creates `directory`.

        Args:
          directory: of the checkpoints.
          keep: the number of newest ones kept; None keeps all.
          first_step: steps done before. Damaged checkpoints of later steps are set
            aside, since the run will save these steps again.
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
        self._steps = steps(directory)  # asked for at every call of the run
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._saving: futures.Future[None] | None = None

    def latest_step(self) -> int | None:
        """The newest complete checkpoint's step, None without one."""
        return max(self.all_steps(), default=None)

    def all_steps(self) -> list[int]:
        """The steps of the complete checkpoints, in order."""
        return self._steps

    def save(
        self,
        step: int,
        state: states.GANState,
        progress: Mapping[str, Any] | None = None,
    ) -> None:
        """Starts to save a state of NumPy arrays; returns before it is on disk.

        Args:
          step: steps done; a step that was saved before is not saved again.
          state: of NumPy arrays, which must not change any more.
          progress: a JSON object that `read_progress` gives back.

        Raises:
          OSError: this or an earlier checkpoint could not be written.
        """
        self.wait()
        if step in self.all_steps():
            return
        tree = serialization.to_state_dict(state)
        with self._failures_named():
            self._check_room(tree)
            self._saving = self._thread.submit(self._write, step, tree, progress or {})

    def wait(self) -> None:
        """Returns once everything saved is on disk.

        Raises:
          OSError: a checkpoint could not be written.
        """
        saving, self._saving = self._saving, None
        if saving:
            with self._failures_named():
                saving.result()

    def close(self) -> None:
        """Ends the background thread."""
        self._thread.shutdown()

    def _write(self, step: int, tree: Any, progress: Mapping[str, Any]) -> None:
        final = self._directory / str(step)
        unfinished = final.with_name(final.name + _UNFINISHED)
        try:
            unfinished.mkdir()
            _save_arrays(unfinished / _ITEM, tree)
            (unfinished / PROGRESS).write_text(json.dumps(progress))
            (unfinished / SUMS).write_text(_sums(unfinished))
            if final.exists():  # a folder of that name which is no checkpoint
                _set_aside(final)
            unfinished.rename(final)
            self._steps = sorted([*self._steps, step])
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        self._delete_old(step)

    def _delete_old(self, newest: int) -> None:
        if self._keep is None:
            return
        for step in self._steps[: -self._keep]:
            if step != newest:
                self._steps = [one for one in self._steps if one != step]
                folder = self._directory / str(step)
                if folder.exists():
                    _remove(folder.rename(folder.with_name(folder.name + _DELETED)))

    def _check_room(self, tree: Any) -> None:
        # Asked beforehand: on a full disk the writing threads fail one by one, loudly.
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
            raise OSError(
                f"a checkpoint could not be written to {self._directory}: {cause}. The "
                f"last good one is that of step {self.latest_step()}; mend this, and "
                "run the same command again to go on from there."
            ) from error


def steps(directory: Path) -> list[int]:
    """The steps of the complete checkpoints, in order; none without the folder.

    A folder that holds no checkpoint, or only a part of one, does not count.
    """
    return [step for step in _numbered(directory) if _is_complete(directory, step)]


def is_good(directory: Path, step: int) -> bool:
    """Whether the checkpoint of `step` can be read and is as it was written.

    A warning names the damage otherwise.
    """
    folder = directory / str(step)
    try:
        _check(folder)
        if _has_no_sums(folder):
            _read_arrays(folder, None)
    except (OSError, ValueError) as error:
        logging.warning("%s It is left out.", _damage(folder, error))
        return False
    return True


def newest_step(*directories: Path) -> int | None:
    """The newest step whose checkpoint is good in all directories, None without one.

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
    """The state dict saved at `step`, or at the newest good step; leaves NumPy arrays.

    `flax.serialization.from_state_dict` puts it into a GANState. Nothing is written,
    and a run that trains meanwhile may delete older checkpoints and write new ones.

    Args:
      directory: of the checkpoints.
      step: None takes the newest that is not damaged.
      like: a state dict of the arrays to read, or of their shapes; None reads all.

    Raises:
      ValueError: there is no such checkpoint, it is damaged, or a MisfitError: its
        arrays have other shapes than those of `like`.
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
            if not _is_complete(directory, chosen):
                continue  # deleted meanwhile, when newer ones were saved
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
      ValueError: there is no such checkpoint, it is damaged, or a MisfitError: it has
        more or fewer arrays than `state`, or arrays of other shapes.
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
    """What was given to `save` beside the state; empty if nothing was."""
    path = directory / str(step) / PROGRESS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _numbered(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    names = (path.name for path in directory.iterdir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d{0,17}", name))


def _is_complete(directory: Path, step: int) -> bool:
    folder = directory / str(step)
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and (folder / _ITEM / "_METADATA").is_file()
        and ((folder / SUMS).is_file() or _has_no_sums(folder))
    )


def _has_no_sums(folder: Path) -> bool:
    """Whether a version before SHA256SUMS wrote this checkpoint."""
    return not (folder / SUMS).exists() and any(
        (folder / name).is_file() for name in _MARKS_WITHOUT_SUMS
    )


def _name_incomplete(directory: Path) -> None:
    for step in _numbered(directory):
        folder = directory / str(step)
        if not _is_complete(directory, step) and folder.exists():
            logging.warning("%s is no complete checkpoint. It is left out.", folder)


def _damage(folder: Path, error: Exception) -> str:
    cause = " ".join(str(error).split())[:300]
    if _has_no_sums(folder):
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
      ValueError: a link or something else that is no file: it may lead anywhere.
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
    """The text of SHA256SUMS; the files are flushed to the disk on the way."""
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
    if _has_no_sums(folder):
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
    # The writing host alone: orbax would wait for the others of a job.
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
    """The arrays of a checkpoint, or those that `like` has, if the shapes agree.

    Raises:
      ValueError: they cannot be read, or the shapes differ.
    """
    path = (folder / _ITEM).absolute()
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
    """Raises a MisfitError unless all that is wanted was saved, in the same shapes."""
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
    """Renames what is no good checkpoint; only the last one of a name is kept."""
    aside = folder.with_name(folder.name + _DAMAGED)
    _remove(aside)
    folder.rename(aside)
    logging.warning("%s was set aside as %s.", folder, aside.name)


def _remove(path: Path) -> None:
    """Removes a folder, or a file or link, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
