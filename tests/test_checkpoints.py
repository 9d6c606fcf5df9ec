"""Checkpoints: what is saved comes back, the newest stay, failures are named."""

import shutil

import jax
import numpy as np
import pytest

from gan_jax import checkpoints
from gan_jax import state as state_lib


def make_state(value):
    train_state = state_lib.TrainState(
        step=np.array(int(value), np.int32),
        apply_fn=None,
        params={"kernel": np.full((3, 4), value, np.float32)},
        tx=None,
        opt_state=({"mu": np.full((3, 4), -value, np.float32)}, {}),
        batch_stats={},
    )
    return state_lib.GANState(
        generator=train_state, discriminator=train_state, averaged={}
    )


@pytest.fixture
def saved(tmp_path):
    opened = checkpoints.Checkpoints(tmp_path / "checkpoints", keep=2)
    yield opened
    opened.close()


def test_round_trip_keeps_every_leaf_and_type(saved):
    saved.save(7, make_state(7.0))
    saved.wait()
    got = saved.restore(7)["generator"]
    assert got["step"] == 7 and got["step"].dtype == np.int32
    np.testing.assert_array_equal(got["params"]["kernel"], np.full((3, 4), 7))
    np.testing.assert_array_equal(got["opt_state"]["0"]["mu"], np.full((3, 4), -7))
    assert {type(leaf) for leaf in jax.tree.leaves(got)} == {np.ndarray}


def test_newest_two_are_kept_and_read_takes_the_newest(saved, tmp_path):
    assert saved.latest_step() is None
    for step in (1, 2, 3):
        saved.save(step, make_state(float(step)))
    saved.wait()
    assert saved.all_steps() == [2, 3] and saved.latest_step() == 3
    folder = tmp_path / "checkpoints"
    assert checkpoints.read(folder)["generator"]["step"] == 3
    assert checkpoints.read(folder, 2)["generator"]["step"] == 2
    with pytest.raises(ValueError, match=r"no checkpoint of step 1 .*\[2, 3\]"):
        checkpoints.read(folder, 1)


def test_saving_a_step_twice_keeps_the_first(saved):
    saved.save(4, make_state(4.0))
    saved.save(4, make_state(5.0))
    saved.wait()
    assert saved.restore(4)["generator"]["params"]["kernel"][0, 0] == 4


def test_a_checkpoint_that_was_not_finished_does_not_count(saved, tmp_path):
    saved.save(1, make_state(1.0))
    saved.wait()
    unfinished = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (unfinished / "default").mkdir(parents=True)
    again = checkpoints.Checkpoints(tmp_path / "checkpoints")
    assert again.all_steps() == [1]
    again.close()


def test_no_checkpoints_is_said(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in .*there is none"):
        checkpoints.read(tmp_path / "nowhere")


def test_a_failed_save_names_the_folder_and_the_last_good_step(saved, monkeypatch):
    saved.save(1, make_state(1.0))
    saved.wait()

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved._manager, "save", fail)
    with pytest.raises(OSError, match=r"No space left on device.*that of step 1"):
        saved.save(2, make_state(2.0))


def test_a_disk_without_room_is_named_before_anything_is_written(saved, monkeypatch):
    saved.save(1, make_state(1.0))
    saved.wait()
    monkeypatch.setattr(
        checkpoints.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0)
    )
    with pytest.raises(OSError, match=r"takes up to 200 bytes, and 0 are free.*step 1"):
        saved.save(2, make_state(2.0))
    assert saved.all_steps() == [1]
