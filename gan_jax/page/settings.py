"""Configs on a page: what differs between them, and the command that repeats a run."""

from collections.abc import Mapping, Sequence
import json
import shlex
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax import models
from gan_jax.page.history import History
from gan_jax.run import config_file


class Row(NamedTuple):
    """The value of a field in each of several configs, as text."""

    field: str
    values: tuple[str, ...]


def text(value: Any) -> str:
    """A value of a config as JSON, which tells 1 from "1"."""
    if value == config_file.MISSING:
        return config_file.MISSING
    return json.dumps(value, ensure_ascii=False)


def rows_that_differ(configs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each field whose values differ between configs.

    Args:
      configs: fields of each config by their paths.
    """
    names = sorted(set().union(*configs))
    rows = [
        [config.get(name, config_file.MISSING) for config in configs] for name in names
    ]
    return [
        Row(name, tuple(text(value) for value in values))
        for name, values in zip(names, rows, strict=True)
        if any(value != values[0] for value in values)
    ]


def all_rows(configs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each field of the configs."""
    names = sorted(set().union(*configs))
    return [
        Row(
            name,
            tuple(text(config.get(name, config_file.MISSING)) for config in configs),
        )
        for name in names
    ]


def default_for(run: History, default: ConfigDict) -> dict[str, Any]:
    """The fields of the default config, with the options of the run's own networks.

    Args:
      run: run that is compared with the default.
      default: config of configs/default.py.
    """
    tree = config_file.as_json(default).to_dict()
    name = run.fields().get("model.name")
    if isinstance(name, str) and name in models.MODELS:
        options = ConfigDict(models.default_options(name))
        tree["model"] |= config_file.as_json(options).to_dict()
    return config_file.flatten(tree)


def nearest(run: History, shipped: Mapping[str, ConfigDict]) -> str | None:
    """The name of the shipped config from which the fewest fields of a run differ.

    The result is None if the run has a field that no shipped config has.
    """
    counts = {}
    for name, config in shipped.items():
        differing = config_file.differences(config_file.as_json(config), run.config)
        if all(old != config_file.MISSING for old, _ in differing.values()):
            counts[name] = len(differing)
    return min(counts, key=lambda name: counts[name]) if counts else None


def command(run: History, name: str, config: ConfigDict) -> str:
    """The command that trains the run again, in another folder.

    Args:
      run: run to repeat, which has no field that `config` lacks.
      name: name of a shipped config, as --config takes it.
      config: the shipped config itself.
    """
    differing = config_file.differences(config_file.as_json(config), run.config)
    words = [f"--config={name}", f"--workdir=runs/{run.workdir.resolve().name}_again"]
    words += [
        f"--config.{field}={_flag_value(value)}"
        for field, (_, value) in differing.items()
        if value != config_file.MISSING
    ]
    quoted = [shlex.quote(word) for word in words]
    return " \\\n    ".join(["python -m gan_jax.main", *quoted])


def _flag_value(value: Any) -> str:
    return str(tuple(value) if isinstance(value, list) else value)
