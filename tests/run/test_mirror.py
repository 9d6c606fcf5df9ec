"""The copy of a run in a bucket: complete at any moment, fetched, taken over, refused.

The bucket is fsspec's file system in memory.
"""

import json
import shutil
import threading

import fsspec
from fsspec.implementations import memory
import jax
import numpy as np
import pytest

from gan_jax.run import bucket, checkpoints, listing, mirror
from gan_jax.training import train
from tests import support


@pytest.fixture
def address(request, tmp_path, monkeypatch):
    """An address that no other test uses; nothing of it stays in memory."""
    monkeypatch.setattr(mirror, "STAGING", str(tmp_path / "staging"))
    address = f"memory://bucket/{request.node.name}"
    yield address
    there = fsspec.filesystem("memory")
    if there.exists(address):
        there.rm(address, recursive=True)


@pytest.fixture
def outage(monkeypatch):
    """A function that makes every write to the bucket fail, or mends it."""
    write = memory.MemoryFileSystem.pipe_file
    is_out = False

    def pipe_file(self, *arguments, **options):
        if is_out:
            raise ConnectionError("the network is away")
        return write(self, *arguments, **options)

    def set_out(value):
        nonlocal is_out
        is_out = value

    monkeypatch.setattr(memory.MemoryFileSystem, "pipe_file", pipe_file)
    return set_out


def save(local, step, content="arrays"):
    """Puts a complete checkpoint of small files into a run's folder."""
    folder = local / "checkpoints" / str(step)
    (folder / listing.ARRAYS).mkdir(parents=True)
    (folder / listing.ARRAYS / "_METADATA").write_text(content)
    (folder / listing.SUMS).write_text(f"{content} of step {step}")
    with (local / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step}) + "\n")


def make_run(local, *steps):
    local.mkdir(parents=True)
    (local / "config.json").write_text("{}")
    for step in steps:
        save(local, step)


def train_in(address, config):
    with mirror.staged(address, is_writer=True) as (local, start):
        return train.train_and_evaluate(config, local, on_first_call=start)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def files_in(address):
    remote = bucket.Bucket(address)
    return {name: remote.read(name) for name in remote.names()}


@pytest.mark.slow
def test_a_run_whose_machine_was_lost_ends_as_an_unbroken_one(
    shared_folder, address, tmp_path, monkeypatch
):
    config = support.make_dense_config(shared_folder)
    config.num_train_steps, config.log_every_steps = 8, 4
    config.eval_every_steps, config.evaluation.best_metric = 4, "frechet_distance"
    train.train_and_evaluate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", dying_save(patch, step=6))
        with pytest.raises(KeyboardInterrupt):
            train_in(address, config)
    local = mirror.staging_folder(address)
    shutil.rmtree(local.parent)
    remote = bucket.Bucket(address)
    assert bucket.steps(bucket.complete(remote.names()), "checkpoints") == [4, 6]
    remote.write("checkpoints/8/default/_METADATA", b"half a copy")

    assert train_in(address, config)
    for folder in ("checkpoints", "best"):
        one, other = (
            checkpoints.read(workdir / folder)
            for workdir in (local, tmp_path / "whole")
        )
        jax.tree.map(np.testing.assert_array_equal, one, other)
    cut, whole = files_in(address), files_of(tmp_path / "whole")
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        lines = [read_lines(each[name]) for each in (cut, whole)]
        assert lines[0] == lines[1] and len(lines[0]) == 2
    name = "samples/step_0000008.png"
    assert cut[name] == whole[name]
    there = files_of(local)
    assert there.pop("lock")
    assert cut == there


def dying_save(patch, *, step):
    """A Checkpoints.save after which the bucket has all, and at `step` the run dies."""
    copies, save = [], checkpoints.Checkpoints.save
    patch.setattr(mirror.Mirror, "start", lambda self: copies.append(self.copy))

    def save_and_die(self, saved, *arguments, **options):
        save(self, saved, *arguments, **options)
        self.wait()
        for copy in copies:
            copy()
        if saved == step:
            raise KeyboardInterrupt

    return save_and_die


