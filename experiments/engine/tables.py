"""A part's rows as a Markdown table, an experiment's as a CSV file."""

from collections.abc import Sequence
import csv
import io

from experiments.engine.published import Published
from experiments.engine.spec import Column, Experiment, Part, Result
from experiments.engine.summary import Cell, Row, summarise

NONE = "-"  # stands where there is no number
CSV_FIELDS = (
    *("part", "row", "choice", "number", "mean", "standard_error", "seeds", "failed"),
    *("published", "published_spread", "source"),
)


def seeds_in_words(row: Row) -> str:
    """Such as "3, 2 of 5 diverged"."""
    total = row.seeds + row.failed + row.missing
    words = [str(row.seeds)]
    if row.failed:
        words.append(f"{row.failed} of {total} {row.failed_as}")
    if row.missing and row.missing < total:
        words.append(f"{row.missing} of {total} not run")
    return ", ".join(words)


def format_number(value: float, column: Column) -> str:
    """A value in the column's unit and digits."""
    return f"{value * column.scale:z.{column.digits}f}"


def format_cell(cell: Cell, column: Column) -> str:
    """Such as "6.3 ± 0.5", "inf (2 of 5 seeds)", or a dash without a seed."""
    if cell.mean is None:
        return NONE
    shown = format_number(cell.mean, column)
    if cell.not_finite:
        return f"{shown} ({cell.not_finite} of {len(cell.values)} seeds)"
    if cell.standard_error is None:
        return shown
    return f"{shown} ± {format_number(cell.standard_error, column)}"


def format_published(value: Published, scale: float = 1.0, *, beside: str = "") -> str:
    """Such as "6.3 ± 0.5, Lin et al. 2018, table 1", with the digits of the paper.

    The paper's row is named unless it is called like the row `beside` which it stands.
    """
    numbers = [value.value, *([] if value.spread is None else [value.spread])]
    texts = [f"{number * scale:.6g}" for number in numbers]
    digits = max(len(text.partition(".")[2]) for text in texts)
    shown = " ± ".join(f"{number * scale:.{digits}f}" for number in numbers)
    note = " (see the note)" if value.doubts else ""
    name = "" if value.row == beside else f"{value.row}: "
    return f"{name}{shown}, {value.source}{note}"


def to_markdown(part: Part, rows: Sequence[Row]) -> str:
    """A part's table; published values stand to the right of their column."""
    quoted = {
        column.number
        for column in part.columns
        if any(row.cells[column.number].published for row in rows)
    }
    header = ["", *(["choice"] if part.search else [])]
    for column in part.columns:
        header.append(column.title)
        header += ["published"] if column.number in quoted else []
    header.append("seeds")
    elsewhere = any(row.elsewhere for row in rows)
    header += ["published, other numbers"] if elsewhere else []
    lines = [header, ["---"] * len(header)]
    for row in rows:
        line = [row.name]
        if part.search:
            line.append(NONE if row.choice is None else row.choice)
        line += _columns(part, row, quoted)
        line.append(seeds_in_words(row))
        if elsewhere:
            line.append(
                "; ".join(
                    f"{entry.number} {format_published(entry, beside=row.name)}"
                    for entry in row.elsewhere
                )
            )
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_csv(experiment: Experiment, results: Sequence[Result]) -> str:
    """All parts' tables; a number with several published values has several lines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for part_name, part in experiment.parts.items():
        for row in summarise(part_name, part, results):
            start = (part_name, row.name, row.choice or "")
            for number, cell in row.cells.items():
                ours = (_plain(cell.mean), _plain(cell.standard_error))
                counts = (len(cell.values), row.failed)
                for value in cell.published or (None,):
                    writer.writerow((*start, number, *ours, *counts, *_quote(value)))
            for value in row.elsewhere:
                blank = ("", "", 0, row.failed)
                writer.writerow((*start, value.number, *blank, *_quote(value)))
    return text.getvalue()


def _columns(part: Part, row: Row, quoted: set[str]) -> list[str]:
    """A row's numbers, each with what is published of it."""
    texts = []
    for index, column in enumerate(part.columns):
        cell = row.cells[column.number]
        missing = row.seeds == 0 and index == 0
        texts.append("no finished run" if missing else format_cell(cell, column))
        if column.number in quoted:
            texts.append(
                "; ".join(
                    format_published(value, column.scale, beside=row.name)
                    for value in cell.published
                )
            )
    return texts


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _quote(value: Published | None) -> tuple[str, str, str]:
    if value is None:
        return ("", "", "")
    return (_plain(value.value), _plain(value.spread), value.source)
