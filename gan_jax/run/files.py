"""The files of a run's folder: config.json, JSON lines, and the lock of its writer.

The folder is all that is needed to understand, resume and sample a run.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import errno
import fcntl
import json
import os
from pathlib import Path
import re
import socket
import stat
import time
from typing import Any

from absl import logging
from ml_collections import ConfigDict

import gan_jax

MISSING = "(no such field)"
VERSION = "gan_jax_version"  # in config.json, beside the fields of the config
METRICS = "metrics.jsonl"
# Files with a line for each scored generator. Training writes the first and
# gan_jax.evaluate the second, so that each file has a single writer.
SCORES, LATER_SCORES = "evaluations.jsonl", "scores.jsonl"
ENVIRONMENTS = "environments.jsonl"  # a line for each environment of an experiment
_LARGEST_CONFIG = 2**20  # bytes of config.json; default.py needs three thousand

# Fields and sections that may change when a run goes on, since its parameters after a
# step do not depend on them. The folders of the data may not change, since other
# folders may hold other data.
CHANGEABLE = {
    "steps_per_call",  # how many steps are compiled together, not what they compute
    "log_every_steps",  # these four say when something is written, which ends a call
    "sample_every_steps",
    "checkpoint_every_steps",
    "eval_every_steps",
    "checkpoints_to_keep",  # how many files stay
    "sample_rows",  # the size of a picture, whose latents have a separate key
    "sample_columns",
    "tensorboard",  # a second copy of what metrics.jsonl has
    "compilation_cache_dir",  # the place of compiled programs
    "data.cache_dir",  # the place of decoded data, whose name depends on their content
    "data.device_bytes",  # whether the host or the device gathers the same batches
    "evaluation",  # concerns scores, which record their protocol, and best/
}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a tree by their paths, such as optimizer.generator.b1."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file under a temporary name first, so that it is never incomplete.

    Raises:
      OSError: the file cannot be written.
    """
    unfinished = path.with_name(path.name + ".tmp")
    whole = content.encode() if isinstance(content, str) else content
    try:
        unfinished.write_bytes(whole)
        unfinished.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {_cause(error)}.") from None


def as_json(config: ConfigDict) -> ConfigDict:
    """The config as it is read from config.json, where tuples become lists."""
    return ConfigDict(json.loads(json.dumps(config.to_dict())))


