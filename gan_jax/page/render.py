"""The HTML of a page: a single file that asks for nothing from outside."""

import base64
from collections.abc import Mapping, Sequence
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax.page import charts, pictures, settings, tables
from gan_jax.page.history import History

FOLDER = Path(__file__).parent
MOST_ROWS = 24  # rows of a sample grid that are labelled with their classes
LIBRARY = "uplot/uPlot.iife.min.js"


class _Samples(NamedTuple):
    """The pictures of a run, and the class of each row if it is conditional."""

    name: str
    pictures: list[pictures.Picture]
    num_drawn: int
    classes: list[int]


class _Repeat(NamedTuple):
    """The command that trains a run again, or None and no config that is near."""

    name: str
    config: str | None
    command: str | None


def page(
    runs: Sequence[History], shipped: Mapping[str, ConfigDict], *, grids: int
) -> str:
    """The page that shows runs.

    Args:
      runs: runs to show, in order.
      shipped: shipped configs by name, the config `default` among them.
      grids: largest number of sample grids of a run.

    Raises:
      ValueError: jinja2 is not installed.
    """
    drawn = charts.create(runs)
    fields = [run.fields() for run in runs]
    script = _read("page.js")
    library = f"/*\n{_read('uplot/LICENSE')}*/\n{_read(LIBRARY)}"
    return _render(
        names=[run.name for run in runs],
        summary=tables.summary(runs),
        scores=tables.scores(runs),
        between=settings.rows_that_differ(fields) if len(runs) > 1 else [],
        defaults=[_defaults(run, shipped) for run in runs],
        whole=settings.all_rows(fields),
        charts=drawn,
        data=[chart.as_json() for chart in drawn],
        samples=_samples(runs, grids),
        environments=[_environment(run) for run in runs],
        repeats=[_repeat(run, shipped) for run in runs],
        styles=[_read("uplot/uPlot.min.css"), _read("page.css")],
        scripts=[library, script],
        digests=[_digest(text) for text in (library, script)],
    )


def _render(**contents: Any) -> str:
    try:
        import jinja2
    except ImportError:
        raise ValueError(
            "jinja2 is not installed, which makes the page: run "
            'python -m pip install "jinja2>=3.1,<4".'
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(contents)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """The hash by which the page's security policy allows a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _defaults(run: History, shipped: Mapping[str, ConfigDict]) -> list[settings.Row]:
    default = settings.default_for(run, shipped["default"])
    return settings.rows_that_differ([default, run.fields()])


def _samples(runs: Sequence[History], grids: int) -> list[_Samples]:
    embedded = pictures.embed(runs, grids)
    return [
        _Samples(run.name, found, len(run.grids), _classes(run))
        for run, found in zip(runs, embedded, strict=True)
        if found
    ]


def _classes(run: History) -> list[int]:
    """The class of each row of a conditional run's grids; empty for other runs."""
    fields = run.fields()
    rows, classes = fields.get("sample_rows"), fields.get("data.num_classes")
    if fields.get("model.generator.condition", "none") == "none":
        return []
    if type(rows) is not int or type(classes) is not int or classes < 1:
        return []
    return [row % classes for row in range(rows)] if rows <= MOST_ROWS else []


def _environment(run: History) -> tuple[str, list[str]]:
    scored = {
        ", ".join(f"{name} {version}" for name, version in versions.items())
        for record in run.scores
        if isinstance(versions := record["protocol"].get("versions"), Mapping)
    }
    facts = [f"config.json was written by gan_jax {run.version}"]
    facts += [f"trained with: {text}" for text in run.environments]
    facts += [f"scored with {text}" for text in sorted(scored)]
    if not run.environments:
        facts.append("hardware: not recorded in the run's folder")
    return run.name, facts


def _repeat(run: History, shipped: Mapping[str, ConfigDict]) -> _Repeat:
    near = settings.nearest(run, shipped)
    if near is None:
        return _Repeat(run.name, None, None)
    return _Repeat(run.name, near, settings.command(run, near, shipped[near]))
