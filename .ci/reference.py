"""Writes configs/README.md and gan_jax/evaluation/README.md from the code.

    python .ci/reference.py

The first page has every config field, the second every metric. Names, defaults and
allowed values come from the tables that the code reads, and sentences from comments and
docstrings. tests/test_reference.py fails if a page is not what this script writes.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import inspect
import io
from pathlib import Path
import re
import sys
import tokenize
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # for `python .ci/reference.py`

from gan_jax import checks, command, models  # noqa: E402
from gan_jax.evaluation import features, needs, suite  # noqa: E402
from gan_jax.step import (  # noqa: E402
    augmentation,
    losses,
    optimizers,
    penalties,
    recipes,
)
from gan_jax.training import preflight  # noqa: E402

DEFAULT = ROOT / "configs" / "default.py"
FIELDS = ROOT / "configs" / "README.md"
METRICS = ROOT / "gan_jax" / "evaluation" / "README.md"
BETTER = {1: "more is better", -1: "less is better", 0: "as real images is best"}
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes")
OPTAX = "https://optax.readthedocs.io/en/latest/api/optimizers.html#optax."
WRITTEN = (
    "This page is written by `python .ci/reference.py` from the code; do not edit it."
)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also in a table, with links to arXiv."""
    text = re.sub(r"([*<|\[\]]|(?<=_)_|_(?=_))", r"\\\1", text)
    return re.sub(
        r"arXiv\s(\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text
    )


def code(value: object) -> str:
    """A value as a code span of a table."""
    return f"`{value}`".replace("|", r"\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---" for _ in head], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def split_docstring(described: object) -> tuple[list[str], dict[str, str]]:
    """The paragraphs of a docstring, and its sections' entries by name."""
    blocks = re.split(r"\n\n(?=\S|    )", inspect.getdoc(described) or "")
    paragraphs: list[str] = []
    entries: dict[str, str] = {}
    for block in blocks:
        if block.startswith(tuple(f"{name}:\n" for name in SECTIONS)):
            found = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", block, re.M)
            entries |= {name: " ".join(text.split()) for name, text in found}
        else:
            paragraphs.append(block)
    return paragraphs, entries


def prose(described: object) -> str:
    """A docstring without its sections, as Markdown; indented formulas are code."""
    paragraphs, _ = split_docstring(described)
    return "\n\n".join(
        one if one.startswith("    ") else escape(" ".join(one.split()))
        for one in paragraphs
    )


def one_line(described: object) -> str:
    """A docstring without its sections, for the cell of a table."""
    return escape(" ".join(" ".join(split_docstring(described)[0]).split()))


def allowed(values: checks.Range) -> str:
    """The values of a range, for the cell of a table."""
    if values.names:
        return ", ".join(code(name) for name in values.names) + escape(values.last)
    if values == checks.LOCAL:
        return "a path on a disk of this machine"
    return "text" if values == checks.TEXT else escape(values.words)


def comments() -> dict[str, str]:
    """The comment behind each field of configs/default.py, without the range in it."""
    source = DEFAULT.read_text()
    found = {
        token.start[0]: token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    texts = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign) or node.end_lineno not in found:
            continue
        path = ast.unparse(node.targets[0]).removeprefix("config.")
        line = node.end_lineno
        words = [found[line].string]
        while (line := line + 1) in found and not found[line].line[
            : found[line].start[1]
        ].strip():
            words.append(found[line].string)
        text = " ".join(word.removeprefix("#").strip() for word in words)
        texts[path] = re.sub(r"; (at least \d+|[(\[][^;]+[)\]])$", "", text)
    return texts


def field_rows(
    path: str,
    ranges: Mapping[str, checks.Range],
    defaults: Mapping[str, Any],
    meanings: Mapping[str, str],
) -> Iterator[list[str]]:
    """A row for each field of a section, with its default, values and meaning."""
    for name, values in ranges.items():
        shown = code(repr(defaults[name])) if name in defaults else "must be given"
        field = code(f"{path}.{name}" if path else name)
        meaning = escape(meanings.get(name, "").removesuffix("."))
        seen_below = f"; see {SEE[name]}" if name in SEE else ""
        yield [field, shown, allowed(values), meaning + seen_below]


