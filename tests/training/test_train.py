"""The loop: intervals, resuming, signals, what lies in the folder, what is refused."""

import json
import os
import re
import shutil
import signal
import threading

import jax
import numpy as np
from PIL import Image
import pytest

import gan_jax
from gan_jax import data, parallel
from gan_jax.data import feed
from gan_jax.run import checkpoints, images
from gan_jax.training import log, loop, programs, train, watchdog, writer
from tests import support

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "step, every, last, due",
    [
        *((0, 5, 12, True), (4, 5, 12, False), (5, 5, 12, True), (10, 5, 12, True)),
        *((12, 5, 12, True), (5, 0, 12, False), (12, 0, 12, True), (0, 0, 12, False)),
    ],
)
def test_is_due_at_multiples_and_at_the_end(step, every, last, due):
    assert writer.is_due(step, every, last) == due


def read_metrics(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_trees_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def unbroken(shared_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken")
    train.train_and_evaluate(support.make_tiny_config(shared_folder), workdir)
    return workdir


def test_a_run_leaves_config_metrics_samples_and_checkpoints(unbroken):
    assert json.loads((unbroken / "config.json").read_text())["batch_size"] == 8
    lines = read_metrics(unbroken)
    assert [line["step"] for line in lines] == [2, 4]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert all(0 < line["sample_distance"] < 1 for line in lines)  # far from noise yet
    names = sorted(path.name for path in (unbroken / "samples").iterdir())
    assert names == [f"step_{step:07}.png" for step in (0, 2, 4)]
    with Image.open(unbroken / "samples" / names[0]) as grid:
        assert grid.size == (34, 34)  # two of 16 pixels and a gap of 2
    assert checkpoints.steps(unbroken / "checkpoints") == [2, 4]


def test_resumed_run_equals_unbroken_run(tiny_config, unbroken, tmp_path, monkeypatch):
    workdir = tmp_path / "broken"
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(tiny_config, workdir)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "d_loss": 9.0}\n{"step": 4, "d_')  # killed here
    train.train_and_evaluate(tiny_config, workdir)

    assert_trees_equal(
        checkpoints.read(workdir / "checkpoints"),
        checkpoints.read(unbroken / "checkpoints"),
    )
    for got, expected in zip(
        read_metrics(workdir), read_metrics(unbroken), strict=True
    ):
        for name in ("steps_per_second", "seconds"):
            del got[name], expected[name]
        assert got == expected
    name = "samples/step_0000004.png"
    assert (workdir / name).read_bytes() == (unbroken / name).read_bytes()


def stop_after(step, monkeypatch):
    """Lets a run die once the checkpoint of `step` is on disk."""
    save = checkpoints.Checkpoints.save

    def save_and_die(self, saved, *args, **options):
        save(self, saved, *args, **options)
        self.wait()
        if saved == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "save", save_and_die)


def test_logs_of_a_resumed_run_are_those_of_an_unbroken_one(
    shared_folder, tmp_path, monkeypatch
):
    """Cut at a checkpoint between two logs: the second is over the same four steps."""
    config = support.make_dense_config(shared_folder)
    config.num_train_steps, config.log_every_steps = 8, 4
    train.train_and_evaluate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(config, tmp_path / "cut")
    train.train_and_evaluate(config, tmp_path / "cut")
    whole, cut = (read_metrics(tmp_path / name) for name in ("whole", "cut"))
    for lines in (whole, cut):  # the clock goes on where it stopped
        assert lines[1]["seconds"] > lines[0]["seconds"]
    for line in (*whole, *cut):
        del line["steps_per_second"], line["seconds"]
    assert whole == cut and [line["step"] for line in cut] == [4, 8]


def test_training_goes_on_from_the_newest_good_checkpoint(
    shared_folder, tmp_path, monkeypatch, caplog
):
    config = support.make_dense_config(shared_folder)
    config.num_train_steps = 6
    train.train_and_evaluate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(config, tmp_path / "cut")
    folder = tmp_path / "cut" / "checkpoints"
    metadata = folder / "4" / "default" / "_METADATA"
    metadata.write_bytes(metadata.read_bytes().replace(b"0", b"1", 1))
    (folder / "99999").mkdir()
    caplog.set_level("INFO", logger="absl")
    train.train_and_evaluate(config, tmp_path / "cut")
    assert "Going on from the checkpoint of step 2." in caplog.text
    assert "checkpoints/4 is damaged: default/_METADATA does not hold" in caplog.text
    assert "checkpoints/99999 is no complete checkpoint" in caplog.text
    assert checkpoints.steps(folder) == [4, 6]
    whole = checkpoints.read(tmp_path / "whole" / "checkpoints")
    assert_trees_equal(checkpoints.read(folder), whole)


def test_a_file_in_the_place_of_the_folder_is_named(shared_folder, tmp_path):
    config = support.make_dense_config(shared_folder)
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OSError, match=f"^cannot write the run's folder {place}: "):
            train.train_and_evaluate(config, place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_second_training_of_the_same_folder_is_refused(
    shared_folder, tmp_path, monkeypatch
):
    config = support.make_dense_config(shared_folder)
    run_steps, refused = loop.run_steps, []

    def try_again_and_run_steps(*arguments, **options):
        with pytest.raises(OSError, match="run is being trained by process"):
            train.train_and_evaluate(config, tmp_path / "run")
        refused.append(True)
        return run_steps(*arguments, **options)

    monkeypatch.setattr(loop, "run_steps", try_again_and_run_steps)
    train.train_and_evaluate(config, tmp_path / "run")
    assert refused == [True]
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [2, 4]


def test_steps_per_call_are_chosen_once_and_kept_when_the_run_goes_on(
    shared_folder, tmp_path, monkeypatch
):
    config = support.make_dense_config(shared_folder)
    config.steps_per_call, config.num_train_steps = 0, 8
    for name in writer.INTERVALS[:3]:
        config[name] = 4
    calls = []
    create = feed.create

    def create_and_tell(*arguments, **options):
        calls.append(options["steps"])
        return create(*arguments, **options)

    monkeypatch.setattr(feed, "create", create_and_tell)
    monkeypatch.setattr(programs, "choose_steps_per_call", lambda *arguments: 3)
    train.train_and_evaluate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(config, tmp_path / "cut")
    monkeypatch.setattr(programs, "choose_steps_per_call", lambda *arguments: 4)
    train.train_and_evaluate(config, tmp_path / "cut")
    # The largest divisor of 4 that is at most 3.
    assert calls == [range(0, 8, 2), range(0, 8, 2), range(4, 8, 2)]
    recorded = json.loads((tmp_path / "cut" / "config.json").read_text())
    assert recorded["steps_per_call"] == 3
    assert_trees_equal(
        *(checkpoints.read(tmp_path / x / "checkpoints") for x in ("whole", "cut"))
    )


def test_host_0_says_how_many_steps_a_call_has(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "is_writer", lambda: False)
    monkeypatch.setattr(parallel, "broadcast_from_writer", lambda steps: steps + 7)
    tiny_config.steps_per_call = 0
    assert train._steps_per_call(tiny_config, [tmp_path], lambda: 0) == 7
    tiny_config.steps_per_call = 2
    assert train._steps_per_call(tiny_config, [tmp_path], lambda: 0) == 2


@pytest.mark.parametrize(
    "eval_every_steps, expected",
    [
        (0, ["call", "call", "log 2", "call", "log 4", "log 6"]),
        # The evaluation after step 4 needs the cores that the next call would take.
        (4, ["call", "call", "log 2", "log 4", "call", "log 6"]),
    ],
)
def test_a_log_is_written_while_the_next_call_runs(
    shared_folder, tmp_path, monkeypatch, eval_every_steps, expected
):
    config = support.make_dense_config(shared_folder)
    config.num_train_steps, config.eval_every_steps = 6, eval_every_steps
    happened = []
    make_call, write = programs.make_call, log.Outputs.log

    def make_call_that_tells(*parts):
        call = make_call(*parts)

        def telling(*arguments):
            happened.append("call")
            return call(*arguments)

        return telling

    def write_and_tell(self, step):
        means = write(self, step)
        happened.append(f"log {step}")
        return means

    monkeypatch.setattr(programs, "make_call", make_call_that_tells)
    monkeypatch.setattr(log.Outputs, "log", write_and_tell)
    train.train_and_evaluate(config, tmp_path / "run")
    assert happened == expected


def test_a_picture_that_cannot_be_written_ends_the_run_before_its_checkpoint(
    shared_folder, tmp_path, monkeypatch
):
    save_png = images.save_png

    def save_until_the_disk_is_full(path, image):
        if path.name == "step_0000004.png":
            raise OSError(f"{path} cannot be written: No space left on device.")
        save_png(path, image)

    monkeypatch.setattr(images, "save_png", save_until_the_disk_is_full)
    config = support.make_dense_config(shared_folder)
    config.num_train_steps = 12
    with pytest.raises(
        OSError, match="^[^:]*step_0000004.png cannot be written: No sp"
    ):
        train.train_and_evaluate(config, tmp_path / "run")
    assert checkpoints.steps(tmp_path / "run" / "checkpoints") == [2]
    monkeypatch.undo()
    train.train_and_evaluate(config, tmp_path / "run")  # writes it again
    names = {path.name for path in (tmp_path / "run" / "samples").iterdir()}
    assert names == {f"step_{step:07}.png" for step in range(0, 13, 2)}


def test_another_seed_is_another_run(tiny_config, unbroken, tmp_path):
    tiny_config.seed = 1
    train.train_and_evaluate(tiny_config, tmp_path / "other")
    one = checkpoints.read(unbroken / "checkpoints")["generator"]["params"]
    other = checkpoints.read(tmp_path / "other" / "checkpoints")["generator"]["params"]
    kernels = one["to_image"]["kernel"], other["to_image"]["kernel"]
    assert np.any(kernels[0] != kernels[1])


def test_a_finished_run_does_nothing(tiny_config, unbroken, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.png")}
    monkeypatch.setattr(data, "create", None)  # not even the data are opened
    train.train_and_evaluate(tiny_config, unbroken)
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.png")} == before
    assert [line["step"] for line in read_metrics(unbroken)] == [2, 4]


def send_at_first_call(number, patch):
    """Sends this process the signal `number` when its run starts the first call."""
    make_call = programs.make_call

    def make_call_that_is_interrupted(*parts):
        call, numbers = make_call(*parts), [number]

        def interrupted(*args):
            while numbers:  # at the first call only: a second signal kills
                os.kill(os.getpid(), numbers.pop())
            return call(*args)

        return interrupted

    patch.setattr(programs, "make_call", make_call_that_is_interrupted)


def test_a_run_that_left_between_intervals_meets_them_with_longer_calls(
    shared_folder, tmp_path, monkeypatch
):
    config = support.make_dense_config(shared_folder)
    config.num_train_steps = 24
    for name in writer.INTERVALS[:3]:
        config[name] = 12
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        send_at_first_call(signal.SIGTERM, patch)
        assert not train.train_and_evaluate(config, workdir)
    (left,) = checkpoints.steps(workdir / "checkpoints")
    assert 0 < left < 12
    config.steps_per_call = 12  # which `left` is no multiple of
    assert train.train_and_evaluate(config, workdir)
    assert [line["step"] for line in read_metrics(workdir)] == [12, 24]
    assert checkpoints.steps(workdir / "checkpoints")[-1] == 24


@pytest.mark.parametrize(
    "number, log_every_steps",
    # In the second case the run leaves where it also logs.
    [(signal.SIGTERM, 0), (signal.SIGTERM, 2), (signal.SIGINT, 0)],
)
def test_a_signal_saves_and_the_run_goes_on_later(
    tiny_config, unbroken, tmp_path, monkeypatch, number, log_every_steps
):
    tiny_config.checkpoint_every_steps = 0
    tiny_config.log_every_steps = log_every_steps
    tiny_config.sample_every_steps = 0
    workdir = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        send_at_first_call(number, patch)
        tiny_config.num_train_steps = 8
        assert not train.train_and_evaluate(tiny_config, workdir)
    steps = checkpoints.steps(workdir / "checkpoints")
    assert len(steps) == 1 and 0 < steps[0] < 8
    assert signal.getsignal(number) is not None
    assert train.train_and_evaluate(tiny_config, workdir)
    assert checkpoints.steps(workdir / "checkpoints")[-1] == 8


def test_diverged_run_names_step_and_checkpoint(tiny_config, tmp_path):
    tiny_config.optimizer.discriminator.learning_rate = 1e30
    with pytest.raises(
        ValueError, match=r"is (nan|inf) at step [12]: .*there is no checkpoint"
    ):
        train.train_and_evaluate(tiny_config, tmp_path / "diverged")


def test_check_finite_names_the_first_bad_step():
    metrics = {"d_loss": np.array([1.0, 2.0, np.inf, np.nan])}
    with pytest.raises(ValueError, match=r"d_loss is inf at step 39: .*of step 30"):
        writer.check_finite(metrics, 40, 30)
    metrics["g_grad_norm"] = np.array([1.0, np.nan, 1.0, np.nan])
    with pytest.raises(watchdog.FailedError, match=r"g_grad_norm is nan at step 38: "):
        writer.check_finite(metrics, 40, 30)
    writer.check_finite({"d_loss": np.ones(4)}, 40, 30)


def test_another_config_is_refused_unless_overridden(tiny_config, unbroken, tmp_path):
    workdir = shutil.copytree(unbroken, tmp_path / "copy")
    tiny_config.num_train_steps = 6
    tiny_config.recipe.real_label = 0.9
    tiny_config.optimizer.generator.learning_rate = 1e-3
    with pytest.raises(
        ValueError,
        match=r"config: optimizer.generator.learning_rate was 0.0002, now 0.001; "
        r"recipe.real_label was 1.0, now 0.9.*--override_config",
    ):
        train.train_and_evaluate(tiny_config, workdir)
    train.train_and_evaluate(tiny_config, workdir, override_config=True)
    assert read_metrics(workdir)[-1]["step"] == 6


@pytest.mark.parametrize("field", ["generator_steps", "discriminator_steps"])
def test_the_number_of_updates_a_step_cannot_be_overridden(
    tiny_config, unbroken, tmp_path, field
):
    workdir = shutil.copytree(unbroken, tmp_path / "copy")
    before = (workdir / "config.json").read_bytes()
    tiny_config.num_train_steps = 6
    tiny_config.recipe[field] = 2
    with pytest.raises(
        ValueError, match=rf"recipe.{field} was 1, now 2\. Give the old"
    ):
        train.train_and_evaluate(tiny_config, workdir, override_config=True)
    assert (workdir / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"num_train_steps": 6},
        {
            "num_train_steps": 6,
            "steps_per_call": 1,
            "log_every_steps": 1,
            "sample_every_steps": 3,
            "checkpoint_every_steps": 0,
            "eval_every_steps": 3,
            "checkpoints_to_keep": 1,
            "sample_rows": 1,
            "data.device_bytes": 0,
            "evaluation.draws": 2,
        },
    ],
    ids=["longer", "longer_and_written_otherwise"],
)
def test_a_finished_run_goes_on_as_one_that_was_long_from_its_start(
    tiny_config, unbroken, tmp_path, changes
):
    workdir = shutil.copytree(unbroken, tmp_path / "lengthened")
    tiny_config.num_train_steps = 6
    train.train_and_evaluate(tiny_config, tmp_path / "long")
    tiny_config.update_from_flattened_dict(changes)
    train.train_and_evaluate(tiny_config, workdir)
    assert_trees_equal(
        checkpoints.read(workdir / "checkpoints", 6),
        checkpoints.read(tmp_path / "long" / "checkpoints", 6),
    )


