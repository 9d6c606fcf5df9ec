"""What an experiment is: parts, rows of overrides, seeds, numbers and their sources.

An experiment is a file `experiments/NAME/experiment.py` that holds one `Experiment` as
EXPERIMENT. Everything else (trials, tables, plots, the page) follows from it and from
the results.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import itertools
import types
from typing import Any, NamedTuple

Overrides = Mapping[str, Any]  # config fields, such as {"recipe.loss": "hinge"}
NOTHING: Mapping[Any, Any] = types.MappingProxyType({})
# Of a search on images of TFDS with 60,000 or 50,000 training images: the last 5,000
# choose, and are not trained on meanwhile; the test images are left for the table.
HELD_OUT = {"data.split": "train[:-5000]", "evaluation.split": "train[-5000:]"}
# The names of reference rows: points drawn uniformly, generators at their initial
# parameters, and data of the training set.
UNIFORM, UNTRAINED, REAL = "uniform", "untrained", "real"


class Column(NamedTuple):
    """One number of the table.

    Attributes:
      number: its name in evaluations.jsonl, such as "frechet_distance".
      title: as the table shows it.
      digits: after the decimal point.
      scale: factor of what is shown; 100 for percent.
    """

    number: str
    title: str
    digits: int = 2
    scale: float = 1.0


class Search(NamedTuple):
    """A choice made for each row alike, on seeds that the table does not show.

    Attributes:
      choices: by name, the overrides of each.
      number: whose mean over `seeds` decides, in the direction that is better.
      seeds: of the search, none of them a seed of the table.
      overrides: of the search's runs alone, such as HELD_OUT.
      text: what a reader must know of the search.
    """

    choices: Mapping[str, Overrides]
    number: str
    seeds: Sequence[int]
    overrides: Overrides = NOTHING
    text: str = ""


class Threshold(NamedTuple):
    """What a run passes sooner or later, or never.

    Attributes:
      number: that is followed over the evaluations.
      value: that it passes in its better direction.
    """

    number: str
    value: float


class Part(NamedTuple):
    """One table: rows that differ by overrides, each with the same seeds.

    Attributes:
      title: of its section on the page.
      config: the base, such as "configs/dcgan.py" or "configs/cgan.py:onehot".
      rows: by name, each row's overrides.
      columns: of the table; the first is the one that is plotted.
      overrides: of all rows.
      seeds: of the table, one run each.
      search: None where nothing is chosen.
      runs_per_program: runs that differ only in the seed and in floats of the
        optimisers and that train together under vmap; 1 trains each alone.
      published: for a row the keys of `published.VALUES` that stand beside it.
      compared: for a row the row from which its differences are taken, seed by seed.
      references: rows that no training makes, of UNIFORM (mixtures only), UNTRAINED and
        REAL; see references.py.
      threshold: the table says by which step each seed has passed it; None without.
      curves: numbers drawn over the steps.
      grids: show sample grids of the rows' first seeds.
      text: paragraphs above the table; see Experiment.learned for the marks in it.
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
    text: str = ""


class Experiment(NamedTuple):
    """A question and what is run to answer it.

    Attributes:
      title: of the page.
      question: in one sentence.
      source: the paper and table that it follows.
      parts: by name, which is a folder's name too.
      deviations: from the published protocol, one sentence each.
      cores: of the processor for each program, since the last digits depend on them;
        0 leaves all to each, which suits a GPU or TPU.
      answer: one sentence for the index, "" until there are results. Like `learned`
        and a part's `text` it takes its numbers from the results: a mark such as
        [[ring | GAN | modes]] (part, row, number) becomes "6.3 ± 0.5", and
        [[ring | GAN | modes | difference]] the difference to the row's baseline.
      learned: paragraphs below the tables.
    """

    title: str
    question: str
    source: str
    parts: Mapping[str, Part]
    deviations: Sequence[str] = ()
    cores: int = 1
    answer: str = ""
    learned: str = ""


class Trial(NamedTuple):
    """One run of an experiment.

    Attributes:
      part: name in Experiment.parts.
      row: name in Part.rows.
      choice: name in Search.choices, "" without a search.
      seed: the run's.
    """

    part: str
    row: str
    choice: str
    seed: int

    @property
    def folder(self) -> str:
        """Of the run, below the experiment's folder."""
        names = [self.part, self.row, self.choice, f"seed_{self.seed}"]
        return "/".join(
            "".join(c if c.isalnum() or c in "._-+=" else "_" for c in name)
            for name in names
            if name
        )


class Result(NamedTuple):
    """What became of a trial.

    Attributes:
      trial: which.
      status: "finished", "failed" (diverged, or an error), "unfinished" or "missing".
      error: of a failed one, in a sentence.
      step: of the numbers; 0 without any.
      numbers: of the last evaluation, of the averaged generator where one is kept.
      curves: for each number its (step, value) pairs over all evaluations.
      seconds: of training, evaluation not counted.
      environments: for each kind of start of the run, in a line: commit, processor,
        cores, runs of its program and versions; empty where none was recorded.
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
    """Part.compared where all other rows are compared with one."""
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
    """The runs that a search needs to choose."""
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
    """The runs of an experiment, those of searches first.

    Args:
      experiment: what is asked.
      chosen: by part and row the search's choice; a row of a part with a search that
        is not here has none yet, and so no runs but the search's.
    """
    yield from searches(experiment)
    for name, part in experiment.parts.items():
        for row, seed in itertools.product(part.rows, part.seeds):
            if not part.search:
                yield Trial(name, row, "", seed)
            elif (name, row) in chosen:
                yield Trial(name, row, chosen[name, row], seed)
