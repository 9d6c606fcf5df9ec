"""Which checkpoints of a run are complete, told by the names of files alone.

It imports no library, so that a command which only lists runs starts at once.
"""

from pathlib import Path
import re

SUMS = "SHA256SUMS"  # lists the digests of a checkpoint's other files
ARRAYS = "default"  # folder of the arrays; orbax gives this name to a single item
# Before SHA256SUMS, orbax marked a complete checkpoint by one of these files.
_MARKS_WITHOUT_SUMS = ("commit_success.txt", "_CHECKPOINT_METADATA")


def steps(directory: Path) -> list[int]:
    """The steps of the complete checkpoints, in order; empty without the folder.

    A folder with an incomplete checkpoint, or with something else, does not count.
    """
    return [step for step in numbered(directory) if is_complete(directory, step)]


def numbered(directory: Path) -> list[int]:
    """The numbers that are names in the folder, in order."""
    if not directory.is_dir():
        return []
    names = (path.name for path in directory.iterdir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d{0,17}", name))


def is_complete(directory: Path, step: int) -> bool:
    """Whether all files of the checkpoint of `step` were written."""
    folder = directory / str(step)
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and (folder / ARRAYS / "_METADATA").is_file()
        and ((folder / SUMS).is_file() or has_no_sums(folder))
    )


def has_no_sums(folder: Path) -> bool:
    """Whether a version before SHA256SUMS wrote this checkpoint."""
    return not (folder / SUMS).exists() and any(
        (folder / name).is_file() for name in _MARKS_WITHOUT_SUMS
    )
