"""The curves of a page: which numbers a chart shows, and its lines of reference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import math
from typing import Any, NamedTuple

from gan_jax.page.history import History
from gan_jax.run import files

MOST_POINTS = 2_000  # points of a curve; more cannot be told apart on a screen
# The values at zero logits, where the discriminator cannot tell real from generated.
LOSSES = {
    "non_saturating": {"2 ln 2": 2 * math.log(2), "ln 2": math.log(2)},
    "minimax": {"2 ln 2": 2 * math.log(2), "-ln 2": -math.log(2)},
    "relativistic": {"ln 2": math.log(2)},
}
LABELS = {
    "d_loss": "discriminator",
    "g_loss": "generator",
    "d_real": "D(x)",
    "d_fake_before": "D(G(z)) before",
    "d_fake_after": "D(G(z)) after",
    "d_grad_norm": "discriminator",
    "g_grad_norm": "generator",
    "sample_distance": "distance between samples",
}
NOT_DRAWN = ("step", "seconds", "steps_per_second")


class Curve(NamedTuple):
    """A line of a chart.

    Attributes:
      label: words in the legend.
      run: number of the run on the page; -1 for a line of reference.
      kind: number of what is drawn, the same for all runs.
      points: value by step.
    """

    label: str
    run: int
    kind: int
    points: Mapping[int, float]


class Chart(NamedTuple):
    """A chart over the steps.

    Attributes:
      title: heading of the chart.
      note: sentence below the heading; may be empty.
      curves: the lines of the runs.
      references: name and value of the lines of reference.
    """

    title: str
    note: str
    curves: list[Curve]
    references: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """The chart as the page's script takes it: a list of values a curve."""
        steps = sorted(set().union(*(curve.points for curve in self.curves)))
        lines = [
            {
                "label": curve.label,
                "run": curve.run,
                "kind": curve.kind,
                "values": [curve.points.get(step) for step in steps],
            }
            for curve in self.curves
        ]
        lines += [
            {"label": name, "run": -1, "kind": kind, "values": [value] * len(steps)}
            for kind, (name, value) in enumerate(self.references.items())
        ]
        return {"title": self.title, "steps": steps, "curves": lines}


def create(runs: Sequence[History]) -> list[Chart]:
    """The charts of runs, without those for which no run has a number."""
    charts = [
        *_metrics(runs),
        _chart(
            "Images a second", "", {"images a second": _images_per_second}, runs, {}
        ),
        *_scores(runs),
    ]
    return [chart for chart in charts if chart.curves]


def _metrics(runs: Sequence[History]) -> Iterator[Chart]:
    losses = {str(run.fields().get("recipe.loss")) for run in runs}
    known = LOSSES.get(losses.pop(), {}) if len(losses) == 1 else {}
    note = (
        "The dashed lines are the losses when the discriminator cannot tell real "
        "images from generated ones."
    )
    if any(map(_has_another_term, runs)):
        note += " A penalty, LeCam or an auxiliary classifier adds to them."
    pairs = {name: _metric(name) for name in ("d_loss", "g_loss")}
    yield _chart("Losses", note if known else "", pairs, runs, known)
    names = ("d_real", "d_fake_before", "d_fake_after")
    yield _chart(
        "D(x) and D(G(z))",
        "The discriminator's mean probability of real, for real images and for "
        "generated ones, before and after its update.",
        {name: _metric(name) for name in names},
        runs,
        {"1/2": 0.5} if known else {},
    )
    pairs = {name: _metric(name) for name in ("d_grad_norm", "g_grad_norm")}
    yield _chart("Gradient norms", "", pairs, runs, {})
    yield _chart(
        "Distance between samples",
        "The mean distance between the pictures of a grid, divided by that between "
        "real ones. It falls towards 0 when the generator collapses.",
        {"sample_distance": _metric("sample_distance")},
        runs,
        {"real": 1.0},
    )
    logged = {name for run in runs for line in run.metrics for name in line}
    for name in sorted(logged - LABELS.keys() - {*NOT_DRAWN}):
        yield _chart(name, "", {name: _metric(name)}, runs, {})


def _has_another_term(run: History) -> bool:
    fields = run.fields()
    return (
        fields.get("recipe.penalty", "none") != "none"
        or fields.get("recipe.lecam_weight", 0) != 0
        or fields.get("model.discriminator.condition") == "auxiliary"
    )


def _chart(
    title: str,
    note: str,
    kinds: Mapping[str, Callable[[History], Mapping[int, float]]],
    runs: Sequence[History],
    references: Mapping[str, float],
) -> Chart:
    curves = []
    for kind, (name, read) in enumerate(kinds.items()):
        for number, run in enumerate(runs):
            points = _thinned(read(run))
            label = LABELS.get(name, name)
            if len(runs) > 1:
                label = run.name if len(kinds) == 1 else f"{run.name}: {label}"
            if points:
                curves.append(Curve(label, number, kind, points))
    return Chart(title, note, curves, references)


def _metric(name: str) -> Callable[[History], Mapping[int, float]]:
    def read(run: History) -> Mapping[int, float]:
        return {int(x["step"]): x[name] for x in run.metrics if name in x}

    return read


def _images_per_second(run: History) -> Mapping[int, float]:
    batch_size = run.fields().get("batch_size")
    if not files.is_number(batch_size):
        return {}
    steps = _metric("steps_per_second")(run)
    return {step: value * batch_size for step, value in steps.items()}


def _scores(runs: Sequence[History]) -> Iterator[Chart]:
    """A chart for each number that was measured at two steps by the same protocol."""
    numbers = dict.fromkeys(
        name for run in runs for record in run.scores for name in record["numbers"]
    )
    protocols = list(
        dict.fromkeys(
            files.protocol_key(record["protocol"])
            for run in runs
            for record in run.scores
        )
    )
    for name in numbers:
        found: dict[tuple[int, str, str], dict[int, float]] = {}
        for number, run in enumerate(runs):
            for record in run.scores:
                value = record["numbers"].get(name, {}).get("value")
                if files.is_number(value):
                    by = files.protocol_key(record["protocol"])
                    key = number, record["generator"], by
                    found.setdefault(key, {})[record["step"]] = value
        kinds = list(dict.fromkeys(key[1:] for key in found))
        curves = [
            Curve(
                _score_label(runs, key, protocols),
                key[0],
                kinds.index(key[1:]),
                _thinned(points),
            )
            for key, points in found.items()
            if len(points) > 1
        ]
        yield Chart(f"Score: {name}", "", curves, {})


def _score_label(
    runs: Sequence[History], key: tuple[int, str, str], protocols: list[str]
) -> str:
    number, generator, by = key
    label = f"{runs[number].name}: {generator}" if len(runs) > 1 else generator
    if len(protocols) > 1:
        label += f", protocol {protocols.index(by) + 1}"
    return label


def _thinned(points: Mapping[int, float]) -> Mapping[int, float]:
    """At most MOST_POINTS of the points, the last one among them."""
    every = -(-len(points) // MOST_POINTS)
    kept = list(points.items())[::-1][::every] if points else []
    return dict(reversed(kept))
