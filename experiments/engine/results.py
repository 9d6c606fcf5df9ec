"""results.json: the result of every trial, a line for each, and its environment."""

from collections.abc import Iterable, Sequence
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine.spec import Result, Trial
from gan_jax.run import files

DIGITS = 6  # significant digits of a float


class Saved(NamedTuple):
    """The contents of a file of results.

    Attributes:
      made_on: hardware and versions of the runs that did not record an environment.
      results: results in the order of the file.
    """

    made_on: str
    results: list[Result]


def rounded(result: Result) -> Result:
    """The result as it is read from a file, with six significant digits."""
    known = result.environments
    return _from_json(_to_json(result, known), known)


def write(path: Path, results: Iterable[Result], *, made_on: str) -> None:
    """Writes the file completely or not at all; a changed result changes one line."""
    results = list(results)
    known = list(dict.fromkeys(x for result in results for x in result.environments))
    lines = ",\n".join(_dumps(_to_json(result, known)) for result in results)
    environments = json.dumps(known, ensure_ascii=False, indent=0)
    text = (
        f'{{"made_on": {json.dumps(made_on, ensure_ascii=False)},\n'
        f'"environments": {environments},\n'
        f'"results": [\n{lines}\n]}}\n'
    )
    files.write_whole(path, text)


def read(path: Path) -> Saved:
    """The contents of a file that `write` made.

    Raises:
      ValueError: the file is damaged, for example by the marks of a merge.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        known = saved.get("environments", ())
        lines = [_from_json(line, known) for line in saved["results"]]
        return Saved(saved["made_on"], lines)
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): restore it from a copy, or remove it and "
            "collect all runs again."
        ) from None


def _dumps(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _to_json(result: Result, known: Sequence[str]) -> dict[str, Any]:
    """A line of the file, which refers to environments by their index in `known`.

    Empty values are left out.
    """
    line = {
        **result.trial._asdict(),
        "status": result.status,
        "error": result.error,
        "step": int(result.step),
        "numbers": {
            name: _number(value) for name, value in sorted(result.numbers.items())
        },
        "curves": {
            name: _curve(pairs) for name, pairs in sorted(result.curves.items())
        },
        "seconds": _number(result.seconds),
        "environments": [known.index(one) for one in result.environments],
    }
    return {name: x for name, x in line.items() if x not in ("", {}, [], 0.0)}


def _from_json(line: dict[str, Any], known: Sequence[str]) -> Result:
    return Result(
        Trial(line["part"], line["row"], line.get("choice", ""), line.get("seed", 0)),
        line["status"],
        line.get("error", ""),
        line.get("step", 0),
        {name: float(value) for name, value in line.get("numbers", {}).items()},
        {
            name: [(step, float(value)) for step, value in pairs]
            for name, pairs in line.get("curves", {}).items()
        },
        float(line.get("seconds", 0.0)),
        tuple(known[index] for index in line.get("environments", ())),
    )


def _number(value: float) -> float | str:
    """The value with six digits; inf and nan, which JSON lacks, become strings."""
    value = float(value)
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)


def _curve(pairs: Sequence[tuple[int, float]]) -> list[list[Any]]:
    return [[int(step), _number(value)] for step, value in pairs]
