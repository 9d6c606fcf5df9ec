"""Writes the rows of a part as a Markdown table, and all rows as a CSV file."""

from collections.abc import Sequence
import csv
import io

from experiments.engine import pairs
from experiments.engine.published import Published
from experiments.engine.spec import Column, Experiment, Part, Result
from experiments.engine.summary import Cell, Row, search_cells, summarise
from gan_jax.evaluation import suite

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


def format_cell(cell: Cell, column: Column) -> str:
    """The cell, such as "6.3 ± 0.5" or "inf (2 of 5 seeds)", or a dash if empty."""
    if cell.mean is None:
        return NONE
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
    quoted = {
        column.number
        for column in part.columns
        if any(row.cells[column.number].published for row in rows)
    }
    header = ["", *(["choice"] if part.search else [])]
    for column in part.columns:
        header.append(column.title)
        header += ["published"] if column.number in quoted else []
    header += [_passing_title(part)] if part.threshold else []
    header.append("seeds")
    elsewhere = any(row.elsewhere for row in rows)
    header += ["published, other numbers"] if elsewhere else []
    lines = [header, ["---"] * len(header)]
    for row in rows:
        line = [row.name]
        if part.search:
            line.append(row.choice or NONE)
        line += _columns(part, row, quoted)
        line += [format_passing(row)] if part.threshold else []
        line.append(seeds_in_words(row))
        if elsewhere:
            line.append(
                "; ".join(
                    f"{entry.number} {format_published(entry, beside=row.name)}"
                    for entry in row.elsewhere
                )
            )
        lines.append(line)
    return _joined(lines)


def search_to_markdown(
    part_name: str, part: Part, results: Sequence[Result], rows: Sequence[Row]
) -> str:
    """The numbers of all choices on the search's seeds; the chosen names are bold."""
    assert part.search is not None
    lines = [["", "choice", *(column.title for column in part.columns)]]
    lines.append(["---"] * len(lines[0]))
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
                format_cell(cells[choice], column)
                for cells, column in zip(found, part.columns, strict=True)
            ]
            lines.append([row.name, name, *texts])
    return _joined(lines)


def differences_to_markdown(part: Part, rows: Sequence[Row]) -> str:
    """The table of differences, with a line for each row that has a baseline."""
    lines = [["", "compared with", *(column.title for column in part.columns)]]
    lines.append(["---"] * len(lines[0]))
    for name, found in pairs.differences(part, rows).items():
        texts = [format_difference(found[x.number], x) for x in part.columns]
        lines.append([name, part.compared[name], *texts])
    return _joined(lines)


def _joined(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _passing_title(part: Part) -> str:
    """The column's title, such as "Fréchet distance below 50 by step (seeds)"."""
    assert part.threshold
    number, value = part.threshold
    columns = {column.number: column for column in part.columns}
    column = columns.get(number, Column(number, number.replace("_", " ")))
    side = "above" if suite.direction(number) > 0 else "below"
    return f"{column.title} {side} {value * column.scale:g} by step (seeds)"


def to_csv(experiment: Experiment, results: Sequence[Result]) -> str:
    """The tables of all parts; a number has a line for each published value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for part_name, part in experiment.parts.items():
        rows = summarise(part_name, part, results)
        differences = pairs.differences(part, rows)
        for row in rows:
            start = (part_name, row.name, row.choice or "")
            for number, cell in row.cells.items():
                errors = (_plain(cell.mean), _plain(cell.standard_error))
                ours: tuple[str | int, ...] = (*errors, len(cell.values), row.failed)
                found = differences.get(row.name, {}).get(number)
                if found:
                    less = (_plain(found.mean), _plain(found.standard_error))
                    ours += (part.compared[row.name], *less)
                else:
                    ours += ("", "", "")
                for value in cell.published or (None,):
                    writer.writerow((*start, number, *ours, *_quote(value)))
            for value in row.elsewhere:
                blank = ("", "", 0, row.failed, "", "", "")
                writer.writerow((*start, value.number, *blank, *_quote(value)))
    return text.getvalue()


def _columns(part: Part, row: Row, quoted: set[str]) -> list[str]:
    """A row's numbers, each followed by its published values."""
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
