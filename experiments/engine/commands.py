"""What a trial sets, in words of flags, and the command that runs it."""

from collections.abc import Mapping
import shlex
from typing import Any

from experiments.engine.spec import Overrides, Part, Trial


def base(part: Part) -> str:
    """The config of all rows with the part's overrides, as one line of code."""
    flags = _flags(part.overrides)
    return f"`--config={part.config}{' ' if flags else ''}{flags}`"


def settings(part: Part, trial: Trial) -> str:
    """The fields that a row sets beyond the part's, its choice's last."""
    chosen = part.search.choices[trial.choice] if part.search else {}
    return _flags({**part.rows[trial.row], **chosen}) or "as the config"


def command(name: str, trial: Trial) -> str:
    """Trains one trial of experiment `name` in the program in which the table has it.

    gan_jax.main with the same fields would train it alone on all cores, whose sums are
    added in another order: the numbers would be others.
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
    """Flags on lines of at most 88 columns, where they can be."""
    lines = [start]
    for flag, value in flags.items():
        text = f"--{flag}={shlex.quote(str(value))}"
        if len(lines[-1]) + len(text) + 3 > 88:
            lines.append(f"    {text}")
        else:
            lines[-1] += f" {text}"
    return " \\\n".join(lines)
