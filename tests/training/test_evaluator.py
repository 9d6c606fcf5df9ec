"""Evaluation while a run trains, and the best checkpoint."""

import jax
import numpy as np
import pytest

from gan_jax import models
from gan_jax.evaluation import scores
from gan_jax.evaluation.estimate import Estimate
from gan_jax.run import checkpoints, files
from gan_jax.training import evaluator, programs, train
from tests import support

pytestmark = pytest.mark.slow


@pytest.fixture
def config(shared_folder):
    config = support.make_dense_config(shared_folder)
    config.eval_every_steps = 2
    config.recipe.ema_decay = 0.5
    config.evaluation.best_metric = "frechet_distance"
    return config


def records(folder):
    return files.read_lines(folder / "evaluations.jsonl")


def test_a_resumed_run_has_the_records_of_an_unbroken_one(config, tmp_path):
    train.train_and_evaluate(config, tmp_path / "whole")
    config.num_train_steps = 2
    train.train_and_evaluate(config, tmp_path / "cut")
    with (tmp_path / "cut" / "evaluations.jsonl").open("a") as file:
        # What a killed run wrote of a step whose checkpoint is not there.
        file.write('{"step": 4}\n{"step": 4, "gen')
    config.num_train_steps = 4
    train.train_and_evaluate(config, tmp_path / "cut", override_config=True)
    for one, other in zip(
        records(tmp_path / "whole"), records(tmp_path / "cut"), strict=True
    ):
        assert one.pop("seconds") >= 0 and other.pop("seconds") >= 0
        assert one == other
    protocol = one["protocol"]
    assert protocol["extractor"] == "pixels" and protocol["num_images"] == 20
    assert protocol["split"] == "train" and protocol["statistics"] == "running"
    assert {"weights_sha256", "seed", "versions", "image_size"} <= protocol.keys()
    kinds = [(one["step"], one["generator"]) for one in records(tmp_path / "cut")]
    assert kinds == [(step, kind) for step in (2, 4) for kind in ("raw", "averaged")]


class Given:
    """Stands for a Scorer: gives the numbers in turn, under one protocol."""

    def __init__(self, *values, protocol="a", **more):
        self.values = list(values)
        self.protocol = {"name": protocol, **more}

    def score_run(self, run):
        numbers = {"frechet_distance": Estimate(self.values.pop(0), None)}
        return scores.Scores(numbers, None, self.protocol, 0.0)


@pytest.fixture
def judge(config, tmp_path):
    config.recipe.ema_decay = 0.0
    judge = evaluator.Evaluator(config, tmp_path, first_step=0)
    yield judge
    judge.close()


@pytest.fixture(scope="module")
def state(shared_folder):
    config = support.make_dense_config(shared_folder)
    pair = models.build(config, axis_name=None)
    state = programs.create_state(config, *pair, jax.random.key(0))
    return jax.tree.map(np.asarray, state)


def test_the_best_checkpoint_is_that_of_the_lowest_distance(judge, state, tmp_path):
    judge._scorer = Given(3.0, 1.0, 2.0)
    for step in (1, 2, 3):
        judge.evaluate(step, state)
    judge.close()
    assert checkpoints.steps(tmp_path / "best") == [2]


def test_numbers_of_another_protocol_are_not_compared(judge, state, tmp_path):
    judge._scorer = Given(1.0, protocol="a")
    judge.evaluate(1, state)
    judge._scorer = Given(5.0, protocol="b")
    judge.evaluate(2, state)
    judge.close()
    assert checkpoints.steps(tmp_path / "best") == [2]


def test_the_best_stays_the_best_after_an_upgrade(judge, state, tmp_path):
    for step, value, version in [(1, 1.0, "0.1.0"), (2, 5.0, "0.2.0")]:
        judge._scorer = Given(value, versions={"gan_jax": version})
        judge.evaluate(step, state)
    judge.close()
    assert checkpoints.steps(tmp_path / "best") == [1]


def test_nan_is_never_the_best(judge, state, tmp_path):
    judge._scorer = Given(float("nan"), 3.0, 1.0, float("nan"))
    best = []
    for step in (1, 2, 3, 4):
        judge.evaluate(step, state)
        judge._best.wait()
        best.append(checkpoints.steps(tmp_path / "best"))
    assert best == [[], [2], [3], [3]]


def test_any_number_beats_nan(judge, state, tmp_path):
    judge._scorer = Given(2.0, 5.0)
    judge.evaluate(1, state)
    (record,) = files.read_scores(tmp_path / files.SCORES)
    record["numbers"]["frechet_distance"]["value"] = float("nan")
    (tmp_path / files.SCORES).unlink()  # as earlier versions chose nan as the best
    files.append_line(tmp_path / files.SCORES, record)
    judge.evaluate(2, state)
    judge.close()
    assert checkpoints.steps(tmp_path / "best") == [2]


def test_the_best_checkpoint_of_steps_to_be_done_again_goes(config, state, tmp_path):
    config.recipe.ema_decay = 0.0
    judge = evaluator.Evaluator(config, tmp_path, first_step=0)
    judge._scorer = Given(3.0, 1.0)
    for step in (1, 2):
        judge.evaluate(step, state)
    judge.close()
    judge = evaluator.Evaluator(config, tmp_path, first_step=1)
    assert checkpoints.steps(tmp_path / "best") == []
    judge._scorer = Given(5.0, 4.0, 4.5)  # worse than before, but the best there is
    for step in (2, 3, 4):
        judge.evaluate(step, state)
    judge.close()
    assert checkpoints.steps(tmp_path / "best") == [3]
    assert [one["step"] for one in records(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "metric, message",
    [("fids", "no number 'fids' to choose by"), ("ms_ssim", "neither more nor less")],
)
def test_a_metric_without_a_best_is_refused(config, tmp_path, metric, message):
    config.evaluation.best_metric = metric
    with pytest.raises(ValueError, match=message):
        evaluator.Evaluator(config, tmp_path, first_step=0)


def test_data_that_do_not_fit_the_extractor_stop_a_run_at_its_start(config, tmp_path):
    config.evaluation.extractor = "mnist"
    message = "trained on .28, 28, 1.*train without: --config.eval_every_steps=0"
    with pytest.raises(ValueError, match=message):
        train.train_and_evaluate(config, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_best_metric_that_is_not_computed_is_refused(judge, state):
    judge._best_metric = "coverage"
    judge._scorer = Given(1.0)
    with pytest.raises(ValueError, match="only frechet_distance are computed"):
        judge.evaluate(1, state)
