"""The files of a run in a bucket, and how commands read them.

An address such as gs://BUCKET/RUN is one of fsspec's, whose file systems raise errors
of many kinds. Here they all become an OSError that says its cause. mirror.py copies a
run to its bucket while it trains.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
import contextlib
import datetime
import os
from pathlib import Path
import re
import tempfile
from typing import Any

from absl import logging

from gan_jax.run import files, listing

FOLDERS = ("checkpoints", "best")
SUMS = f"/{listing.SUMS}"  # after the name of a checkpoint, such as best/500
_METADATA = f"/{listing.ARRAYS}/_METADATA"
_IN_CHECKPOINT = re.compile(rf"((?:{'|'.join(FOLDERS)})/(?:0|[1-9]\d{{0,17}}))/.+")
_EVENTS = "events.out.tfevents"  # TensorBoard's files, which no command reads
_TIMES = ("mtime", "LastModified", "modified", "created")  # names in file systems
# Takes the address, the names of all files there, and a function that says whether a
# checkpoint, such as best/500, is undamaged; it may be asked once the checkpoint's
# names have been given. Gives the names to fetch, in order.
Choose = Callable[[str, Sequence[str], Callable[[str], bool]], Iterable[str]]


def is_address(place: str) -> bool:
    """Whether a run's place is an address such as gs://BUCKET/RUN, and no folder."""
    return "://" in place


def last_name(place: str) -> str:
    """The last part of an address, as the name of a folder."""
    last = place.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]", "-", last).strip(".") or "run"


class Bucket:
    """The files below an address, by names such as checkpoints/500/SHA256SUMS.

    Every method raises an OSError if the bucket does not answer or refuses.
    """

    def __init__(self, address: str) -> None:
        """Opens the address.

        Raises:
          ValueError: there is no library for such an address.
        """
        self.address = address.rstrip("/")
        is_local = self.address.startswith(("file://", "local://"))
        try:
            import fsspec

            options = {"auto_mkdir": True} if is_local else {}
            self._files, self._root = fsspec.url_to_fs(self.address, **options)
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"{address} cannot be opened: {cause(error)}. Such an address needs "
                "fsspec, with gcsfs for gs:// or s3fs for s3://, which the extra "
                "bucket of gan_jax brings: install them, or give a local folder as "
                "--workdir."
            ) from None
        self._times: dict[str, float | None] = {}  # of the files' last changes

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def names(self) -> list[str]:
        """The names of all files, in order; empty if there are none.

        Names that would lead out of a folder are left out: the run may be a stranger's.
        """
        with _plain_failures():
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
        start = f"{self._root}/"
        self._times = {
            path.removeprefix(start): _time(about)
            for path, about in found.items()
            if path.startswith(start) and not path.endswith("/")
        }
        return sorted(name for name in self._times if _stays_in_folder(name))

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None without the file."""
        with _plain_failures():
            try:
                self._files.invalidate_cache()
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Writes a file."""
        with _plain_failures():
            self._files.pipe_file(self._path(name), content)

    def upload(self, path: Path, name: str) -> None:
        """Copies a file from the disk."""
        with _plain_failures():
            self._files.put_file(str(path), self._path(name))

    def download(self, name: str, path: Path) -> None:
        """Copies a file to the disk, with the time of its last change."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with _plain_failures():
            self._files.get_file(self._path(name), str(path))
        changed = self._times.get(name)
        if changed is not None:
            os.utime(path, (changed, changed))

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with _plain_failures(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))


@contextlib.contextmanager
def _plain_failures() -> Iterator[None]:
    """A context that turns every error into an OSError that says its cause."""
    try:
        yield
    except Exception as error:
        raise OSError(cause(error)) from error


def cause(error: BaseException) -> str:
    """The cause of a bucket's error in words, on one line."""
    text = " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
    is_bare = isinstance(error, FileNotFoundError) and error.errno is None
    return f"there is no {text}" if is_bare else text


def _stays_in_folder(name: str) -> bool:
    """Whether a name is the path of a file below the folder that it is joined to.

    An absolute name, as the key RUN//etc/x has it, starts with an empty part. Joined to
    a folder, it would replace it.
    """
    parts = name.split("/")
    return {"", ".", ".."}.isdisjoint(parts) and {"\\", "\0"}.isdisjoint(name)


def _time(about: dict[str, Any]) -> float | None:
    """When a file was changed, in seconds since 1970, if its file system tells."""
    for value in (about.get(name) for name in _TIMES):
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def checkpoint_of(name: str) -> str | None:
    """The checkpoint that a file belongs to, such as best/500; None for other files."""
    found = _IN_CHECKPOINT.fullmatch(name)
    return found[1] if found else None


def complete(names: Collection[str]) -> set[str]:
    """The checkpoints of which all files are in the bucket."""
    found = {checkpoint_of(name) for name in names if name.endswith(SUMS)}
    return {one for one in found if one and {one + SUMS, one + _METADATA} <= {*names}}


def steps(checkpoints: Collection[str], folder: str) -> list[int]:
    """The steps of those of the checkpoints that are in a folder, in order."""
    found = (one.split("/") for one in checkpoints)
    return sorted(int(step) for name, step in found if name == folder)


