"""Experiments are run, cut off, resumed and collected; their failures are rows."""

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from experiments.engine import (
    collect,
    environment,
    forecast,
    results,
    runner,
    spec,
    summary,
    tables,
    trials,
)
from gan_jax.run import files
from gan_jax.training import sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = {
    "num_train_steps": 40,
    "batch_size": 8,
    "steps_per_call": 2,
    "log_every_steps": 4,
    "sample_every_steps": 20,
    "checkpoint_every_steps": 4,
    "eval_every_steps": 20,
    "sample_rows": 4,
    "sample_columns": 4,
    "tensorboard": False,
    "model.generator.features": (4,),
    "model.discriminator.features": (4,),
    "evaluation.num_images": 50,
}
RATE = "optimizer.generator.learning_rate"
EXPERIMENT = spec.Experiment(
    parts={
        "points": spec.Part(
            title="Points",
            config="configs/ring.py",
            overrides=TINY,
            rows={
                "slow": {RATE: 1e-4},
                "fast": {RATE: 1e-3},
                "packed": {"recipe.packing": 2},
            },
            columns=(spec.Column("high_quality", "quality"),),
            seeds=(0, 1),
            runs_per_program=3,
        )
    },
)
PROSE = """
{% extends "engine/page.md.j2" %}
{% block title %}A test{% endblock %}
{% block question %}Does it run?{% endblock %}
{% block source %}nobody{% endblock %}
{% block answer %}{{ number("points", "slow", "high_quality") }}{% endblock %}
"""


SEARCHED = spec.Experiment(
    parts={
        "points": EXPERIMENT.parts["points"]._replace(
            rows={"one": {}},
            search=spec.Search({"small": {RATE: 1e-4}}, "high_quality", (9,)),
        )
    }
)


def with_rows(**rows):
    part = EXPERIMENT.parts["points"]._replace(rows=rows, seeds=(0,))
    return EXPERIMENT._replace(parts={"points": part})


