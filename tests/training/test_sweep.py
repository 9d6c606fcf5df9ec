"""Runs trained together: each is the run that it would be alone."""

import json
import shutil

import jax
import numpy as np
import pytest

from gan_jax.run import checkpoints, reader
from gan_jax.step import states
from gan_jax.training import evaluator, log, loop, sweep, train
from tests import support

pytestmark = pytest.mark.slow

SEEDS = (3, 4, 5)


def make_config(folder, seed=0, *, lecam_weight=0.0, **overrides):
    config = support.make_tiny_config(folder)
    config.seed = seed
    config.recipe.lecam_weight = lecam_weight
    with config.unlocked():
        config.model.name = "mlp"
        config.model.generator = {"features": (6,), "condition": "none"}
        config.model.discriminator = {"features": (6,), "condition": "none"}
        for path, value in overrides.items():
            section, network, field = path.split("__")
            config[section][network][field] = value
    return config


def train_together(configs, folder):
    workdirs = [folder / f"run{index}" for index in range(len(configs))]
    sweep.train_and_evaluate(configs, workdirs)
    return workdirs


def assert_close(one, other, rtol=1e-5, atol=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), one, other
    )


def lines(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def together(shared_folder, tmp_path_factory):
    """Three seeds, two learning rates, evaluated at the end."""
    configs = []
    for seed in SEEDS:
        config = make_config(
            shared_folder, seed, optimizer__generator__learning_rate=1e-3 * seed
        )
        config.eval_every_steps = 4
        configs.append(config)
    return configs, train_together(configs, tmp_path_factory.mktemp("together"))


def test_a_run_of_several_is_the_run_alone(together, tmp_path):
    configs, workdirs = together
    for config, workdir in zip(configs, workdirs, strict=True):
        alone = tmp_path / workdir.name
        train.train_and_evaluate(config, alone)
        one, other = reader.load(workdir), reader.load(alone)
        assert one.config == other.config and one.step == other.step == 4
        # Adam divides by the root of tiny squares: rounding grows a little.
        assert_close(one.variables, other.variables, rtol=1e-3, atol=1e-4)
        assert_close(
            one.discriminator_variables,
            other.discriminator_variables,
            rtol=1e-3,
            atol=1e-4,
        )
        for name in ("d_loss", "g_loss"):
            values = [[line[name] for line in lines(x)] for x in (workdir, alone)]
            np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)


def test_each_run_has_the_folder_of_a_run(together):
    _, workdirs = together
    for workdir in workdirs:
        names = {path.name for path in workdir.iterdir()}
        assert names >= {"config.json", "checkpoints", "samples", "metrics.jsonl"}
        assert "step 4/4" in (workdir / sweep.LOG).read_text()
        assert lines(workdir, "evaluations.jsonl")[0]["step"] == 4


def test_runs_with_other_seeds_differ(together):
    _, workdirs = together
    first, second = (reader.load(workdir).variables for workdir in workdirs[:2])
    same = jax.tree.map(lambda a, b: np.array_equal(a, b), first, second)
    assert not all(jax.tree.leaves(same["params"]["hidden0"]["kernel"]))


def test_resumed_is_unbroken(shared_folder, tmp_path):
    # With LeCam, whose mean logits go on too.
    configs, parts = (
        [make_config(shared_folder, seed, lecam_weight=0.3) for seed in SEEDS]
        for _ in range(2)
    )
    unbroken = train_together(configs, tmp_path / "unbroken")
    for config in parts:
        config.num_train_steps = 2
    resumed = train_together(parts, tmp_path / "resumed")
    for workdir in resumed:  # as if they had been killed
        text = (workdir / "config.json").read_text()
        text = text.replace('"num_train_steps": 2', '"num_train_steps": 4')
        (workdir / "config.json").write_text(text)
    train_together(configs, tmp_path / "resumed")
    for one, other in zip(unbroken, resumed, strict=True):
        for name in ("variables", "discriminator_variables"):
            variables = (getattr(reader.load(x), name) for x in (one, other))
            jax.tree.map(np.testing.assert_array_equal, *variables)
        assert [line["step"] for line in lines(other)] == [2, 4]


def test_lecams_means_are_those_of_each_run(shared_folder, tmp_path):
    configs = [make_config(shared_folder, seed, lecam_weight=0.3) for seed in SEEDS]
    together = train_together(configs, tmp_path / "together")
    train.train_and_evaluate(configs[1], tmp_path / "alone")
    means = [
        reader.load(folder).discriminator_variables["batch_stats"][states.LOGIT_MEANS]
        for folder in (*together, tmp_path / "alone")
    ]
    assert_close(means[1], means[3])
    assert len({float(one["real"]) for one in means[:3]}) == 3


def test_a_run_that_diverges_is_marked_and_the_others_go_on(shared_folder, tmp_path):
    rates = (1e-3, 1e38, 2e-3)
    configs = [
        make_config(shared_folder, optimizer__generator__learning_rate=rate)
        for rate in rates
    ]
    workdirs = train_together(configs, tmp_path)
    failed = [sweep.failure(workdir) for workdir in workdirs]
    assert failed[0] is failed[2] is None
    assert "diverged" in failed[1]["error"] and failed[1]["step"] <= 4
    assert reader.steps(workdirs[0])[-1] == reader.steps(workdirs[2])[-1] == 4
    before = (workdirs[1] / "log.txt").read_text()
    train_together(configs, tmp_path)  # all done: nothing is run again
    assert (workdirs[1] / "log.txt").read_text() == before


