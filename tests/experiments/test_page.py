"""Pages: numbers in prose, commands that parse, and text that is what results give."""

import importlib
from pathlib import Path
import re
import shlex

import pytest

from experiments.engine import collect, commands, page, results
from experiments.engine.spec import Column, Experiment, Part, Result, Search, Trial

FOLDER = Path(page.__file__).parent.parent
MADE = [
    path.parent
    for path in sorted(FOLDER.glob("*/results.json"))
    if (path.parent / "experiment.py").exists()
]
SEARCH = Search(
    {"slow": {"optimizer.generator.learning_rate": 1e-5}}, "coverage", (10,)
)
PART = Part(
    "Rings",
    "configs/cgan.py:onehot",
    {"GAN": {"recipe.loss": "hinge"}, "sized": {"model.generator": {"a": (1, 2)}}},
    [Column("coverage", "coverage, %", 1, 100.0)],
    overrides={"batch_size": 8, "evaluation.best_metric": "", "tensorboard": False},
    search=SEARCH,
)
EXPERIMENT = Experiment({"ring": PART})
PROSE = """
{% extends "engine/page.md.j2" %}
{% block title %}Rings and grids{% endblock %}
{% block question %}Does it cover?{% endblock %}
{% block source %}Nobody 2020, table 1.{% endblock %}
{% block answer %}
It covers
{{ plain("ring", "GAN", "coverage") }} %
{% endblock %}
{% block ring_text %}
The GAN covers {{ number("ring", "GAN", "coverage") }} %.
{% endblock %}
{% block ring_search %}It was short.{% endblock %}
{% block deviations %}
- Fewer steps.
- Other data.
{% endblock %}
{% block learned %}Also {{ number("ring", "sized", "coverage") }}.{% endblock %}
"""
RESULTS = [
    Result(Trial("ring", "GAN", "slow", seed), "finished", "", 1, {"coverage": value})
    for seed, value in ((10, 0.5), (0, 0.25), (1, 0.5), (2, 0.75))
]


@pytest.fixture(autouse=True)
def use_prose(use_template):
    use_template("rings", PROSE)


def render():
    pictures = ["ring_dots.png", "unknown.png"]
    return page.render(
        "rings", EXPERIMENT, RESULTS, pictures=pictures, made_on="Two cores."
    )


def learned(text, use_template, experiment=EXPERIMENT, found=RESULTS):
    """What the page says if `text` is in its block `learned`."""
    before, _, rest = PROSE.partition("{% block learned %}")
    _, _, after = rest.partition("{% endblock %}")
    use_template("rings", f"{before}{{% block learned %}}{text}{{% endblock %}}{after}")
    said = page.render("rings", experiment, found, pictures=[])
    return said.partition("## What we learned\n\n")[2].partition("\n\n##")[0]


def test_numbers_are_put_into_the_prose(use_template):
    # Deviations 0.25 on either side: standard deviation 0.25, error 0.25 / sqrt 3.
    lines = render().splitlines()
    assert "The GAN covers 50.0 ± 14.4 %." in lines and "Also not run." in lines
    row = page.index_row("rings", EXPERIMENT, RESULTS, [], 1)
    assert "| It covers 50.0 % |" in row
    broken = '{{ number("ring",\n"GAN", "coverage") }}'
    assert learned(broken, use_template) == "50.0 ± 14.4"


@pytest.mark.parametrize(
    "call, message",
    [
        ('number("grid", "GAN", "coverage")', "names the part 'grid'; there are: ring"),
        ('number("ring", "gan", "coverage")', "the row 'gan'; there are: GAN, sized"),
        ('number("ring", "GAN", "fid")', "the number 'fid'; there are: coverage"),
        ('number("ring", "GAN")', "cannot be read"),
        ('bare("ring", "GAN", "coverage")', "UndefinedError: 'bare' is undefined"),
        ('number("ring"', "TemplateSyntaxError"),
        ('difference("ring", "GAN", "coverage")', "names the compared row 'GAN'"),
    ],
)
def test_unknown_numbers_are_refused(call, message, use_template):
    with pytest.raises(ValueError, match=f"{message}(?s:.*)change .*page.md.j2"):
        learned(f"{{{{ {call} }}}}", use_template)


@pytest.mark.parametrize(
    "prose, message",
    [
        (PROSE.replace("block learned", "block lerned"), "the block 'lerned'; there"),
        (PROSE.replace("block source", "block answer2"), "the block 'answer2'; there"),
        ('{% extends "engine/page.md.j2" %}', "Required block 'title' not found"),
        ('{% extends "engine/pages.md.j2" %}', "TemplateNotFound: engine/pages.md.j2"),
    ],
)
def test_templates_without_their_blocks_are_refused(prose, message, use_template):
    use_template("rings", prose)
    with pytest.raises(ValueError, match=f"{message}(?s:.*)change .*page.md.j2"):
        render()


def test_a_page_without_a_template_is_refused():
    with pytest.raises(ValueError, match="NotFound: squares/page.md.j2.*change exp"):
        page.render("squares", EXPERIMENT, RESULTS, pictures=[])


