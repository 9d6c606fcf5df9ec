"""Plots of a part: every seed and the mean, curves over steps, the search.

The only file of the engine that imports matplotlib.
"""

from collections.abc import Iterable, Mapping, Sequence
import io
from pathlib import Path
import textwrap

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, ScalarFormatter
import numpy as np
from PIL import Image

from experiments.engine import pictures, summary
from experiments.engine.spec import Column, Part, Result

matplotlib.use("Agg")
DPI = 110
MOST_DOT_PANELS = 3
WIDE = 50  # times the smallest value
LABEL_WIDTH = 34  # characters of a line of a row's name
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.edgecolor": "#888888",
    "xtick.color": "#444444",
    "ytick.color": "#222222",
}
OURS = "#1f5fa8"
THEIRS = "#d1495b"
# Six colours that differ in lightness too, with solid and then dashed lines.
COLOURS = ("#1f5fa8", "#e07b00", "#2a9d5c", "#b5179e", "#6b4f3a", "#5bb5d5")
LINES = ("-", "--", ":")


def draw(name: str, part: Part, results: Sequence[Result], folder: Path) -> list[Path]:
    """Writes the plots that a part has results for, named as the page expects them."""
    mine = [result for result in results if result.trial.part == name]
    finished = [result for result in mine if result.status == "finished"]
    written = []
    for kind, plot, is_there in (
        ("dots", dots, any(result.numbers for result in finished)),
        ("lines", lines, any(set(part.curves) & set(r.curves) for r in finished)),
        ("sensitivity", sensitivity, part.search is not None and bool(finished)),
    ):
        if is_there:
            written.append(folder / f"{name}_{kind}.png")
            plot(name, part, mine, written[-1])
    return written


def dots(name: str, part: Part, results: Sequence[Result], path: Path) -> None:
    """Every seed as a faint dot, the mean ± its standard error, published diamonds.

    All columns side by side if they are at most three, otherwise the first.
    """
    rows = summary.summarise(name, part, results)
    few = len(part.columns) <= MOST_DOT_PANELS
    columns = part.columns if few else part.columns[:1]
    labels = [textwrap.fill(row.name, LABEL_WIDTH) for row in rows]
    height = 0.9 + sum(0.12 + 0.17 * (label.count("\n") + 1) for label in labels)
    left = 0.3 + 0.075 * max(len(line) for text in labels for line in text.split("\n"))
    with matplotlib.rc_context(STYLE):
        figure = Figure((left + 3.2 * len(columns), height), layout="constrained")
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for panel, column in zip(panels, columns, strict=True):
            for place, row in enumerate(rows):
                _dots_of(panel, row.cells[column.number], place, column.scale)
            panel.set_title(column.title, loc="left")
            panel.grid(axis="x", color="#e4e4e4", linewidth=0.6)
            panel.set_axisbelow(True)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            if _is_wide(row.cells[column.number].values for row in rows):
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter(ScalarFormatter())
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(rows)), labels)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        _legend_of_dots(figure, rows, columns)
        _save(figure, path)


def lines(name: str, part: Part, results: Sequence[Result], path: Path) -> None:
    """Part.curves over the steps: mean and standard error of each row's seeds."""
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
                _line(panel, runs, column.scale, _style(index))
            panel.set_title(column.title, loc="left")
            runs = [x.curves.get(number, ()) for x in results if x.trial.part == name]
            if _is_wide([value for _, value in run] for run in runs):
                panel.set_yscale("log")
                panel.yaxis.set_major_formatter(ScalarFormatter())
            _steps_axis(panel)
        _legend(figure, list(part.rows))
        _save(figure, path)


def sensitivity(name: str, part: Part, results: Sequence[Result], path: Path) -> None:
    """The search's number over its choices, a line a row, the chosen one ringed."""
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
            _choices_of(panel, cells, chosen[row], column.scale, shift, _style(index))
        panel.set_xticks(range(len(choices)), labels)
        panel.set_xlim(-0.4, len(choices) - 0.6)
        seeds = ", ".join(map(str, part.search.seeds))
        panel.set_title(f"{column.title}, the search on seed {seeds}", loc="left")
        panel.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        _legend(figure, list(part.rows))
        _save(figure, path)


def _is_wide(values: Iterable[Sequence[float]]) -> bool:
    """Whether positive values differ so much that an axis should be logarithmic."""
    known = [value for some in values for value in some if np.isfinite(value)]
    return bool(known) and 0 < WIDE * min(known) < max(known)


