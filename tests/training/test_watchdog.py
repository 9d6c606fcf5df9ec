"""The rules that notice a failed run: on made-up lines, and on runs made to fail."""

import json
import math
import os
import pathlib
import re
import signal

import jax
import numpy as np
import pytest

from configs import default
from gan_jax import interrupt
from gan_jax.models import dcgan
from gan_jax.run import checkpoints, files
from gan_jax.step import losses
from gan_jax.training import log, train, watchdog
from tests import support

RUN = pathlib.Path("runs", "one")
GOOD = {
    "d_loss": 0.5,
    "d_grad_norm": 1.0,
    "g_grad_norm": 1.0,
    "sample_distance": 1.0,
    "label_distance": 1.0,
}


@pytest.fixture
def config():
    """A config that stops a run, with a patience of two."""
    config = default.get_config()
    config.watchdog.action = "stop"
    config.watchdog.patience = 2
    return config


def observe_all(dog, values, name, *, saved=()):
    """Shows the watchdog a line every 100 steps, with these values of a metric."""
    for index, value in enumerate(values):
        dog.observe(100 * (index + 1), GOOD | {name: value}, list(saved))


@pytest.mark.parametrize(
    ("name", "low", "rule"),
    [
        ("d_loss", 0.019, "discriminator_won"),
        ("d_grad_norm", 0.0, "gradients_vanished"),
        ("g_grad_norm", 9e-7, "gradients_vanished"),
        ("sample_distance", 0.05, "samples_collapsed"),
        ("label_distance", 0.0, "labels_ignored"),
    ],
)
def test_a_rule_warns_and_then_stops_the_run(config, caplog, name, low, rule):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, [1, low], name)
    assert not caplog.records
    dog.observe(300, GOOD | {name: low}, [200])
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{RUN}: {rule}: ")
    assert "in all 2 measurements since step 200" in record.getMessage()
    dog.observe(400, GOOD | {name: low}, [200])
    with pytest.raises(
        watchdog.FailedError, match=rf"^{rule}: .*step 500 {name} is.*of step 100\."
    ) as caught:
        dog.observe(500, GOOD | {name: low}, [100, 200, 300])
    assert (caught.value.rule, caught.value.step) == (rule, 200)


def test_a_good_measurement_starts_the_count_anew(config):
    observe_all(watchdog.Watchdog(config, RUN), 5 * [0, 0, 0, 1], "d_loss")


def test_lines_without_the_metric_are_no_measurements(config):
    dog = watchdog.Watchdog(config, RUN)
    without = {name: x for name, x in GOOD.items() if name != "sample_distance"}
    for step in range(100, 400, 100):
        dog.observe(step, GOOD | {"sample_distance": 0}, [])
        dog.observe(step + 50, without, [])
    with pytest.raises(watchdog.FailedError, match="in all 4 measurements"):
        dog.observe(400, GOOD | {"sample_distance": 0}, [])


def test_a_warning_comes_back_ever_more_rarely(config, caplog):
    config.watchdog.action = "warn"
    observe_all(watchdog.Watchdog(config, RUN), 40 * [0], "d_loss")
    # Patience times 1, 2, 4, 8 and 16 measurements, which lie 100 steps apart.
    counts = [record.getMessage().split(" in all ")[1][:2] for record in caplog.records]
    assert [int(count) for count in counts] == [2, 4, 8, 16, 32]


def test_a_long_streak_that_was_only_warned_of_stops_the_run_at_once(config):
    config.watchdog.action = "warn"
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, 9 * [0], "d_loss")  # more than twice the patience
    config.watchdog.action = "stop"
    later = watchdog.Watchdog(config, RUN, dog.progress())
    with pytest.raises(watchdog.FailedError, match="in all 10 measurements"):
        later.observe(1_000, GOOD | {"d_loss": 0}, [])


def test_zero_turns_a_rule_off(config):
    config.watchdog.min_d_loss = 0
    observe_all(watchdog.Watchdog(config, RUN), 40 * [0], "d_loss")


