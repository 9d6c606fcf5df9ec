"""The elements of a plot: dots with error bars, lines, choices of a search, legends."""

from collections.abc import Mapping, Sequence
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from experiments.engine import summary
from experiments.engine.spec import Column

LABEL_WIDTH = 34  # characters in a line of a label
OURS = "#1f5fa8"
THEIRS = "#d1495b"
# Six colours that differ in lightness too, with solid and then dashed lines.
COLOURS = ("#1f5fa8", "#e07b00", "#2a9d5c", "#b5179e", "#6b4f3a", "#5bb5d5")
LINES = ("-", "--", ":")


def dots(panel: Axes, cell: summary.Cell, place: int, scale: float) -> None:
    """Draws a row's seeds, their mean and published values, or says what is missing."""
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
            place - 0.3,  # published values are on the other side
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


def legend_of_dots(
    figure: Figure, rows: Sequence[summary.Row], columns: Sequence[Column]
) -> None:
    """Draws the legend of the dots below the panels."""
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


def line(
    panel: Axes,
    runs: Sequence[Sequence[tuple[int, float]]],
    scale: float,
    style: Mapping[str, str],
) -> None:
    """Draws the mean over the steps that all runs have, but for runs scored once."""
    tables = [dict(run) for run in runs if len(run) > 1]
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


def choices(
    panel: Axes,
    cells: Mapping[str, summary.Cell],
    chosen: str | None,
    scale: float,
    shift: float,
    style: Mapping[str, str],
) -> None:
    """Draws a row's means over the choices; `shift` keeps rows' error bars apart."""
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
    if chosen is not None and chosen in cells:
        index = list(cells).index(chosen)
        panel.plot(
            places[index],
            means[index],
            "o",
            markersize=9,
            markerfacecolor="none",
            color=style["color"],
        )


def style(index: int) -> dict[str, str]:
    """The colour and dashes of the row with this index."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index // len(COLOURS) % len(LINES)],
    }


def legend(figure: Figure, rows: Sequence[str]) -> None:
    """Draws the legend of the rows beside the panels."""
    panel = figure.axes[0]
    handles = [
        panel.plot([], [], label=textwrap.fill(row, LABEL_WIDTH), **style(index))[0]
        for index, row in enumerate(rows)
    ]
    figure.legend(
        handles=handles,
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        handlelength=2.6,
    )
