"""What a reader does with hostile files: it accepts or refuses them, or goes wrong."""

from collections.abc import Callable
from pathlib import Path
import sys
from typing import Any

from experiments.faults.hostile import edits

EXECUTING = (  # audit events of code that a file would run
    *("os.exec", "os.fork", "os.posix_spawn", "os.system", "pickle.find_class"),
    *("socket.connect", "subprocess.Popen"),
)
EVENTS: list[str] = []


def write(files: edits.Files, folder: Path) -> Path:
    """Writes files into a folder; returns the path of the first."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / next(iter(files))


def outcome(read: Callable[[Path], bool], path: Path, folder: Path) -> str:
    """What a reader does with a file: "accepted", "refused", or what went wrong.

    Args:
      read: reader of the file.
      path: path of the file.
      folder: folder of the case, the beginning of the path that a refusal must name.
    """
    EVENTS.clear()
    try:
        found = "accepted" if read(path) else "refused"
    except (ValueError, OSError) as error:
        found = _judged(error, folder)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    if EVENTS or edits.MODULE in sys.modules:
        return f"executed: {EVENTS}"
    return found


def _judged(error: BaseException, folder: Path) -> str:
    """Whether a refusal is one sentence that names the file, and was not too late."""
    text = str(error)
    if not (str(folder) in text or "config.json" in text):
        return f"names no file: {text}"
    if "\n" in text or len(text) > 2_000:
        return f"no sentence: {text}"
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, MemoryError):
            return f"no memory: {text}"
        cause = cause.__cause__ or cause.__context__
    return "refused"


def watch() -> None:
    """Notes from now on in EVENTS what this process executes; it cannot be undone."""

    def note(event: str, arguments: Any) -> None:
        del arguments
        if event in EXECUTING:
            EVENTS.append(event)

    sys.addaudithook(note)