def test_a_loss_without_a_least_value_has_no_winner(config):
    config.recipe.loss = "wasserstein"
    observe_all(watchdog.Watchdog(config, RUN), 40 * [-1e6], "d_loss")


def test_a_smoothed_loss_counts_from_its_least_value(config):
    config.recipe.real_label = 0.9
    least = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)  # where sigmoid(logit) is 0.9
    observe_all(watchdog.Watchdog(config, RUN), 40 * [least + 0.021], "d_loss")
    with pytest.raises(watchdog.FailedError, match="discriminator_won"):
        observe_all(watchdog.Watchdog(config, RUN), 40 * [least + 0.019], "d_loss")


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_no_discriminator_loss_is_below_its_least_value(name):
    loss = losses.create(name)
    logits = np.random.default_rng(0).normal(0, 30, (2, 500, 16)).astype(np.float32)
    found = [
        float(loss.discriminator(real, fake))
        for real, fake in zip(*logits, strict=True)
    ]
    if loss.lowest is None:
        assert min(found) < 0
    else:
        assert min(found) >= loss.lowest
        right = {"least_squares": (1.0, 0.0)}.get(name, (40.0, -40.0))
        best = loss.discriminator(*(np.full(4, x, np.float32) for x in right))
        np.testing.assert_allclose(best, loss.lowest, atol=1e-6, rtol=0)


def test_the_count_goes_on_after_an_interruption(config):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, [1, 0, 0], "d_loss")
    later = watchdog.Watchdog(config, RUN, dog.progress())
    later.observe(400, GOOD | {"d_loss": 0}, [])
    with pytest.raises(watchdog.FailedError, match="4 measurements since step 200"):
        later.observe(500, GOOD | {"d_loss": 0}, [])


# configs/infogan.py with a grid every 200 and every 100 steps
RISING_200 = [0.0067, 0.0045, 0.0137, 0.0591, 0.118]
RISING_100 = [0.0057, 0.0045, 0.0075, 0.0137, 0.0337, 0.0591, 0.08, 0.118]
STARTS_LOW = pytest.mark.parametrize("name", ["sample_distance", "label_distance"])


@STARTS_LOW
@pytest.mark.parametrize("values", [RISING_200, RISING_100], ids=["200", "100"])
def test_a_start_that_rises_is_no_alarm(config, caplog, name, values):
    config.watchdog.patience = 3
    config.watchdog.min_label_distance = config.watchdog.min_sample_distance
    observe_all(watchdog.Watchdog(config, RUN), values, name)
    assert not caplog.records


@STARTS_LOW
@pytest.mark.parametrize(
    "values",
    [
        4 * [0],
        4 * [0.009],
        [0.009, 0.0092, 0.0095, 0.0098],
        [0.009, 0.001, 0.0098, 0.001],
    ],
    ids=["zero", "constant", "slow", "swinging"],
)
def test_a_low_start_that_does_not_rise_is_stopped(config, caplog, name, values):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, values[:3], name)
    assert "in all 2 measurements since step 100" in caplog.records[0].getMessage()
    with pytest.raises(watchdog.FailedError, match="4 measurements since step 100"):
        dog.observe(400, GOOD | {name: values[3]}, [])


@STARTS_LOW
@pytest.mark.parametrize("low", [0, 1e-7])
def test_a_start_that_swings_near_zero_is_stopped(config, name, low):
    dog = watchdog.Watchdog(config, RUN)
    # The second measurement is a rise; after it nothing is higher.
    with pytest.raises(watchdog.FailedError, match="5 measurements since step 100;"):
        observe_all(dog, 10 * [low, 1e-4], name)


@STARTS_LOW
def test_a_start_that_rises_and_stays_low_has_no_good_checkpoint(config, caplog, name):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, [0.001, 0.003, 0.007, 0.015, 0.015], name, saved=[200, 300])
    (record,) = caplog.records
    assert "in all 5 measurements since step 100; there is no" in record.getMessage()
    dog.observe(600, GOOD | {name: 0.015}, [200, 300])
    with pytest.raises(watchdog.FailedError, match="in all 7 measurements") as caught:
        dog.observe(700, GOOD | {name: 0.015}, [200, 300])
    assert caught.value.step == 100


