"""Writes the rows of a part as a Markdown table, and all rows as a CSV file."""

from collections.abc import Iterable, Sequence

import pandas as pd

from experiments.engine import pairs
from experiments.engine.published import Published
from experiments.engine.spec import Column, Experiment, Part, Result
from experiments.engine.summary import (
    Cell,
    Row,
    direction,
    search_cells,
    summarise,
)

NONE = "-"  # is shown if there is no number
CSV_FIELDS = (
    *("part", "row", "choice", "number", "mean", "standard_error", "seeds", "failed"),
    *("less", "difference", "difference_error"),
    *("published", "published_spread", "source"),
)


def seeds_in_words(row: Row) -> str:
    """The number of seeds, such as "3, 2 of 5 diverged"."""
    total = row.seeds + row.failed + row.missing
    words = [str(row.seeds)]
    if row.failed:
        words.append(f"{row.failed} of {total} {row.failed_as}")
    if row.missing and row.missing < total:
        words.append(f"{row.missing} of {total} not run")
    return ", ".join(words)


def format_number(value: float, column: Column) -> str:
    """The value in the unit and with the digits of the column."""
    return f"{value * column.scale:z.{column.digits}f}"


def format_cell(cell: Cell, column: Column, *, seeds: int = 0) -> str:
    """The cell, such as "6.3 ± 0.5" or "inf (2 of 5 seeds)", or a dash if empty.

    Args:
      cell: cell of the column.
      column: column with the unit and the digits.
      seeds: number of seeds that the reader expects; a mean of fewer has their number
        beside it.
    """
    if cell.mean is None:
        return NONE
    if len(cell.values) < seeds:
        return f"{format_cell(cell, column)} over {len(cell.values)} of {seeds} seeds"
    shown = format_number(cell.mean, column)
    if cell.not_finite:
        return f"{shown} ({cell.not_finite} of {len(cell.values)} seeds)"
    if cell.standard_error is None:
        return shown
    return f"{shown} ± {format_number(cell.standard_error, column)}"


def format_difference(found: pairs.Difference | None, column: Column) -> str:
    """The difference, such as "-4.6 ± 2.3", bold if it is resolved, or a dash."""
    if found is None:
        return NONE
    mean = f"{found.mean * column.scale:+z.{column.digits}f}"
    text = f"{mean} ± {format_number(found.standard_error, column)}"
    return f"**{text}**" if found.is_resolved else text


def format_passing(row: Row) -> str:
    """The steps of passing, such as "1,500 (2), never (1)", or a dash without a run."""
    counts = {f"{step:,}": count for step, count in row.passed.items()}
    counts |= {"never": row.never} if row.never else {}
    return ", ".join(f"{when} ({count})" for when, count in counts.items()) or NONE


def format_published(value: Published, scale: float = 1.0, *, beside: str = "") -> str:
    """The value, such as "6.3 ± 0.5, Lin et al. 2018, table 1".

    It has the digits of the paper. The paper's row is named unless it has the name of
    the row `beside` which the value is shown.
    """
    numbers = [value.value, *([] if value.spread is None else [value.spread])]
    texts = [f"{number * scale:.6g}" for number in numbers]
    digits = max(len(text.partition(".")[2]) for text in texts)
    shown = " ± ".join(f"{number * scale:.{digits}f}" for number in numbers)
    note = " (see the note)" if value.doubts else ""
    name = "" if value.row == beside else f"{value.row}: "
    return f"{name}{shown}, {value.source}{note}"


