"""Replays the watchdog's rules over the metrics that runs recorded.

    PYTHONPATH=. python experiments/faults/watchdog.py runs/dcgan runs/ring

A row names a run, its steps and lines, the lowest value of each rule's metric divided
by the rule's threshold (a measurement below 1 breaks the rule), and the warnings that
the run has or would have had. A dash says that the run did not record the metric.
"""

from collections.abc import Sequence
import logging
from pathlib import Path

from absl import app

from configs import default
from gan_jax.run import config_file, files
from gan_jax.training import watchdog


class Heard(logging.Handler):
    """Keeps the texts of warnings."""

    def __init__(self) -> None:
        """Starts without texts."""
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the text of a record."""
        self.texts.append(record.getMessage())


def replay(workdir: Path) -> list[str]:
    """The cells of a run's row."""
    config = config_file.read(workdir)
    config.watchdog = default.get_config().watchdog
    lines = files.read_lines(workdir / files.METRICS)
    heard = Heard()
    logging.getLogger("absl").addHandler(heard)
    dog = watchdog.Watchdog(config, workdir)
    for line in lines:
        dog.observe(line["step"], line, [])
    logging.getLogger("absl").removeHandler(heard)
    lowest = []
    for rule in watchdog.RULES.values():
        values = [line[name] for line in lines for name in rule.metrics if name in line]
        threshold = config.watchdog[rule.threshold]
        lowest.append(f"{min(values) / threshold:.3g}" if values else "-")
    warnings = ", ".join(text.split(": ")[1] for text in heard.texts)
    return [
        workdir.name,
        f"{lines[-1]['step']:,}",
        str(len(lines)),
        *lowest,
        warnings or "none",
    ]


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    logging.getLogger("absl").propagate = False
    head = ["run", "steps", "lines", *watchdog.RULES, "warnings"]
    for cells in (head, ["---"] * len(head), *map(replay, map(Path, argv[1:]))):
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    app.run(main)