def _dots_of(panel: Axes, cell: summary.Cell, place: int, scale: float) -> None:
    values = np.array([v for v in cell.values if np.isfinite(v)]) * scale
    offsets = 0.16 * (np.arange(len(values)) % 3 - 1) if len(values) > 2 else 0
    panel.plot(
        values,
        place + np.broadcast_to(offsets, values.shape),
        "o",
        color=OURS,
        alpha=0.3,
        markersize=4,
        markeredgewidth=0,
    )
    if cell.mean is None or cell.not_finite:
        what = f"{cell.not_finite} of {len(cell.values)} seeds inf or nan"
        panel.text(
            0.99,
            place + 0.42,
            what if cell.values else "no finished run",
            transform=panel.get_yaxis_transform(),
            ha="right",
            fontsize=7,
            color="#777777",
        )
    else:
        error = None if cell.standard_error is None else cell.standard_error * scale
        panel.errorbar(
            cell.mean * scale, place, xerr=error, fmt="o", color=OURS, markersize=6
        )
    for index, value in enumerate(cell.published):
        spread = None if value.spread is None else value.spread * scale
        panel.errorbar(
            value.value * scale,
            place + 0.3 - 0.12 * index,
            xerr=spread,
            fmt="D",
            color=THEIRS,
            markerfacecolor="white",
            markersize=5,
            elinewidth=1,
        )


def _legend_of_dots(
    figure: Figure, rows: Sequence[summary.Row], columns: Sequence[Column]
) -> None:
    cells = [row.cells[column.number] for row in rows for column in columns]
    panel = figure.axes[0]
    handles = [
        panel.plot([], [], "o", color=OURS, alpha=0.3, markersize=4, label="a seed")[0],
        panel.plot([], [], "o-", color=OURS, label="mean ± standard error")[0],
    ]
    if any(cell.published for cell in cells):
        hollow = {"markerfacecolor": "white", "markersize": 5, "label": "published"}
        handles += panel.plot([], [], "D", color=THEIRS, **hollow)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )


def _line(
    panel: Axes,
    runs: Sequence[Sequence[tuple[int, float]]],
    scale: float,
    style: Mapping[str, str],
) -> None:
    """The mean over the steps that all of the runs have; nothing without a run."""
    tables = [dict(run) for run in runs if run]
    steps = sorted(set.intersection(*map(set, tables))) if tables else []
    values = scale * np.array([[table[step] for step in steps] for table in tables])
    values = np.where(np.isfinite(values), values, np.nan)
    mean = values.mean(axis=0) if tables else []
    panel.plot(steps, mean, linewidth=1.4, **style)
    if len(tables) > 1:
        error = values.std(axis=0, ddof=1) / np.sqrt(len(tables))
        low, high = mean - error, mean + error
        panel.fill_between(
            steps, low, high, color=style["color"], alpha=0.15, linewidth=0
        )


def _choices_of(
    panel: Axes,
    cells: Mapping[str, summary.Cell],
    chosen: str | None,
    scale: float,
    shift: float,
    style: Mapping[str, str],
) -> None:
    """One row's means over the choices; `shift` keeps error bars apart."""
    means = [
        cell.mean * scale
        if cell.mean is not None and np.isfinite(cell.mean)
        else np.nan
        for cell in cells.values()
    ]
    errors = [(cell.standard_error or 0.0) * scale for cell in cells.values()]
    places = np.arange(len(cells)) + shift
    panel.errorbar(
        places, means, yerr=errors, marker="o", markersize=4, linewidth=1.2, **style
    )
    if chosen in cells:
        index = list(cells).index(chosen)
        panel.plot(
            places[index],
            means[index],
            "o",
            markersize=9,
            markerfacecolor="none",
            color=style["color"],
        )


def _style(index: int) -> dict[str, str]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index // len(COLOURS) % len(LINES)],
    }


def _legend(figure: Figure, rows: Sequence[str]) -> None:
    """The rows beside the panels, in their order."""
    panel = figure.axes[0]
    handles = [
        panel.plot([], [], label=textwrap.fill(row, LABEL_WIDTH), **_style(index))[0]
        for index, row in enumerate(rows)
    ]
    figure.legend(
        handles=handles,
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        handlelength=2.6,
    )


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