def all_results(experiment, workdir):
    return [
        results.rounded(trials.result(*one))
        for program in trials.programs(experiment, workdir)
        for one in zip(*program, strict=True)
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("experiment")
    assert runner.run_all(trials.programs(EXPERIMENT, workdir), processes=1)
    return workdir


def test_trials_that_differ_in_floats_and_seeds_share_programs(tmp_path):
    programs = trials.programs(EXPERIMENT, tmp_path)
    rows = [[(one.row, one.seed) for one in program.trials] for program in programs]
    assert rows == [
        [("slow", 0), ("slow", 1), ("fast", 0)],
        [("fast", 1)],
        [("packed", 0), ("packed", 1)],
    ]
    alone = trials.programs(EXPERIMENT, tmp_path, runs_per_program=1)
    assert [len(one.trials) for one in alone] == [1] * 6
    (only,) = trials.programs(EXPERIMENT, tmp_path, only="points/packed")
    assert {one.row for one in only.trials} == {"packed"}


def test_two_trials_with_one_folder_are_refused(tmp_path):
    rows = {"rate < 1e-3": {RATE: 1e-4}, "rate > 1e-3": {RATE: 1e-2}}
    message = "two trials have the folder points/rate___1e-3/seed_0: .*'rate > 1e-3'"
    with pytest.raises(ValueError, match=message):
        trials.programs(with_rows(**rows), tmp_path)
    search = spec.Search({"a": {}}, "high_quality", (0,))
    part = EXPERIMENT.parts["points"]._replace(search=search)
    experiment = EXPERIMENT._replace(parts={"points": part})
    with pytest.raises(ValueError, match="two trials have the folder points/slow/a/"):
        trials.programs(experiment, tmp_path, foresee=True)


def test_a_seed_alone_is_run_in_its_program(tmp_path):
    first, *_ = trials.programs(EXPERIMENT, tmp_path)
    only = trials.programs(EXPERIMENT, tmp_path, only="points/slow/seed_1")
    assert only == [first]


def test_configs_have_short_names_and_an_unknown_one_is_refused():
    short, whole = (
        trials.load_config(x) for x in ("ring:grid", "configs/ring.py:grid")
    )
    assert short == whole and short.data.name == "grid"
    with pytest.raises(ValueError, match=r"'rings:grid', but there is no configs/rin"):
        trials.load_config("rings:grid")


@pytest.mark.parametrize(
    "fields",
    [
        {"columns": (spec.Column("high_qualty", "quality"),)},
        {"columns": (spec.Column(f"{spec.RAW}high_qualty", "quality"),)},
        {"curves": ("high_qualty",)},
        {"threshold": spec.Threshold("high_qualty", 0.5)},
    ],
)
def test_a_number_that_no_metric_gives_is_refused(fields, tmp_path):
    part = EXPERIMENT.parts["points"]._replace(**fields)
    with pytest.raises(ValueError, match="'high_qualty' .did you mean 'high_quality'"):
        trials.programs(spec.Experiment(parts={"points": part}), tmp_path)


def test_a_threshold_of_a_number_without_a_better_direction_is_refused(tmp_path):
    threshold = spec.Threshold("ms_ssim", 0.5)
    part = EXPERIMENT.parts["points"]._replace(threshold=threshold)
    with pytest.raises(ValueError, match="by the number 'ms_ssim'.* change experiment"):
        trials.programs(spec.Experiment(parts={"points": part}), tmp_path)


def test_a_search_may_go_by_the_raw_generator(tmp_path):
    search = spec.Search({"a": {}}, f"{spec.RAW}high_quality", (9,))
    threshold = spec.Threshold(f"{spec.RAW}high_quality", 0.5)
    part = EXPERIMENT.parts["points"]._replace(search=search, threshold=threshold)
    assert trials.programs(spec.Experiment(parts={"points": part}), tmp_path)
    assert summary.summarise("points", part, [])
    assert "high quality above 0.5" in tables.to_markdown(part, [])


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"compared": {"slow": "fats"}}, "compared .* names 'fats' .did you mean 'fas"),
        ({"compared": {"fats": "fast"}}, "compared .* names 'fats' .did you mean 'fas"),
        ({"published": {"fats": ()}}, "published .* 'fats' .did you mean 'fast'"),
        ({"references": ("reel",)}, "references .* names 'reel' .did you mean 'real'"),
        (
            {"references": ("uniform",), "config": "gan", "overrides": {}},
            "names 'uniform', but there are untrained, real: change experiment.py",
        ),
    ],
)
def test_a_row_that_there_is_not_is_refused(fields, message, tmp_path):
    columns = (spec.Column("modes", "modes"),)
    part = EXPERIMENT.parts["points"]._replace(rows={"slow": {}, "fast": {}})
    part = part._replace(columns=columns, **fields)
    with pytest.raises(ValueError, match=message):
        trials.programs(spec.Experiment(parts={"points": part}), tmp_path)


def test_overrides_reach_the_config(tmp_path):
    program = trials.programs(EXPERIMENT, tmp_path)[0]
    assert program.configs[2].optimizer.generator.learning_rate == 1e-3
    assert program.configs[1].seed == 1 and program.configs[1].batch_size == 8
    assert program.workdirs[1] == tmp_path / "points" / "slow" / "seed_1"
    with pytest.raises(ValueError, match="'recipe.los', which the config does not"):
        trials.programs(with_rows(wrong={"recipe.los": "hinge"}), tmp_path)


def test_every_trial_has_its_numbers(finished):
    found = all_results(EXPERIMENT, finished)
    assert len(found) == 6
    for one in found:
        assert (one.status, one.step) == ("finished", 40)
        assert set(one.numbers) == {"modes", "high_quality", "reverse_kl"}
        assert [step for step, _ in one.curves["modes"]] == [20, 40]
        assert one.seconds > 0
        (where,) = one.environments
        together = 1 if (one.trial.row, one.trial.seed) == ("fast", 1) else None
        together = together or (2 if one.trial.row == "packed" else 3)
        assert f"{together} run" in where and "jax 0." in where