HEAD = ("field", "default", "allowed values", "meaning")
SEE = {  # field -> what explains it
    "loss": "[Losses](#losses)",
    "penalty": "[Penalties](#penalties)",
    "augment": "[Augmentations](#augmentations)",
    "metrics": "[Metrics](../gan_jax/evaluation/README.md)",
}


def run_sections() -> Iterator[str]:
    """The tables of the fields that every run has."""
    config = command.shipped_configs()["default"]
    meanings = comments()
    titles = {"": "Run", "data": "Data", "model": "Model", "recipe": "Recipe"}
    titles |= {"optimizer": "Optimisers", "evaluation": "Evaluation"}
    titles["watchdog"] = "Watchdog"
    for path, ranges in preflight.SECTIONS.items():
        section = config[path] if path else config
        prefix = f"{path}." if path else ""
        texts = {name: meanings.get(f"{prefix}{name}", "") for name in ranges}
        if path == "recipe":
            described = split_docstring(recipes.Recipe)[1]
            texts |= {name: described[name] for name in ranges if name in described}
        yield f"## {titles[path]}"
        yield table(HEAD, field_rows(path, ranges, section, texts))
        if path == "recipe":
            yield from loss_tables()
        if path == "optimizer":
            yield from optimizer_tables()
        if path == "model":
            yield from network_tables()


def loss_tables() -> Iterator[str]:
    """The losses, penalties and augmentations that the recipe names."""
    yield "### Losses"
    yield "`recipe.loss` names a pair of losses, which both networks minimise."
    yield table(
        ("name", "discriminator's loss", "generator's loss"),
        [
            [code(name), one_line(pair.discriminator), one_line(pair.generator)]
            for name, pair in losses.LOSSES.items()
        ],
    )
    yield "### Penalties"
    yield (
        "`recipe.penalty` names a penalty, which is multiplied by "
        "`recipe.penalty_weight` and added to the discriminator's loss."
    )
    yield table(
        ("name", "penalty"),
        [[code(name), one_line(one)] for name, one in penalties.PENALTIES.items()],
    )
    yield "### Augmentations"
    yield (
        "`recipe.augment` names augmentations, which are done in this order to each "
        "image. Each makes of an image:"
    )
    yield table(
        ("name", "what is made, in turn"),
        [
            [code(name), " ".join(map(one_line, functions))]
            for name, functions in augmentation.AUGMENTATIONS.items()
        ],
    )


def network_tables() -> Iterator[str]:
    """The options of both networks of each model."""
    for name, family in models.MODELS.items():
        yield f"### Networks of {code(name)}"
        for network, module in (
            ("generator", family.Generator),
            ("discriminator", family.Discriminator),
        ):
            path = f"model.{network}"
            yield f"The {network} has the options of the section {code(path)}."
            yield prose(module)
            defaults = {
                field.name: field.default for field in dataclasses.fields(module)
            }
            meanings = split_docstring(module)[1]
            ranges = models.attribute_ranges(module)
            yield table(HEAD, field_rows(path, ranges, defaults, meanings))


def optimizer_tables() -> Iterator[str]:
    """The arguments of each optimiser, which both networks' sections take."""
    yield (
        "The sections `optimizer.generator` and `optimizer.discriminator` have the "
        "field `name`, which is one of the optimisers below, and arguments of that "
        "optimiser. An argument that a section does not have takes its default."
    )
    head = ("argument", *HEAD[1:])
    for name, ranges in optimizers.ARGUMENTS.items():
        create = optimizers.OPTIMIZERS[name]
        defaults = {
            argument.name: argument.default
            for argument in inspect.signature(create).parameters.values()
            if argument.default is not inspect.Parameter.empty
        }
        yield f"### Optimiser {code(name)}"
        if create.__module__.startswith("optax"):
            yield f"[optax.{name}]({OPTAX}{name}) says what the arguments mean."
            yield table(
                head[:3], (row[:3] for row in field_rows("", ranges, defaults, {}))
            )
        else:
            yield prose(create)
            meanings = split_docstring(create)[1]
            yield table(head, field_rows("", ranges, defaults, meanings))


