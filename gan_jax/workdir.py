"""What lies in a run's folder: config.json, checkpoints/, samples/ and JSON lines.

A run is understood, resumed and sampled from its folder alone.
"""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

MISSING = "(no such field)"


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def write_whole(path: Path, text: str) -> None:
    """Writes a text file under a temporary name first, so that it is never half."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text)
    unfinished.replace(path)


def _as_json(config: ConfigDict) -> ConfigDict:
    """The config as config.json gives it back: tuples are lists."""
    return ConfigDict(json.loads(json.dumps(config.to_dict())))


def differences(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """The fields whose values differ, as name -> (old value, new value)."""
    before, after = _flatten(old.to_dict()), _flatten(new.to_dict())
    names = sorted(before.keys() | after.keys())
    return {
        name: (before.get(name, MISSING), after.get(name, MISSING))
        for name in names
        if before.get(name, MISSING) != after.get(name, MISSING)
    }


def read_config(workdir: Path) -> ConfigDict:
    """The resolved config of the run in `workdir`.

    Raises:
      ValueError: the folder holds no run, or its config.json cannot be read.
    """
    path = workdir / "config.json"
    try:
        return ConfigDict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise ValueError(
            f"{workdir} holds no run: {path} does not exist; give the folder of a "
            "run as --workdir, or start one with python -m gan_jax.main."
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{path} is not JSON ({error}); restore it from a copy, or start the run "
            "anew in another --workdir."
        ) from None


def check(workdir: Path, config: ConfigDict) -> None:
    """Refuses a folder that belongs to a run with another config; writes nothing.

    Raises:
      ValueError: names the fields that differ.
    """
    if not (workdir / "config.json").exists():
        return
    differing = differences(read_config(workdir), _as_json(config))
    if differing:
        listed = "; ".join(
            f"{name} was {old!r}, now {new!r}" for name, (old, new) in differing.items()
        )
        raise ValueError(
            f"{workdir} belongs to a run with another config: {listed}. Give the old "
            "values, another --workdir, or --override_config to go on with the new "
            "ones."
        )


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder of a run and writes its config.json.

    Raises:
      ValueError: the folder cannot be written.
    """
    try:
        (workdir / "samples").mkdir(parents=True, exist_ok=True)
        text = json.dumps(_as_json(config).to_dict(), indent=2)
        write_whole(workdir / "config.json", text)
    except OSError as error:
        raise ValueError(
            f"cannot write the run's folder {workdir}: {error.strerror}; give another "
            "one as --workdir."
        ) from None


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds one record to a file of JSON lines."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; none without the file.

    A last line that is broken, of a run that was killed while writing it, is left out.
    """
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def drop_lines_after(path: Path, step: int) -> None:
    """Removes the records whose "step" is above `step`: they will be written again."""
    if path.exists():
        kept = [record for record in read_lines(path) if record["step"] <= step]
        write_whole(path, "".join(json.dumps(record) + "\n" for record in kept))