def test_a_checkpoint_of_other_networks_is_refused_and_nothing_changed(
    tiny_config, unbroken, tmp_path
):
    workdir = shutil.copytree(unbroken, tmp_path / "copy")
    before = (workdir / "config.json").read_bytes()
    tiny_config.num_train_steps = 6
    tiny_config.model.generator.features = 6
    with pytest.raises(
        ValueError,
        match=r"checkpoints/4 does not fit the config: generator\.\S+ is \(.*\), but "
        r"the config asks for \(.*\)\. Restore the config",
    ):
        train.train_and_evaluate(tiny_config, workdir, override_config=True)
    assert (workdir / "config.json").read_bytes() == before


def test_a_run_says_what_it_trains_and_at_the_end_what_lies_where(
    tiny_config, tmp_path, caplog
):
    workdir = tmp_path / "a run"
    with caplog.at_level("INFO", logger="absl"):
        train.train_and_evaluate(tiny_config, workdir)
    saved = checkpoints.read(workdir / "checkpoints")
    sizes = {
        name: sum(leaf.size for leaf in jax.tree.leaves(saved[name]["params"]))
        for name in ("generator", "discriminator")
    }
    for sentence in (
        f"4 steps are to be trained on 2 devices (cpu); the run's folder is {workdir}",
        f"The generator has {sizes['generator']:,} parameters, the discriminator "
        f"{sizes['discriminator']:,}.",
        "The data are 48 images of 16x16x1: array, split train.",
        "pictures in samples/, checkpoints in checkpoints/",
        f"python -m gan_jax.sample --workdir='{workdir}' --output=samples.png",
        f"python -m gan_jax.evaluate --workdir='{workdir}'",
    ):
        assert sentence in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="absl"):
        train.train_and_evaluate(tiny_config, workdir)
    assert "all 4 steps are done" in caplog.text and "--workdir=" in caplog.text


