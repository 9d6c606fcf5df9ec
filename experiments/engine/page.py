"""An experiment's page and its row of the index, written from the results alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
import re
import textwrap
from typing import TypeVar

from experiments.engine import (
    commands,
    pairs,
    published,
    references,
    spec,
    summary,
    tables,
)
from experiments.engine.spec import Experiment, Part, Result, Search, Trial

# The captions of pictures named <part>_<kind>; the page shows those that exist.
PICTURES = {
    "dots.png": "every seed, the mean and its standard error",
    "lines.png": "mean over the seeds, with its standard error, over the steps",
    "sensitivity.png": "the search: the chosen value of each row is ringed",
    "samples.png": "samples of each row's first seed",
    "samples.gif": "samples of each row's first seed over the steps",
}
INDEX_START, INDEX_END = "<!-- experiments -->", "<!-- end -->"
PAGES_START, PAGES_END = "<!-- pages -->", "<!-- end of pages -->"
PAGES_HEADER = "| folder | question | answer |\n| --- | --- | --- |\n"
INDEX_HEADER = (
    "| experiment | question | answer | picture | training, one core |\n"
    "| --- | --- | --- | --- | --- |\n"
)
NOT_RUN = "not run"
ENDINGS = PLAIN, DIFFERENCE = "plain", "difference"  # optional last words of a mark
REFERENCES = {  # explanations of the reference rows
    spec.UNIFORM: "The row uniform is chance: as many points drawn uniformly from the "
    "square that holds all modes, with half the distance between neighbours around "
    f"them, drawn by {len(references.SEEDS)} seeds.",
    spec.UNTRAINED: "The row untrained is the first row's generator at its initial "
    "parameters, before any step.",
    spec.REAL: "The row real has data of the training set, drawn anew by each seed, in "
    "the place of generated ones.",
}
Known = TypeVar("Known")


def render(
    name: str,
    experiment: Experiment,
    results: Sequence[Result],
    *,
    pictures: Collection[str],
    made_on: str = "",
) -> str:
    """The Markdown text of experiments/NAME/README.md.

    Args:
      name: name of the experiment's folder.
      experiment: experiment that the page is about.
      results: results as read from results.json, so that the page can be made again.
      pictures: names of the pictures in the folder; unknown names are ignored.
      made_on: hardware and versions of the runs that did not record an environment.

    Raises:
      ValueError: a mark in the texts does not name a number.
    """
    run = f"python -m experiments.run --experiment={name} --workdir=runs/{name}"
    collect = f"{run} --collect --output=experiments/{name}"
    sections = [
        f"# {experiment.title}",
        experiment.question,
        f"Source: {experiment.source}",
        f"```bash\n{run} --processes=2\n{collect}\n```",
        "The first command runs all trials, two programs at a time, each on "
        f"{_cores(experiment)}, and goes on after an interruption. The second writes "
        "this page from what they left.",
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
    sections += ["## Made on", *_made_on(experiment, results, made_on)]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def fill(text: str, experiment: Experiment, results: Sequence[Result]) -> str:
    """The text with numbers in place of its marks.

    The mark [[part | row | number]] becomes "6.3 ± 0.5", in the unit of the column.
    With "| plain" after the number it becomes "6.3", and with "| difference" it becomes
    the paired difference to the row's baseline. It becomes "not run" if no seed has
    finished. A mark may contain the end of a line.

    Raises:
      ValueError: a mark has another form, or its part, row or number is unknown.
    """

    def number(found: re.Match[str]) -> str:
        words = [" ".join(word.split()) for word in found[1].split("|")]
        if len(words) not in (3, 4) or words[3:] not in ([], *([x] for x in ENDINGS)):
            raise ValueError(
                f"the mark {found[0]} cannot be read; a mark is [[part | row | number]]"
                f" with or without a fourth word, {' or '.join(ENDINGS)}: change it in "
                "experiment.py."
            )
        part_name, row_name, wanted = words[:3]
        part = _known(experiment.parts, part_name, "part", found[0])
        _known(_rows(part), row_name, "row", found[0])
        columns = {column.number: column for column in part.columns}
        column = _known(columns, wanted, "number", found[0])
        rows = summary.summarise(part_name, part, results)
        cells = [row.cells[wanted] for row in rows if row.name == row_name]
        mean = cells[0].mean if cells else None
        if mean is None:
            return NOT_RUN
        (cell,) = cells
        if words[3:] == [DIFFERENCE]:
            _known(part.compared, row_name, "compared row", found[0])
            pair = pairs.differences(part, rows)[row_name][wanted]
            return tables.format_difference(pair, column).strip("*")
        if words[3:] == [PLAIN]:
            return tables.format_number(mean, column)
        return tables.format_cell(cell, column)

    filled = re.sub(r"\[\[(.*?)\]\]", number, text, flags=re.DOTALL)
    return filled if filled == text else _wrapped(filled)


def _wrapped(text: str) -> str:
    """The text wrapped at 88 columns, except for tables and lists."""
    paragraphs = [
        paragraph
        if paragraph.startswith(("|", "- "))
        else textwrap.fill(
            paragraph, 88, break_long_words=False, break_on_hyphens=False
        )
        for paragraph in text.split("\n\n")
    ]
    return "\n\n".join(paragraphs)


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


def update_index(index_text: str, rows: Iterable[str], pages: Mapping[str, str]) -> str:
    """The index with new tables between its comment lines.

    Args:
      index_text: text of experiments/README.md.
      rows: rows of the experiments whose pages are generated.
      pages: texts of the pages written by hand, by folder. The index takes question and
        answer from a page; if a page has no answer, its old row stays.

    Raises:
      ValueError: the comment lines are missing or in another order.
    """
    lines = "".join(f"{row}\n" for row in rows)
    text = _between(index_text, INDEX_START, INDEX_END, f"\n{INDEX_HEADER}{lines}\n")
    found = [_page_row(folder, page, index_text) for folder, page in pages.items()]
    lines = "".join(f"{row}\n" for row in found if row)
    return _between(text, PAGES_START, PAGES_END, f"\n{PAGES_HEADER}{lines}\n")


def _between(text: str, start: str, end: str, body: str) -> str:
    """The text with `body` between two comment lines."""
    before, opening, rest = text.partition(f"{start}\n")
    _, closing, after = rest.partition(end)
    if not opening or not closing:
        raise ValueError(
            f"the index has no line {start} with a line {end} below it; the table goes "
            "between the two: add them to experiments/README.md."
        )
    return f"{before}{opening}{body}{closing}{after}"


def _page_row(folder: str, text: str, index_text: str) -> str:
    """A page's line in the index; "" if the page has no answer and no line yet."""
    link = f"[{folder}]({folder}/README.md)"
    said = [
        re.search(rf"^\*\*{word}s?\.\*\* (.*?)\n\n", text, re.DOTALL | re.MULTILINE)
        for word in ("Question", "Answer")
    ]
    if all(said):
        cells = [" ".join(one[1].split()) for one in said if one]
        return f"| {' | '.join((link, *cells))} |"
    lines = index_text.splitlines()
    return next((line for line in lines if line.startswith(f"| {link} |")), "")