def read_lines(content):
    clock = ("steps_per_second", "seconds")
    lines = [json.loads(line) for line in content.splitlines()]
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


def test_a_checkpoint_is_complete_after_everything_of_its_step(
    tmp_path, address, monkeypatch
):
    """The bucket is looked at after every write to it, as if the machine died there."""
    remote, seen = bucket.Bucket(address), []

    def check(self, *arguments):
        there = bucket.complete(remote.names())
        logged = remote.read("metrics.jsonl") or b""
        steps = {json.loads(line)["step"] for line in logged.splitlines()}
        assert {int(one.rpartition("/")[2]) for one in there} <= steps
        if seen:  # a newest checkpoint gives way to a newer one only
            assert max(there, default="") >= seen[-1]
        seen.append(max(there, default=""))

    for name in ("write", "upload", "remove"):
        original = getattr(bucket.Bucket, name)

        def checked(self, *arguments, original=original):
            original(self, *arguments)
            check(self)

        monkeypatch.setattr(bucket.Bucket, name, checked)
    local = tmp_path / "run"
    make_run(local, 1)
    copier = mirror.Mirror(remote, local)
    copier.copy()
    for step in (2, 3, 4):
        save(local, step)
        shutil.rmtree(local / "checkpoints" / str(step - 1))
        copier.copy()
        assert bucket.complete(remote.names()) == {f"checkpoints/{step}"}
    assert len(seen) == 20 and seen[-1] == "checkpoints/4"


def test_only_what_has_changed_is_copied(tmp_path, address, monkeypatch):
    local = tmp_path / "run"
    make_run(local, 1)
    for name in ("lock", "scores.jsonl", "config.json.tmp"):
        (local / name).write_text("not copied")
    copier, written = mirror.Mirror(bucket.Bucket(address), local), []
    copier.copy()
    for method in ("write", "upload"):
        monkeypatch.setattr(
            bucket.Bucket, method, lambda self, *names: written.append(names)
        )
    copier.copy()
    assert written == []
    (local / "metrics.jsonl").write_text("more")
    copier.copy()
    assert written == [("metrics.jsonl", b"more")]
    assert not {"lock", "scores.jsonl", "config.json.tmp"} & {*files_in(address)}


def test_a_checkpoint_that_the_run_deletes_meanwhile_is_left_out(
    tmp_path, address, monkeypatch
):
    local = tmp_path / "run"
    make_run(local, 1, 2)
    upload = bucket.Bucket.upload

    def delete_and_upload(self, path, name):
        shutil.rmtree(local / "checkpoints" / "1", ignore_errors=True)
        upload(self, path, name)

    monkeypatch.setattr(bucket.Bucket, "upload", delete_and_upload)
    copier = mirror.Mirror(bucket.Bucket(address), local)
    copier.copy()
    copier.copy()
    names = files_in(address)
    assert bucket.complete(names) == {"checkpoints/2"}
    assert not [name for name in names if name.startswith("checkpoints/1/")]


def test_a_bucket_that_fails_for_a_while_is_warned_of_and_filled_later(
    address, outage, monkeypatch, caplog
):
    warned = threading.Event()
    monkeypatch.setattr(mirror, "SECONDS", 0.001)
    monkeypatch.setattr(
        mirror.logging, "warning", lambda *words: (caplog.clear(), warned.set())
    )
    with mirror.staged(address, is_writer=True) as (local, start):
        make_run(local, 1)
        outage(True)
        start()
        assert warned.wait(60)
        save(local, 2)
        outage(False)
    assert files_in(address).keys() == files_of(local).keys()