def test_the_page_has_all_sections_in_order():
    parts = [
        "# Rings and grids\n",
        "Does it cover?",
        "python -m experiments.run --experiment=rings --workdir=runs/rings --collect",
        "## Rings",
        "covers 50.0 ± 14.4 %",
        "Each row has the choice with the best mean coverage on\nseed 10,",
        "It was short.",
        "| GAN | slow | 50.0 ± 14.4 | 3 |",
        "| sized | - | no finished run | 0 |",
        "](ring_dots.png)",
        "# sized: --config.model.generator=",
        "--only=ring/sized/slow/seed_10",
        "- Fewer steps.\n- Other data.",
        "## What we learned\n\nAlso not run.",
        "Two cores.",
    ]
    places = [render().index(part) for part in parts]
    assert places == sorted(places)
    assert "unknown.png" not in render()


def test_the_command_runs_the_trial_where_its_numbers_repeat():
    words = shlex.split(
        commands.command("rings", RESULTS[1].trial).replace("\\\n", " ")
    )
    assert words == [
        *("python", "-m", "experiments.run", "--experiment=rings"),
        *("--workdir=runs/rings", "--only=ring/GAN/slow/seed_0"),
    ]


def test_settings_are_what_a_row_changes():
    assert shlex.split(commands.base(PART).strip("`")) == [
        "--config=configs/cgan.py:onehot",
        "--config.batch_size=8",
        "--config.evaluation.best_metric=",
        "--config.tensorboard=False",
    ]
    assert commands.settings(PART, RESULTS[1].trial).split() == [
        "--config.recipe.loss=hinge",
        "--config.optimizer.generator.learning_rate=1e-05",
    ]
    plain = PART._replace(search=None, rows={"GAN": {}})
    assert commands.settings(plain, RESULTS[1].trial) == "as the config"


def test_differences_stand_below_the_table_and_in_the_text(use_template):
    part = PART._replace(compared={"GAN": "sized"})
    experiment = EXPERIMENT._replace(parts={"ring": part})
    found = RESULTS + [
        Result(one.trial._replace(row="sized"), "finished", "", 1, {"coverage": 0.25})
        for one in RESULTS
    ]
    # Differences 0, 25 and 50 points: error 25 / sqrt 3, under half the mean's 4.30.
    call = '{{ difference("ring", "GAN", "coverage") }}'
    assert learned(call, use_template, experiment, found) == "+25.0 ± 14.4"
    text = page.render("rings", experiment, found, pictures=[])
    assert "| GAN | sized | +25.0 ± 14.4 |" in text
    assert "(4.30 standard errors to either\nside at 3 seeds)" in text


def test_the_page_says_where_each_run_was_made():
    found = [one._replace(environments=("commit a, two cores",)) for one in RESULTS]
    text = page.render("rings", EXPERIMENT, found, pictures=[], made_on="Long ago.")
    assert "- 4 runs: commit a, two cores" in text and "Long ago." not in text
    text = page.render(
        "rings", EXPERIMENT, [*found[:3], RESULTS[3]], pictures=[], made_on="Long ago."
    )
    assert "Long ago." in text and "- 3 runs: commit a, two cores" in text


def test_the_index_gets_a_row_between_its_comments():
    shown = ["ring_samples.png", "grid_dots.png", "ring_dots.png"]
    row = page.index_row("rings", EXPERIMENT, RESULTS, shown, 7_200)
    assert row == (
        "| [rings](rings/README.md) | Does it cover? | It covers 50.0 % | "
        "[![rings](rings/ring_dots.png)](rings/README.md) | 2.0 h |"
    )
    start = f"top\n{page.INDEX_START}\nold\n{page.INDEX_END}\n"
    text = f"{start}{page.PAGES_START}\nold\n{page.PAGES_END}\nbottom\n"
    updated = page.update_index(text, [row], {})
    assert "\nold\n" not in updated and row in updated
    assert updated.startswith("top\n") and updated.endswith("-->\nbottom\n")
    assert page.update_index(updated, [row], {}) == updated
    with pytest.raises(ValueError, match="has no line.*add them"):
        page.update_index("nothing", [row], {})


def test_the_index_takes_question_and_answer_from_the_pages():
    kept = "| [kept](kept/README.md) | As before? | Yes |"
    text = "\n".join(
        [
            *(page.INDEX_START, page.INDEX_END, page.PAGES_START),
            *(kept, "| [gone](gone/README.md) | Old? | Yes |", page.PAGES_END, ""),
        ]
    )
    pages = {
        "fast": "# A\n\n**Questions.** How\nfast?\n\n**Answer.** 2 times,\nso.\n\nB\n",
        "kept": "# C\n\n**Question.** Not taken alone?\n\nD\n",
    }
    lines = page.update_index(text, [], pages).splitlines()
    place = lines.index("| --- | --- | --- |")
    assert lines[place + 1 : place + 4] == [
        "| [fast](fast/README.md) | How fast? | 2 times, so. |",
        kept,
        "",
    ]


def test_the_index_is_what_the_results_and_pages_give():
    text = collect.INDEX.read_text()
    assert collect.index(text) == text


@pytest.mark.parametrize("folder", MADE, ids=lambda folder: folder.name)
def test_the_page_is_what_the_results_give(folder):
    module = importlib.import_module(f"experiments.{folder.name}.experiment")
    saved = results.read(folder / "results.json")
    names = [path.name for path in folder.iterdir()]
    text = page.render(
        folder.name,
        module.EXPERIMENT,
        saved.results,
        pictures=names,
        made_on=saved.made_on,
    )
    assert (folder / "README.md").read_text() == text
    shown = set(re.findall(r"\]\((\w+\.(?:png|gif))\)", text))
    assert shown == {name for name in names if name.endswith(("png", "gif"))}