@STARTS_LOW
def test_a_rise_after_a_collapse_is_not_forgiven(config, caplog, name):
    dog = watchdog.Watchdog(config, RUN)
    observe_all(dog, [0.001, 1, 0.001, 0.003, 0.007], name)
    assert "in all 2 measurements since step 300" in caplog.records[0].getMessage()
    with pytest.raises(watchdog.FailedError, match="4 measurements since step 300"):
        dog.observe(600, GOOD | {name: 0.015}, [])


@pytest.mark.parametrize("name", ["d_loss", "d_grad_norm", "g_grad_norm"])
def test_a_rise_of_a_loss_or_gradient_is_not_forgiven(config, name):
    with pytest.raises(watchdog.FailedError, match="4 measurements since step 100"):
        observe_all(watchdog.Watchdog(config, RUN), [1e-10, 3e-10, 1e-9, 3e-9], name)


@STARTS_LOW
@pytest.mark.parametrize("steps", range(10))
def test_a_start_that_rises_goes_on_after_an_interruption(config, caplog, name, steps):
    def observe(dog, first, values):
        for index, value in enumerate(values):
            dog.observe(first + 100 * index, GOOD | {name: value}, [])

    def heard():
        texts = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return texts

    config.watchdog.action = "warn"
    values = [0.001, 0.003, 0.002, 0.007, 0.007, 0.007, 0.015, 0.01, 0.01, 0.01]
    observe(watchdog.Watchdog(config, RUN), 100, values)
    unbroken = heard()
    dog = watchdog.Watchdog(config, RUN)
    observe(dog, 100, values[:steps])
    progress = json.loads(json.dumps(dog.progress()))
    observe(watchdog.Watchdog(config, RUN, progress), 100 * steps + 100, values[steps:])
    assert heard() == unbroken
    assert len(unbroken) == 4  # after 3, 5, 8 and 10 measurements


@STARTS_LOW
@pytest.mark.parametrize("seen", [[2, 200], None])
def test_the_state_of_an_older_version_forgives_no_rise(config, name, seen):
    (rule,) = [x for x, one in watchdog.RULES.items() if name in one.metrics]
    progress = {} if seen is None else {rule: seen}
    count, first = seen or (0, 400)
    dog = watchdog.Watchdog(config, RUN, progress)
    values = [0.001, 0.003, 0.007, 0.015][count:]
    for index, value in enumerate(values[:-1]):
        dog.observe(400 + 100 * index, GOOD | {name: value}, [])
    with pytest.raises(
        watchdog.FailedError, match=f"in all 4 measurements since step {first};"
    ):
        dog.observe(1000, GOOD | {name: values[-1]}, [])


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ([], "there is no checkpoint from before that"),
        ([200, 300], "there is no checkpoint from before that"),
        ([0, 100, 200], "the last good checkpoint is that of step 100"),
    ],
)
def test_a_warning_names_only_a_checkpoint_that_is_there(config, caplog, saved, said):
    observe_all(watchdog.Watchdog(config, RUN), [1, 0, 0], "d_loss", saved=saved)
    assert said in caplog.records[0].getMessage()


def test_the_last_good_checkpoint_is_older_than_the_fault():
    assert watchdog.last_good_step([100, 200, 300], 250) == 200
    assert watchdog.last_good_step([100, 200, 300], 200) == 100
    assert watchdog.last_good_step([300], 200) is None


