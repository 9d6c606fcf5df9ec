"""What lies in a run's folder: config.json, checkpoints/, samples/ and JSON lines.

A run is understood, resumed and sampled from its folder alone.
"""

from collections.abc import Iterator, Mapping
import contextlib
import json
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

import gan_jax

MISSING = "(no such field)"
VERSION = "gan_jax_version"  # in config.json, beside the fields of the config

# Fields and sections that may change when a run goes on, since its parameters after a
# step do not depend on them. Places of the data are not among them: the data might be
# others there.
CHANGEABLE = {
    "steps_per_call",  # how steps are put together, not what they compute
    "log_every_steps",  # these four say when something is written, and so shorten calls
    "sample_every_steps",
    "checkpoint_every_steps",
    "eval_every_steps",
    "checkpoints_to_keep",  # how many files stay
    "sample_rows",  # the size of a picture, whose latents have a key of their own
    "sample_columns",
    "tensorboard",  # a second copy of what metrics.jsonl has
    "compilation_cache_dir",  # the place of compiled programs
    "data.cache_dir",  # the place of decoded data, which are found by what they are
    "data.device_bytes",  # whether the host or the device gathers the same batches
    "evaluation",  # scores only, and each says by which protocol; best/ follows them
}


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
        fields = json.loads(path.read_text())
        fields.pop(VERSION, None)
        return ConfigDict(fields)
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


def other_version(workdir: Path) -> str | None:
    """The gan_jax that wrote config.json; None for this version, or without a run.

    Versions up to 0.1.0 left no name.
    """
    path = workdir / "config.json"
    fields = json.loads(path.read_text()) if path.exists() else {VERSION: None}
    version = fields.get(VERSION, "0.1.0 or earlier")
    return None if version in (None, gan_jax.__version__) else f"gan_jax {version}"


@contextlib.contextmanager
def naming_version(workdir: Path) -> Iterator[None]:
    """Turns an error over the run of another version into a sentence that names it.

    Raises:
      ValueError: names both versions.
    """
    try:
        yield
    except Exception as error:
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
    if name == "num_train_steps":
        return bool(new > old)  # a longer run begins with the steps of a shorter one
    return name in CHANGEABLE or name.split(".")[0] in CHANGEABLE


def check(workdir: Path, config: ConfigDict) -> None:
    """Refuses a folder that belongs to a run with another config; writes nothing.

    Raises:
      ValueError: names the fields that differ and may not.
    """
    if not (workdir / "config.json").exists():
        return
    differing = differences(read_config(workdir), _as_json(config))
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
    schedule = config.optimizer.get("schedule", "constant")  # 0.1.0 had none
    if "num_train_steps" in differing and schedule != "constant":
        logging.info(
            "The %s schedule of the learning rates now spans %d steps, before %d: the "
            "rates differ from those of a run of %d steps from its start.",
            schedule,
            *reversed(differing["num_train_steps"]),
            config.num_train_steps,
        )


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder of a run and writes its config.json.

    Raises:
      ValueError: the folder cannot be written.
    """
    try:
        (workdir / "samples").mkdir(parents=True, exist_ok=True)
        fields = {VERSION: gan_jax.__version__, **_as_json(config).to_dict()}
        text = json.dumps(fields, indent=2)
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