def config_table() -> str:
    """The config files with their first sentence and presets."""
    rows = []
    for name in command.shipped_configs():
        if ":" not in name:
            module = sys.modules[f"configs.{name}"]
            presets = ", ".join(
                code(f":{one}") for one in getattr(module, "PRESETS", ())
            )
            first = split_docstring(module)[0][0]
            rows.append([f"[{name}.py]({name}.py)", escape(first), presets])
    return table(("file", "what it is", "presets"), rows)


def fields_page() -> str:
    """The text of configs/README.md."""
    parts = [
        "# Configs and their fields",
        WRITTEN,
        config_table(),
        "A file has the fields of `default.py` and states the differences. Any field "
        "can be set on the command line, such as `--config.data.image_size=32`. A "
        "field that does not exist and a value that is not allowed are refused before "
        "anything is prepared.",
        *run_sections(),
    ]
    return "\n\n".join(parts) + "\n"


def metric_parts(
    name: str, metric: suite.Metric, quoted: Mapping[object, str]
) -> Iterator[str]:
    """The section of a metric.

    Args:
      name: name in suite.METRICS.
      metric: the metric.
      quoted: for each docstring the first metric that quotes it; others refer to that.
    """
    yield f"## {name}"
    yield prose(metric.compute)
    for described in metric.formulas:
        first = quoted[described]
        yield (
            prose(described)
            if first == name
            else f"The rest is as in [{first}](#{first})."
        )
    numbers = (f"{code(x)} ({BETTER[sign]})" for x, sign in metric.numbers.items())
    yield f"- Numbers: {', '.join(numbers)}\n- Images: {metric.least:,} or more"
    if metric.needs:
        reasons = "".join(f"\n- {escape(needs.REASONS[need])}" for need in metric.needs)
        yield f"The metric cannot be computed if one of these holds:\n{reasons}"


def metrics_page() -> str:
    """The text of gan_jax/evaluation/README.md."""
    rows = [
        [
            f"[{name}](#{name})",
            ", ".join(code(number) for number in metric.numbers),
            "seconds" if metric.is_cheap else "minutes",
        ]
        for name, metric in suite.METRICS.items()
    ]
    extractors = split_docstring(features.create)[1]["name"]
    aliases = ", ".join(
        f"{code(b)} for {code(a)}" for a, b in suite.INCEPTION_NAMES.items()
    )
    parts = [
        "# Metrics",
        WRITTEN,
        "`--metrics` of `python -m gan_jax.evaluate` and the field "
        "`evaluation.metrics` take the names of the first column, with commas between "
        "them. `cheap` stands for all metrics that take seconds and can be computed, "
        "and `all` for all that can be computed. The cost is that of 10,000 images of "
        "28x28.",
        table(("metric", "numbers that it writes", "cost"), rows),
        "The features come from the extractor, which `--extractor` and the field "
        f"`evaluation.extractor` name: {escape(extractors)} With `inception`, the "
        f"numbers have the names of the papers: {aliases}.",
        "In the formulas, [a] is 1 if a holds and 0 otherwise, #{...} counts, |x| is "
        "the Euclidean norm, and means go over all images of a set.",
    ]
    quoted: dict[object, str] = {}
    for name, metric in suite.METRICS.items():
        for described in metric.formulas:
            quoted.setdefault(described, name)
        parts += metric_parts(name, metric, quoted)
    return "\n\n".join(parts) + "\n"


PAGES: Mapping[Path, Callable[[], str]] = {FIELDS: fields_page, METRICS: metrics_page}

if __name__ == "__main__":
    for path, write in PAGES.items():
        path.write_text(write())
        print(f"{path.relative_to(ROOT)} is written.")
