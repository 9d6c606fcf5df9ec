"""Plots of a part: its seeds and their means, curves over the steps, and the search.

Only this file and marks.py import matplotlib.
"""

from collections.abc import Iterable, Sequence
import io
from pathlib import Path
import textwrap

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
import numpy as np
from PIL import Image

from experiments.engine import marks, pictures, summary
from experiments.engine.spec import Column, Part, Result

matplotlib.use("Agg")
DPI = 110
MOST_DOT_PANELS = 3
WIDE = 50  # an axis is logarithmic if largest / smallest value is above this
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.edgecolor": "#888888",
    "xtick.color": "#444444",
    "ytick.color": "#222222",
}


def draw(name: str, part: Part, results: Sequence[Result], folder: Path) -> list[Path]:
    """Writes the plots for which a part has results, and returns their paths.

    The others are removed if they are there, since they show earlier results.
    """
    mine = [result for result in results if result.trial.part == name]
    finished = [result for result in mine if result.status == "finished"]
    curves = [r.curves.get(number, ()) for r in finished for number in part.curves]
    written = []
    for kind, plot, is_there in (
        ("dots", dots, any(result.numbers for result in finished)),
        ("lines", lines, any(len(curve) > 1 for curve in curves)),
        ("sensitivity", sensitivity, part.search is not None and bool(finished)),
    ):
        path = folder / f"{name}_{kind}.png"
        if is_there:
            plot(name, part, mine, path)
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return written


def dots(name: str, part: Part, results: Sequence[Result], path: Path) -> None:
    """Draws seeds as faint dots, means with standard errors, and published diamonds.

    Up to three columns are drawn side by side; of more columns, only the first is.
    """
    rows = summary.summarise(name, part, results)
    few = len(part.columns) <= MOST_DOT_PANELS
    columns = part.columns if few else part.columns[:1]
    labels = [textwrap.fill(row.name, marks.LABEL_WIDTH) for row in rows]
    height = 0.9 + sum(0.12 + 0.17 * (label.count("\n") + 1) for label in labels)
    left = 0.3 + 0.075 * max(len(line) for text in labels for line in text.split("\n"))
    with matplotlib.rc_context(STYLE):
        figure = Figure((left + 3.2 * len(columns), height), layout="constrained")
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for panel, column in zip(panels, columns, strict=True):
            for place, row in enumerate(rows):
                marks.dots(panel, row.cells[column.number], place, column.scale)
            panel.set_title(column.title, loc="left")
            panel.grid(axis="x", color="#e4e4e4", linewidth=0.6)
            panel.set_axisbelow(True)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            if _is_wide(row.cells[column.number].values for row in rows):
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter("{x:g}")
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(rows)), labels)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        marks.legend_of_dots(figure, rows, columns)
        _save(figure, path)


def lines(name: str, part: Part, results: Sequence[Result], path: Path) -> None:
    """Draws Part.curves over the steps: means and standard errors over the seeds."""
    chosen = summary.choose(name, part, results)
    titles = {column.number: column for column in part.columns}
    with matplotlib.rc_context(STYLE):
        width = 1.2 + 3.6 * len(part.curves)
        height = max(2.6, 0.6 + 0.21 * len(part.rows))
        figure = Figure((width + 2.2, height), layout="constrained")
        panels = figure.subplots(1, len(part.curves), squeeze=False)[0]
        for panel, number in zip(panels, part.curves, strict=True):
            column = titles.get(number, Column(number, number.replace("_", " ")))
            for index, row in enumerate(part.rows):
                runs = [
                    result.curves.get(number, ())
                    for result in results
                    if result.trial.part == name
                    and (result.trial.row, result.trial.choice) == (row, chosen[row])
                    and result.trial.seed in part.seeds
                    and result.status == "finished"
                ]
                marks.line(panel, runs, column.scale, marks.style(index))
            panel.set_title(column.title, loc="left")
            runs = [x.curves.get(number, ()) for x in results if x.trial.part == name]
            if _is_wide([value for _, value in run] for run in runs):
                panel.set_yscale("log")
                panel.yaxis.set_major_formatter("{x:g}")
            _steps_axis(panel)
        marks.legend(figure, list(part.rows))
        _save(figure, path)


def sensitivity(name: str, part: Part, results: Sequence[Result], path: Path) -> None:
    """Draws the search's number over its choices, a line per row with its choice."""
    assert part.search is not None
    chosen = summary.choose(name, part, results)
    choices = list(part.search.choices)
    number = part.search.number
    column = next(
        (column for column in part.columns if column.number == number),
        Column(number, number.replace("_", " ")),
    )
    labels = [textwrap.fill(choice, 14) for choice in choices]
    with matplotlib.rc_context(STYLE):
        width = max(3.6, 0.95 * len(choices))
        height = max(2.8, 0.7 + 0.21 * len(part.rows))
        figure = Figure((width + 2.8, height), layout="constrained")
        panel = figure.subplots()
        for index, row in enumerate(part.rows):
            shift = 0.3 * ((index + 0.5) / len(part.rows) - 0.5)
            cells = summary.search_cells(name, part, results, row)
            marks.choices(
                panel, cells, chosen[row], column.scale, shift, marks.style(index)
            )
        panel.set_xticks(range(len(choices)), labels)
        panel.set_xlim(-0.4, len(choices) - 0.6)
        seeds = ", ".join(map(str, part.search.seeds))
        panel.set_title(f"{column.title}, the search on seed {seeds}", loc="left")
        panel.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        marks.legend(figure, list(part.rows))
        _save(figure, path)


def _is_wide(values: Iterable[Sequence[float]]) -> bool:
    """Whether the axis of these values should be logarithmic."""
    known = [value for some in values for value in some if np.isfinite(value)]
    return bool(known) and 0 < WIDE * min(known) < max(known)


def _steps_axis(panel: Axes) -> None:
    panel.set_xlabel("generator updates")
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.grid(color="#e4e4e4", linewidth=0.6)


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    buffer.seek(0)
    image = Image.open(buffer).convert("RGB")
    while not pictures.save_small(image, path):
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5))
