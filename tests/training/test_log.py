"""What a run shows while it trains: its speed and the time left."""

import json
import re

import numpy as np
import pytest

from gan_jax.run import files
from gan_jax.training import log

NAMES = ("d_loss", "g_loss", "d_real", "d_fake_before", "d_fake_after")


class Time:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(log, "time", time)
    return time


@pytest.fixture
def run(time, tmp_path):
    """A run of 1,000 steps of 10 images, whose first call was just compiled."""
    run = log.Outputs(
        tmp_path,
        first_step=0,
        num_steps=1_000,
        batch_size=10,
        trackers=[],
        worker=files.Worker(),
        real_images=np.zeros((2, 1, 1, 1), np.uint8),
        progress={},
    )
    time.now += 60
    run.clock.restart()
    return run


def train(run, time, step, *, seconds):
    """A call of ten steps that took so many seconds and ended at a step."""
    time.now += seconds
    run.add(step, {name: np.ones(10) for name in NAMES})


def shown(run, step, capsys):
    """Images a second and the time left, as the progress line has them."""
    run.log(step)
    line = capsys.readouterr().out
    rate, left = re.search(r"(\d+) images/s  ([\d:]+) left", line).groups()
    return int(rate), left


def test_speed_and_time_left_leave_out_the_first_call(run, time, capsys):
    train(run, time, 10, seconds=30)  # it still warms up
    for step in (20, 30, 40, 50, 60, 70, 80, 90, 100):
        train(run, time, step, seconds=2)
    # 90 steps in 18 s; 900 steps are left
    assert shown(run, 100, capsys) == (50, "03:00")
    for step in range(110, 201, 10):
        train(run, time, step, seconds=2)
    assert shown(run, 200, capsys) == (50, "02:40")


def test_the_first_call_stands_in_until_there_is_a_second(run, time, capsys):
    train(run, time, 10, seconds=4)
    assert shown(run, 10, capsys) == (25, "06:36")
    train(run, time, 20, seconds=2)
    assert shown(run, 20, capsys) == (50, "03:16")


def test_an_evaluation_is_off_the_clock(run, time, capsys):
    train(run, time, 10, seconds=2)
    with run.clock.stopped():
        time.now += 500
    train(run, time, 20, seconds=2)
    assert shown(run, 20, capsys) == (50, "03:16")
    with run.clock.stopped():
        time.now += 500
    train(run, time, 30, seconds=2)
    assert shown(run, 30, capsys) == (50, "03:14")


def test_laps_and_seconds_are_those_of_training(time):
    clock = log.Clock(0)
    time.now += 60
    clock.restart()
    time.now += 3
    clock.tick(10)
    time.now += 2
    clock.tick(20)
    assert clock.lap(20) == 5  # the second call's ten steps
    assert clock.seconds() == 5
    with clock.stopped():
        time.now += 7
    time.now += 1
    clock.tick(30)
    assert clock.lap(30) == 10
    assert clock.seconds() == 6


def test_a_resumed_run_counts_its_own_steps(time):
    clock = log.Clock(500)
    clock.restart()
    time.now += 3
    clock.tick(510)
    time.now += 2
    assert clock.rate(520) == 5


def test_the_clock_of_a_resumed_run_goes_on_where_it_stopped(time):
    clock = log.Clock(0)
    time.now += 3
    clock.tick(10)
    time.now += 2
    clock.tick(20)
    clock = log.Clock(20, clock.reading(20))
    time.now += 60  # to compile
    clock.restart()
    time.now += 3
    clock.tick(30)  # the first call of a process is in no lap
    time.now += 3
    clock.tick(40)
    assert clock.seconds() == 3 + 2 + 3 + 3
    assert clock.lap(40) == (10 + 10) / (2 + 3)
    time.now += 1
    clock.tick(50)
    assert clock.lap(50) == 10


def test_a_log_weighs_every_step_alike(run, time, tmp_path):
    time.now += 1
    run.add(3, {name: np.array([1.0, 2.0, 3.0], np.float32) for name in NAMES})
    time.now += 1
    run.add(4, {name: np.array([10.0], np.float32) for name in NAMES})
    run.log(4)
    (record,) = files.read_lines(tmp_path / "metrics.jsonl")
    assert {name: record[name] for name in NAMES} == dict.fromkeys(NAMES, 4.0)


@pytest.mark.parametrize("count", [1, 2])
def test_a_grid_of_one_image_has_no_distances(run, time, tmp_path, count):
    train(run, time, 10, seconds=1)
    images = np.linspace(-1, 1, count * 16, dtype=np.float32).reshape(count, 4, 4, 1)
    run.save_samples(10, images, 1, relabelled=images / 2)
    run.log(10)
    (record,) = files.read_lines(tmp_path / "metrics.jsonl")
    names = {"sample_distance", "label_distance"}
    assert names & record.keys() == (names if count > 1 else set())


def test_progress_line_says_how_the_run_stands():
    line = log.progress_line(
        500,
        10_000,
        scalars=dict.fromkeys(NAMES, 0.5) | {"d_loss": 1.2345, "d_fake_after": 0.25},
        images_per_second=1843.2,
        seconds_left=754,
    )
    assert line == (
        "step 500/10000  d_loss 1.234  g_loss 0.500  D(x) 0.50  D(G(z)) 0.50 / 0.25"
        "  1843 images/s  12:34 left"
    )


def test_progress_stays_as_it_was_while_later_steps_are_added(run, time):
    # A checkpoint writes it in another thread, while the run goes on.
    train(run, time, 10, seconds=1)
    progress = run.progress(10)
    before = json.dumps(progress)
    train(run, time, 20, seconds=1)
    assert json.dumps(progress) == before
