"""Computes table rows from results: choices of searches, means, standard errors."""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.engine.published import VALUES, Published
from experiments.engine.spec import NOTHING, RAW, Part, Result
from gan_jax.evaluation import estimate, suite


class Cell(NamedTuple):
    """A number of a row.

    Attributes:
      mean: mean over the finished seeds, inf or nan if a value is; None without seeds.
      standard_error: standard error of the mean; None below two seeds, or if the mean
        is not finite.
      values: values of the finished seeds, in their order.
      published: values of the same number in papers.
      seeds: seeds of the values.
    """

    mean: float | None
    standard_error: float | None
    values: tuple[float, ...]
    published: tuple[Published, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def not_finite(self) -> int:
        """The number of seeds whose value is infinite or undefined."""
        return sum(not np.isfinite(value) for value in self.values)


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      name: name in Part.rows or Part.references.
      choice: choice of the search; "" without a search, None if it is not made yet.
      cells: cells by the numbers of the columns.
      seeds: number of finished seeds.
      failed: number of failed seeds.
      missing: number of seeds that were not run or are not finished.
      failed_as: "diverged" if all errors say so, otherwise "failed".
      elsewhere: published values of numbers that have no column.
      passed: number of seeds that first passed the threshold at a step, by the step.
      never: number of seeds that have not passed it.
    """

    name: str
    choice: str | None
    cells: Mapping[str, Cell]
    seeds: int
    failed: int
    missing: int
    failed_as: str = "failed"
    elsewhere: tuple[Published, ...] = ()
    passed: Mapping[int, int] = NOTHING
    never: int = 0


def direction(number: str) -> int:
    """+1 if more is better, -1 if less is, also for the raw generator's number."""
    return suite.direction(number.removeprefix(RAW))


def choose(
    part_name: str, part: Part, results: Iterable[Result]
) -> dict[str, str | None]:
    """The search's choice for each row.

    Among the choices with the most finished seeds, it is the one with the best mean. It
    is "" without a search, and None if no seed has finished.

    Raises:
      ValueError: the search's number has no better direction.
    """
    if part.search is None:
        return dict.fromkeys(part.rows, "")
    sign = direction(part.search.number)
    if sign == 0:
        raise ValueError(
            f"the search of part {part_name!r} goes by {part.search.number}, of which "
            "neither more nor less is better; a search takes a number with a "
            "direction: change Search.number."
        )
    results = list(results)
    chosen: dict[str, str | None] = {}
    for row in part.rows:
        scores = {}
        for choice, cell in search_cells(part_name, part, results, row).items():
            if cell.mean is not None:
                score = -np.inf if np.isnan(cell.mean) else cell.mean * sign
                scores[choice] = (len(cell.values), score)
        chosen[row] = max(scores, key=scores.__getitem__) if scores else None
    return chosen


def summarise(part_name: str, part: Part, results: Iterable[Result]) -> list[Row]:
    """The rows of a part's table, each with its chosen hyper-parameters.

    Raises:
      ValueError: a published value is missing in published.VALUES.
    """
    results = list(results)
    chosen = choose(part_name, part, results)
    found = _by_trial(part_name, results)
    rows = []
    for name in part.rows:
        runs = [found.get((name, chosen[name] or "", seed)) for seed in part.seeds]
        failed = [run for run in runs if run and run.status == "failed"]
        finished = [run for run in runs if run and run.status == "finished"]
        diverged = all("diverged" in run.error for run in failed)
        quoted = _published(part, name)
        numbers = [column.number for column in part.columns]
        cells = {number: _cell(runs, number, quoted) for number in numbers}
        rows.append(
            Row(
                *(name, chosen[name], cells, len(finished), len(failed)),
                len(runs) - len(finished) - len(failed),
                "diverged" if diverged else "failed",
                tuple(entry for entry in quoted if entry.number not in numbers),
                *_passing(part, finished),
            )
        )
    return [*rows, *_references(part, found)]


def _references(
    part: Part, found: Mapping[tuple[str, str, int], Result]
) -> Iterator[Row]:
    """Yields the reference rows that were computed, over all their seeds."""
    for name in part.references:
        runs = [run for (row, _, _), run in found.items() if row == name]
        cells = {x.number: _cell(runs, x.number, ()) for x in part.columns}
        if runs:
            yield Row(name, "", cells, len(runs), 0, 0)


def _passing(part: Part, finished: Sequence[Result]) -> tuple[dict[int, int], int]:
    """How many runs first passed the threshold at each step, and how many never did."""
    if part.threshold is None:
        return {}, 0
    number, value = part.threshold
    sign = direction(number)
    firsts = [
        next(
            (step for step, x in run.curves.get(number, ()) if sign * (x - value) > 0),
            None,
        )
        for run in finished
    ]
    passed = collections.Counter(step for step in firsts if step is not None)
    return dict(sorted(passed.items())), firsts.count(None)


def search_cells(
    part_name: str,
    part: Part,
    results: Iterable[Result],
    row: str,
    number: str | None = None,
) -> dict[str, Cell]:
    """A number over the search's seeds, by choice; None takes the search's number."""
    assert part.search is not None
    search, found = part.search, _by_trial(part_name, results)
    return {
        choice: _cell(
            [found.get((row, choice, seed)) for seed in search.seeds],
            number or search.number,
            (),
        )
        for choice in search.choices
    }


def _cell(
    runs: Sequence[Result | None],
    number: str,
    quoted: Iterable[Published],
) -> Cell:
    found = {
        run.trial.seed: float(run.numbers[number])
        for run in runs
        if run is not None and run.status == "finished" and number in run.numbers
    }
    values = tuple(found.values())
    mean = estimate.mean_of(values) if values else None
    return Cell(
        mean and mean.value,
        mean and mean.standard_error,
        values,
        tuple(entry for entry in quoted if entry.number == number),
        tuple(found),
    )


def _published(part: Part, row: str) -> list[Published]:
    entries = []
    for key in part.published.get(row, ()):
        if key not in VALUES:
            raise ValueError(
                f"row {row!r} quotes {key!r}, which is none of the "
                f"{len(VALUES)} keys of published.VALUES; change "
                "Part.published, or add the value with its source."
            )
        entries.append(VALUES[key])
    return entries


def _by_trial(
    part_name: str, results: Iterable[Result]
) -> dict[tuple[str, str, int], Result]:
    return {
        (result.trial.row, result.trial.choice, result.trial.seed): result
        for result in results
        if result.trial.part == part_name
    }
