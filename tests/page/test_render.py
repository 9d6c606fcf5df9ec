"""What the page says, and that nothing in a run's folder can take it over."""

import html
import json
import re

import pytest

from configs import default
from gan_jax.page import history, render
from gan_jax.run import files
from tests.page import support

SHIPPED = {"default": default.get_config()}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


def page(*workdirs):
    return render.page(history.read_all(list(workdirs)), SHIPPED, grids=30)


def text_of(markup):
    """The words of a page without its scripts, styles and tags."""
    words = re.sub(r"<(script|style).*?</\1>", " ", markup, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", words)).split())


def test_the_page_of_a_run_has_what_its_folder_tells(tmp_path):
    workdir = support.make_run(tmp_path / "rings", **{"recipe.ema_decay": 0.5})
    line = {"environment": "commit abc; two cores"}
    files.append_line(workdir / files.ENVIRONMENTS, line)
    text = text_of(page(workdir))
    for words in (
        "finished, 300 of 300 steps",
        "training 02:30",
        "images a second, median 256",
        "loss of the discriminator 1.3",
        "D(G(z)), before and after 0.4 / 0.3",
        "3 of 3 grids.",
        "frechet_distance (less is better) 7 ± 0.12",
        "versions: jax 0.10.2",
        "recipe.ema_decay 0.0 0.5",
        "trained with: commit abc; two cores",
        "--config.recipe.ema_decay=0.5",
    ):
        assert words in text
    assert "hardware: not recorded" not in text


def test_rows_of_a_conditional_runs_grids_are_labelled(tmp_path):
    fields = {"model.generator.condition": "onehot", "data.num_classes": 3}
    workdir = support.make_run(tmp_path, sample_rows=5, **fields)
    found = re.search(r'<div class="classes">(.*?)</div>', page(workdir))
    assert re.findall(r"<span>(\d)</span>", found[1]) == list("01201")


def test_runs_are_compared(tmp_path):
    first = support.make_run(tmp_path / "first", seed=1)
    second = support.make_run(tmp_path / "second", seed=2, batch_size=64)
    text = text_of(page(first, second))
    assert "field first second batch_size 128 64 seed 1 2" in text
    assert "first: raw, step 300 second: raw, step 300" in text
    assert "second: 3 fields" in text


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [support.make_run(tmp_path / x / "run") for x in ("a", "b")]
    assert [run.name for run in history.read_all(paths)] == [str(x) for x in paths]


def test_a_young_run_has_a_page(tmp_path):
    workdir = support.make_run(tmp_path, grids=0)
    (workdir / "evaluations.jsonl").unlink()
    (workdir / "metrics.jsonl").write_text('{"step": 100}\n')
    text = text_of(page(workdir))
    assert "drawn no sample grids yet" in text and "Nothing has been scored" in text
    assert "100 of 300 steps" in text


def test_hostile_text_stays_text(tmp_path):
    workdir = support.make_run(tmp_path / "<b>run", **{"data.name": EVIL})
    line = {"step": 400, EVIL: 1.0}
    files.append_line(workdir / "metrics.jsonl", line)
    record = {"step": 400, "generator": EVIL, "numbers": {EVIL: {"value": 1.0}}}
    record |= {"protocol": {EVIL: EVIL, "versions": EVIL}}
    files.append_line(workdir / "scores.jsonl", record)
    files.append_line(workdir / files.ENVIRONMENTS, {"environment": EVIL})
    support.rewrite(
        workdir / "config.json", lambda fields: fields.update(gan_jax_version=EVIL[:40])
    )
    markup = page(workdir)
    assert markup.count("<script") == markup.count("</script>") == 3
    assert "<img src=x" not in markup and "<b>run" not in markup
    data = re.search(
        r'<script type="application/json" id="charts">(.*?)</script>', markup
    )
    assert EVIL in [chart["title"] for chart in json.loads(data[1])]
    assert EVIL in html.unescape(markup)


def test_hostile_values_do_not_stop_the_page(tmp_path):
    workdir = support.make_run(tmp_path)

    def spoil(fields):
        fields["batch_size"] = "\ud800"
        fields["num_train_steps"] = [1, {"a": None}]
        fields["data"] = 7
        fields["model"]["name"] = ["mlp"]
        fields["sample_rows"] = -1
        fields["recipe"] = None

    support.rewrite(workdir / "config.json", spoil)
    number = {"value": 10**400, "standard_error": "x"}
    record = {"step": 1, "generator": "raw", "numbers": {"a": number}, "protocol": {}}
    files.append_line(workdir / "scores.jsonl", record)
    assert "has fields that no shipped config has" in text_of(page(workdir))


def test_the_page_asks_for_nothing_from_outside(tmp_path):
    markup = page(support.make_run(tmp_path))
    outside = set(re.findall(r"https?://[\w./-]+", markup))
    assert outside == {"https://github.com/leeoniya/uPlot"}  # the library's comment
    assert not re.search(r"""(src|href)=["'](?!data:)""", markup)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', markup)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "Copyright (c) 2022 Leon Sorokin" in markup


def test_the_same_folders_give_the_same_page(tmp_path):
    workdir = support.make_run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    assert page(workdir) == page(workdir)
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda workdir: (workdir / "config.json").unlink(), "holds no run"),
        (lambda workdir: (workdir / "metrics.jsonl").unlink(), "no metrics yet"),
        (lambda workdir: (workdir / "metrics.jsonl").write_text("{"), "no metrics yet"),
    ],
)
def test_folders_without_a_run_or_numbers_are_refused(tmp_path, spoil, message):
    workdir = support.make_run(tmp_path)
    spoil(workdir)
    with pytest.raises(ValueError, match=message):
        page(workdir)


def test_a_run_that_is_given_twice_is_refused(tmp_path):
    workdir = support.make_run(tmp_path / "run")
    with pytest.raises(ValueError, match="is given twice: name each run once"):
        page(workdir, tmp_path / "run" / ".." / "run")