def _part(
    name: str,
    part_name: str,
    part: Part,
    results: Sequence[Result],
    pictures: Collection[str],
    text: str,
) -> list[str]:
    """The sections of a part: title, text, tables, notes, pictures and commands."""
    rows = summary.summarise(part_name, part, results)
    sections = [f"## {part.title}", *([text] if text else [])]
    if part.search:
        sections.append(_search(part.search))
    sections.append(tables.to_markdown(part, rows))
    sections.append(_below_the_table(part, rows))
    if part.compared:
        sections += [
            _about_differences(part, rows),
            tables.differences_to_markdown(part, rows),
        ]
    sections += _notes(part_name, part, results, rows)
    for kind, caption in PICTURES.items():
        if f"{part_name}_{kind}" in pictures:
            sections.append(f"![{part.title}: {caption}]({part_name}_{kind})")
    if part.search and any(row.choice for row in rows):
        sections += [
            "<details>\n<summary>The search: chosen settings are bold</summary>",
            tables.search_to_markdown(part_name, part, results, rows),
            "</details>",
        ]
    return [*sections, *_commands(name, part_name, part, rows)]


def _search(search: Search) -> str:
    """Says how the choices of the rows were made."""
    named = "; ".join(search.choices)
    text = (
        f"Each row has the choice with the best mean {search.number} on "
        f"{_seeds(search.seeds)}, which the table does not show, among: {named}."
    )
    return f"{text} {search.text}".strip()


def _below_the_table(part: Part, rows: Sequence[summary.Row]) -> str:
    """Says what ± means and what the reference rows are."""
    names = {row.name for row in rows}.intersection(part.references)
    texts = [text for name, text in REFERENCES.items() if name in names]
    if len(part.seeds) == 1:
        return " ".join([f"One run a row, of {_seeds(part.seeds)}.", *texts])
    return " ".join([f"Mean ± standard error over {_seeds(part.seeds)}.", *texts])


def _about_differences(part: Part, rows: Sequence[summary.Row]) -> str:
    """Says how to read the table of differences."""
    seeds = max(row.seeds for row in rows if row.name in part.rows)
    reach = f"{pairs.quantile(seeds):.2f} standard errors" if seeds > 1 else "unknown"
    return (
        "Differences, seed by seed: mean ± standard error. A seed fixes the order of "
        "the data, the latents and, where two networks are alike, their initial "
        "parameters. A difference is bold where Student's 95 % interval "
        f"({reach} to either side at {seeds} seeds) leaves out zero. Nothing corrects "
        "for the number of comparisons, so one in twenty differences between equal "
        "rows would be bold."
    )