def test_the_checkpoint_before_a_streak_is_spared_for_a_retry(config):
    config.watchdog.retries = 1
    dog = watchdog.Watchdog(config, RUN)
    assert dog.spared([100, 200]) == set()  # no rule is broken yet
    observe_all(dog, [1, 1, 0], "d_loss")
    assert dog.spared([100, 200, 300]) == {200}
    dog.observe(400, GOOD | {"d_loss": 0, "g_grad_norm": 0}, [])
    assert dog.spared([100, 200, 300, 400]) == {200, 300}
    assert dog.spared([300, 400]) == {300}
    dog.observe(500, GOOD | {"g_grad_norm": 0}, [])
    assert dog.spared([100, 200, 300, 400]) == {300}
    for field, value in (("action", "warn"), ("retries", 0)):
        other = config.copy_and_resolve_references()
        other.watchdog[field] = value
        later = watchdog.Watchdog(other, RUN, dog.progress())
        assert later.spared([100, 200, 300, 400]) == set()


def make_to_fail(config, **overrides):
    """A config of 40 steps that a failure stops at the latest after its tenth log."""
    config.num_train_steps = 40
    config.watchdog.action = "stop"
    config.watchdog.patience = 2
    with config.unlocked():
        config.update_from_flattened_dict(overrides)
    return config


WON = {"optimizer.generator.learning_rate": 0.0} | {
    "optimizer.discriminator.learning_rate": 0.1
}
CONSTANT = {"model.generator.init_std": 1e-6} | {
    "optimizer.generator.learning_rate": 0.0
}
SATURATED = {"optimizer.generator.learning_rate": 1e3} | {
    "optimizer.discriminator.learning_rate": 0.0
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "overrides"),
    [
        ("discriminator_won", WON),
        ("samples_collapsed", CONSTANT),
        ("gradients_vanished", SATURATED),
    ],
)
def test_a_run_made_to_fail_is_stopped(shared_folder, tmp_path, rule, overrides):
    config = make_to_fail(support.make_dense_config(shared_folder), **overrides)
    with pytest.raises(watchdog.FailedError, match=f"^{rule}: ") as caught:
        train.train_and_evaluate(config, tmp_path / "run")
    saved = checkpoints.steps(tmp_path / "run" / "checkpoints")
    good = watchdog.last_good_step(saved, caught.value.step)
    assert f"{watchdog.say_last_good(good)}." in str(caught.value)


class DeafGenerator(dcgan.Generator):
    """Ignores its labels."""

    def __call__(self, latents, labels=None, *, train):
        """The image of the first class."""
        return super().__call__(latents, labels * 0, train=train)


