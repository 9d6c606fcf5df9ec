"""A run's config.json: written, read, and compared with the config of a command."""

from collections.abc import Iterable, Iterator, Mapping
import contextlib
import json
import os
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from gan_jax import own_parts, version
from gan_jax.run import files

MISSING = "(no such field)"
VERSION = "gan_jax_version"  # in config.json, beside the fields of the config
OWN_PARTS = "own_parts"  # there too: names and digests of the parts of own_parts.py
_LARGEST = 2**20  # bytes of config.json; default.py needs three thousand

# Fields that 0.2.0 has added, with the values that older runs had without them.
ADDED = {
    "deterministic": False,
    "matmul_precision": "default",
    "recipe.augment": "",
    "recipe.lecam_weight": 0.0,
    "recipe.lecam_decay": 0.99,
}

# Fields and sections that may change when a run goes on, since its parameters after a
# step do not depend on them. The folders of the data may not change, since other
# folders may hold other data. `deterministic` may not either: it changes the rounding
# on GPUs, and a run of which a part was not deterministic cannot be repeated.
CHANGEABLE = {
    "steps_per_call",  # how many steps are compiled together, not what they compute
    "log_every_steps",  # these four say when something is written, which ends a call
    "sample_every_steps",
    "checkpoint_every_steps",
    "eval_every_steps",
    "checkpoints_to_keep",  # how many files stay
    "sample_rows",  # the size of a picture, whose latents have a separate key
    "sample_columns",
    "tensorboard",  # these two are copies of what metrics.jsonl has
    "tracker",
    "compilation_cache_dir",  # the place of compiled programs
    "data.cache_dir",  # the place of decoded data, whose name depends on their content
    "data.device_bytes",  # whether the host or the device gathers the same batches
    "evaluation",  # concerns scores, which record their protocol, and best/
    "watchdog",  # when a run stops; a retry is recorded
}

# Fields that may not even be overridden: the step of a run, and with it its keys and
# rates, is the number of the networks' updates divided by these numbers.
UPDATES = ("recipe.discriminator_steps", "recipe.generator_steps")

# Fields with a path of the machine that trains, which concerns no other machine.
PATHS = (
    "compilation_cache_dir",
    "data.cache_dir",
    "data.data_dir",
    "data.manual_dir",
    "evaluation.weights",
)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a tree by their paths, such as optimizer.generator.b1."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


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


def read(workdir: Path) -> ConfigDict:
    """The resolved config of the run in `workdir`; its values are not checked.

    Raises:
      ValueError: the folder holds no run, or its config.json cannot be read or does not
        hold a config.
    """
    fields = _read_fields(workdir)
    fields.pop(VERSION, None)
    fields.pop(OWN_PARTS, None)
    return with_added(fields)


def with_added(fields: Mapping[str, Any]) -> ConfigDict:
    """A config of the fields of a run, with those that ADDED has and the run lacks."""
    config = ConfigDict(fields)
    for path, value in ADDED.items():
        *sections, name = path.split(".")
        section = config
        for one in sections:
            section = section.get(one)
            if not isinstance(section, ConfigDict):
                break
        else:
            section[name] = section.get(name, value)
    return config


def _read_fields(workdir: Path) -> dict[str, Any]:
    path = workdir / "config.json"
    try:
        with open(files.open_own_file(path, os.O_RDONLY), "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            what = "is a file" if workdir.is_file() else "holds no run"
            raise ValueError(
                f"{workdir} {what}: {path} does not exist; give the folder of a run as "
                "--workdir, or start one with python -m gan_jax.main."
            ) from None
        raise ValueError(
            f"{path} cannot be read: {files.cause(error)}; make it readable, or "
            "restore it from a copy."
        ) from None
    mend = "restore it from a copy, or start the run anew in another --workdir."
    if len(content) > _LARGEST:
        raise ValueError(
            f"{path} has more than {_LARGEST:,} bytes and is no config: {mend}"
        )
    try:
        fields = json.loads(content)
        fault = damage(fields)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): {mend}") from None
    except RecursionError:
        fault = "it is nested too deeply"
    if fault:
        raise ValueError(f"{path} is damaged: {fault}; {mend}")
    return dict(fields)


def damage(fields: Any) -> str:
    """Says why fields read from JSON cannot be a config; "" if they can."""
    if not isinstance(fields, dict):
        return "it holds no object with the fields of a config"
    for name in _names(fields):
        if not name.isidentifier() or hasattr(ConfigDict, name):
            return f"{name[:40]!r} is no name of a field"
    version = fields.get(VERSION, "")
    if not isinstance(version, str) or len(version) > 40:
        return f"{VERSION} is no version"
    parts = fields.get(OWN_PARTS, [])
    if not isinstance(parts, list) or not all(map(_is_part, parts)):
        return f"{OWN_PARTS} is no list of parts"
    return ""


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and all(
        isinstance(part.get(name), str) for name in ("name", "sha256")
    )