def choose_checkpoints(folder: str, wanted: Sequence[int | None]) -> Choose:
    """Chooses a run's config, its lines and some of its checkpoints.

    Args:
      folder: folder of the checkpoints, "checkpoints" or "best".
      wanted: steps of the checkpoints; None stands for the newest undamaged one. The
        damaged ones after it come along, and whoever reads them names them.
    """

    def choose(
        address: str, names: Sequence[str], is_good: Callable[[str], bool]
    ) -> Iterator[str]:
        for name in choose_history(address, names, is_good):
            if "/" not in name:
                yield name
        there = steps(complete(names), folder)
        for step in wanted:
            if not there or step not in (None, *there):
                found = (
                    f"there are those of steps {there}" if there else "none is there"
                )
                raise ValueError(
                    f"no checkpoint {'' if step is None else f'of step {step} '}in "
                    f"{address}/{folder}: {found}. Train until one is saved, or give "
                    "another --step or --workdir."
                )
            if step is None:
                yield from _newest_good(folder, names, is_good)
            else:
                yield from _names_of(f"{folder}/{step}", names)

    return choose


def _names_of(checkpoint: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if checkpoint_of(name) == checkpoint]


def _newest_good(
    folder: str, names: Sequence[str], is_good: Callable[[str], bool]
) -> Iterator[str]:
    """The files of checkpoints, from the newest one to the first undamaged one."""
    for step in reversed(steps(complete(names), folder)):
        yield from _names_of(f"{folder}/{step}", names)
        if is_good(f"{folder}/{step}"):
            return


def choose_all_checkpoints(folder: str) -> Choose:
    """Chooses a run's config, its lines and all its checkpoints in a folder."""

    def choose(
        address: str, names: Sequence[str], is_good: Callable[[str], bool]
    ) -> Iterable[str]:
        found = steps(complete(names), folder)
        return choose_checkpoints(folder, found or [None])(address, names, is_good)

    return choose


def choose_history(
    address: str, names: Sequence[str], is_good: Callable[[str], bool]
) -> list[str]:
    """Chooses everything but checkpoints and TensorBoard's files.

    Raises:
      ValueError: there is no run.
    """
    del is_good
    if "config.json" not in names:
        raise ValueError(
            f"{address} holds no run: {address}/config.json does not exist; give the "
            "place of a run as --workdir, or start one with python -m gan_jax.main."
        )
    return [
        name
        for name in names
        if name.partition("/")[0] not in FOLDERS and _EVENTS not in name
    ]


def choose_start(
    address: str, names: Sequence[str], is_good: Callable[[str], bool]
) -> Iterator[str]:
    """Chooses what training would go on from; nothing if there is no run."""
    del address
    yield from (name for name in names if name == "config.json")
    yield from _newest_good("checkpoints", names, is_good)


def choose_overview(
    address: str, names: Sequence[str], is_good: Callable[[str], bool]
) -> list[str]:
    """Chooses the small files of all runs below an address, as gan_jax.runs reads."""
    del address, is_good
    small = {"config.json", files.METRICS, files.SCORES}
    return [
        name
        for name in names
        if name.rpartition("/")[2] in small or name.endswith((SUMS, _METADATA))
    ]


@contextlib.contextmanager
def fetched(place: str, choose: Choose) -> Iterator[Path]:
    """A context with the folder of a run to read: a temporary copy of one in a bucket.

    Args:
      place: folder of the run, or its address in a bucket.
      choose: function that says which files are fetched from a bucket.

    Raises:
      ValueError: the address has no library, or no such run. A ValueError that occurs
        in the context names the address, and not the temporary copy.
      OSError: the bucket cannot be read.
    """
    if not is_address(place):
        yield Path(place)
        return
    bucket = Bucket(place)
    with tempfile.TemporaryDirectory(prefix="gan_jax-") as folder:
        local = Path(folder) / last_name(place)
        local.mkdir()

        def is_good(checkpoint: str) -> bool:
            from gan_jax.run import checkpoints  # takes seconds; few commands need it

            path = local / checkpoint
            return checkpoints.is_good(path.parent, int(path.name))

        try:
            for name in choose(bucket.address, bucket.names(), is_good):
                bucket.download(name, local / name)
        except OSError as error:
            raise OSError(
                f"{place} cannot be read: {cause(error)}. Check the address, the "
                "network and your rights, and try again."
            ) from error
        try:
            yield local
        except ValueError as error:
            if str(local) not in str(error):
                raise
            sentence = str(error).replace(str(local), bucket.address)
            raise ValueError(sentence) from error


def send(place: str, folder: Path, name: str) -> None:
    """Copies a file of a fetched run back to its bucket; a failure is only logged.

    Two commands that do so at once overwrite each other's lines.
    """
    if not is_address(place) or not (folder / name).exists():
        return
    try:
        Bucket(place).write(name, (folder / name).read_bytes())
    except OSError as error:
        logging.warning("%s was not copied to %s: %s.", name, place, cause(error))
