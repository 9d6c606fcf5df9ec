"""The command that runs one trial of an experiment alone."""

from collections.abc import Mapping
import shlex
from typing import Any

from experiments.engine.spec import Part, Trial


def overrides(part: Part, trial: Trial) -> dict[str, Any]:
    """The fields that a trial sets, the row's after the part's, the choice's last."""
    chosen = part.search.choices[trial.choice] if part.search else {}
    return {**part.overrides, **part.rows[trial.row], **chosen}


def command(name: str, part: Part, trial: Trial) -> str:
    """Trains with gan_jax.main, or with experiments.run where flags cannot say it.

    Args:
      name: of the experiment.
      part: that the trial belongs to.
      trial: to run.
    """
    fields = overrides(part, trial)
    if not all(
        isinstance(value, bool | int | float | str) for value in fields.values()
    ):
        return _lines(
            f"python -m experiments.run --experiment={name}",
            {"workdir": f"runs/{name}", "only": trial.folder},
        )
    flags = {"workdir": f"runs/{name}/{trial.folder}", "config.seed": trial.seed}
    flags |= {f"config.{field}": value for field, value in fields.items()}
    return _lines(f"python -m gan_jax.main --config={part.config}", flags)


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