def test_the_raw_generator_keeps_its_numbers_beside_the_average(tmp_path):
    (program,) = trials.programs(with_rows(slow={}), tmp_path)
    (trial,), (config,), (workdir,) = program
    workdir.mkdir(parents=True)
    for step, raw, averaged in [(20, 0.1, 0.2), (40, 0.3, 0.4)]:
        for kind, value in [("raw", raw), ("averaged", averaged)]:
            numbers = {"high_quality": {"value": value}}
            record = {"step": step, "generator": kind, "protocol": {}}
            files.append_line(workdir / files.SCORES, record | {"numbers": numbers})
    found = trials.result(trial, config, workdir)
    assert found.numbers == {"high_quality": 0.4, "raw high_quality": 0.3}
    assert found.curves["raw high_quality"] == [(20, 0.1), (40, 0.3)]


def test_runs_copied_without_checkpoints_are_collected(finished, tmp_path):
    ignore = shutil.ignore_patterns("checkpoints")
    copy = shutil.copytree(finished, tmp_path / "copy", ignore=ignore)
    assert all_results(EXPERIMENT, copy) == all_results(EXPERIMENT, finished)
    (program,) = trials.programs(EXPERIMENT, copy, only="points/packed")
    assert not program.is_done  # nothing could be drawn from it
    files.drop_lines_after(program.workdirs[0] / files.SCORES, 39)
    one, other = (trials.result(*run) for run in zip(*program, strict=True))
    assert (one.status, other.status) == ("unfinished", "finished")


def test_the_scores_of_a_last_step_are_whole_with_those_of_the_average(tmp_path):
    averaged = with_rows(slow={"recipe.ema_decay": 0.9})
    (program,) = trials.programs(averaged, tmp_path)
    (trial,), (config,), (workdir,) = program
    workdir.mkdir(parents=True)
    status = []
    for kind in trials.KINDS:
        numbers = {"high_quality": {"value": 0.1}}
        record = {"step": 40, "generator": kind, "protocol": {}, "numbers": numbers}
        files.append_line(workdir / files.SCORES, record)
        status.append(trials.result(trial, config, workdir).status)
    assert status == ["missing", "finished"]


def test_a_search_chooses_on_data_of_its_own():
    search = spec.Search({"a": {}}, "high_quality", (9,), {"data.split": "test"})
    part = EXPERIMENT.parts["points"]._replace(search=search)
    splits = [
        trials.make_config(part, spec.Trial("points", "slow", "a", seed)).data.split
        for seed in (9, 0)
    ]
    assert splits == ["test", "train"]


def test_a_row_takes_a_decided_choice_where_no_search_was_run(tmp_path):
    search = spec.Search({"a": {}, "b": {}}, "high_quality", (9,))
    part = EXPERIMENT.parts["points"]._replace(search=search, rows={"slow": {}})
    experiment = EXPERIMENT._replace(parts={"points": part})
    numbers = {"a": 0.1, "b": 0.2}
    found = [
        spec.Result(
            spec.Trial("points", "slow", choice, 9),
            "finished",
            numbers={"high_quality": value},
        )
        for choice, value in numbers.items()
    ]
    decided = trials.decided(experiment, found)
    assert decided == {("points", "slow"): "b"}
    only = "points/slow/b/seed_0"
    (program,) = trials.programs(experiment, tmp_path, only=only, decided=decided)
    assert [one.seed for one in program.trials] == [0, 1]
    assert not trials.programs(experiment, tmp_path, only=only)


def test_a_run_of_a_decided_choice_replaces_that_of_the_page(tmp_path):
    search = spec.Search({"a": {}, "b": {}}, "high_quality", (9,))
    part = EXPERIMENT.parts["points"]._replace(search=search, rows={"slow": {}})
    experiment = EXPERIMENT._replace(parts={"points": part})
    page = [
        spec.Result(
            spec.Trial("points", "slow", choice, seed),
            "finished",
            numbers={"high_quality": value},
        )
        for choice, seed, value in [("a", 9, 0.1), ("b", 9, 0.2), ("b", 0, 0.3)]
    ]
    folder = tmp_path / page[-1].trial.folder
    folder.mkdir(parents=True)
    numbers = {"high_quality": {"value": 0.4}}
    record = {"step": 40, "generator": "raw", "protocol": {}, "numbers": numbers}
    files.append_line(folder / files.SCORES, record)
    found = collect._find_results(experiment, tmp_path, page)
    values = {one.trial.seed: one.numbers.get("high_quality") for one in found}
    assert values == {9: 0.2, 0: 0.4, 1: None}