@pytest.mark.slow
def test_a_run_whose_labels_have_no_effect_is_stopped(
    shared_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(dcgan, "Generator", DeafGenerator)
    config = make_to_fail(support.make_conditional_config(shared_folder), **WON)
    config.watchdog.min_d_loss = config.watchdog.min_sample_distance = 0
    with pytest.raises(watchdog.FailedError, match="^labels_ignored: ") as caught:
        train.train_and_evaluate(config, tmp_path / "run")
    assert caught.value.step == 2
    first = files.read_lines(tmp_path / "run" / files.METRICS)[0]
    assert first["label_distance"] == 0 < first["sample_distance"]


@pytest.mark.slow
def test_a_run_that_heeds_its_labels_says_so(shared_folder, tmp_path):
    config = support.make_conditional_config(shared_folder)
    train.train_and_evaluate(config, tmp_path / "run")
    lines = files.read_lines(tmp_path / "run" / files.METRICS)
    assert all(0.1 < line["label_distance"] < 3 for line in lines)


def fail_once(patch, at):
    """Lets a watchdog stop its run once, at this step."""
    observe, failures = watchdog.Watchdog.observe, []

    def observe_and_fail(self, step, means, saved):
        observe(self, step, means, saved)
        if step == at and not failures:
            failures.append(step)
            raise watchdog.FailedError("Made up.", rule="made_up", step=at)

    patch.setattr(watchdog.Watchdog, "observe", observe_and_fail)


@pytest.mark.slow
def test_a_failed_run_is_set_back_and_goes_on_with_other_latents(
    shared_folder, tmp_path, monkeypatch
):
    config = support.make_dense_config(shared_folder)
    config.num_train_steps = 8
    config.checkpoints_to_keep = 4
    train.train_and_evaluate(config, tmp_path / "unbroken")

    def train_and_fail_once(workdir):
        with monkeypatch.context() as patch:
            fail_once(patch, at=6)
            assert train.train_and_evaluate(config, workdir)

    config.watchdog.retries = 1
    for name in ("one", "other"):
        later = tmp_path / name / files.LATER_SCORES
        later.parent.mkdir()
        for step in (4, 6):  # as gan_jax.evaluate leaves them while the run trains
            files.append_line(later, {"step": step})
        train_and_fail_once(tmp_path / name)
        assert files.read_lines(later) == [{"step": 4}]
        (line,) = files.read_lines(tmp_path / name / files.RETRIES)
        assert line == {"step": 4, "rule": "made_up", "failed_at": 6}
        saved = files.read_lines(tmp_path / name / files.METRICS)
        assert [one["step"] for one in saved] == [2, 4, 6, 8]

    def read(name, step):
        return checkpoints.read(tmp_path / name / "checkpoints", step)["generator"]

    jax.tree.map(np.testing.assert_array_equal, read("one", 8), read("other", 8))
    jax.tree.map(np.testing.assert_array_equal, read("one", 4), read("unbroken", 4))
    kernels = [
        jax.tree.leaves(read(name, 6)["params"])[-1] for name in ("one", "unbroken")
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-6


@pytest.mark.slow
def test_a_retry_goes_on_from_before_a_streak_longer_than_what_is_kept(
    shared_folder, tmp_path, monkeypatch
):
    config = make_to_fail(support.make_dense_config(shared_folder))
    config.num_train_steps, config.watchdog.retries = 20, 1
    assert config.checkpoints_to_keep == 2
    observe, workdir = watchdog.Watchdog.observe, tmp_path / "run"

    def observe_a_fault_from_10_on(self, step, means, saved):
        if step >= 10 and not (workdir / files.RETRIES).exists():
            means = means | {"d_loss": 0.0}
        observe(self, step, means, saved)

    monkeypatch.setattr(watchdog.Watchdog, "observe", observe_a_fault_from_10_on)
    assert train.train_and_evaluate(config, workdir)
    (line,) = files.read_lines(workdir / files.RETRIES)
    assert line == {"step": 8, "rule": "discriminator_won", "failed_at": 10}
    assert checkpoints.steps(workdir / "checkpoints") == [18, 20]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["closing", "set back", "restoring"])
def test_a_signal_while_a_retry_is_prepared_is_heeded(
    shared_folder, tmp_path, monkeypatch, moment
):
    config = support.make_dense_config(shared_folder)
    config.num_train_steps, config.watchdog.retries = 16, 1
    module, name = {
        "closing": (log.Outputs, "close"),
        "set back": (train, "_set_back"),
        "restoring": (train, "_restore"),
    }[moment]
    function = getattr(module, name)

    def send_and_do(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return function(*arguments)

    fail_once(monkeypatch, at=6)
    monkeypatch.setattr(module, name, send_and_do)
    with interrupt.leaving_at_once(signal.SIGTERM, "left", status=75) as stay:
        done = train.train_and_evaluate(config, tmp_path / "run", on_first_call=stay)
    last = checkpoints.steps(tmp_path / "run" / "checkpoints")[-1]
    assert not done and last < 16
    assert max(files.sample_grids(tmp_path / "run")) <= last


@pytest.mark.slow
def test_retries_end(shared_folder, tmp_path, caplog):
    config = make_to_fail(support.make_dense_config(shared_folder), **WON)
    config.watchdog.retries = 2
    with pytest.raises(watchdog.FailedError, match="^discriminator_won: "):
        train.train_and_evaluate(config, tmp_path / "run")
    assert len(files.read_lines(tmp_path / "run" / files.RETRIES)) == 2
    heard = [one.getMessage() for one in caplog.records]
    (step,) = re.findall(r"Retry 2 of 2 goes on from step (\d+) with", "\n".join(heard))
    assert int(step) > 0  # the discriminator needs some steps to win
