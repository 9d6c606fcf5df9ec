"""Results on disk, choices, means and tables, by closed forms; plots appear."""

import csv
import io
import math
from unittest import mock

import numpy as np
from PIL import Image
import pytest

from experiments.engine import marks, pictures, plots, results, summary, tables
from experiments.engine.spec import (
    Column,
    Experiment,
    Part,
    Result,
    Search,
    Threshold,
    Trial,
)

PART = Part(
    "Ring",
    "configs/dcgan.py",
    {"GAN": {}, "other": {"recipe.loss": "hinge"}},
    [
        Column("coverage", "coverage, %", 1, 100.0),
        Column("frechet_distance", "distance"),
    ],
    seeds=(0, 1, 2),
)
SEARCH = Search(
    {"slow": {"optimizer.generator.learning_rate": 1e-5}, "fast": {}},
    "frechet_distance",
    (10, 11),
)


def made(row, seed, numbers=None, *, choice="", error=""):
    status = "finished" if numbers is not None else "failed"
    return Result(Trial("ring", row, choice, seed), status, error, 5, numbers or {})


def of_gan(values, number="frechet_distance"):
    found = [made("GAN", seed, {number: v}) for seed, v in enumerate(values)]
    return summary.summarise("ring", PART, found)[0].cells[number]


def test_results_come_back_with_six_digits_and_without_finite_values(tmp_path):
    curves = {"a": [(1, 1 / 3), (2, math.inf)]}
    numbers = {"a": 1 / 3, "b": math.inf, "c": -math.inf, "d": math.nan}
    trial = Trial("p", "r", "c", 0)
    where = ("commit a", "commit b")
    first = Result(trial, "finished", "", 2, numbers, curves, 12.3456789, where)
    path = tmp_path / "results.json"
    results.write(path, [first, made("GAN", 1, error="é")], made_on="two\ncores")
    saved = results.read(path)
    assert saved.made_on == "two\ncores"
    assert saved.results[0].trial == trial
    assert saved.results[0].numbers["a"] == 0.333333
    assert saved.results[0].numbers["b"] == math.inf
    assert saved.results[0].numbers["c"] == -math.inf
    assert math.isnan(saved.results[0].numbers["d"])
    assert saved.results[0].curves == {"a": [(1, 0.333333), (2, math.inf)]}
    assert saved.results[0].environments == where
    assert saved.results[1] == made("GAN", 1, error="é")
    assert sum('"status"' in line for line in path.read_text().splitlines()) == 2
    before = path.read_bytes()
    results.write(path, saved.results, made_on=saved.made_on)
    assert path.read_bytes() == before


def test_mean_and_standard_error_by_hand():
    # Deviations -1, -1, 2: variance 6 / 2, error sqrt(3 / 3).
    cell = of_gan([1.0, 1.0, 4.0])
    np.testing.assert_allclose([cell.mean, cell.standard_error], [2, 1], 1e-12)
    assert tables.format_cell(cell, PART.columns[1]) == "2.00 ± 1.00"
    assert of_gan([0.5], "coverage").standard_error is None
    assert tables.format_cell(of_gan([0.5], "coverage"), PART.columns[0]) == "50.0"


def test_values_that_are_not_finite_are_shown_and_counted():
    cell = of_gan([1.0, math.inf, math.inf])
    assert (cell.mean, cell.standard_error, cell.not_finite) == (math.inf, None, 2)
    assert tables.format_cell(cell, PART.columns[1]) == "inf (2 of 3 seeds)"
    cell = of_gan([1.0, math.nan, 2.0])
    assert tables.format_cell(cell, PART.columns[1]) == "nan (1 of 3 seeds)"


@pytest.mark.parametrize(
    "number, chosen", [("frechet_distance", "slow"), ("coverage", "fast")]
)
def test_the_better_mean_over_the_search_seeds_is_chosen(number, chosen):
    part = PART._replace(search=SEARCH._replace(number=number))
    found = [  # means 2 and 3; the table's seed 0 would say otherwise
        made("GAN", seed, {number: value}, choice=choice)
        for choice, values in (("slow", (1, 3, 50)), ("fast", (3, 3, 0.5)))
        for seed, value in zip((10, 11, 0), values, strict=True)
    ]
    assert summary.choose("ring", part, found) == {"GAN": chosen, "other": None}
    row = summary.summarise("ring", part, found)[0]
    assert row.cells[number].mean == (50 if chosen == "slow" else 0.5)