def test_cores_are_shared_out_and_never_stretched():
    have = sorted(os.sched_getaffinity(0))
    assert runner.shares(len(have), 1) == [[core] for core in have]
    assert runner.shares(2, 0) == [have, have]
    with pytest.raises(ValueError, match="set --processes to"):
        runner.shares(len(have) + 1, 1)


def test_an_environment_names_the_accelerators(monkeypatch):
    here = environment.describe(runs=1)
    assert " and 1 run a program" in here and "NVIDIA" not in here
    device = SimpleNamespace(platform="gpu", device_kind="NVIDIA H100")
    monkeypatch.setattr(environment.jax, "devices", lambda: [device, device])
    assert ", 2 NVIDIA H100 and 3 runs a program" in environment.describe(runs=3)


def test_a_lost_last_score_is_not_replaced_by_an_earlier_one(finished):
    path = finished / "points" / "slow" / "seed_0" / files.SCORES
    before = path.read_text()
    files.drop_lines_after(path, 39)
    found = all_results(EXPERIMENT, finished)[0]
    path.write_text(before)
    assert (found.status, found.step, found.numbers) == ("finished", 0, {})


def test_what_evaluate_adds_changes_no_number(finished):
    path = finished / "points" / "slow" / "seed_0" / "evaluations.jsonl"
    before = path.read_text()
    record = json.loads(before.splitlines()[-1])
    record["numbers"]["modes"]["value"] = -1.0
    others = [
        record | {"generator": "training"},
        record | {"protocol": record["protocol"] | {"num_images": 3}},
    ]
    path.write_text(before + "".join(json.dumps(one) + "\n" for one in others))
    found = all_results(EXPERIMENT, finished)
    path.write_text(before)
    assert found == all_results(EXPERIMENT, finished)


def test_an_upgrade_in_the_middle_of_a_run_hides_no_number(finished):
    path = finished / "points" / "slow" / "seed_0" / files.SCORES
    before = path.read_text()
    wanted = all_results(EXPERIMENT, finished)[0]
    first, last = files.read_scores(path)
    last["protocol"]["versions"]["numpy"] = "9.9"
    path.unlink()
    del first["numbers"]["modes"]  # another version may have fewer numbers
    for record in (first, last):
        files.append_line(path, record)
    found = all_results(EXPERIMENT, finished)[0]
    path.write_text(before)
    assert found.step == 40 and found.numbers == wanted.numbers
    quality = "high_quality"
    assert found.curves[quality] == wanted.curves[quality]
    assert found.curves["modes"] == wanted.curves["modes"][1:]


def test_results_of_another_config_are_refused(finished):
    changed = with_rows(slow={RATE: 0.1})
    (program,) = trials.programs(changed, finished)
    message = "learning_rate was 0.0001, now 0.1.* restore its row in experiment.py"
    with pytest.raises(ValueError, match=message):
        runner.run_all([program], processes=1)
    with pytest.raises(ValueError, match=message):
        runner.run_program(program)
    with pytest.raises(ValueError, match=message):
        all_results(changed, finished)


@pytest.mark.parametrize(
    "field, value", [("num_images", 60), ("split", "train"), ("seed", 1)]
)
def test_results_of_another_protocol_are_refused(field, value, finished):
    overrides = TINY | {f"evaluation.{field}": value}
    part = EXPERIMENT.parts["points"]._replace(overrides=overrides)
    changed = EXPERIMENT._replace(parts={"points": part})
    message = rf"evaluation.{field} was .* now {value!r}.* restore its row in exper"
    with pytest.raises(ValueError, match=message):
        all_results(changed, finished)


def test_a_run_without_fields_that_were_added_since_is_collected(finished):
    path = finished / "points" / "slow" / "seed_0" / "config.json"
    text = path.read_text()
    fields = json.loads(text)
    del fields["deterministic"], fields["recipe"]["augment"]
    fields["evaluation"]["metrics"] = "prdc"
    path.write_text(json.dumps(fields))
    found = all_results(EXPERIMENT, finished)
    path.write_text(text)
    assert found == all_results(EXPERIMENT, finished)


