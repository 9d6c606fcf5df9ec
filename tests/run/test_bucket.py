"""Runs in a bucket, which is fsspec's file system in memory, are read like folders."""

import datetime
import sys

import fsspec
from fsspec.implementations import memory
import numpy as np
import pytest

import gan_jax
from gan_jax.page import history
from gan_jax.run import bucket, config_file, files, listing
from tests.page import support as page_support

FILES = [
    "best/2/SHA256SUMS",
    "best/2/default/_METADATA",
    "checkpoints/10/default/_METADATA",  # without SHA256SUMS
    "checkpoints/2/SHA256SUMS",
    "checkpoints/2/default/_METADATA",
    "checkpoints/4/SHA256SUMS",
    "checkpoints/4/default/_METADATA",
    "checkpoints/4/default/d/0",
    "config.json",
    "events.out.tfevents.1",
    "metrics.jsonl",
    "samples/step_0000002.png",
]


def put(folder, address):
    """Copies a folder into a bucket."""
    remote = bucket.Bucket(address)
    for path in folder.rglob("*"):
        if path.is_file():
            remote.upload(path, path.relative_to(folder).as_posix())


@pytest.fixture
def address(request):
    """An address that no other test uses; nothing of it stays in memory."""
    address = f"memory://bucket/{request.node.name}"
    yield address
    files_there = fsspec.filesystem("memory")
    if files_there.exists(address):
        files_there.rm(address, recursive=True)


@pytest.mark.parametrize("place", ["runs/dcgan", "/gs/a", "gs:/a", "a:b"])
def test_a_folder_is_no_address_and_is_read_where_it_is(place):
    assert not bucket.is_address(place)
    with bucket.fetched(place, None) as folder:
        assert str(folder) == place


@pytest.mark.parametrize(
    "choose, expected",
    [
        (bucket.choose_checkpoints("checkpoints", []), [8, 10]),
        (bucket.choose_checkpoints("checkpoints", [None]), [8, 10, 5, 6, 7]),
        (bucket.choose_checkpoints("checkpoints", [2]), [8, 10, 3, 4]),
        (bucket.choose_checkpoints("best", [None]), [8, 10, 0, 1]),
        (bucket.choose_all_checkpoints("checkpoints"), [8, 10, 3, 4, 5, 6, 7]),
        (bucket.choose_history, [8, 10, 11]),
        (bucket.choose_start, [8, 5, 6, 7]),
        (bucket.choose_overview, [0, 1, 2, 3, 4, 5, 6, 8, 10]),
    ],
)
def test_a_command_fetches_what_it_needs(choose, expected):
    chosen = list(choose("gs://a/b", FILES, lambda checkpoint: True))
    assert chosen == [FILES[index] for index in expected]


@pytest.mark.parametrize(
    "names, step, message",
    [
        ([], None, "gs://a/b holds no run: gs://a/b/config.json does not exist; give"),
        (FILES, 10, r"no checkpoint of step 10 in .*: there are those of steps \[2, 4"),
        (["config.json"], None, "no checkpoint in gs://a/b/checkpoints: none is there"),
    ],
)
def test_what_is_not_in_the_bucket_is_named(names, step, message):
    with pytest.raises(ValueError, match=message):
        list(bucket.choose_checkpoints("checkpoints", [step])("gs://a/b", names, None))


@pytest.mark.parametrize(
    "choose", [bucket.choose_checkpoints("checkpoints", [None]), bucket.choose_start]
)
def test_an_older_checkpoint_is_fetched_after_a_damaged_one(choose):
    chosen = list(choose("gs://a/b", FILES, lambda checkpoint: checkpoint[-1] == "2"))
    assert {*FILES[3:8]} < {*chosen}


@pytest.mark.slow
def test_a_damaged_checkpoint_in_a_bucket_is_left_out(conditional_run, address):
    put(conditional_run, address)
    remote = bucket.Bucket(address)
    steps = listing.steps(conditional_run / "checkpoints")
    for step in reversed(steps):
        assert gan_jax.load(address).step == step
        remote.write(f"checkpoints/{step}/progress.json", b"damage")
    with pytest.raises(ValueError, match=f"no good checkpoint in {address}/checkpoint"):
        gan_jax.load(address)


@pytest.mark.slow
def test_a_run_in_a_bucket_draws_what_its_folder_draws(conditional_run, address):
    put(conditional_run, address)
    expected = gan_jax.load(conditional_run).sample(4)
    np.testing.assert_array_equal(gan_jax.load(address).sample(4), expected)
    model = gan_jax.load(f"{address}/", 2, raw=True)
    assert model.step == 2
    with pytest.raises(ValueError, match="no checkpoint of step 3 in memory://bucket"):
        gan_jax.load(address, 3)