def _commands(
    name: str, part_name: str, part: Part, rows: Sequence[summary.Row]
) -> list[str]:
    """The settings of each row and the command of its first seed, folded away."""
    names = [row for row in rows if row.name in part.rows]
    listed = "\n\n".join(
        f"# {row.name}: {commands.settings(part, _first(part_name, part, row))}\n"
        f"{commands.command(name, _first(part_name, part, row))}"
        for row in names
    )
    base = commands.base(part)
    return [
        "<details>\n<summary>Settings, and commands of each row's first seed</summary>",
        f"All rows: {base}. A command trains the seeds that share a program with the "
        "first one too, as they did for the table.",
        f"```bash\n{listed}\n```",
        "</details>",
    ]


def _notes(
    part_name: str, part: Part, results: Sequence[Result], rows: Sequence[summary.Row]
) -> list[str]:
    """Sources of published values with their doubts, and the errors of failed runs."""
    notes: dict[str, list[str]] = {}
    for row in rows:
        cells = (row.cells[column.number].published for column in part.columns)
        for value in (*(value for cell in cells for value in cell), *row.elsewhere):
            has_spread = value.spread_kind != published.NOT_SAID
            spread = f" Its ± is a {value.spread_kind}." if has_spread else ""
            listed = notes.setdefault(
                f"- {value.source} ({value.paper.partition(', ')[2]}, arXiv "
                f"{value.arxiv}): {value.protocol}.{spread}",
                [],
            )
            note = f" Note on {value.row}: {value.doubts}."
            if value.doubts and note not in listed:
                listed.append(note)
    lines = [source + "".join(listed) for source, listed in notes.items()]
    failed = [
        f"- {result.trial.folder}: {result.error}"
        for result in results
        if result.trial.part == part_name and result.status == "failed"
    ]
    sections = [
        "Published, under other protocols than ours:\n\n" + "\n".join(lines)
    ] * bool(notes)
    if failed:
        sections += [
            f"<details>\n<summary>Failed runs: {len(failed)}</summary>",
            "\n".join(failed),
            "</details>",
        ]
    return sections


def _first(part_name: str, part: Part, row: summary.Row) -> Trial:
    """The trial of a row's first seed, or of the search's until it has chosen."""
    if part.search and row.choice is None:
        choice = next(iter(part.search.choices))
        return Trial(part_name, row.name, choice, part.search.seeds[0])
    return Trial(part_name, row.name, row.choice or "", part.seeds[0])


def _rows(part: Part) -> Mapping[str, object]:
    """All rows of a table by name, including the reference rows."""
    return {**part.rows, **dict.fromkeys(part.references)}


def _cores(experiment: Experiment) -> str:
    if not experiment.cores:
        return "all cores"
    return "one core" if experiment.cores == 1 else f"{experiment.cores} cores"


def _made_on(
    experiment: Experiment, results: Sequence[Result], made_on: str
) -> list[str]:
    """Hardware, versions and programs of all runs, and the time that they took."""
    rows = {(name, row) for name, part in experiment.parts.items() for row in part.rows}
    runs = [one for one in results if (one.trial.part, one.trial.row) in rows]
    finished = [one for one in runs if one.status == "finished"]
    if not finished:
        return ["Not run yet."]
    minutes = sum(one.seconds for one in finished) / 60
    counted = (
        f"{len(finished)} of {len(runs)} runs finished, {minutes:.0f} minutes of "
        "training added up; compilation and evaluation are not counted."
    )
    lines = {environment: 0 for one in finished for environment in one.environments}
    for one in finished:
        for environment in one.environments:
            lines[environment] += 1
    listed = "\n".join(
        f"- {count} runs: {environment}" for environment, count in lines.items()
    )
    before = made_on if any(not one.environments for one in finished) else ""
    return [text for text in (before, listed, counted) if text]


def _known(names: Mapping[str, Known], name: str, what: str, mark: str) -> Known:
    """The value of a name in a mark; an unknown name is an error."""
    if name not in names:
        raise ValueError(
            f"the mark {mark} names the {what} {name!r}; there are: "
            f"{', '.join(names)}: change it in experiment.py."
        )
    return names[name]


def _seeds(seeds: Sequence[int]) -> str:
    """The seeds in words, such as "seeds 0 to 9", "seeds 0, 1, 5" or "seed 100"."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))


def _duration(seconds: float) -> str:
    """The duration in words, such as "45 s", "12 min" or "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