def test_what_is_finished_is_not_run_again(finished):
    logs = {path: path.read_text() for path in finished.rglob("log.txt")}
    assert runner.run_all(trials.programs(EXPERIMENT, finished), processes=1)
    assert logs == {path: path.read_text() for path in finished.rglob("log.txt")}


def test_a_trial_that_diverges_is_a_row(tmp_path):
    experiment = with_rows(good={RATE: 1e-3}, bad={RATE: 1e38})
    programs = trials.programs(experiment, tmp_path, runs_per_program=1)
    assert runner.run_all(programs, processes=1)
    status = {one.trial.row: one.status for one in all_results(experiment, tmp_path)}
    assert status == {"good": "finished", "bad": "failed"}
    errors = {one.trial.row: one.error for one in all_results(experiment, tmp_path)}
    assert "diverged" in errors["bad"]
    step = sweep.failure(programs[1].workdirs[0])["step"]
    assert step > 0 and f"at step {step}: the run has diverged" in errors["bad"]


def test_a_config_that_is_refused_ends_the_command_and_marks_nothing(tmp_path):
    experiment = with_rows(odd={"recipe.loss": ""})
    with pytest.raises(ValueError, match="recipe.loss is ''"):
        runner.run_all(trials.programs(experiment, tmp_path), processes=1)
    assert [one.status for one in all_results(experiment, tmp_path)] == ["missing"]
    mended = with_rows(odd={})
    (program,) = trials.programs(mended, tmp_path)
    assert not program.is_done and runner.run_program(program)


def test_a_finished_trial_is_not_failed_by_a_mark(finished):
    mark = finished / "points" / "slow" / "seed_0" / sweep.FAILURE
    before = all_results(EXPERIMENT, finished)
    sweep.record_failure(mark.parent, 0, ValueError("the disk is full"))
    found = all_results(EXPERIMENT, finished)
    mark.unlink()
    assert found == before


def test_a_search_comes_first_and_its_choice_alone_has_the_seeds(tmp_path):
    choices = {"small": {RATE: 1e-4}, "huge": {RATE: 1e38}}
    part = EXPERIMENT.parts["points"]._replace(
        rows={"one": {}},
        search=spec.Search(choices, "high_quality", (9,)),
    )
    experiment = EXPERIMENT._replace(parts={"points": part})

    def listed(**options):
        programs = trials.programs(experiment, tmp_path, **options)
        return [(x.choice, x.seed) for program in programs for x in program.trials]

    search = [("small", 9), ("huge", 9)]
    table = [("small", 0), ("small", 1)]
    assert listed() == search and listed(foresee=True) == search + table
    assert runner.run_all(trials.programs(experiment, tmp_path), processes=1)
    assert listed() == search + table
    assert runner.run_all(trials.programs(experiment, tmp_path), processes=1)
    (row,) = summary.summarise("points", part, all_results(experiment, tmp_path))
    assert row.choice == "small" and len(row.cells["high_quality"].values) == 2


SCRIPT = """
from pathlib import Path
import sys
sys.path.insert(0, "tests/experiments")
import jax
jax.config.update("jax_num_cpu_devices", 2)
from test_runner import EXPERIMENT, runner, trials
print("ready", flush=True)
workdir = Path(sys.argv[1])
print(runner.run_all(trials.programs(EXPERIMENT, workdir), processes=1))
"""