def differences(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """The fields whose values differ, as name -> (old value, new value)."""
    before, after = flatten(old.to_dict()), flatten(new.to_dict())
    names = sorted(before.keys() | after.keys())
    return {
        name: (before.get(name, MISSING), after.get(name, MISSING))
        for name in names
        if before.get(name, MISSING) != after.get(name, MISSING)
    }


def _open_own_file(path: Path, flags: int) -> int:
    """Opens an ordinary file of a run's folder, but no link or pipe.

    The folder may come from a stranger.

    Raises:
      OSError: the file cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no ordinary file")
    return descriptor


def _cause(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a link, which is not followed"
    return str(error.strerror or error).rstrip(".")


def read_config(workdir: Path) -> ConfigDict:
    """The resolved config of the run in `workdir`; its values are not checked.

    Raises:
      ValueError: the folder holds no run, or its config.json cannot be read or does not
        hold a config.
    """
    fields = _read_fields(workdir)
    fields.pop(VERSION, None)
    return ConfigDict(fields)


def _read_fields(workdir: Path) -> dict[str, Any]:
    path = workdir / "config.json"
    try:
        with open(_open_own_file(path, os.O_RDONLY), "rb") as file:
            content = file.read(_LARGEST_CONFIG + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            what = "is a file" if workdir.is_file() else "holds no run"
            raise ValueError(
                f"{workdir} {what}: {path} does not exist; give the folder of a run as "
                "--workdir, or start one with python -m gan_jax.main."
            ) from None
        raise ValueError(
            f"{path} cannot be read: {_cause(error)}; make it readable, or restore it "
            "from a copy."
        ) from None
    mend = "restore it from a copy, or start the run anew in another --workdir."
    if len(content) > _LARGEST_CONFIG:
        raise ValueError(
            f"{path} has more than {_LARGEST_CONFIG:,} bytes and is no config: {mend}"
        )
    try:
        fields = json.loads(content)
        fault = _fault(fields)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): {mend}") from None
    except RecursionError:
        fault = "it is nested too deeply"
    if fault:
        raise ValueError(f"{path} is damaged: {fault}; {mend}")
    return dict(fields)


def _fault(fields: Any) -> str:
    """Says why fields read from JSON cannot be a config; "" if they can."""
    if not isinstance(fields, dict):
        return "it holds no object with the fields of a config"
    for name in _names(fields):
        if not name.isidentifier() or hasattr(ConfigDict, name):
            return f"{name[:40]!r} is no name of a field"
    version = fields.get(VERSION, "")
    if not isinstance(version, str) or len(version) > 40:
        return f"{VERSION} is no version"
    return ""


def _names(tree: Mapping[str, Any]) -> Iterator[str]:
    for name, value in tree.items():
        yield name
        if isinstance(value, Mapping):
            yield from _names(value)


def version(workdir: Path) -> str:
    """The version of gan_jax that wrote config.json.

    Versions up to 0.1.0 did not record their number.

    Raises:
      ValueError: config.json cannot be read.
    """
    return str(_read_fields(workdir).get(VERSION, "0.1.0 or earlier"))


def other_version(workdir: Path) -> str | None:
    """The version of gan_jax that wrote config.json, if it is another version.

    The result is None for this version and if there is no run.

    Raises:
      ValueError: config.json cannot be read.
    """
    if not (workdir / "config.json").exists():
        return None
    found = version(workdir)
    return None if found == gan_jax.__version__ else f"gan_jax {found}"


@contextlib.contextmanager
def naming_version(workdir: Path, kind: type[Exception] = Exception) -> Iterator[None]:
    """Names the version in an error that occurs with a run of another version.

    Args:
      workdir: folder of the run.
      kind: type of the errors that are turned into a ValueError.

    Raises:
      ValueError: an error occurred inside, and another version made the run.
    """
    try:
        yield
    except kind as error:
        maker = other_version(workdir)
        if not maker:
            raise
        cause = " ".join(str(error).partition(" (http")[0].split()).rstrip(".")
        raise ValueError(
            f"{workdir} was made by {maker}, and gan_jax {gan_jax.__version__} cannot "
            f"use it: {cause}. Use the version that made it, or train anew in another "
            "--workdir."
        ) from error


def _may_change(name: str, old: Any, new: Any) -> bool:
    if name == "num_train_steps":  # a longer run begins with the steps of a shorter one
        return isinstance(old, int) and new > old
    return name in CHANGEABLE or name.split(".")[0] in CHANGEABLE


def check(workdir: Path, config: ConfigDict) -> None:
    """Refuses a folder that belongs to a run with another config; writes nothing.

    Raises:
      ValueError: fields differ that must not change; they are named.
    """
    if not (workdir / "config.json").exists():
        return
    differing = differences(read_config(workdir), as_json(config))
    refused = {
        name: values
        for name, values in differing.items()
        if MISSING in values or not _may_change(name, *values)
    }
    if refused:
        listed = "; ".join(
            f"{name} was {old!r}, now {new!r}" for name, (old, new) in refused.items()
        )
        maker = other_version(workdir)
        raise ValueError(
            f"{workdir} belongs to a run with another config"
            + (f", made by {maker}" if maker else "")
            + f": {listed}. Give the old values, another --workdir, or "
            "--override_config to go on with the new ones"
            + (", or use the version that made it." if maker else ".")
        )
    schedule = config.optimizer.get("schedule", "constant")  # 0.1.0 had no schedules
    if "num_train_steps" in differing and schedule != "constant":
        logging.info(
            "The %s schedule of the learning rates now spans %d steps, before %d: the "
            "rates differ from those of a run of %d steps from its start.",
            schedule,
            *reversed(differing["num_train_steps"]),
            config.num_train_steps,
        )


def check_writable(workdir: Path) -> None:
    """Refuses a folder that could not be made or written; writes nothing.

    Raises:
      OSError: there is a file of that name or above it, or the folder is protected.
    """
    whole = workdir.absolute()
    place = next(path for path in (whole, *whole.parents) if path.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return
    cause = f"{place} cannot be written" if place.is_dir() else f"{place} is a file"
    raise OSError(
        f"cannot write the run's folder {workdir}: {cause}; give another one as "
        "--workdir."
    )


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder of a run and writes its config.json.

    Raises:
      ValueError: the folder cannot be written.
    """
    try:
        (workdir / "samples").mkdir(parents=True, exist_ok=True)
        fields = {VERSION: gan_jax.__version__, **as_json(config).to_dict()}
        text = json.dumps(fields, indent=2)
        write_whole(workdir / "config.json", text)
    except OSError as error:
        raise ValueError(
            f"cannot write the run's folder {workdir}: {_cause(error)}; give another "
            "one as --workdir."
        ) from None


@contextlib.contextmanager
def own(workdir: Path) -> Iterator[None]:
    """A context in which only this process may write the run in `workdir`.

    The kernel holds a lock on the file `lock` and releases it when the process ends,
    for whatever reason, so that nothing needs to be cleaned up. Readers do not need the
    lock. If a file system has no locks, a warning says that nothing keeps two
    processes apart.

    Raises:
      OSError: another process has the lock, or the folder cannot be written.
    """
    path = workdir / "lock"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = _open_own_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise OSError(
            f"cannot write the run's folder {workdir}: {_cause(error)}; give another "
            "one as --workdir."
        ) from None
    with open(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"{workdir} is being trained by {file.read(200) or 'another process'}: "
                "wait for its end, stop it, or give another --workdir."
            ) from None
        except OSError as error:
            logging.warning("%s has no lock (%s).", workdir, error.strerror)
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        file.flush()
        yield


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds one record to a file of JSON lines.

    Raises:
      OSError: the file cannot be written.
    """
    line = (json.dumps(record) + "\n").encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        # A single unbuffered write keeps the lines of two processes apart.
        with open(_open_own_file(path, flags), "ab", buffering=0) as file:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise OSError(f"{path} cannot be written: {_cause(error)}.") from None


def _read_raw_lines(path: Path) -> list[bytes]:
    try:
        with open(_open_own_file(path, os.O_RDONLY), "rb") as file:
            return file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {_cause(error)}; restore it from a copy, or "
            "remove it."
        ) from None


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None if the line does not hold a record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and type(record.get("step")) is int
    return record if is_record else None


def read_lines(
    path: Path, is_whole: Callable[[dict[str, Any]], bool] = bool
) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; empty without the file.

    A damaged line is left out, and a warning names it. The last line may be incomplete
    if its writer was killed.

    Args:
      path: path of the file.
      is_whole: says whether a record, which has a "step", has all that it needs.

    Raises:
      ValueError: the file cannot be read.
    """
    records = []
    for number, line in enumerate(_read_raw_lines(path), 1):
        record = _parse_line(line)
        if record is not None and is_whole(record):
            records.append(record)
        else:
            logging.warning("%s: line %d is damaged. It is left out.", path, number)
    return records


def read_last(
    path: Path, is_whole: Callable[[dict[str, Any]], bool] = bool
) -> dict[str, Any] | None:
    """The last undamaged record of a file of JSON lines; None if there is none.

    Args:
      path: path of the file.
      is_whole: says whether a record, which has a "step", has all that it needs.

    Raises:
      ValueError: the file cannot be read.
    """
    records = (_parse_line(line) for line in reversed(_read_raw_lines(path)))
    return next((one for one in records if one is not None and is_whole(one)), None)


def read_last_score(path: Path) -> dict[str, Any] | None:
    """The last undamaged record of a file of scores; None if there is none.

    Raises:
      ValueError: the file cannot be read.
    """
    return read_last(path, _is_score)


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The records of a file of scores; a damaged record is named and left out.

    Raises:
      ValueError: the file cannot be read.
    """
    return read_lines(path, _is_score)


def _is_score(record: Mapping[str, Any]) -> bool:
    kinds = {"generator": str, "numbers": dict, "protocol": dict}
    return all(isinstance(record.get(x), kind) for x, kind in kinds.items()) and all(
        isinstance(one, dict) and isinstance(one.get("value"), int | float)
        for one in record["numbers"].values()
    )


def drop_lines_after(path: Path, step: int) -> None:
    """Removes the records whose "step" is above `step`, which will be written again.

    Damaged lines are removed too. If there are others than the incomplete last line of
    a killed writer, a copy of the old file is kept.

    Raises:
      ValueError: the file cannot be read.
    """
    lines = _read_raw_lines(path)
    records = [_parse_line(line) for line in lines]
    kept = [
        line
        for line, record in zip(lines, records, strict=True)
        if record is not None and record["step"] <= step
    ]
    if None in records[:-1]:
        aside = path.with_name(path.name + ".damaged")
        write_whole(aside, b"".join(lines))
        number = records.index(None) + 1
        logging.warning(
            "%s: line %d is damaged. It is removed, %s has it.", path, number, aside
        )
    if kept != lines:
        if kept:
            kept[-1] = kept[-1].removesuffix(b"\n") + b"\n"
        write_whole(path, b"".join(kept))


def sample_grids(workdir: Path) -> dict[int, Path]:
    """The pictures that a run drew of the same latents, by step and in order."""
    named = {
        path: re.fullmatch(r"step_(\d{1,15})\.png", path.name)
        for path in (workdir / "samples").glob("step_*.png")
    }
    found = {int(match[1]): path for path, match in named.items() if match}
    return dict(sorted(found.items()))


def read_bytes(path: Path, most: int) -> bytes:
    """The content of an ordinary file of a run's folder.

    Args:
      path: path of the file, which may come from a stranger.
      most: largest allowed number of bytes.

    Raises:
      OSError: the file cannot be read, is no ordinary file, or is too large.
    """
    try:
        with open(_open_own_file(path, os.O_RDONLY), "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise OSError(f"{path} cannot be read: {_cause(error)}.") from None
    if len(content) > most:
        raise OSError(f"{path} has more than {most:,} bytes.")
    return content


def read_environments(workdir: Path) -> tuple[str, ...]:
    """The different environments in which a run of an experiment was started.

    Raises:
      ValueError: the record cannot be read.
    """
    found = []
    for line in _read_raw_lines(workdir / ENVIRONMENTS):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # the writer may have been killed
            continue
        if isinstance(record, dict) and isinstance(record.get("environment"), str):
            found.append(record["environment"])
    return tuple(found)