def test_what_was_fetched_is_gone_afterwards(tmp_path, address):
    put(page_support.make_run(tmp_path / "run"), address)
    with bucket.fetched(address, bucket.choose_history) as folder:
        assert len(history.read(folder, "run").metrics) == len(page_support.STEPS)
        assert folder.name == address.rpartition("/")[2]
        assert sorted(files.sample_grids(folder)) == sorted(
            files.sample_grids(tmp_path / "run")
        )
    assert not folder.exists()


def test_a_file_has_the_time_of_its_last_change(tmp_path, address):
    (tmp_path / "config.json").write_text("{}")
    put(tmp_path, address)
    (about,) = fsspec.filesystem("memory").find(address, detail=True).values()
    day_before = about["created"] - 86_400
    for one in memory.MemoryFileSystem.store.values():
        one.created = datetime.datetime.fromtimestamp(day_before, datetime.UTC)
    with bucket.fetched(address, bucket.choose_start) as folder:
        changed = (folder / "config.json").stat().st_mtime
    np.testing.assert_allclose(changed, day_before, rtol=0, atol=1e-3)


def test_names_that_lead_out_of_the_folder_are_left_out(address, tmp_path):
    outside = [
        "../outside.txt",
        "a/../../outside.txt",
        f"{tmp_path}/outside.txt",  # absolute, so the key has // after the run
        "a//outside.txt",
        "./outside.txt",
        "..\\outside.txt",
        "outside\0.txt",
    ]
    store = fsspec.filesystem("memory")
    for name in ("config.json", *outside):
        store.store[f"/bucket/{address.rpartition('/')[2]}/{name}"] = memory.MemoryFile(
            store, name, b"{}"
        )
    assert bucket.Bucket(address).names() == ["config.json"]
    with bucket.fetched(address, bucket.choose_history) as folder:
        assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert not any(tmp_path.iterdir())


def test_another_run_whose_name_begins_alike_is_not_mixed_in(address):
    bucket.Bucket(f"{address}-2").write("config.json", b"")
    assert bucket.Bucket(address).names() == []


@pytest.mark.parametrize(
    "place, library, message",
    [
        ("gs://a/b", "gcsfs", "gs://a/b cannot be opened: .*gcsfs.*the extra bucket"),
        ("s3://a/b", "s3fs", "s3://a/b cannot be opened: .*s3fs.*local folder"),
        ("foo://a/b", None, "foo://a/b cannot be opened: .*foo.* needs fsspec, with"),
        ("gs://a/b", "fsspec", "gs://a/b cannot be opened: .* needs fsspec"),
    ],
)
def test_a_library_that_is_missing_is_named(place, library, message, monkeypatch):
    if library:
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=message):
        gan_jax.load(place)


def test_a_bucket_that_does_not_answer_is_named(address, monkeypatch):
    def find(*arguments, **options):
        raise ConnectionError("the network is away")

    monkeypatch.setattr(memory.MemoryFileSystem, "find", find)
    sentence = f"{address} cannot be read: the network is away. Check the address"
    with pytest.raises(OSError, match=sentence):
        gan_jax.load(address)


def test_scores_are_sent_back_and_a_failure_is_only_logged(
    tmp_path, address, monkeypatch, caplog
):
    (tmp_path / "scores.jsonl").write_text("{}\n")
    bucket.send("runs/local", tmp_path, "scores.jsonl")
    bucket.send(address, tmp_path, "none.jsonl")
    bucket.send(address, tmp_path, "scores.jsonl")
    remote = bucket.Bucket(address)
    assert remote.names() == ["scores.jsonl"]
    assert remote.read("scores.jsonl") == b"{}\n"

    def pipe_file(*arguments, **options):
        raise PermissionError("read only")

    monkeypatch.setattr(memory.MemoryFileSystem, "pipe_file", pipe_file)
    bucket.send(address, tmp_path, "scores.jsonl")
    assert f"scores.jsonl was not copied to {address}: read only." in caplog.text


def test_an_overview_tells_the_steps_of_each_run(tmp_path, address):
    put(page_support.make_run(tmp_path / "one", grids=1), f"{address}/one")
    remote = bucket.Bucket(f"{address}/one")
    for name in FILES[2:8]:
        remote.write(name, b"")
    with bucket.fetched(address, bucket.choose_overview) as under:
        assert listing.steps(under / "one" / "checkpoints") == [2, 4]
        assert config_file.read(under / "one").model.name == "dcgan"
        assert not (under / "one" / "samples").exists()
