"""The copy of a run in a bucket, which is kept up to date while the run trains.

A bucket has neither locks nor renames, so the run trains in a folder on a local disk,
as any other, and a thread copies what changes. Only complete checkpoints are copied,
and their SHA256SUMS come last, after the lines and pictures of their steps: a run that
is fetched at any moment goes on like one that was killed.
"""

from collections.abc import Callable, Collection, Iterator
import contextlib
import hashlib
import json
import os
from pathlib import Path
import secrets
import shutil
import socket
import threading
import time

from absl import logging

from gan_jax.run import bucket, files, listing

STAGING = "~/.cache/gan_jax/buckets"  # has a folder for each address that was trained
SECONDS = 15.0  # between two looks at what has changed
WRITER = "writer.txt"  # in the bucket: the process that copies to it
_COPIED = "copied"  # beside the local folder, once it was in the bucket: see _record


def staging_folder(address: str) -> Path:
    """The folder in which the run of an address trains."""
    name = bucket.last_name(address)
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:12]
    return Path(STAGING).expanduser() / f"{name}-{digest}" / name


@contextlib.contextmanager
def staged(place: str, *, is_writer: bool) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A context with the local folder of a run, which is copied to its bucket.

    If the bucket has a checkpoint that the local folder lacks, the run is fetched
    first. At the end of the context everything is in the bucket. Until then, a bucket
    that fails is only warned of, and copying is tried again.

    Args:
      place: folder of the run, or its address in a bucket.
      is_writer: whether this process writes the run; the others neither read nor write.

    Yields:
      The folder, and a function to call once, when there is something to copy.

    Raises:
      ValueError: the address has no library, or its bucket was emptied.
      OSError: the bucket cannot be read or written, another process has taken it over,
        or another process of this machine trains the run.
    """
    if not bucket.is_address(place):
        yield Path(place), lambda: None
        return
    local = staging_folder(place)
    if not is_writer:
        yield local, lambda: None
        return
    with files.own(local.parent):
        mirror = Mirror(bucket.Bucket(place), local)
        mirror.prepare()
        try:
            yield local, mirror.start
        except Exception:
            mirror.end_after_failure()
            raise
        mirror.end()


class Mirror:
    """Keeps the copy of a local folder in a bucket up to date."""

    def __init__(self, remote: bucket.Bucket, local: Path) -> None:
        """Takes a bucket and the folder, which need not exist yet."""
        self._bucket = remote
        self._local = local
        now, token = time.strftime("%Y-%m-%d %H:%M:%S"), secrets.token_hex(4)
        self._mark = (
            f"process {os.getpid()} on {socket.gethostname()} since {now} ({token})"
        ).encode()
        self._is_claimed = False
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of other files
        self._there: set[str] = set()  # checkpoints with files in the bucket
        self._whole: set[str] = set()  # those that are complete there
        # Those that were copied from here or fetched, with digests of their SHA256SUMS.
        self._sums: dict[str, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_copying, name="bucket", daemon=True
        )

    def prepare(self) -> None:
        """Checks that the bucket can be used, and fetches the run if it is ahead.

        Raises:
          ValueError: the bucket was emptied.
          OSError: the bucket cannot be read or written.
        """
        try:
            probe = f"{WRITER}.{secrets.token_hex(4)}"
            self._bucket.write(probe, b"")
            self._bucket.remove(probe)
            names = self._bucket.names()
            checkpoints = (bucket.checkpoint_of(name) for name in names)
            self._there = {one for one in checkpoints if one}
            self._whole = bucket.complete(names)
            self._sums = self._read_record()
            if not self._goes_on_here(names):
                self._fetch(names)
            here = {one: self._digest(one) for one in self._whole}
            self._sums = {one: x for one, x in here.items() if x} | self._sums
            if self._sums:
                self._record()
        except OSError as error:
            raise OSError(
                f"{self._bucket.address} cannot be used: {bucket.cause(error)}. Check "
                "the address, the network and your rights, or give a local folder as "
                "--workdir."
            ) from error
        logging.info(
            "The run is copied to %s while it trains in %s.",
            self._bucket.address,
            self._local,
        )

    def _goes_on_here(self, names: Collection[str]) -> bool:
        """Whether the local folder has all that is in the bucket, and perhaps more."""
        is_run = (self._local / "config.json").exists()
        if "config.json" not in names:
            if is_run and (self._local.parent / _COPIED).exists():
                raise ValueError(
                    f"{self._bucket.address} is empty, but {self._local} was copied to "
                    f"it: to train anew, remove {self._local.parent}; to go on, copy "
                    "the run back, or give its local folder as --workdir."
                )
            return True
        steps = bucket.steps(self._whole, "checkpoints")
        if not is_run or not steps:
            return is_run
        newest = f"checkpoints/{steps[-1]}"
        there = _sha256(self._bucket.read(newest + bucket.SUMS) or b"")
        here = listing.steps(self._local / "checkpoints")
        is_later = max(here, default=0) > steps[-1]
        # A folder that has gone on may have deleted what it had in common.
        is_ahead = is_later and there == self._sums.get(newest)
        return is_ahead or there == self._digest(newest)

    def _digest(self, one: str) -> str | None:
        """The SHA-256 of a local checkpoint's SHA256SUMS; None without the file."""
        path = self._local / f"{one}{bucket.SUMS}"
        try:
            return _sha256(path.read_bytes())
        except FileNotFoundError:
            return None

    def _record(self) -> None:
        """Writes down which checkpoints the bucket has, or will have, from here.

        The next process tells by it whether the bucket's newest checkpoint is one that
        this folder has deleted since.
        """
        files.write_whole(self._local.parent / _COPIED, json.dumps(self._sums))

    def _read_record(self) -> dict[str, str]:
        try:
            return dict(json.loads((self._local.parent / _COPIED).read_bytes()))
        except (FileNotFoundError, ValueError):  # it was empty at first
            return {}

    def _fetch(self, names: Collection[str]) -> None:
        """Puts the run in the bucket in the place of the local folder."""
        wanted = [
            name
            for name in names
            if not name.startswith(WRITER) and name != files.LATER_SCORES
            if bucket.checkpoint_of(name) in {None, *self._whole}
        ]
        logging.info("Fetching %d files of %s.", len(wanted), self._bucket.address)
        fresh, aside = (
            self._local.with_name(self._local.name + end) for end in (".new", ".old")
        )
        shutil.rmtree(fresh, ignore_errors=True)
        for name in wanted:
            self._bucket.download(name, fresh / name)
        if self._local.exists():
            shutil.rmtree(aside, ignore_errors=True)
            self._local.rename(aside)
            logging.warning(
                "%s lacked the bucket's newest checkpoint. It was set aside as %s.",
                self._local,
                aside,
            )
        fresh.rename(self._local)
        self._sums = {}
        self._sent = {name: about for name, _, about in self._changed_files()}

    def start(self) -> None:
        """Starts to copy in a thread."""
        self._thread.start()

    def _keep_copying(self) -> None:
        is_failing = False
        while not self._over.wait(SECONDS):
            try:
                self.copy()
            except OSError as error:
                if not is_failing:
                    logging.warning(
                        "Not copied to %s: %s. The run goes on, and copying is tried "
                        "again.",
                        self._bucket.address,
                        bucket.cause(error),
                    )
                is_failing = True
            else:
                if is_failing:
                    logging.info("Copied to %s again.", self._bucket.address)
                is_failing = False

    def copy(self) -> None:
        """Copies what has changed, and removes checkpoints that the run has deleted.

        Raises:
          OSError: the bucket fails, or another process has taken it over.
        """
        self._claim()
        kept = {
            f"{folder}/{step}"
            for folder in bucket.FOLDERS
            for step in listing.steps(self._local / folder)
        }
        sums = {}
        for one in sorted(one for one in kept if not self._is_copied(one)):
            content = self._send_arrays(one)
            if content is not None:
                sums[one] = content
        for name, content, about in self._changed_files():
            self._bucket.write(name, content)
            self._sent[name] = about
        self._sums |= {one: _sha256(content) for one, content in sums.items()}
        self._record()
        for one, content in sums.items():
            self._bucket.write(one + bucket.SUMS, content)
            self._whole.add(one)
        for one in sorted(self._there - kept):
            self._remove_checkpoint(one)

    def _is_copied(self, one: str) -> bool:
        """Whether the bucket has a checkpoint as it is here, or it is here no more.

        After a retry a run may save a step anew, with other arrays.
        """
        here = self._digest(one)
        return here is None or (one in self._whole and here == self._sums.get(one))

    def _claim(self) -> None:
        """Writes this process into the bucket, or checks that it is still there."""
        found = self._bucket.read(WRITER)
        who = found.decode(errors="replace")[:200] if found else "nobody"
        if self._is_claimed and found != self._mark:
            raise OSError(f"it no longer belongs to this process, but to {who}")
        if not self._is_claimed:
            if found:
                logging.warning(
                    "%s belonged to %s, which has not said that it ended. If it still "
                    "runs, it copies nothing any more.",
                    self._bucket.address,
                    who,
                )
            self._bucket.write(WRITER, self._mark)
            self._is_claimed = True

    def _send_arrays(self, one: str) -> bytes | None:
        """Copies a checkpoint without its SHA256SUMS, and returns their content.

        The result is None if the run has deleted the checkpoint meanwhile.
        """
        folder = self._local / one
        if one in self._there:  # half of another copy, whose files have other names
            self._remove_checkpoint(one)
        self._there.add(one)
        try:
            content = (folder / listing.SUMS).read_bytes()
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path != folder / listing.SUMS:
                    name = path.relative_to(self._local).as_posix()
                    self._bucket.upload(path, name)
        except OSError:
            if (folder / listing.SUMS).exists():
                raise
            return None
        return content

    def _remove_checkpoint(self, one: str) -> None:
        self._bucket.remove(one + bucket.SUMS)  # what is left is no checkpoint
        self._whole.discard(one)
        self._sums.pop(one, None)
        for name in self._bucket.names():
            if bucket.checkpoint_of(name) == one:
                self._bucket.remove(name)
        self._there.discard(one)

    def _changed_files(self) -> Iterator[tuple[str, bytes, tuple[int, int]]]:
        """The files of no checkpoint that were not copied as they are now.

        Each comes with its content and with its size and time, which are read before
        the content, so that a later change is noticed the next time.
        """
        for root, folders, names in os.walk(self._local):
            if Path(root) == self._local:
                folders[:] = [x for x in folders if x not in bucket.FOLDERS]
            for path in sorted(Path(root, name) for name in names):
                name = path.relative_to(self._local).as_posix()
                is_own = name in ("lock", files.LATER_SCORES) or path.suffix == ".tmp"
                if is_own or path.is_symlink() or not path.is_file():
                    continue
                about = path.stat()
                found = about.st_size, about.st_mtime_ns
                if self._sent.get(name) != found:
                    yield name, path.read_bytes(), found

    def end(self) -> None:
        """Copies the rest, and says in the bucket that this process has ended.

        Raises:
          OSError: not everything could be copied.
        """
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._local.exists():
            return
        try:
            self.copy()
            self._bucket.remove(WRITER)
        except OSError as error:
            raise OSError(
                f"{self._local} was not copied whole to {self._bucket.address}: "
                f"{bucket.cause(error)}. Mend that, and run the same command again on "
                "this machine to copy the rest."
            ) from error
        logging.info("All of the run is in %s.", self._bucket.address)

    def end_after_failure(self) -> None:
        """Tries to copy the rest of a run that failed after it had started."""
        if self._thread.is_alive():
            try:
                self.end()
            except OSError as error:
                logging.warning("%s", error)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
