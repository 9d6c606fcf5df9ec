"""The files of a run's folder: JSON lines, pictures, and the lock of its writer.

The folder is all that is needed to understand, resume and sample a run.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
import contextlib
import errno
import fcntl
import json
import math
import os
from pathlib import Path
import re
import socket
import stat
import time
from typing import Any, TypeGuard

from absl import logging

METRICS = "metrics.jsonl"
# Files with a line for each scored generator. Training writes the first and
# gan_jax.evaluate the second, so that each file has a single writer.
SCORES, LATER_SCORES = "evaluations.jsonl", "scores.jsonl"
RETRIES = "retries.jsonl"  # a line for each retry of a run that failed
ENVIRONMENTS = "environments.jsonl"  # a line for each environment of an experiment
COMPILED = "compiled"  # folder of the compiled programs of a deterministic run
# What Python writes for floats that JSON lacks, and what is written here in its place.
_CONSTANTS = {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')


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
        raise OSError(f"{path} cannot be written: {cause(error)}.") from None


def open_own_file(path: Path, flags: int) -> int:
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


def cause(error: OSError) -> str:
    """The cause of an error in words, without the path and the number."""
    if error.errno == errno.ELOOP:
        return "it is a link, which is not followed"
    return str(error.strerror or error).rstrip(".")


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
        descriptor = open_own_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise OSError(
            f"cannot write the run's folder {workdir}: {cause(error)}; give another "
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


class Worker:
    """A thread that writes files of a run in the order in which it is asked to.

    After an error it writes nothing more. So a file is there only if everything that
    was to be written before it is there too.
    """

    def __init__(self) -> None:
        """Starts without work."""
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="files")
        self._last: futures.Future[None] | None = None

    def submit(self, write: Callable[[], None]) -> futures.Future[None]:
        """Calls a function in the thread; the result is done when it has returned."""
        before = self._last

        def write_if_all_is_well() -> None:
            if before:
                before.result()  # raises the first error again
            write()

        self._last = self._thread.submit(write_if_all_is_well)
        return self._last

    def check(self) -> None:
        """Raises the error that occurred in the thread, if it is idle after one."""
        if self._last and self._last.done():
            self._last.result()

    def wait(self) -> None:
        """Returns when everything is written, or raises the error that occurred."""
        if self._last:
            self._last.result()

    def close(self) -> None:
        """Ends the thread when everything is written; raises nothing."""
        self._thread.shutdown()


def to_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON, which has neither inf nor nan.

    In the place of inf stands 1e999, a number that is read as inf, since no float is as
    large. In the place of nan stands null.
    """
    text = json.dumps(value, indent=indent)
    return _STRING_OR_CONSTANT.sub(lambda x: _CONSTANTS.get(x[0], x[0]), text)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds one record to a file of JSON lines, in the form of `to_json`.

    The record has a line of its own even if the writer of the last line was killed.

    Raises:
      OSError: the file cannot be written; it keeps its former lines.
    """
    line = (to_json(record) + "\n").encode()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    try:
        # A single unbuffered write keeps the lines of two processes apart.
        with open(open_own_file(path, flags), "ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                line = b"\n" + line
            written = file.write(line)
            if written != len(line):
                file.truncate(file.tell() - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise OSError(f"{path} cannot be written: {cause(error)}.") from None


def _read_raw_lines(path: Path) -> list[bytes]:
    try:
        with open(open_own_file(path, os.O_RDONLY), "rb") as file:
            return file.read().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {cause(error)}; restore it from a copy, or "
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


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from a JSON file is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON has integers that no float holds
        return False


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
    record = read_last(path, _is_score)
    return None if record is None else _with_nan(record)


def read_scores(path: Path) -> list[dict[str, Any]]:
    """The records of a file of scores; a damaged record is named and left out.

    Raises:
      ValueError: the file cannot be read.
    """
    return [_with_nan(record) for record in read_lines(path, _is_score)]


def same_protocol(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether numbers of two protocols may be compared.

    The versions of gan_jax and of its libraries may differ, so that an upgrade in the
    middle of a run does not part its scores. Every other difference counts.
    """
    return protocol_key(one) == protocol_key(other)


def protocol_key(protocol: Mapping[str, Any]) -> str:
    """A text that protocols have in common if their numbers may be compared."""
    counted = {name: value for name, value in protocol.items() if name != "versions"}
    return json.dumps(counted, sort_keys=True)


def _is_score(record: Mapping[str, Any]) -> bool:
    kinds = {"generator": str, "numbers": dict, "protocol": dict}
    return all(isinstance(record.get(x), kind) for x, kind in kinds.items()) and all(
        isinstance(one, dict) and isinstance(one.get("value", ""), int | float | None)
        for one in record["numbers"].values()
    )


def _with_nan(record: dict[str, Any]) -> dict[str, Any]:
    """A record of scores in which a value of null is nan again."""
    numbers = {
        name: one | {"value": math.nan if one["value"] is None else one["value"]}
        for name, one in record["numbers"].items()
    }
    return record | {"numbers": numbers}


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
        with open(open_own_file(path, os.O_RDONLY), "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise OSError(f"{path} cannot be read: {cause(error)}.") from None
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