def test_killed_at_any_time_and_started_again_gives_the_same(finished, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    for seconds in (1, 4, 2):
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            process.stdout.readline()  # what follows is training, not imports
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
    assert runner.run_all(trials.programs(EXPERIMENT, tmp_path), processes=1)
    pairs = zip(
        all_results(EXPERIMENT, finished),
        all_results(EXPERIMENT, tmp_path),
        strict=True,
    )
    for one, other in pairs:
        changes = {"seconds": 0.0, "environments": ()}
        assert one._replace(**changes) == other._replace(**changes)


def test_processes_give_what_one_gives(finished, tmp_path):
    # Two devices, as this process has: the sums of a step depend on their number.
    os.environ["JAX_NUM_CPU_DEVICES"] = "2"
    try:
        todo = trials.programs(EXPERIMENT, tmp_path, only="points/packed")
        assert runner.run_all(todo, processes=2)
    finally:
        del os.environ["JAX_NUM_CPU_DEVICES"]
    found = {one.trial: one.numbers for one in all_results(EXPERIMENT, finished)}
    for one in all_results(EXPERIMENT, tmp_path):
        if one.trial.row == "packed":
            assert one.numbers == found[one.trial]


def test_a_mistake_in_a_process_is_raised_in_words(tmp_path):
    todo = trials.programs(EXPERIMENT, tmp_path, only="points/packed")
    (first, _) = todo[0].workdirs
    with files.own(first), pytest.raises(OSError, match="is being trained") as caught:
        runner.run_all(todo, processes=2)
    assert Path(caught.traceback[-1].path).name == "runner.py"  # see command.run


def kill_itself(program):
    del program
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_named_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run_program", kill_itself)
    todo = trials.programs(EXPERIMENT, tmp_path, only="points/packed")
    message = "was killed, perhaps because memory ran out: the same command goes on"
    with pytest.raises(OSError, match=message) as caught:
        runner.run_all(todo, processes=2)
    assert Path(caught.traceback[-1].path).name == "runner.py"


CLUSTER_SCRIPT = """
import sys
sys.path.insert(0, "tests/experiments")
import jax
jax.config.update("jax_num_cpu_devices", 2)
from test_runner import SEARCHED, runner
from experiments import run
from gan_jax import command

class Job:
    job_id = 7

    def __init__(self, program):
        self._program = program

    def result(self):
        return runner.run_program(self._program)

def submit(todo, folder, **options):
    return [Job(one) for one in todo if not one.is_done]

runner.submit = submit
run.trials.load = lambda name: SEARCHED
command.run(run.main)
"""


@pytest.mark.parametrize("cluster", ["local", "slurm"])
def test_a_cluster_asks_for_more_once_a_search_has_chosen(cluster, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c", CLUSTER_SCRIPT, "--experiment=x"),
            *(f"--workdir={tmp_path}", f"--cluster={cluster}"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    finished = [one.status == "finished" for one in all_results(SEARCHED, tmp_path)]
    is_local = cluster == "local"
    assert finished == ([True] * 3 if is_local else [False])
    says = "A search has not made its choice yet: give the same command again"
    assert (says in done.stdout) is not is_local


def test_a_cluster_runs_each_program_as_a_job(tmp_path):
    todo = trials.programs(EXPERIMENT, tmp_path, only="points/packed")
    jobs = runner.submit(
        todo, tmp_path / "jobs", cluster="local", options={"timeout_min": 5}
    )
    assert [job.result() for job in jobs] == [True]
    assert all(program.is_done for program in todo)
    assert not runner.submit(todo, tmp_path / "jobs", cluster="local", options={})


def test_the_forecast_counts_parameters_and_products():
    part = EXPERIMENT.parts["points"]
    trial = next(spec.trials(EXPERIMENT, {}))
    found = forecast.forecast(trials.make_config(part, trial))
    # 2 x 4 kernel, 4 scales and offsets, 4 x 2 kernel and 2 biases.
    assert found.generator_parameters == 8 + 8 + 10
    # 2 x 20 kernel and 20 biases of five pieces, 4 x 1 and 1.
    assert found.discriminator_parameters == 60 + 5
    # Adam keeps two more of each parameter.
    assert found.state_bytes > 3 * 4 * (26 + 65)
    wide = TINY | {"model.generator.features": (400,) * 4}
    bigger = part._replace(overrides=wide)
    flop = forecast.forecast(trials.make_config(bigger, trial)).flop
    # Three products of 8 x 400 x 400 forward and six backward, two FLOP each.
    assert 1 < flop / (2 * 9 * 8 * 400 * 400) < 2


def test_the_page_is_written_from_the_folders(finished, tmp_path, use_template):
    use_template("test", PROSE)
    part = EXPERIMENT.parts["points"]
    parts = {"none": part._replace(rows={"other": {}}, grids=True)}
    parts["points"] = part._replace(grids=True)
    experiment = EXPERIMENT._replace(parts=parts)
    collect.collect("test", experiment, finished, tmp_path / "page")
    names = {path.name for path in (tmp_path / "page").iterdir()}
    assert names >= {"README.md", "results.json", "table.csv", "points_dots.png"}
    assert "points_samples.gif" in names and "none_samples.gif" not in names
    saved = results.read(tmp_path / "page" / "results.json")
    assert len(saved.results) == 8
    text = (tmp_path / "page" / "README.md").read_text()
    assert "6 of 8 runs finished" in text and "- 3 runs: commit" in text
    status = [one.status for one in saved.results]
    assert status == ["missing"] * 2 + ["finished"] * 6
    elsewhere = tmp_path / "elsewhere"  # without the trials' folders
    collect.collect("test", experiment, elsewhere, tmp_path / "page")
    assert results.read(tmp_path / "page" / "results.json").results == saved.results
    before = (tmp_path / "page" / "README.md").read_text()
    collect.write_page("test", experiment, tmp_path / "page")
    assert (tmp_path / "page" / "README.md").read_text() == before


def test_the_page_shows_samples_of_the_present_choice(tmp_path, monkeypatch):
    search = spec.Search({"a": {}, "b": {}}, "high_quality", (9,))
    part = EXPERIMENT.parts["points"]._replace(search=search, rows={"one": {}})

    def make(choice, seed, value):
        trial = spec.Trial("points", "one", choice, seed)
        numbers = {"high_quality": value}
        return spec.Result(trial, "finished", step=20, numbers=numbers)

    found = [make("a", 9, 0.1), make("b", 9, 0.9), make("b", 0, 0.9), make("a", 0, 0.1)]
    for one in found:
        folder = tmp_path / one.trial.folder / "samples"
        folder.mkdir(parents=True)
        for name in ("step_9999980", "step_10000000", "thumbnail"):
            (folder / f"{name}.png").touch()
    drawn = []
    monkeypatch.setattr(
        collect.pictures, "animate", lambda frames, _: drawn.append(frames)
    )
    collect._draw_samples("points", part, found, tmp_path, tmp_path)
    chosen = tmp_path / "points" / "one" / "b" / "seed_0" / "samples"
    names = ["step_9999980.png", "step_10000000.png"]
    assert drawn == [{"one": [chosen / name for name in names]}]


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_what_it_would_run(tmp_path):
    done = call(
        "--experiment=ring_and_grid",
        f"--workdir={tmp_path}",
        "--dry_run",
        "--only=ring/GAN/",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:6]] == [
        f"ring/GAN/seed_{seed}:" for seed in range(5)
    ]
    assert "programs; about" in lines[-1] and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--experiment=ring"], "no experiment 'ring', there are: "),
        (["--experiment=losses", "--only=rang"], "no trial's folder starts with 'ran"),
        (["--experiment=losses", "--cores=9999"], ": set --cores to "),
        (
            ["--experiment=losses", "--cluster=local", "--cluster_options=timeout"],
            "the cluster option 'timeout' has no value",
        ),
        (
            ["--experiment=losses", "--workdir=gs://a/b"],
            "--workdir is gs://a/b, but trials run in a local folder: give one",
        ),
        (
            ["--experiment=parzen", "--workdir=README.md"],
            "--workdir is README.md, which is a file, but trials run in a folder",
        ),
        (
            ["--experiment=parzen", "--collect", "--output=README.md"],
            "the page's folder README.md cannot be made: File exists; give another",
        ),
        (
            ["--experiment=parzen", "--collect"],
            "page/results.json is damaged (Expecting value: ",
        ),
    ],
)
def test_mistakes_are_answered_in_a_sentence(arguments, message, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "results.json").write_text("<<<<<<< ours")
    done = call(f"--workdir={tmp_path}", *arguments)
    assert done.returncode == 1 and message in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.startswith("error: ")
