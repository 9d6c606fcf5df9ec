"""Checkpoints: what is saved comes back, damage is noticed, reading changes nothing."""

import logging
import os
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from gan_jax.run import checkpoints
from gan_jax.step import states


def make_state(value):
    train_state = states.TrainState(
        step=np.array(int(value), np.int32),
        apply_fn=None,
        params={"kernel": np.full((3, 4), value, np.float32)},
        tx=None,
        opt_state=({"mu": np.full((3, 4), -value, np.float32)}, {}),
        batch_stats={},
    )
    return states.GANState(
        generator=train_state, discriminator=train_state, averaged={}
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def saved(folder):
    opened = checkpoints.Checkpoints(folder, keep=2)
    yield opened
    opened.close()


def fill(saved, *steps):
    for step in steps:
        saved.save(step, make_state(float(step)))
    saved.wait()


def snapshot(folder):
    return {
        path: (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    }


def test_round_trip_keeps_every_leaf_and_type(saved, folder):
    fill(saved, 7)
    got = checkpoints.read(folder, 7)["generator"]
    assert got["step"] == 7 and got["step"].dtype == np.int32
    np.testing.assert_array_equal(got["params"]["kernel"], np.full((3, 4), 7))
    np.testing.assert_array_equal(got["opt_state"]["0"]["mu"], np.full((3, 4), -7))
    assert {type(leaf) for leaf in jax.tree.leaves(got)} == {np.ndarray}


def test_newest_two_are_kept_and_read_takes_the_newest(saved, folder):
    assert saved.latest_step() is None
    fill(saved, 1, 2, 3)
    assert saved.all_steps() == [2, 3] and saved.latest_step() == 3
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]
    assert checkpoints.read(folder)["generator"]["step"] == 3
    assert checkpoints.read(folder, 2)["generator"]["step"] == 2
    with pytest.raises(ValueError, match=r"no checkpoint of step 1 .*\[2, 3\]"):
        checkpoints.read(folder, 1)


def test_an_older_checkpoint_is_spared_as_long_as_that_is_asked_for(saved, folder):
    fill(saved, 1, 2)
    for step in (3, 4):
        saved.save(step, make_state(step), spared={1})
    saved.wait()
    assert checkpoints.steps(folder) == [1, 3, 4]
    fill(saved, 5)
    assert checkpoints.steps(folder) == [4, 5]


def test_saving_a_step_twice_keeps_the_first(saved, folder):
    fill(saved, 4)
    saved.save(4, make_state(5.0))
    saved.wait()
    kernel = checkpoints.read(folder, 4)["generator"]["params"]["kernel"]
    assert kernel[0, 0] == 4


def test_only_what_is_asked_for_is_read_if_it_has_the_shape(saved, folder):
    fill(saved, 1)
    like = {"generator": {"params": {"kernel": np.zeros((3, 4))}}}
    got = checkpoints.read(folder, like=like)
    assert jax.tree.map(np.shape, got) == {"generator": {"params": {"kernel": (3, 4)}}}
    like["generator"]["params"]["kernel"] = np.zeros((3, 5))
    with pytest.raises(ValueError, match=r"kernel is \(3, 4\), but .* for \(3, 5\)"):
        checkpoints.read(folder, like=like)
    like["generator"]["params"]["bias"] = np.zeros(5)
    del like["generator"]["params"]["kernel"]
    with pytest.raises(ValueError, match=r"bias is not in it, but .* for \(5,\)"):
        checkpoints.read(folder, like=like)


def test_a_state_is_restored_of_the_same_arrays_alone(saved, folder):
    fill(saved, 1)
    assert checkpoints.restore(folder, 1, make_state(0.0)).generator.step == 1
    more = make_state(0.0).replace(averaged={"kernel": np.zeros(2)})
    with pytest.raises(checkpoints.MisfitError, match="averaged.kernel is not in it"):
        checkpoints.restore(folder, 1, more)
    saved.save(2, more)
    saved.wait()
    with pytest.raises(checkpoints.MisfitError, match="it has averaged.kernel, for wh"):
        checkpoints.restore(folder, 2, make_state(0.0))


def test_progress_comes_back_and_is_empty_where_none_was_given(saved, folder):
    saved.save(1, make_state(1.0), {"seconds": 0.1})
    fill(saved, 2)
    assert checkpoints.read_progress(folder, 1) == {"seconds": 0.1}
    assert checkpoints.read_progress(folder, 2) == {}


def test_reading_changes_nothing(saved, folder):
    fill(saved, 1, 2)
    (folder / "3.incomplete" / "default").mkdir(parents=True)  # a save in flight
    (folder / "4.orbax-checkpoint-tmp").mkdir()  # of an earlier version
    before = snapshot(folder.parent)
    checkpoints.read(folder)
    checkpoints.read(folder, 1)
    assert checkpoints.steps(folder) == [1, 2] and checkpoints.newest_step(folder) == 2
    assert checkpoints.read_progress(folder, 2) == {}
    assert snapshot(folder.parent) == before


def test_reading_where_there_is_nothing_makes_no_folder(folder):
    with pytest.raises(ValueError, match="no checkpoint in .*there is none"):
        checkpoints.read(folder)
    assert checkpoints.steps(folder) == [] and checkpoints.newest_step(folder) is None
    assert not folder.exists()


def test_a_checkpoint_that_is_deleted_while_it_is_read_gives_way(
    saved, folder, monkeypatch
):
    fill(saved, 1, 2)
    check = checkpoints._check

    def check_and_lose(path):
        check(path)
        if path.name == "2" and path.exists():
            fill(saved, 3)
            shutil.rmtree(folder / "2")  # as if two more had been saved

    monkeypatch.setattr(checkpoints, "_check", check_and_lose)
    assert checkpoints.read(folder)["generator"]["step"] == 3
    monkeypatch.undo()
    with pytest.raises(ValueError, match="no checkpoint of step 2 in"):
        checkpoints.read(folder, 2)


def test_what_a_killed_writer_left_is_cleared_by_the_next_one_alone(saved, folder):
    fill(saved, 1)
    left = ["2.incomplete", "0.deleted", "2.orbax-checkpoint-tmp"]
    for name in left:
        (folder / name / "default").mkdir(parents=True)
    checkpoints.read(folder)
    assert all((folder / name).is_dir() for name in left)
    checkpoints.Checkpoints(folder).close()
    assert [path.name for path in folder.iterdir()] == ["1"]


def flip(path, *, byte, bit=0):
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def all_files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_flipped_bit_in_any_file_is_noticed(saved, folder, caplog):
    fill(saved, 1, 2)
    caplog.set_level(logging.WARNING)
    for path in all_files(folder / "2"):
        whole = path.read_bytes()
        for byte in (0, len(whole) - 1):
            flip(path, byte=byte, bit=5)
            with pytest.raises(ValueError, match="checkpoints/2 is damaged: "):
                checkpoints.read(folder, 2)
            caplog.clear()
            assert checkpoints.read(folder)["generator"]["step"] == 1
            assert "checkpoints/2 is damaged" in caplog.text
            path.write_bytes(whole)
    assert checkpoints.read(folder)["generator"]["step"] == 2


@pytest.mark.parametrize("change", ["truncated", "empty", "missing", "added", "link"])
def test_a_changed_checkpoint_is_left_out_and_set_aside(saved, folder, change):
    fill(saved, 1, 2)
    path = max(all_files(folder / "2" / "default"), key=lambda x: x.stat().st_size)
    if change == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif change == "empty":
        os.truncate(path, 0)
    elif change == "missing":
        path.unlink()
    elif change == "added":
        (path.parent / "more").touch()
    else:
        path.rename(folder / "elsewhere")
        path.symlink_to(folder / "elsewhere")
    assert checkpoints.newest_step(folder) == 1
    assert checkpoints.read(folder)["generator"]["step"] == 1
    again = checkpoints.Checkpoints(folder, keep=2, first_step=1)
    fill(again, 2)
    again.close()
    assert checkpoints.newest_step(folder) == 2
    assert (folder / "2.damaged").is_dir()


def test_no_good_checkpoint_is_said(saved, folder):
    fill(saved, 2)
    flip(folder / "2" / checkpoints.SUMS, byte=0)
    with pytest.raises(ValueError, match=r"no good checkpoint .* steps \[2\] are dam"):
        checkpoints.read(folder)


@pytest.mark.parametrize(
    "content", [[], ["default"], ["default", "commit_success.txt"]]
)
def test_a_folder_that_holds_no_checkpoint_counts_as_none(
    saved, folder, content, caplog
):
    fill(saved, 1)
    for name in ("", *content):
        (folder / "99999" / name).mkdir(parents=True)
    assert checkpoints.steps(folder) == [1]
    assert checkpoints.read(folder)["generator"]["step"] == 1
    assert "checkpoints/99999 is no complete checkpoint" in caplog.text
    fill(saved, 99999)
    assert checkpoints.newest_step(folder) == 99999


def test_a_checkpoint_of_an_earlier_version_is_read(folder, caplog):
    tree = {"generator": {"step": np.array(3, np.int32)}, "averaged": {}}
    with ocp.CheckpointManager(folder) as manager:
        manager.save(3, args=ocp.args.StandardSave(tree))
        manager.wait_until_finished()
    for mark in (None, "commit_success.txt"):  # which older orbax does not write
        if mark:
            (folder / "3" / mark).unlink(missing_ok=True)
        assert checkpoints.newest_step(folder) == 3
        assert checkpoints.read(folder)["generator"]["step"] == 3
    os.truncate(folder / "3" / "default" / "_METADATA", 5)
    assert checkpoints.newest_step(folder) is None
    assert "3, which an earlier version of gan_jax wrote, cannot be" in caplog.text


def test_orbax_reads_what_is_saved(saved, folder):
    fill(saved, 3)
    with ocp.CheckpointManager(
        folder, options=ocp.CheckpointManagerOptions(read_only=True)
    ) as manager:
        got = manager.restore(3, args=ocp.args.StandardRestore())
    assert got["generator"]["step"] == 3


def test_a_failed_save_names_the_folder_and_the_last_good_step(saved, monkeypatch):
    fill(saved, 1)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_save_arrays", fail)
    saved.save(2, make_state(2.0))
    with pytest.raises(OSError, match=r"No space left on device.*that of step 1"):
        saved.wait()
    assert saved.all_steps() == [1]


def test_a_failed_first_save_names_no_step(saved, monkeypatch):
    monkeypatch.setattr(
        checkpoints.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0)
    )
    with pytest.raises(
        OSError, match=r"make room\. There is no earlier one; mend this,"
    ):
        saved.save(1, make_state(1.0))


def test_a_disk_without_room_is_named_before_anything_is_written(saved, monkeypatch):
    fill(saved, 1)
    monkeypatch.setattr(
        checkpoints.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0)
    )
    with pytest.raises(OSError, match=r"takes up to 200 bytes, and 0 are free.*step 1"):
        saved.save(2, make_state(2.0))
    assert saved.all_steps() == [1]
