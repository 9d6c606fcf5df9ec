"""An experiment's page and its row of the index, written from the results alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
import re
from typing import TypeVar

from experiments.engine import commands, summary, tables
from experiments.engine.spec import Experiment, Part, Result, Trial

# What a picture named <part>_<kind> shows; the page has those that exist.
PICTURES = {
    "dots.png": "every seed, the mean and its standard error, and published values",
    "lines.png": "mean over the seeds, with its standard error, over the steps",
    "sensitivity.png": "the search: the chosen value of each row is ringed",
    "samples.png": "samples of each row's first seed",
    "samples.gif": "samples of each row's first seed over the steps",
}
INDEX_START, INDEX_END = "<!-- experiments -->", "<!-- end -->"
INDEX_HEADER = (
    "| experiment | question | answer | picture | time on two cores |\n"
    "| --- | --- | --- | --- | --- |\n"
)
NOT_RUN = "not run"
Known = TypeVar("Known")


def render(
    name: str,
    experiment: Experiment,
    results: Sequence[Result],
    *,
    pictures: Collection[str],
    made_on: str,
) -> str:
    """The Markdown text of experiments/NAME/README.md.

    Args:
      name: of the experiment's folder.
      experiment: what was asked.
      results: as read from results.json, so that the page can be made again.
      pictures: names of the files in the folder; others are ignored.
      made_on: hardware, versions and times.

    Raises:
      ValueError: a mark of the texts that names no number.
    """
    run = f"python -m experiments.run --experiment={name} --workdir=runs/{name}"
    collect = f"{run} --collect --output=experiments/{name}"
    sections = [
        f"# {experiment.title}",
        experiment.question,
        f"Source: {experiment.source}",
        f"```bash\n{run} --processes=2\n{collect}\n```",
        "The first command runs all trials, two at a time, and goes on after an "
        "interruption; the second writes this page from what they left.",
    ]
    for part_name, part in experiment.parts.items():
        text = fill(part.text, experiment, results)
        sections += _part(name, part_name, part, results, pictures, text)
    if experiment.deviations:
        listed = "\n".join(f"- {deviation}" for deviation in experiment.deviations)
        sections += ["## Deviations from the published protocol", listed]
    if experiment.learned:
        learned = fill(experiment.learned, experiment, results)
        sections += ["## What we learned", learned]
    sections += ["## Made on", made_on or "Not run yet."]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def fill(text: str, experiment: Experiment, results: Sequence[Result]) -> str:
    """The text with numbers in place of its marks.

    [[part | row | number]] becomes "6.3 ± 0.5", in the unit of the column; with
    "| plain" after the number "6.3"; "not run" where no seed has finished. A mark may
    go over the end of a line.

    Raises:
      ValueError: a mark of another form, or an unknown part, row or number.
    """

    def number(found: re.Match[str]) -> str:
        words = [" ".join(word.split()) for word in found[1].split("|")]
        if len(words) not in (3, 4) or words[3:] not in ([], ["plain"]):
            raise ValueError(
                f"the mark {found[0]} cannot be read; a mark is [[part | row | number]]"
                " or [[part | row | number | plain]]: change it in experiment.py."
            )
        part_name, row_name, wanted = words[:3]
        part = _known(experiment.parts, part_name, "part", found[0])
        _known(part.rows, row_name, "row", found[0])
        columns = {column.number: column for column in part.columns}
        column = _known(columns, wanted, "number", found[0])
        rows = summary.summarise(part_name, part, results)
        cell = next(row for row in rows if row.name == row_name).cells[wanted]
        if cell.mean is None:
            return NOT_RUN
        if len(words) == 4:
            return tables.format_number(cell.mean, column)
        return tables.format_cell(cell, column)

    return re.sub(r"\[\[(.*?)\]\]", number, text, flags=re.DOTALL)


def index_row(
    name: str,
    experiment: Experiment,
    results: Sequence[Result],
    pictures: Sequence[str],
    seconds: float,
) -> str:
    """The experiment's line in experiments/README.md; the first picture is shown."""
    picture = f"[![{name}]({name}/{pictures[0]})]({name}/README.md)" if pictures else ""
    answer = fill(experiment.answer, experiment, results) or NOT_RUN
    link = f"[{name}]({name}/README.md)"
    cells = (link, experiment.question, answer, picture, _duration(seconds))
    return f"| {' | '.join(cells)} |"


