"""Pages: marks, commands that parse, and text that cannot drift from the numbers."""

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
    text="The GAN covers [[ring | GAN | coverage]] %.",
)
EXPERIMENT = Experiment(
    "Rings and grids",
    "Does it cover?",
    "Nobody 2020, table 1.",
    {"ring": PART},
    deviations=["Fewer steps.", "Other data."],
    answer="It covers [[ring|GAN|coverage|plain]] %",
    learned="Also [[ring | sized | coverage]].",
)
RESULTS = [
    Result(Trial("ring", "GAN", "slow", seed), "finished", "", 1, {"coverage": value})
    for seed, value in ((10, 0.5), (0, 0.25), (1, 0.5), (2, 0.75))
]


def render():
    pictures = ["ring_dots.png", "unknown.png"]
    return page.render(
        "rings", EXPERIMENT, RESULTS, pictures=pictures, made_on="Two cores."
    )


def test_marks_become_numbers():
    # Deviations 0.25 on either side: standard deviation 0.25, error 0.25 / sqrt 3.
    assert page.fill(PART.text, EXPERIMENT, RESULTS) == "The GAN covers 50.0 ± 14.4 %."
    assert page.fill(EXPERIMENT.answer, EXPERIMENT, RESULTS) == "It covers 50.0 %"
    assert page.fill(EXPERIMENT.learned, EXPERIMENT, RESULTS) == "Also not run."
    broken = PART.text.replace("| GAN", "|\nGAN")
    assert broken != PART.text
    assert page.fill(broken, EXPERIMENT, RESULTS) == "The GAN covers 50.0 ± 14.4 %."


@pytest.mark.parametrize(
    "mark, message",
    [
        ("[[grid | GAN | coverage]]", "names the part 'grid'; there are: ring"),
        ("[[ring | gan | coverage]]", "names the row 'gan'; there are: GAN, sized"),
        ("[[ring | GAN | fid]]", "names the number 'fid'; there are: coverage"),
        ("[[ring | GAN]]", "cannot be read"),
        ("[[ring | GAN | coverage | bare]]", "cannot be read"),
        ("[[ring | GAN | coverage | difference]]", "names the compared row 'GAN'"),
    ],
)
def test_unknown_marks_are_refused(mark, message):
    with pytest.raises(ValueError, match=f"{message}.*change it in experiment.py"):
        page.fill(mark, EXPERIMENT, RESULTS)


def test_the_page_has_all_sections_in_order():
    parts = [
        "# Rings and grids\n",
        "Does it cover?",
        "python -m experiments.run --experiment=rings --workdir=runs/rings --collect",
        "## Rings",
        "covers 50.0 ± 14.4 %",
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


def test_differences_stand_below_the_table_and_in_the_text():
    part = PART._replace(compared={"GAN": "sized"})
    experiment = EXPERIMENT._replace(parts={"ring": part})
    found = RESULTS + [
        Result(one.trial._replace(row="sized"), "finished", "", 1, {"coverage": 0.25})
        for one in RESULTS
    ]
    # Differences 0, 25 and 50 points: error 25 / sqrt 3, under half the mean's 4.30.
    mark = "[[ring | GAN | coverage | difference]]"
    assert page.fill(mark, experiment, found) == "+25.0 ± 14.4"
    text = page.render("rings", experiment, found, pictures=[])
    assert "| GAN | sized | +25.0 ± 14.4 |" in text
    assert "(4.30 standard errors to either side at 3 seeds)" in text


def test_the_page_says_where_each_run_was_made():
    found = [one._replace(environments=("commit a, two cores",)) for one in RESULTS]
    text = page.render("rings", EXPERIMENT, found, pictures=[], made_on="Long ago.")
    assert "- 4 runs: commit a, two cores" in text and "Long ago." not in text
    text = page.render(
        "rings", EXPERIMENT, [*found[:3], RESULTS[3]], pictures=[], made_on="Long ago."
    )
    assert "Long ago." in text and "- 3 runs: commit a, two cores" in text


def test_the_index_gets_a_row_between_its_comments():
    row = page.index_row("rings", EXPERIMENT, RESULTS, ["a.png"], 7_200)
    assert row == (
        "| [rings](rings/README.md) | Does it cover? | It covers 50.0 % | "
        "[![rings](rings/a.png)](rings/README.md) | 2.0 h |"
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
