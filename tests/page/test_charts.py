"""Which curves and lines of reference the charts have."""

import math

import pytest

from gan_jax.page import charts, history, tables
from gan_jax.run import files
from tests.page import support


@pytest.fixture
def run(tmp_path):
    return history.read(support.make_run(tmp_path / "first"), "first")


def chart(runs, title):
    (found,) = (one for one in charts.create(runs) if one.title == title)
    return found


def test_a_run_has_a_chart_for_each_thing_that_it_logged(run):
    assert [one.title for one in charts.create([run])] == [
        "Losses",
        "D(x) and D(G(z))",
        "Distance between samples",
        "penalty",
        "Images a second",
        "Score: frechet_distance",
    ]


def test_losses_have_their_values_and_lines_at_zero_logits(run):
    drawn = chart([run], "Losses").as_json()
    assert drawn["steps"] == [100, 200, 300]
    values = {curve["label"]: curve["values"] for curve in drawn["curves"]}
    assert values["generator"] == [0.5, 0.6, 0.7]
    assert values["2 ln 2"] == [2 * math.log(2)] * 3
    assert values["ln 2"] == [math.log(2)] * 3
    assert chart([run], "D(x) and D(G(z))").references == {"1/2": 0.5}


def test_losses_without_a_cross_entropy_have_no_lines(tmp_path):
    workdir = support.make_run(tmp_path, **{"recipe.loss": "hinge"})
    run = history.read(workdir, "run")
    assert chart([run], "Losses").references == {}
    assert chart([run], "D(x) and D(G(z))").references == {}


def test_images_a_second_are_steps_a_second_times_the_batch(run):
    (curve,) = chart([run], "Images a second").curves
    assert curve.points == {100: 256.0, 200: 256.0, 300: 256.0}


def test_runs_share_charts_and_keep_their_steps(run, tmp_path):
    other = history.read(support.make_run(tmp_path / "second"), "second")
    files.append_line(other.workdir / "metrics.jsonl", {"step": 400, "penalty": 1.0})
    other = history.read(other.workdir, "second")
    drawn = chart([run, other], "penalty").as_json()
    first, second = drawn["curves"]
    assert (first["label"], second["label"]) == ("first", "second")
    assert drawn["steps"] == [100, 200, 300, 400]
    assert first["values"][-1] is None and second["values"][-1] == 1.0


def test_long_runs_are_thinned_to_their_last_point(run):
    lines = [{"step": step, "penalty": float(step)} for step in range(1, 10_000)]
    (curve,) = chart([run._replace(metrics=lines)], "penalty").curves
    assert len(curve.points) <= charts.MOST_POINTS
    assert max(curve.points) == 9_999


def test_values_that_no_chart_can_show_are_left_out(run):
    path = run.workdir / "metrics.jsonl"
    text = '{"step": 400, "penalty": NaN, "d_loss": "x", "g_loss": 1e999, "d_real": 1}'
    path.write_text(f"{path.read_text()}{text}\n")
    last = history.read(run.workdir, "run").metrics[-1]
    assert last == {"step": 400, "d_real": 1}


def test_an_upgrade_in_the_middle_of_a_run_parts_no_curve(tmp_path):
    workdir = support.make_run(tmp_path / "run")
    score = {"frechet_distance": {"value": 4.0, "standard_error": None}}
    record = {"step": 400, "generator": "raw", "numbers": score}
    for changes in ({"versions": {"jax": "0.11.0"}}, {"split": "train"}):
        record["protocol"] = support.PROTOCOL | changes
        files.append_line(workdir / files.SCORES, record)
    run = history.read(workdir, "run")
    (curve,) = chart([run], "Score: frechet_distance").curves
    assert curve.label == "raw, protocol 1" and list(curve.points)[-1] == 400
    upgraded, other = tables.scores([run])
    assert upgraded.columns == other.columns == ["raw, step 400"]
    assert ("versions: jax", "0.11.0") in upgraded.notes
    second = history.read(support.make_run(tmp_path / "second"), "second")
    both, _ = tables.scores([run, second])
    assert both.columns == ["run: raw, step 400", "second: raw, step 300"]
    assert ("versions: jax", "0.11.0 and 0.10.2") in both.notes
