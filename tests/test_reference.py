"""The pages of all fields and all metrics are what the code says today."""

import importlib.util
from pathlib import Path

import pytest

from configs import default
from gan_jax import checks
from gan_jax.evaluation import suite

ROOT = Path(__file__).parent.parent
_SPEC = importlib.util.spec_from_file_location(
    "reference", ROOT / ".ci" / "reference.py"
)
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)


@pytest.mark.parametrize("path", reference.PAGES, ids=lambda path: path.parent.name)
def test_a_page_is_what_the_code_says(path):
    assert path.read_text() == reference.PAGES[path](), (
        "run `python .ci/reference.py` and commit the page"
    )


def fields(config, prefix=""):
    for name, value in config.items():
        if hasattr(value, "items"):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_field_of_the_default_config_has_a_row():
    page = reference.fields_page()
    for field in fields(default.get_config()):
        if field.startswith("optimizer.") and field.count(".") == 2:
            field = field.rpartition(".")[2]  # an argument of an optimiser
            assert field == "name" or f"| `{field}` |" in page
        else:
            assert f"| `{field}` |" in page, field


def test_every_row_says_what_the_field_means():
    for line in reference.fields_page().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert all(cells[1:]), line


@pytest.mark.parametrize("name", suite.METRICS)
def test_every_metric_has_a_formula(name):
    metric = suite.METRICS[name]
    texts = [reference.prose(one) for one in (metric.compute, *metric.formulas)]
    assert "\n    " in "".join(texts)


def test_a_field_of_names_lists_them_and_a_number_says_its_range():
    names, number = checks.one_of(("a", "b")), checks.integer(1, 2)
    rows = list(reference.field_rows("", {"x": names, "y": number}, {"x": "a"}, {}))
    assert rows[0][:3] == ["`x`", "`'a'`", "`a`, `b`"]
    assert rows[1][:3] == ["`y`", "must be given", "at least 1 and at most 2"]


def test_markdown_shows_a_docstring_as_it_is():
    def described():
        """Says a * b and |c| of __init__.

            a * b

        Somebody 2014 (arXiv
        1406.2661).

        Raises:
          ValueError: never.
        """

    link = "[arXiv 1406.2661](https://arxiv.org/abs/1406.2661)"
    assert reference.prose(described) == (
        r"Says a \* b and \|c\| of \_\_init\_\_."
        f"\n\n    a * b\n\nSomebody 2014 ({link})."
    )
