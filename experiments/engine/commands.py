"""The fields that a trial sets, written as flags, and the command that runs it."""

from collections.abc import Mapping
import shlex
from typing import Any

from experiments.engine.spec import Overrides, Part, Trial


def base(part: Part) -> str:
    """The config of all rows and the overrides of the part, as a line of code."""
    flags = _flags(part.overrides)
    return f"`--config={part.config}{' ' if flags else ''}{flags}`"


def settings(part: Part, trial: Trial) -> str:
    """The fields that a row sets in addition to the part, and those of its choice."""
    chosen = part.search.choices[trial.choice] if part.search else {}
    return _flags({**part.rows[trial.row], **chosen}) or "as the config"


def command(name: str, trial: Trial) -> str:
    """The command that trains a trial of experiment `name` as for the table.

    The trial shares a program with other trials. gan_jax.main with the same fields
    would train it alone on all cores, where sums are added in another order, so the
    last digits would differ.
    """
    return _lines(
        f"python -m experiments.run --experiment={name}",
        {"workdir": f"runs/{name}", "only": trial.folder},
    )


def _flags(fields: Overrides) -> str:
    return " ".join(
        f"--config.{field}={shlex.quote(str(value))}" for field, value in fields.items()
    )


def _lines(start: str, flags: Mapping[str, Any]) -> str:
    """The command with its flags on lines of at most 88 columns, where possible."""
    lines = [start]
    for flag, value in flags.items():
        text = f"--{flag}={shlex.quote(str(value))}"
        if len(lines[-1]) + len(text) + 3 > 88:
            lines.append(f"    {text}")
        else:
            lines[-1] += f" {text}"
    return " \\\n".join(lines)