def test_a_bucket_that_never_comes_back_fails_the_run_which_is_copied_later(
    address, outage
):
    with (
        pytest.raises(
            OSError, match=r"not copied whole to memory://.*: the network is"
        ),
        mirror.staged(address, is_writer=True) as (local, _),
    ):
        make_run(local, 1)
        outage(True)
    assert not [name for name in files_in(address) if "config" in name]
    outage(False)
    with mirror.staged(address, is_writer=True) as (local, _):
        assert listing.steps(local / "checkpoints") == [1]
    assert files_in(address).keys() == files_of(local).keys()


def test_a_bucket_that_cannot_be_written_is_refused_before_training(address, outage):
    outage(True)
    with (
        pytest.raises(OSError, match=f"{address} cannot be used: the network is away."),
        mirror.staged(address, is_writer=True),
    ):
        raise AssertionError


def test_a_mistake_keeps_its_own_sentence_and_claims_no_bucket(address):
    with (
        pytest.raises(ValueError, match="a mistake"),
        mirror.staged(address, is_writer=True),
    ):
        raise ValueError("a mistake")
    assert files_in(address) == {}


def test_what_a_diverged_run_wrote_is_copied(address, monkeypatch):
    monkeypatch.setattr(mirror, "SECONDS", 1e6)
    with (
        pytest.raises(ValueError, match="diverged"),
        mirror.staged(address, is_writer=True) as (local, start),
    ):
        start()
        make_run(local, 1)
        raise ValueError("diverged")
    assert "metrics.jsonl" in files_in(address)


def test_a_process_that_is_taken_over_copies_nothing_any_more(
    tmp_path, address, caplog
):
    first, second = (tmp_path / name for name in ("first", "second"))
    make_run(first, 1)
    make_run(second, 1, 2)
    old, new = (mirror.Mirror(bucket.Bucket(address), x) for x in (first, second))
    old.copy()
    new.copy()
    assert (
        "belonged to process" in caplog.text and "has not said that it" in caplog.text
    )
    before = files_in(address)
    save(first, 3)
    with pytest.raises(OSError, match="no longer belongs to this process, but to proc"):
        old.copy()
    assert files_in(address) == before
    new.end()
    assert mirror.WRITER in before and mirror.WRITER not in files_in(address)


def test_a_folder_that_is_behind_is_set_aside(address, caplog):
    with mirror.staged(address, is_writer=True) as (local, _):
        make_run(local, 1, 2)
    shutil.rmtree(local / "checkpoints" / "2")
    with mirror.staged(address, is_writer=True) as (local, _):
        assert listing.steps(local / "checkpoints") == [1, 2]
    aside = local.with_name(f"{local.name}.old")
    assert listing.steps(aside / "checkpoints") == [1]
    assert f"was set aside as {aside}" in caplog.text


def test_a_folder_of_another_run_is_set_aside(address, tmp_path):
    local = mirror.staging_folder(address)
    make_run(local)
    save(local, 1, content="other arrays")
    save(local, 2, content="other arrays")
    remote = bucket.Bucket(address)
    make_run(tmp_path / "right", 1)
    mirror.Mirror(remote, tmp_path / "right").end()
    with mirror.staged(address, is_writer=True):
        text = (local / "checkpoints" / "1" / listing.SUMS).read_text()
    assert text == "arrays of step 1"


def test_an_object_with_an_absolute_name_is_not_fetched(address, tmp_path):
    outside = tmp_path / "outside"
    with mirror.staged(address, is_writer=True) as (local, _):
        make_run(local, 1)
    shutil.rmtree(local)
    there = fsspec.filesystem("memory")
    key = f"/bucket/{address.rpartition('/')[2]}/{outside}"
    there.store[key] = memory.MemoryFile(there, key, b"a stranger's")
    with mirror.staged(address, is_writer=True) as (local, _):
        assert listing.steps(local / "checkpoints") == [1]
    assert not outside.exists()


