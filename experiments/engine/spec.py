"""What an experiment is: parts, rows of overrides, seeds, numbers and their sources.

An experiment is a file `experiments/NAME/experiment.py` that holds one `Experiment` as
EXPERIMENT, with the prose of its page in `page.md.j2` beside it. Everything else
(trials, tables, plots, the page) follows from the two and from the results.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import itertools
import types
from typing import Any, NamedTuple

Overrides = Mapping[str, Any]  # config fields, such as {"recipe.loss": "hinge"}
NOTHING: Mapping[Any, Any] = types.MappingProxyType({})
# Overrides for a search on an image set of TFDS. The last 5,000 training images decide
# and are not trained on during the search; the test images are left for the table.
HELD_OUT = {"data.split": "train[:-5000]", "evaluation.split": "train[-5000:]"}
# The names of reference rows: points drawn uniformly, generators at their initial
# parameters, and data of the training set.
UNIFORM, UNTRAINED, REAL = "uniform", "untrained", "real"
RAW = "raw "  # begins the names of the raw generator's numbers beside an average's


class Column(NamedTuple):
    """A column of the table, which shows a number.

    Attributes:
      number: name of the number in evaluations.jsonl, such as "frechet_distance", after
        RAW for the raw generator of runs that keep an average.
      title: title of the column.
      digits: number of digits after the decimal point.
      scale: factor by which the number is multiplied; 100 for percent.
    """

    number: str
    title: str
    digits: int = 2
    scale: float = 1.0


class Search(NamedTuple):
    """A search that makes a choice for each row, on seeds that the table does not show.

    Attributes:
      choices: overrides of each choice, by the choice's name.
      number: number whose best mean over `seeds` decides.
      seeds: seeds of the search, which are not seeds of the table.
      overrides: overrides of the search's runs only, such as HELD_OUT.
    """

    choices: Mapping[str, Overrides]
    number: str
    seeds: Sequence[int]
    overrides: Overrides = NOTHING


class Threshold(NamedTuple):
    """A value that runs may pass; the table says when they do.

    Attributes:
      number: number that is followed over the evaluations.
      value: value that the number passes in its better direction.
    """

    number: str
    value: float


class Part(NamedTuple):
    """A table, whose rows differ by overrides and have the same seeds.

    Attributes:
      title: title of the section on the page.
      config: config of all rows, such as "configs/dcgan.py" or
        "configs/cgan.py:onehot".
      rows: overrides of each row, by the row's name.
      columns: columns of the table; if there are many, only the first is plotted.
      overrides: overrides of all rows.
      seeds: seeds of the table; every row has a run for each seed.
      search: search that makes a choice for each row, or None.
      runs_per_program: largest number of runs that train together under vmap, which
        may differ only in the seed and in floats of the optimisers; 1 trains each run
        alone.
      published: keys of `published.VALUES` that are shown beside a row, by the row.
      compared: baseline from which a row's differences are taken, by the row.
      references: rows that need no training: UNIFORM (mixtures only), UNTRAINED or
        REAL; see references.py.
      threshold: value for which the table says when each seed has passed it, or None.
      curves: numbers drawn over the steps.
      grids: whether the page shows sample grids of the rows' first seeds.
    """

    title: str
    config: str
    rows: Mapping[str, Overrides]
    columns: Sequence[Column]
    overrides: Overrides = NOTHING
    seeds: Sequence[int] = (0, 1, 2)
    search: Search | None = None
    runs_per_program: int = 1
    published: Mapping[str, Sequence[str]] = NOTHING
    compared: Mapping[str, str] = NOTHING
    references: Sequence[str] = ()
    threshold: Threshold | None = None
    curves: Sequence[str] = ()
    grids: bool = False


class Experiment(NamedTuple):
    """The runs that answer a question; page.md.j2 in its folder has the prose.

    Attributes:
      parts: parts by name; the name is also the name of a folder.
      cores: number of the processor's cores for a program, on which the last digits
        depend; 0 gives all cores to each program, which suits a GPU or TPU.
    """

    parts: Mapping[str, Part]
    cores: int = 1


class Trial(NamedTuple):
    """A run of an experiment.

    Attributes:
      part: name in Experiment.parts.
      row: name in Part.rows.
      choice: name in Search.choices, "" without a search.
      seed: seed of the run.
    """

    part: str
    row: str
    choice: str
    seed: int

    @property
    def folder(self) -> str:
        """The run's folder, relative to the experiment's folder."""
        names = [self.part, self.row, self.choice, f"seed_{self.seed}"]
        return "/".join(
            "".join(c if c.isalnum() or c in "._-+=" else "_" for c in name)
            for name in names
            if name
        )


class Result(NamedTuple):
    """The result of a trial.

    Attributes:
      trial: trial that was run.
      status: "finished", "failed" (diverged, or stopped by the watchdog), "unfinished"
        or "missing".
      error: error of a failed trial, in a sentence.
      step: step of the numbers; 0 without numbers.
      numbers: numbers of the last evaluation, of the averaged generator if the run
        keeps an average; the raw generator's then have the prefix RAW.
      curves: (step, value) pairs of each number over all evaluations.
      seconds: seconds of training, without evaluations.
      environments: different environments in which the run was started, a line for
        each: commit, processor, cores, runs of the program and versions; empty if none
        was recorded.
    """

    trial: Trial
    status: str
    error: str = ""
    step: int = 0
    numbers: Mapping[str, float] = NOTHING
    curves: Mapping[str, Sequence[tuple[int, float]]] = NOTHING
    seconds: float = 0.0
    environments: tuple[str, ...] = ()


def against(baseline: str, rows: Iterable[str]) -> dict[str, str]:
    """Part.compared for a table in which all other rows have the same baseline."""
    return {row: baseline for row in rows if row != baseline}


def product(*axes: Mapping[str, Overrides]) -> dict[str, Overrides]:
    """Rows for all combinations of named values, such as "hinge, R1"."""
    return {
        ", ".join(name for name in names if name): {
            field: value
            for axis, name in zip(axes, names, strict=True)
            for field, value in axis[name].items()
        }
        for names in itertools.product(*axes)
    }


def searches(experiment: Experiment) -> Iterator[Trial]:
    """Yields the runs of all searches."""
    for name, part in experiment.parts.items():
        if part.search:
            axes = part.rows, part.search.choices, part.search.seeds
            for row, choice, seed in itertools.product(*axes):
                yield Trial(name, row, choice, seed)


def is_searched(part: Part, trial: Trial) -> bool:
    """Whether a trial belongs to the part's search and not to its table."""
    return part.search is not None and trial.seed in part.search.seeds


def trials(
    experiment: Experiment, chosen: Mapping[tuple[str, str], str]
) -> Iterator[Trial]:
    """Yields the runs of an experiment, those of searches first.

    Args:
      experiment: experiment to run.
      chosen: choice of the search, by part and row. A row that is missing here, of a
        part with a search, has no choice yet, and no runs but those of the search.
    """
    yield from searches(experiment)
    for name, part in experiment.parts.items():
        for row, seed in itertools.product(part.rows, part.seeds):
            if not part.search:
                yield Trial(name, row, "", seed)
            elif (name, row) in chosen:
                yield Trial(name, row, chosen[name, row], seed)