def test_a_mistake_does_not_claim_the_folder(tiny_config, tmp_path):
    tiny_config.data.num_classes = 4
    with pytest.raises(ValueError, match="num_classes is 4"):
        train.train_and_evaluate(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_prefetching_thread_ends_with_the_run(tiny_config, tmp_path):
    tiny_config.data.device_bytes = 0
    train.train_and_evaluate(tiny_config, tmp_path / "run")
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("prefetch")]


def test_tensorboard_events_hold_the_metrics(tiny_config, tmp_path):
    tiny_config.tensorboard = True
    train.train_and_evaluate(tiny_config, tmp_path / "run")
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert [event.step for event in events.Tensors("d_loss")] == [2, 4]
    assert [event.step for event in events.Tensors("samples")] == [0, 2, 4]


def test_products_of_training_and_drawing_have_the_precision_of_the_config(
    shared_folder, tmp_path
):
    config = support.make_tiny_config(shared_folder)
    config.model.convolution = "lax"
    config.model.generator.hidden_dense = config.model.discriminator.hidden_dense = 3
    config.matmul_precision = "tensorfloat32"  # which StableHLO calls HIGH
    jax.config.update("jax_dump_ir_to", str(tmp_path / "programs"))
    try:
        train.train_and_evaluate(config, tmp_path / "run")
        gan_jax.load(tmp_path / "run").sample(1)
    finally:
        jax.config.update("jax_dump_ir_to", "")
    for name in ("_fun", "_draw", "generate_images"):  # steps, sample grids, reader
        (path,) = (tmp_path / "programs").glob(f"*jit_{name}_compile*")
        for kind in ("convolution", "dot_general"):
            lines = re.findall(rf".*stablehlo\.{kind}.*", path.read_text())
            assert lines
            assert all(len(re.findall(r"\bHIGH\b", line)) == 2 for line in lines)
