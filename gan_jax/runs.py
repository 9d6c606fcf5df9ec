"""Lists the runs under a folder, in which nothing changes.

All runs under runs/, with their steps, their age and their last scores:
  python -m gan_jax.runs --under=runs
Those of an experiment:
  python -m gan_jax.runs --under=runs/stabilisers
"""

from collections.abc import Iterator, Mapping, Sequence
import os
from pathlib import Path
import time
from typing import Any, NamedTuple

from absl import flags, logging

from gan_jax import command
from gan_jax.run import bucket, config_file, files, listing

_UNDER = flags.DEFINE_string(
    "under",
    "runs",
    "The runs in this folder, or at this address such as gs://BUCKET/RUNS in a bucket, "
    "and in all folders below it are listed.",
)
# The numbers that are shown, if a score has them, and how they are called.
SHOWN = {
    "frechet_distance": "distance",
    "fid": "fid",
    "coverage": "coverage",
    "label_accuracy": "as asked",
    "modes": "modes",
    "high_quality": "high quality",
}
CONTENTS = {"checkpoints", "best", "samples"}  # folders of a run that hold no runs
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class Row(NamedTuple):
    """A line of the table.

    Attributes:
      run: the run's folder, below the folder whose runs are listed.
      config: the model and the data.
      steps: steps done and steps of the whole run.
      state: finished, unfinished or damaged.
      pace: seconds a step, since the last log.
      age: time since the run wrote a line.
      scores: numbers of the last evaluation, or what is damaged.
    """

    run: str
    config: str
    steps: str
    state: str
    pace: str
    age: str
    scores: str


HEAD = Row("run", "config", "step", "state", "s/step", "age", "last scores")


def find(under: Path) -> Iterator[Path]:
    """The folders of runs in `under` and below it, in order.

    A folder with a config.json alone is not a run, since other programs write files of
    that name too. Hidden folders are left out, and links are not followed.

    Raises:
      ValueError: there is no such folder.
    """
    if not under.is_dir():
        what = "is a file" if under.exists() else "does not exist"
        raise ValueError(
            f"{under} {what}, but --under must be a folder with runs: give another "
            "one, or start a run with python -m gan_jax.main."
        )

    def warn(error: OSError) -> None:
        logging.warning("%s is left out: %s.", error.filename, error.strerror)

    for place, folders, names in os.walk(under, onerror=warn):
        inside = {*folders, *names}
        is_run = "config.json" in inside and inside & {files.METRICS, *CONTENTS}
        if is_run or inside >= {files.METRICS, "checkpoints"}:
            yield Path(place)
            folders[:] = [name for name in folders if name not in CONTENTS]
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def describe(workdir: Path, name: str) -> Row:
    """The row of a run, which says what is damaged if the run cannot be read.

    Args:
      workdir: the run's folder.
      name: the folder's name in the table.
    """
    age = _duration(time.time() - _last_change(workdir))
    try:
        return _read(workdir, name)._replace(age=age)
    except (ValueError, OSError) as error:
        return Row(name, "", "", "damaged", "", age, str(error))


def _read(workdir: Path, name: str) -> Row:
    fields = config_file.flatten(config_file.read(workdir).to_dict())
    last = fields.get("num_train_steps")
    if type(last) is not int:
        raise ValueError(
            f"{workdir / 'config.json'} has num_train_steps {last!r}, but a run has a "
            "whole number: restore the file from a copy."
        )
    line = files.read_last(workdir / files.METRICS) or {"step": 0}
    score = files.read_last_score(workdir / files.SCORES)
    saved = listing.steps(workdir / "checkpoints")
    step = max(line["step"], *saved, 0)
    rate = line.get("steps_per_second")
    return Row(
        run=name,
        config=f"{fields.get('model.name')} on {fields.get('data.name')}",
        steps=f"{step:,}/{last:,}",
        state="finished" if saved and saved[-1] >= last else "unfinished",
        pace=f"{1 / rate:.3g}" if files.is_number(rate) and rate > 0 else "",
        age="",
        scores=_scores(score) if score else "",
    )


def _last_change(workdir: Path) -> float:
    """The time at which the run last wrote a line, in seconds since 1970."""
    times = [0.0]
    for name in (files.METRICS, files.SCORES, "config.json"):
        try:
            times.append((workdir / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)


def _duration(seconds: float) -> str:
    """The time in the largest unit of which it has at least two: 90 min, 3 d."""
    for size, unit in UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _scores(score: Mapping[str, Any]) -> str:
    """The numbers of SHOWN, or else the first two that there are."""
    numbers = {
        name: one["value"]
        for name, one in score["numbers"].items()
        if files.is_number(one["value"])
    }
    chosen = [name for name in SHOWN if name in numbers] or list(numbers)[:2]
    shown = [f"{SHOWN.get(name, name)} {numbers[name]:.3g}" for name in chosen]
    return f"{', '.join(shown)} ({score['generator']}, step {score['step']:,})"


def format_table(rows: Sequence[Row]) -> str:
    """The rows below their head, in columns of equal width."""
    cells = [[_printable(cell) for cell in row] for row in (HEAD, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _printable(text: str) -> str:
    """The text on one line, without the codes that change a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def main() -> None:
    """Prints the table.

    Raises:
      ValueError: --under is no folder.
      OSError: a bucket cannot be read.
    """
    with bucket.fetched(_UNDER.value, bucket.choose_overview) as under:
        rows = [describe(run, os.path.relpath(run, under)) for run in find(under)]
    if not rows:
        print(f"There are no runs under {_UNDER.value}.")
        return
    print(format_table(rows))
    finished = sum(row.state == "finished" for row in rows)
    print(f"Finished under {_UNDER.value}: {finished} of {len(rows)}.")


if __name__ == "__main__":
    command.run(main)