def test_a_choice_that_failed_is_the_worst_and_nan_is_next():
    part = PART._replace(search=SEARCH)
    slow = [made("GAN", 10, {"frechet_distance": 0.0}, choice="slow")]
    slow += [made("GAN", 11, choice="slow")]
    fast = [
        made("GAN", s, {"frechet_distance": math.nan}, choice="fast") for s in (10, 11)
    ]
    assert summary.choose("ring", part, slow + fast)["GAN"] == "fast"
    assert summary.choose("ring", part, slow)["GAN"] == "slow"
    assert summary.choose("ring", part, slow[1:])["GAN"] is None


def test_a_search_by_a_number_without_a_better_direction_is_refused():
    part = PART._replace(search=SEARCH._replace(number="ms_ssim"))
    with pytest.raises(ValueError, match="ms_ssim, of which.*change Search.number"):
        summary.choose("ring", part, [])


def test_an_unknown_published_value_is_refused():
    with pytest.raises(ValueError, match="quotes 'nobody'.*add the value"):
        summary.summarise("ring", PART._replace(published={"GAN": ["nobody"]}), [])


def test_the_table_counts_failures_and_keeps_rows_without_a_run():
    found = [
        made("GAN", 0, {"coverage": 0.5, "frechet_distance": 1.0}),
        made("GAN", 1, error="the run has diverged and stops"),
    ]
    table = tables.to_markdown(PART, summary.summarise("ring", PART, found))
    assert table.splitlines() == [
        "|  | coverage, % | distance | seeds |",
        "| --- | --- | --- | --- |",
        "| GAN | 50.0 | 1.00 | 1, 1 of 3 diverged, 1 of 3 not run |",
        "| other | no finished run | - | 0 |",
    ]


def test_a_cell_of_fewer_seeds_than_its_row_says_so():
    both = {"coverage": 0.5, "frechet_distance": 1.0}
    found = [made("GAN", 0, both), made("GAN", 1, both), made("GAN", 2, both)]
    found[2] = made("GAN", 2, {"coverage": 0.5})  # an earlier version had no distance
    table = tables.to_markdown(PART, summary.summarise("ring", PART, found))
    assert table.splitlines()[2] == (
        "| GAN | 50.0 ± 0.0 | 1.00 ± 0.00 over 2 of 3 seeds | 3 |"
    )


def test_the_search_says_of_how_many_seeds_a_mean_is():
    part = PART._replace(search=SEARCH, rows={"GAN": {}}, columns=PART.columns[1:])
    found = [
        made("GAN", seed, {"frechet_distance": value}, choice=choice)
        for choice, seed, value in [("slow", 10, 2.0), ("slow", 11, 2.0)]
    ]
    found += [made("GAN", 10, {"frechet_distance": 1.0}, choice="fast")]
    found += [made("GAN", 11, choice="fast", error="the run has diverged")]
    rows = summary.summarise("ring", part, found)
    lines = tables.search_to_markdown("ring", part, found, rows).splitlines()
    assert lines[2:] == [
        "| GAN | **slow** | 2.00 ± 0.00 |",
        "| GAN | fast | 1.00 over 1 of 2 seeds |",
    ]


def test_the_table_says_by_which_step_a_threshold_was_passed():
    curves = [[(1, 9.0), (2, 4.0)], [(1, 3.0), (2, 6.0)], [(1, 9.0), (2, 5.0)]]
    numbers = {"coverage": 0.5, "frechet_distance": 1.0}
    found = [
        made("GAN", seed, numbers)._replace(curves={"frechet_distance": curve})
        for seed, curve in enumerate(curves)
    ]
    part = PART._replace(threshold=Threshold("frechet_distance", 5.0))
    (row, other) = summary.summarise("ring", part, found)
    assert (row.passed, row.never) == ({1: 1, 2: 1}, 1)
    assert tables.format_passing(row) == "1 (1), 2 (1), never (1)"
    assert tables.format_passing(other) == "-"
    table = tables.to_markdown(part, [row]).splitlines()
    assert "| distance below 5 by step (seeds) |" in table[0]


