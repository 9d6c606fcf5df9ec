"""results.json: what became of every trial, one on each line."""

from collections.abc import Iterable, Sequence
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine.spec import Result, Trial

DIGITS = 6  # significant, of every float


class Saved(NamedTuple):
    """A file of results.

    Attributes:
      made_on: hardware, versions and times, as the page shows them.
      results: in the order of the file.
    """

    made_on: str
    results: list[Result]


def rounded(result: Result) -> Result:
    """The result as it comes back from a file: floats of six significant digits."""
    return _from_json(_to_json(result))


def write(path: Path, results: Iterable[Result], *, made_on: str) -> None:
    """Writes a file that changes by whole lines only, whole or not at all."""
    lines = [_dumps(_to_json(result)) for result in results]
    text = "".join(
        [
            f'{{"made_on": {json.dumps(made_on, ensure_ascii=False)},\n"results": [\n',
            ",\n".join(lines),
            "\n]}\n",
        ]
    )
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def read(path: Path) -> Saved:
    """The contents of a file that `write` made."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    return Saved(saved["made_on"], [_from_json(line) for line in saved["results"]])


def _dumps(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _to_json(result: Result) -> dict[str, Any]:
    """A line; what has its default is left out."""
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
    }
    return {name: value for name, value in line.items() if value not in ("", {}, 0.0)}


def _from_json(line: dict[str, Any]) -> Result:
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
    )


def _number(value: float) -> float | str:
    """Few digits; "inf", "-inf" and "nan" as words, which JSON has no numbers for."""
    value = float(value)
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)


def _curve(pairs: Sequence[tuple[int, float]]) -> list[list[Any]]:
    return [[int(step), _number(value)] for step, value in pairs]