def update_index(index_text: str, rows: Iterable[str]) -> str:
    """The index with another table between its two comment lines.

    Raises:
      ValueError: the comment lines are not there, in their order.
    """
    start, opening, rest = index_text.partition(f"{INDEX_START}\n")
    _, closing, end = rest.partition(INDEX_END)
    if not opening or not closing:
        raise ValueError(
            f"the index has no line {INDEX_START} with a line {INDEX_END} below it; "
            "the table goes between the two: add them to experiments/README.md."
        )
    body = "".join(f"{row}\n" for row in rows)
    return f"{start}{opening}\n{INDEX_HEADER}{body}\n{closing}{end}"


def _part(
    name: str,
    part_name: str,
    part: Part,
    results: Sequence[Result],
    pictures: Collection[str],
    text: str,
) -> list[str]:
    """Title, text, table, notes, pictures and commands of a part."""
    rows = summary.summarise(part_name, part, results)
    sections = [f"## {part.title}", *([text] if text else [])]
    if part.search:
        sections.append(
            f"Each row has the choice with the best mean {part.search.number} on seeds "
            f"{_listed(part.search.seeds)}, among: {'; '.join(part.search.choices)}."
        )
    sections.append(tables.to_markdown(part, rows))
    sections.append(
        f"Mean ± standard error over seeds {_listed(part.seeds)}, none of them seen by "
        "a search."
        if part.search
        else f"Mean ± standard error over seeds {_listed(part.seeds)}."
    )
    sections += _notes(part_name, part, results, rows)
    for kind, caption in PICTURES.items():
        if f"{part_name}_{kind}" in pictures:
            sections.append(f"![{part.title}: {caption}]({part_name}_{kind})")
    listed = "\n\n".join(
        f"# {row.name}\n{commands.command(name, part, _first(part_name, part, row))}"
        for row in rows
    )
    summary_line = "<details>\n<summary>Commands of each row's first seed</summary>"
    return [*sections, summary_line, f"```bash\n{listed}\n```", "</details>"]


def _notes(
    part_name: str, part: Part, results: Sequence[Result], rows: Sequence[summary.Row]
) -> list[str]:
    """Sources of published values with their doubts, and the errors of failed runs."""
    notes: dict[str, None] = {}
    for row in rows:
        cells = (row.cells[column.number].published for column in part.columns)
        for value in (*(value for cell in cells for value in cell), *row.elsewhere):
            spread = "" if value.spread is None else f" Its ±: {value.spread_kind}."
            doubts = f" Note on {value.row}: {value.doubts}." if value.doubts else ""
            notes[
                f"- {value.source} ({value.paper.partition(', ')[2]}, arXiv "
                f"{value.arxiv}): {value.protocol}.{spread}{doubts}"
            ] = None
    failed = [
        f"- {result.trial.folder}: {result.error}"
        for result in results
        if result.trial.part == part_name and result.status == "failed"
    ]
    sections = [
        "Published, under other protocols than ours:\n\n" + "\n".join(notes)
    ] * bool(notes)
    if failed:
        sections += [
            f"<details>\n<summary>Failed runs: {len(failed)}</summary>",
            "\n".join(failed),
            "</details>",
        ]
    return sections


def _first(part_name: str, part: Part, row: summary.Row) -> Trial:
    """The first seed of a row, with the first choice where none is chosen yet."""
    choice = row.choice
    if choice is None:
        choice = next(iter(part.search.choices)) if part.search else ""
    return Trial(part_name, row.name, choice, part.seeds[0])


def _known(names: Mapping[str, Known], name: str, what: str, mark: str) -> Known:
    """What a name stands for, or the error that it stands for nothing."""
    if name not in names:
        raise ValueError(
            f"the mark {mark} names the {what} {name!r}; there are: "
            f"{', '.join(names)}: change it in experiment.py."
        )
    return names[name]


def _listed(seeds: Sequence[int]) -> str:
    """Such as "0 to 9", or "0, 1, 5"."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _duration(seconds: float) -> str:
    """Such as "45 s", "12 min" or "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