def _names(tree: Mapping[str, Any]) -> Iterator[str]:
    for name, value in tree.items():
        yield name
        if isinstance(value, Mapping):
            yield from _names(value)


def steps_per_call(workdir: Path) -> int:
    """The steps per call of the run in `workdir`; 0 if there is none that tells."""
    try:
        steps = read(workdir).get("steps_per_call")
    except ValueError:  # there is no run, or --override_config replaces the file
        return 0
    return steps if isinstance(steps, int) and 0 < steps < 2**31 else 0


def version_of(workdir: Path) -> str:
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
    found = version_of(workdir)
    return None if found == version.VERSION else f"gan_jax {found}"


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
            f"{workdir} was made by {maker}, and gan_jax {version.VERSION} cannot "
            f"use it: {cause}. Use the version that made it, or train anew in another "
            "--workdir."
        ) from error


def check_code(workdir: Path, fields: Iterable[str], *, allow_code: bool) -> None:
    """Refuses a run whose parts would be imported from files, unless that is allowed.

    A run's folder may come from a stranger, and importing a file executes it. Nothing
    is imported here. A source that has changed since the run was trained is named in a
    warning.

    Args:
      workdir: folder of the run.
      fields: fields of the config whose parts the caller will import.
      allow_code: whether the user allows the import.

    Raises:
      ValueError: a field names a part, and code is not allowed, or its file is missing.
    """
    names = own_parts.names(read(workdir), fields)
    if names and not allow_code:
        raise ValueError(
            f"{workdir} names {' and '.join(names)}, code that would be imported from "
            f"the working directory {os.getcwd()} or from Python's path, and executed: "
            "if you trust that code, allow it with --allow_code, or in Python with "
            "gan_jax.load(..., allow_code=True)."
        )
    for change in _changed_sources(workdir, own_parts.digests(names)):
        logging.warning(
            "%s. What is computed now may not be what the run has learnt.", change
        )


def _changed_sources(workdir: Path, digests: Mapping[str, str]) -> list[str]:
    """A clause for each part whose source is not that with which the run was trained.

    Args:
      workdir: folder of the run.
      digests: SHA-256 of the parts' sources now.
    """
    parts = _read_fields(workdir).get(OWN_PARTS, [])
    return [
        f"the source of {part['name']} has changed since {workdir} was trained: its "
        f"SHA-256 was {part['sha256'][:64]}, and is {digests[part['name']]}"
        for part in parts
        if digests.get(part["name"], part["sha256"]) != part["sha256"]
    ]


def _may_change(name: str, old: Any, new: Any) -> bool:
    if name == "num_train_steps":  # a longer run begins with the steps of a shorter one
        return isinstance(old, int) and isinstance(new, int) and new > old
    return name in CHANGEABLE or name.split(".")[0] in CHANGEABLE


def check(workdir: Path, config: ConfigDict) -> None:
    """Refuses a folder that belongs to a run with another config; writes nothing.

    Raises:
      ValueError: fields, or sources of parts that are trained with, differ that must
        not change; they are named.
    """
    if not (workdir / "config.json").exists():
        return
    differing = differences(read(workdir), as_json(config))
    refused = {
        name: values
        for name, values in differing.items()
        if not _may_change(name, *values)
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
    names = own_parts.names(config, own_parts.TRAINED)
    changes = _changed_sources(workdir, own_parts.digests(names))
    if changes:
        raise ValueError(
            f"{'; '.join(changes)}. Restore the file, give another --workdir, or "
            "--override_config to go on with the changed code."
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


def check_updates(workdir: Path, config: ConfigDict) -> None:
    """Refuses another number of updates a step than that of the run in `workdir`.

    It is refused even with --override_config. Nothing is written.

    Raises:
      ValueError: a field in UPDATES differs.
    """
    try:
        differing = differences(read(workdir), as_json(config))
    except ValueError:  # there is no run, or --override_config replaces the file
        return
    changed = {name: differing[name] for name in UPDATES if name in differing}
    if changed:
        listed = "; ".join(
            f"{name} was {old!r}, now {new!r}" for name, (old, new) in changed.items()
        )
        raise ValueError(
            f"{workdir} belongs to a run whose step is counted by its updates: {listed}"
            ". Give the old values, or another --workdir; --override_config does not "
            "change these."
        )


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder of a run and writes its config.json.

    Raises:
      ValueError: the folder cannot be written.
    """
    try:
        (workdir / "samples").mkdir(parents=True, exist_ok=True)
        fields = {VERSION: version.VERSION, **as_json(config).to_dict()}
        digests = own_parts.digests(own_parts.names(config))
        if digests:
            fields[OWN_PARTS] = [
                {"name": name, "sha256": digest} for name, digest in digests.items()
            ]
        text = json.dumps(fields, indent=2)
        files.write_whole(workdir / "config.json", text)
    except OSError as error:
        raise ValueError(
            f"cannot write the run's folder {workdir}: {files.cause(error)}; give "
            "another one as --workdir."
        ) from None
