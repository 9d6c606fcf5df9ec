"""Templates for the pages of experiments that have no folder."""

import jinja2
import pytest

from experiments.engine import page


@pytest.fixture
def use_template(monkeypatch):
    """A function that gives an experiment the template of its page."""

    def use(name, text):
        own = jinja2.DictLoader({f"{name}/{page.TEMPLATE}": text})
        engine = page.TEMPLATES.loader
        loader = jinja2.ChoiceLoader([own, engine])
        monkeypatch.setattr(page.TEMPLATES, "loader", loader)

    return use
