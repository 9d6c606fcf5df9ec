"""Pictures of growth.py's and input.py's lines.

    python experiments/throughput/plots.py --growth=runs/growth.jsonl \
        --input=runs/input.jsonl --output=runs

writes growth_speed.png (images a second along each axis), growth_memory.png (predicted
and measured), growth_work.png (FLOP and bytes of a step) and input.png to the folder.
"""

import argparse
import collections
from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("Agg")
Line = Mapping[str, Any]
COLOURS = ("#1f5fa8", "#e07b00", "#2a9d5c")
IDEAL = {"color": "#999999", "linestyle": "--", "linewidth": 1, "zorder": 1}
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
LABELS = {
    "batch": "batch size",
    "width": "width",
    "image_size": "image size, pixels",
    "devices": "host devices",
    "processes": "processes",
    "seeds": "vmapped seeds (ring)",
}


def by_axis(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The points of each axis that did not fail, in the order of their values."""
    groups = collections.defaultdict(list)
    for line in sorted(lines, key=lambda line: line["value"]):
        if "error" not in line:
            groups[line["axis"]].append(line)
    return {axis: groups[axis] for axis in LABELS if axis in groups}


def panels(count: int, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of so many small plots."""
    rows = -(-count // columns)
    figure = Figure(figsize=(3.3 * columns, 2.7 * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, n + 1) for n in range(count)]
    return figure, axes


def scale(ax: Axes, values: Sequence[float], label: str) -> None:
    """Logarithmic axes with the measured values as ticks."""
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(list(values), [f"{value:g}" for value in values])
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, high / 4), max(high, low * 4))  # noise should look small
    formatter = ticker.EngFormatter(sep="")
    ax.yaxis.set_major_locator(ticker.LogLocator(10, subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(formatter)
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xlabel(label)
    ax.grid(alpha=0.25)


def draw_speed(lines: Sequence[Line]) -> Figure:
    """Images a second along each axis, and at the first point's FLOP a second."""
    groups = by_axis(lines)
    figure, axes = panels(len(groups))
    for ax, (axis, points) in zip(axes, groups.items(), strict=True):
        values = [point["value"] for point in points]
        rates = [point["images_per_second"] for point in points]
        # FLOP an image, up to a factor that is the same for all.
        works = [
            point["flop_per_step"] / point["ms_per_step"] / point["images_per_second"]
            for point in points
        ]
        ideal = [rates[0] * works[0] / work for work in works]
        ax.plot(values, ideal, label="at the first one's FLOP/s", **IDEAL)
        ax.plot(values, rates, "o-", color=COLOURS[0], label="measured")
        scale(ax, values, LABELS[axis])
        ax.set_ylabel("images a second")
        ax.legend(frameon=False, fontsize=8)
    return figure


def draw_memory(lines: Sequence[Line]) -> Figure:
    """Peak memory along each axis, measured and predicted."""
    names = {"peak_mib": "measured", "predicted_peak_mib": "predicted"}
    return _draw_lines(lines, names, "peak memory, bytes", unit=2**20)


def draw_work(lines: Sequence[Line]) -> Figure:
    """FLOP and bytes of a step along each axis."""
    return _draw_lines(lines, {"flop_per_step": "FLOP", "bytes_per_step": "bytes"}, "")


def _draw_lines(
    lines: Sequence[Line], names: Mapping[str, str], title: str, unit: int = 1
) -> Figure:
    groups = by_axis(lines)
    figure, axes = panels(len(groups))
    for ax, (axis, points) in zip(axes, groups.items(), strict=True):
        values = [point["value"] for point in points]
        styles = zip(names.items(), ("o-", "x--"), COLOURS, strict=False)
        for (name, label), style, colour in styles:
            heights = [point[name] * unit for point in points]
            ax.plot(values, heights, style, color=colour, label=label)
        scale(ax, values, LABELS[axis])
        ax.set_ylabel(title or "a step")
        ax.legend(frameon=False, fontsize=8)
    return figure


def draw_input(lines: Sequence[Line]) -> Figure:
    """Images a second over the batch, a plot for each image size."""
    sizes = sorted({(line["size"], line["channels"]) for line in lines})
    names = {"device": "gathered on the device", "host": "by the host, prefetched"}
    figure, axes = panels(len(sizes))
    for ax, (size, channels) in zip(axes, sizes, strict=True):
        for (home, label), colour in zip(names.items(), COLOURS, strict=False):
            mine = [x for x in lines if (x["size"], x["home"]) == (size, home)]
            batches = [line["batch"] for line in mine]
            rates = [line["images_per_second"] for line in mine]
            ax.plot(batches, rates, "o-", color=colour, label=label)
        scale(ax, batches, "batch size")
        ax.set_ylabel("images a second")
        ax.set_title(f"{size}x{size}x{channels}", fontsize=9)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Draws what is given."""
    parser = argparse.ArgumentParser(description="Draws growth and input.")
    parser.add_argument("--growth", type=Path, help="lines of growth.py")
    parser.add_argument("--input", type=Path, help="lines of input.py")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="a folder")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    growth = {"speed": draw_speed, "memory": draw_memory, "work": draw_work}
    for source, pictures in (
        (arguments.growth, {f"growth_{name}": draw for name, draw in growth.items()}),
        (arguments.input, {"input": draw_input}),
    ):
        if source is None:
            continue
        lines = [json.loads(line) for line in source.read_text().splitlines()]
        for name, draw in pictures.items():
            with matplotlib.rc_context(STYLE):
                draw(lines).savefig(arguments.output / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
