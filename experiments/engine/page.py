"""An experiment's page and its row of the index, written from the results alone.

The page's fixed sentences are the template page.md.j2 beside this file. An experiment's
prose is a template of the same name in its folder, which takes its numbers from the
results: {{ number("ring", "GAN", "modes") }} (part, row, number) becomes "6.3 ± 0.5".
"""

import collections
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
import functools
from pathlib import Path
import re
from typing import TypeVar

import jinja2

from experiments.engine import commands, pairs, references, summary, tables
from experiments.engine.published import Published
from experiments.engine.spec import Experiment, Part, Result, Trial

TEMPLATE = "page.md.j2"  # in the folder of each experiment and in that of the engine
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent.parent),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    cache_size=0,
)
BLOCKS = ("title", "question", "source", "answer", "deviations", "learned")
KINDS = ("text", "search")  # blocks of a part are called PART_text and PART_search
INDEX_START, INDEX_END = "<!-- experiments -->", "<!-- end -->"
PAGES_START, PAGES_END = "<!-- pages -->", "<!-- end of pages -->"
PAGES_HEADER = "| folder | question | answer |\n| --- | --- | --- |\n"
INDEX_HEADER = (
    "| experiment | question | answer | picture | training |\n"
    "| --- | --- | --- | --- | --- |\n"
)
NOT_RUN = "not run"
NUMBER, PLAIN, DIFFERENCE = "number", "plain", "difference"  # functions in prose
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
      ValueError: the template cannot be rendered, or asks for an unknown number.
    """
    rows = {(key, row) for key, part in experiment.parts.items() for row in part.rows}
    runs = [one for one in results if (one.trial.part, one.trial.row) in rows]
    finished = [one for one in runs if one.status == "finished"]
    environments = collections.Counter(
        environment for one in finished for environment in one.environments
    )
    with _template(name, experiment, results) as template:
        text = template.render(
            name=name,
            experiment=experiment,
            results=results,
            pictures=pictures,
            made_on=made_on,
            runs=runs,
            finished=finished,
            environments=environments,
            blocks=template.blocks,
            commands=commands,
            pairs=pairs,
            tables=tables,
            summarise=summary.summarise,
            sources=_sources,
            first_trial=_first_trial,
            in_words=_in_words,
            point_seeds=len(references.SEEDS),
        )
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


@contextlib.contextmanager
def _template(
    name: str, experiment: Experiment, results: Sequence[Result]
) -> Iterator[jinja2.Template]:
    """The template of an experiment's page; jinja2's errors become ValueErrors."""
    kinds = (NUMBER, PLAIN, DIFFERENCE)
    shown = {
        kind: functools.partial(_shown, experiment, results, kind) for kind in kinds
    }
    parts = [f"{part}_{kind}" for part in experiment.parts for kind in KINDS]
    known = dict.fromkeys((*BLOCKS, *parts))
    try:
        template = TEMPLATES.get_template(f"{name}/{TEMPLATE}", globals=shown)
        for block in template.blocks:
            _known(known, block, "block", f"the page of {name}")
        yield template
    except jinja2.TemplateError as error:
        raise ValueError(
            f"jinja2 cannot render the page of {name} ({type(error).__name__}: {error})"
            f", which takes a template like experiments/stabilisers/{TEMPLATE}: change "
            f"experiments/{name}/{TEMPLATE}."
        ) from error


def _shown(
    experiment: Experiment, results: Sequence[Result], kind: str, *words: str
) -> str:
    """A number of a part and a row, or "not run" if no seed has finished.

    It is in the unit of its column. The kind "number" gives "6.3 ± 0.5", "plain" gives
    "6.3", and "difference" gives the paired difference to the row's baseline.

    Raises:
      ValueError: there are not three words, or their part, row or number is unknown.
    """
    call = f"{kind}{words}"
    if len(words) != 3:
        raise ValueError(
            f"{call} cannot be read; {kind} takes the names of a part, of a row and of "
            f"a number: change it in {TEMPLATE}."
        )
    part_name, row_name, wanted = words
    part = _known(experiment.parts, part_name, "part", call)
    _known({**part.rows, **dict.fromkeys(part.references)}, row_name, "row", call)
    columns = {column.number: column for column in part.columns}
    column = _known(columns, wanted, "number", call)
    rows = summary.summarise(part_name, part, results)
    cell = next((row.cells[wanted] for row in rows if row.name == row_name), None)
    if cell is None or cell.mean is None:
        return NOT_RUN
    if kind == DIFFERENCE:
        _known(part.compared, row_name, "compared row", call)
        pair = pairs.differences(part, rows)[row_name][wanted]
        return tables.format_difference(pair, column).strip("*")
    if kind == PLAIN:
        return tables.format_number(cell.mean, column)
    return tables.format_cell(cell, column)


def index_row(
    name: str,
    experiment: Experiment,
    results: Sequence[Result],
    pictures: Collection[str],
    seconds: float,
) -> str:
    """The experiment's line in experiments/README.md, with its page's first picture."""
    with _template(name, experiment, results) as template:
        context = template.new_context()
        question, answer = (
            " ".join("".join(template.blocks[block](context)).split())
            if block in template.blocks
            else NOT_RUN
            for block in ("question", "answer")
        )
    dots = [
        file for part in experiment.parts if (file := f"{part}_dots.png") in pictures
    ]
    picture = f"[![{name}]({name}/{dots[0]})]({name}/README.md)" if dots else ""
    link = f"[{name}]({name}/README.md)"
    return f"| {' | '.join((link, question, answer, picture, _duration(seconds)))} |"


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


def _sources(
    part: Part, rows: Iterable[summary.Row]
) -> dict[Published, list[tuple[str, str]]]:
    """The published tables that are quoted, with rows whose values are in doubt."""
    found: dict[Published, list[tuple[str, str]]] = {}
    for row in rows:
        cells = [row.cells[column.number].published for column in part.columns]
        for value in (*(value for cell in cells for value in cell), *row.elsewhere):
            table = value._replace(row="", number="", value=0.0, spread=None, doubts="")
            doubts, doubt = found.setdefault(table, []), (value.row, value.doubts)
            if value.doubts and doubt not in doubts:
                doubts.append(doubt)
    return found


def _first_trial(part_name: str, part: Part, row: summary.Row) -> Trial:
    """The trial of a row's first seed, or of the search's until it has chosen."""
    if part.search and row.choice is None:
        choice = next(iter(part.search.choices))
        return Trial(part_name, row.name, choice, part.search.seeds[0])
    return Trial(part_name, row.name, row.choice or "", part.seeds[0])


def _known(names: Mapping[str, Known], name: str, what: str, call: str) -> Known:
    """The value of a name in a call; an unknown name is an error."""
    if name not in names:
        raise ValueError(
            f"{call} names the {what} {name!r}; there are: {', '.join(names)}: change "
            f"it in {TEMPLATE}."
        )
    return names[name]


def _in_words(seeds: Sequence[int]) -> str:
    """The seeds in words, such as "seeds 0 to 9", "seeds 0, 1, 5" or "seed 100"."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))


def _duration(seconds: float) -> str:
    """The duration in words, such as "45 s", "12 min" or "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