def test_reference_rows_stand_below_the_others_over_their_own_seeds():
    part = PART._replace(references=("real",))
    found = [made("real", seed, {"coverage": 1.0}) for seed in range(7)]
    rows = summary.summarise("ring", part, found)
    assert [row.name for row in rows] == ["GAN", "other", "real"]
    assert tables.to_markdown(part, rows).splitlines()[-1] == (
        "| real | 100.0 ± 0.0 | - | 7 |"
    )


def test_published_values_stand_beside_their_column_with_their_source():
    columns = [Column("high_quality", "HQ, %", 1, 100.0)]
    keys = ["pacgan/ring/PacGAN 2/high_quality", "pacgan/ring/PacGAN 2/modes"]
    part = PART._replace(columns=columns, published={"GAN": keys})
    found = [made("GAN", seed, {"high_quality": 0.9}) for seed in part.seeds]
    rows = summary.summarise("ring", part, found)
    assert tables.to_markdown(part, rows).splitlines()[2] == (
        "| GAN | 90.0 ± 0.0 | PacGAN 2: 95.6 ± 2.0, Lin et al. 2018, table 1 | 3 | "
        "modes PacGAN 2: 7.9 ± 0.1, Lin et al. 2018, table 1 |"
    )
    experiment = Experiment({"ring": part})
    lines = list(csv.DictReader(io.StringIO(tables.to_csv(experiment, found))))
    assert [line["published"] for line in lines] == ["0.956", "7.9", ""]
    assert lines[0]["mean"] == "0.9" and lines[0]["standard_error"] != ""
    assert lines[0]["source"] == "Lin et al. 2018, table 1"
    assert (lines[1]["number"], lines[1]["mean"]) == ("modes", "")
    assert (lines[2]["row"], lines[2]["seeds"], lines[2]["mean"]) == ("other", "0", "")


def test_plots_montage_and_animation_appear_and_are_small(tmp_path):
    part = PART._replace(search=SEARCH, curves=("coverage",))
    found = [
        made(row, seed, {"coverage": 0.1 * seed, "frechet_distance": 1.0}, choice=c)
        for row in PART.rows
        for c in SEARCH.choices
        for seed in (0, 1, 2, 10, 11)
    ]
    curve = {"coverage": [(1, 0.1), (2, math.inf), (3, 0.2)]}
    found = [result._replace(curves=curve) for result in found]
    paths = plots.draw("ring", part, found, tmp_path)
    names = ["ring_dots.png", "ring_lines.png", "ring_sensitivity.png"]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size < 100_000 for path in paths)
    single = [x._replace(curves={"coverage": [(3, 0.2)]}) for x in found]
    drawn = plots.draw("ring", part, single, tmp_path)
    assert [path.name for path in drawn] == [names[0], names[2]]  # a point is no line
    assert not paths[1].exists()  # the page would show the earlier one
    frames = [tmp_path / f"step_{step:07d}.png" for step in (0, 500, 1000)]
    for grey, frame in enumerate(frames):
        Image.new("L", (200, 200), 100 * grey).save(frame)
    pictures.montage({"GAN": frames[0], "a long name": frames[1]}, tmp_path / "m.png")
    pictures.animate({"GAN": frames, "other": frames[:1]}, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3
    assert (tmp_path / "m.png").stat().st_size < 100_000


def test_a_run_that_was_scored_once_leaves_the_curve_of_the_others():
    panel = mock.Mock()
    runs = [[(3, 9.0)], [(1, 0.1), (3, 0.2)], [(1, 0.3), (2, 0.9), (3, 0.4)]]
    marks.line(panel, runs, 10, {"color": "red"})
    steps, mean = panel.plot.call_args.args
    assert steps == [1, 3]
    np.testing.assert_allclose(mean, [2.0, 3.0], rtol=1e-12)


def test_pictures_refuse_nothing_and_names_without_a_step(tmp_path):
    with pytest.raises(ValueError, match="no picture to put into a montage"):
        pictures.montage({}, tmp_path / "m.png")
    with pytest.raises(ValueError, match="no picture to animate"):
        pictures.animate({"GAN": []}, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="has no step in its name"):
        pictures.animate({"GAN": [tmp_path / "final.png"]}, tmp_path / "a.gif")