def test_a_folder_that_is_ahead_is_kept(address):
    with mirror.staged(address, is_writer=True) as (local, _):
        make_run(local, 1)
    save(local, 2)
    with mirror.staged(address, is_writer=True) as (local, _):
        assert listing.steps(local / "checkpoints") == [1, 2]
    assert "checkpoints/2/SHA256SUMS" in files_in(address)


def test_a_folder_that_is_ahead_by_more_than_it_keeps_is_kept(address, outage):
    """As after hours in which the bucket did not answer."""
    with mirror.staged(address, is_writer=True) as (local, _):
        make_run(local, 1)
    for steps in ((2, 3), (4, 5)):  # the second time from a fetched folder
        with (
            pytest.raises(OSError, match="run the same command again on this machine"),
            mirror.staged(address, is_writer=True) as (local, _),
        ):
            shutil.rmtree(local / "checkpoints")
            for step in steps:
                save(local, step)
            outage(True)
        outage(False)
        with mirror.staged(address, is_writer=True) as (local, _):
            assert listing.steps(local / "checkpoints") == [*steps]
        found = bucket.complete(files_in(address))
        assert found == {f"checkpoints/{step}" for step in steps}
        shutil.rmtree(local.parent)


def test_a_folder_that_is_ahead_of_another_machines_run_is_set_aside(address, tmp_path):
    with mirror.staged(address, is_writer=True) as (local, _):
        make_run(local, 1)
    shutil.rmtree(local / "checkpoints")
    save(local, 3)
    make_run(tmp_path / "other", 1, 2)
    mirror.Mirror(bucket.Bucket(address), tmp_path / "other").end()
    with mirror.staged(address, is_writer=True) as (local, _):
        assert listing.steps(local / "checkpoints") == [1, 2]


def test_a_step_that_is_saved_anew_after_a_retry_is_copied_again(tmp_path, address):
    local = tmp_path / "run"
    make_run(local, 1, 2)
    copier = mirror.Mirror(bucket.Bucket(address), local)
    copier.copy()
    shutil.rmtree(local / "checkpoints" / "2")
    save(local, 2, content="arrays of other latents")
    copier.copy()
    copied = {x: y for x, y in files_in(address).items() if x != mirror.WRITER}
    assert copied == files_of(local)


def test_a_bucket_that_was_emptied_is_refused(address):
    with mirror.staged(address, is_writer=True) as (local, _):
        make_run(local, 1)
    fsspec.filesystem("memory").rm(address, recursive=True)
    with (
        pytest.raises(
            ValueError, match=r"is empty, but .* was copied to it: to train a"
        ),
        mirror.staged(address, is_writer=True),
    ):
        raise AssertionError
    shutil.rmtree(local.parent)
    with mirror.staged(address, is_writer=True) as (local, _):
        assert not local.exists()


def test_one_process_of_a_machine_trains_in_a_bucket(address):
    with (
        mirror.staged(address, is_writer=True),
        pytest.raises(OSError, match="is being trained by process"),
        mirror.staged(address, is_writer=True),
    ):
        raise AssertionError


def test_hosts_that_do_not_write_leave_the_bucket_alone():
    with mirror.staged("gs://nobody/nothing", is_writer=False) as (local, start):
        start()
        assert local.name == "nothing"


def test_a_local_folder_is_trained_in_itself(tmp_path):
    with mirror.staged(str(tmp_path), is_writer=True) as (local, start):
        start()
        assert local == tmp_path


def test_addresses_that_look_alike_have_folders_of_their_own():
    pairs = [
        ("gs://a/b", "s3://a/b"),
        ("gs://a-b/c", "gs://a/b-c"),
        ("gs://a", "gs://b"),
    ]
    for one, other in pairs:
        assert mirror.staging_folder(one) != mirror.staging_folder(other)
    assert mirror.staging_folder("gs://a/b/") == mirror.staging_folder("gs://a/b")
