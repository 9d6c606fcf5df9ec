"""Reads what jax.profiler wrote: the time in each operation of a compiled program."""

import collections
from collections.abc import Iterable
from pathlib import Path
import re

import jax

_NAME = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]*)"', re.M)


def self_times(events: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Time by name in events themselves, without the events that they contain.

    Args:
      events: (name, start, duration) of one thread, properly nested.
    """
    total: dict[str, float] = collections.defaultdict(float)
    around: list[tuple[str, float]] = []  # names and ends
    for name, start, duration in sorted(events, key=lambda one: (one[1], -one[2])):
        while around and around[-1][1] <= start:
            around.pop()
        if around:
            total[around[-1][0]] -= duration
        total[name] += duration
        around.append((name, start + duration))
    return dict(total)


def read(folder: Path) -> dict[str, float]:
    """Nanoseconds by HLO instruction of the trace in a folder.

    On a CPU an operation is an event of XLA's threads in the plane /host:CPU, on a GPU
    of a stream, on a TPU of the line "XLA Ops"; all of them name their `hlo_op`.
    """
    (path,) = folder.rglob("*.xplane.pb")
    total: dict[str, float] = collections.defaultdict(float)
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            events = [
                (dict(event.stats)["hlo_op"], event.start_ns, event.duration_ns)
                for event in line.events
                if any(name == "hlo_op" for name, _ in event.stats)
            ]
            for name, duration in self_times(events).items():
                total[str(name)] += duration
    return total


def origins(text: str) -> dict[str, str]:
    """Where each instruction of an HLO text comes from: the end of its op_name."""
    return {name: "/".join(path.split("/")[-4:]) for name, path in _NAME.findall(text)}


def kind(name: str, origin: str) -> str:
    """The kind: "matrix product", or the last operation of an origin."""
    last = origin.rpartition("/")[2]
    if last == "dot_general" or name.startswith(("dot", "ynn")):
        return "matrix product"  # also a transposed one, which ends in its transpose
    return last or "other"
