"""Writes a page about a run, which a browser shows without a network.

This command writes report.html about one run:
  python -m gan_jax.report --workdir=RUN
This one shows several runs in the same charts, and what differs between their configs:
  python -m gan_jax.report --workdir=RUN --compare=RUN2 --compare=RUN3
"""

import contextlib
from pathlib import Path

from absl import flags

from gan_jax import command
from gan_jax.page import history, render
from gan_jax.run import bucket
from gan_jax.run import images as images_lib

_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The run lies in this folder, or at this address in a bucket, such as "
    "gs://BUCKET/RUN. It must be given.",
    required=True,
)
_COMPARE = flags.DEFINE_multi_string(
    "compare",
    [],
    "The run in this folder, or at this address, is drawn in the same charts. The flag "
    "may be given several times.",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    "report.html",
    "The page is written to this HTML file. Nothing in the run's folder changes.",
)
_GRIDS = flags.DEFINE_integer(
    "grids",
    30,
    "The page has at most this number of sample grids of a run, evenly spaced over its "
    "steps. There are fewer where they would take more than 8 MiB together.",
    lower_bound=1,
    upper_bound=1_000,
)
MOST_RUNS = 8  # as many colours tell curves apart


def _check_output(path: Path) -> None:
    """Refuses an output that is no HTML file or cannot be written.

    Raises:
      ValueError: the name does not end in .html, or the file cannot be written.
    """
    images_lib.check_output(path, "--output")
    if path.suffix != ".html":
        raise ValueError(f"--output is {path}, but must end in .html: change --output.")


def main() -> None:
    """Reads the runs' folders and writes the page.

    Raises:
      ValueError: a folder holds no run or no metrics yet, a run is given twice, there
        are too many, or the output cannot be written.
      OSError: the output cannot be written, or a bucket cannot be read.
    """
    output = Path(_OUTPUT.value)
    _check_output(output)
    places = [_WORKDIR.value, *_COMPARE.value]
    if len(places) > MOST_RUNS:
        raise ValueError(
            f"there are {len(places)} runs, but a page shows {MOST_RUNS} at most: "
            "give --compare fewer times."
        )
    with contextlib.ExitStack() as stack:
        workdirs = [
            stack.enter_context(bucket.fetched(place, bucket.choose_history))
            for place in places
        ]
        runs = history.read_all(workdirs)
        text = render.page(runs, command.shipped_configs(), grids=_GRIDS.value)
    with images_lib.writing_whole(output) as file:
        file.write(text.encode(errors="replace"))  # JSON has lone surrogates
    named = ", ".join(run.name for run in runs)
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB) shows {named}.")


if __name__ == "__main__":
    command.run(main)