def to_markdown(part: Part, rows: Sequence[Row]) -> str:
    """The table of a part; published values are to the right of their column."""
    columns = [("", [row.name for row in rows])]
    if part.search:
        columns.append(("choice", [row.choice or NONE for row in rows]))
    for index, column in enumerate(part.columns):
        texts = [
            format_cell(row.cells[column.number], column, seeds=row.seeds)
            if row.seeds or index
            else "no finished run"
            for row in rows
        ]
        columns.append((column.title, texts))
        quoted = [
            "; ".join(
                format_published(value, column.scale, beside=row.name)
                for value in row.cells[column.number].published
            )
            for row in rows
        ]
        columns += [("published", quoted)] if any(quoted) else []
    if part.threshold:
        columns.append((_passing_title(part), [format_passing(row) for row in rows]))
    columns.append(("seeds", [seeds_in_words(row) for row in rows]))
    elsewhere = [
        "; ".join(
            f"{value.number} {format_published(value, beside=row.name)}"
            for value in row.elsewhere
        )
        for row in rows
    ]
    columns += [("published, other numbers", elsewhere)] if any(elsewhere) else []
    titles, contents = zip(*columns, strict=True)
    return _joined(titles, zip(*contents, strict=True))


def search_to_markdown(
    part_name: str, part: Part, results: Sequence[Result], rows: Sequence[Row]
) -> str:
    """The numbers of all choices on the search's seeds; the chosen names are bold."""
    assert part.search is not None
    lines = []
    for row in rows:
        if row.name not in part.rows:
            continue
        found = [
            search_cells(part_name, part, results, row.name, column.number)
            for column in part.columns
        ]
        for choice in part.search.choices:
            name = f"**{choice}**" if choice == row.choice else choice
            texts = [
                format_cell(cells[choice], column, seeds=len(part.search.seeds))
                for cells, column in zip(found, part.columns, strict=True)
            ]
            lines.append([row.name, name, *texts])
    return _joined(["", "choice", *(column.title for column in part.columns)], lines)


def differences_to_markdown(part: Part, rows: Sequence[Row]) -> str:
    """The table of differences, with a line for each row that has a baseline."""
    titles = ["", "compared with", *(column.title for column in part.columns)]
    lines = []
    for name, found in pairs.differences(part, rows).items():
        texts = [format_difference(found[x.number], x) for x in part.columns]
        lines.append([name, part.compared[name], *texts])
    return _joined(titles, lines)


def _joined(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    table = (titles, ["---"] * len(titles), *lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in table) + "\n"


def _passing_title(part: Part) -> str:
    """The column's title, such as "Fréchet distance below 50 by step (seeds)"."""
    assert part.threshold
    number, value = part.threshold
    columns = {column.number: column for column in part.columns}
    column = columns.get(number, Column(number, number.replace("_", " ")))
    side = "above" if direction(number) > 0 else "below"
    return f"{column.title} {side} {value * column.scale:g} by step (seeds)"


def to_csv(experiment: Experiment, results: Sequence[Result]) -> str:
    """The tables of all parts; a number has a line for each published value."""
    lines: list[dict[str, object]] = []
    for part_name, part in experiment.parts.items():
        rows = summarise(part_name, part, results)
        differences = pairs.differences(part, rows)
        for row in rows:
            start: dict[str, object] = {
                "part": part_name,
                "row": row.name,
                "choice": row.choice or "",
            }
            for number, cell in row.cells.items():
                line: dict[str, object] = start | {
                    "number": number,
                    "mean": _plain(cell.mean),
                    "standard_error": _plain(cell.standard_error),
                    "seeds": len(cell.values),
                    "failed": row.failed,
                }
                found = differences.get(row.name, {}).get(number)
                if found:
                    line["less"] = part.compared[row.name]
                    line["difference"] = _plain(found.mean)
                    line["difference_error"] = _plain(found.standard_error)
                quotes = [line | _quote(value) for value in cell.published]
                lines += quotes or [line]
            for value in row.elsewhere:
                counts: dict[str, object] = {
                    "number": value.number,
                    "seeds": 0,
                    "failed": row.failed,
                }
                lines.append(start | counts | _quote(value))
    table = pd.DataFrame(lines, columns=CSV_FIELDS)
    return table.to_csv(index=False, lineterminator="\n")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _quote(value: Published) -> dict[str, object]:
    return {
        "published": _plain(value.value),
        "published_spread": _plain(value.spread),
        "source": value.source,
    }