def test_a_program_whose_runs_have_all_failed_stops(
    shared_folder, tmp_path, monkeypatch
):
    configs = [
        make_config(shared_folder, seed, optimizer__generator__learning_rate=1e38)
        for seed in SEEDS[:2]
    ]
    for config in configs:
        config.num_train_steps = 40
    last_steps, run_steps = [], loop.run_steps

    def run_steps_and_note(*arguments, **options):
        last_steps.append(run_steps(*arguments, **options))
        return last_steps[-1]

    monkeypatch.setattr(loop, "run_steps", run_steps_and_note)
    workdirs = train_together(configs, tmp_path)
    assert all(sweep.failure(workdir)["step"] <= 4 for workdir in workdirs)
    assert last_steps[0] <= 12
    train_together(configs, tmp_path)
    assert len(last_steps) == 1  # nothing is run again


def test_an_evaluation_stops_the_clocks_of_all_runs(
    shared_folder, tmp_path, monkeypatch
):
    class Time:
        now = 0.0

        def perf_counter(self):
            return self.now

    def evaluate(self, step, state):
        time.now += 500
        return {}

    time = Time()
    monkeypatch.setattr(log, "time", time)
    monkeypatch.setattr(evaluator.Evaluator, "evaluate", evaluate)
    monkeypatch.setattr(log.Outputs, "log_scores", lambda *arguments: None)
    settle = sweep.Writers.settle

    def settle_after_a_second(self, step, metrics):
        time.now += 1
        settle(self, step, metrics)

    monkeypatch.setattr(sweep.Writers, "settle", settle_after_a_second)
    configs = [make_config(shared_folder, seed) for seed in SEEDS]
    for config in configs:
        config.num_train_steps, config.eval_every_steps = 8, 4
    for workdir in train_together(configs, tmp_path):
        assert [line["seconds"] for line in lines(workdir)] == [1, 2, 3, 4]
        rates = [line["steps_per_second"] for line in lines(workdir)]
        assert rates == [2, 2, 2, 2]  # a call has two steps


@pytest.mark.parametrize("keep", [1, 2])
def test_runs_go_on_from_a_common_step_after_one_could_not_save(
    shared_folder, tmp_path, monkeypatch, keep
):
    configs = [make_config(shared_folder, seed) for seed in SEEDS[:2]]
    for config in configs:
        config.num_train_steps, config.checkpoints_to_keep = 8, keep
    write_folder = checkpoints.Checkpoints._write_folder

    def fail_at_6(self, step, *arguments):
        if step == 6 and self._directory.parent.name == "run1":
            raise OSError("no space left")
        write_folder(self, step, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "_write_folder", fail_at_6)
        with pytest.raises(OSError, match="run1.*no space left"):
            train_together(configs, tmp_path)
    saved = [reader.steps(tmp_path / name) for name in ("run0", "run1")]
    assert saved == [[4, 6], [2, 4]]
    for workdir in train_together(configs, tmp_path):
        assert [line["step"] for line in lines(workdir)] == [2, 4, 6, 8]
        assert reader.steps(workdir) == [6, 8]


def test_runs_without_a_common_step_are_refused(shared_folder, tmp_path):
    configs = [make_config(shared_folder, seed) for seed in SEEDS[:2]]
    workdirs = train_together(configs, tmp_path)
    for workdir, step in zip(workdirs, (2, 4), strict=True):
        shutil.rmtree(workdir / "checkpoints" / str(step))
    with pytest.raises(
        ValueError, match=r"there is none: .*run0.* has \[4\], .*run1.* has \[2\]\. Re"
    ):
        train_together(configs, tmp_path)
    assert [reader.steps(workdir) for workdir in workdirs] == [[4], [2]]


def test_runs_that_were_killed_at_their_first_checkpoint_start_again(
    shared_folder, tmp_path
):
    configs = [make_config(shared_folder, seed) for seed in SEEDS[:2]]
    workdirs = train_together(configs, tmp_path)
    for workdir, steps in zip(workdirs, ([4], [2, 4]), strict=True):
        for step in steps:
            shutil.rmtree(workdir / "checkpoints" / str(step))
    train_together(configs, tmp_path)
    assert [reader.steps(workdir) for workdir in workdirs] == [[2, 4], [2, 4]]


def test_a_damaged_mark_is_named(tmp_path):
    assert sweep.failure(tmp_path) is None and sweep.sweep_size(tmp_path) == 1
    for content in ("{", "[]", "{}"):
        (tmp_path / sweep.FAILURE).write_text(content)
        with pytest.raises(ValueError, match=r"failed.json is damaged .*: remove it"):
            sweep.failure(tmp_path)


def test_runs_that_differ_in_more_are_refused(shared_folder, tmp_path):
    configs = [make_config(shared_folder), make_config(shared_folder)]
    configs[1].batch_size = 4
    with pytest.raises(ValueError, match="differ in batch_size, but may differ"):
        train_together(configs, tmp_path)


def test_a_folder_of_another_run_is_refused(together, shared_folder):
    configs, workdirs = together
    with pytest.raises(ValueError, match="seed was 3, now 4"):
        sweep.train_and_evaluate(configs[1:2], workdirs[:1])
