"""Devices and hosts do not change the numbers: the test of the whole design."""

import functools
import os
from pathlib import Path
import re
import shutil
import signal
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import parallel
from gan_jax.run import checkpoints

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BATCH, STEPS = 16, 6


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Starts a tiny training as a user would; returns its process and folder."""
    folder = tmp_path_factory.mktemp("devices")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "images.npz",
        images=rng.integers(0, 256, (100, 16, 16, 1), np.uint8),
        labels=np.zeros(100, np.int32),
    )

    # Adam divides each gradient by its own size, so that rounding decides the sign of
    # an update where a gradient is nearly zero; a large eps keeps it from deciding.
    for name, features in (("dcgan", 4), ("gan", (8,))):
        (folder / f"{name}.py").write_text(
            f"from configs import {name}\n\n\ndef get_config():\n"
            f"    config = {name}.get_config()\n"
            "    for network in ('generator', 'discriminator'):\n"
            "        config.optimizer[network].eps = 1e-3\n"
            f"        config.model[network].features = {features}\n"
            "    config.model.generator.norm = 'batch'\n"
            "    return config\n"
        )

    def start(name, devices, *flags, config="dcgan"):
        overrides = {
            "num_train_steps": STEPS,
            "steps_per_call": 2,
            "batch_size": BATCH,
            "log_every_steps": 2,
            "sample_every_steps": 0,
            "checkpoint_every_steps": 0,
            "eval_every_steps": 4,
            "evaluation.extractor": "pixels",
            "evaluation.metrics": "frechet_distance",
            "evaluation.num_images": 20,
            "tensorboard": False,
            "compilation_cache_dir": folder / "compiled",
            "data.name": "array",
            "data.manual_dir": folder / "images.npz",
            "data.cache_dir": folder / "cache",
            "data.image_size": 16,
            "data.num_classes": 0,
            # Draws and means that must not depend on the devices either.
            "recipe.augment": "color,translation,cutout",
            "recipe.lecam_weight": 0.3,
        }
        command = [
            sys.executable,
            "-m",
            "gan_jax.main",
            f"--config={folder / config}.py",
            f"--workdir={folder / name}",
        ]
        command += [f"--config.{field}={value}" for field, value in overrides.items()]
        command += flags
        options = os.environ["XLA_FLAGS"]
        options += f" --xla_force_host_platform_device_count={devices}"
        environment = os.environ | {"XLA_FLAGS": options, "JAX_PLATFORMS": "cpu"}
        environment["HOME"] = str(folder)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process, folder / name

    return start


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def on_one_device(train):
    process, workdir = train("one", 1)
    finish(process)
    return checkpoints.read(workdir / "checkpoints")


def assert_same_run(got, expected):
    """Equal up to the order in which floats are added up.

    Sums over 16 examples are taken whole or in 2 or 8 parts, which changes a gradient
    of 0.04 by up to 1e-6. Over six steps a wrong average would move parameters by 1e-3.
    """
    for name in ("generator", "discriminator"):
        one, other = got[name], expected[name]
        assert one["step"] == other["step"] == STEPS

        def close(part, one=one, other=other, **tolerance):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, **tolerance),
                one[part],
                other[part],
            )

        close("params", rtol=0, atol=2e-5)
        close("batch_stats", rtol=1e-4, atol=1e-5)
        close("opt_state", rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("devices, start", [(2, "first"), (2, "second"), (8, "first")])
def test_devices_do_not_change_the_run(train, on_one_device, devices, start):
    # The second start would take its program from a cache, see use_compilation_cache.
    process, workdir = train(f"{start}-of-{devices}", devices)
    finish(process)
    assert_same_run(checkpoints.read(workdir / "checkpoints"), on_one_device)


def job(count):
    """The flags that the processes of a job share."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [f"--coordinator_address=localhost:{port}", f"--num_processes={count}"]


def test_processes_that_differ_are_refused_with_what_differs(train):
    flags = job(2)
    first, workdir = train("differ0", 1, *flags, "--process_id=0", "--config.seed=1")
    second, _ = train("differ1", 1, *flags, "--process_id=1", "--config.seed=2")
    sentence = "error: the processes of the job differ in seed, which is 1 in process 0"
    shown = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert any(f"{sentence}, 2 in process 1: start all" in text for text in shown)
    assert 0 not in (first.returncode, second.returncode)
    assert not (workdir / "checkpoints").exists()


def test_two_processes_give_the_run_of_one_and_host_0_writes(train, on_one_device):
    # The choice is 10 on a CPU, and 2 divides the intervals.
    flags = [*job(2), "--config.steps_per_call=0"]
    first, workdir = train("host0", 1, *flags, "--process_id=0")
    second, other_workdir = train("host1", 1, *flags, "--process_id=1")
    finish(second)
    finish(first)
    assert_same_run(checkpoints.read(workdir / "checkpoints"), on_one_device)
    assert not other_workdir.exists()


@pytest.fixture(scope="module")
def train_dense(train):
    """Trains dense networks in some processes up to a step; returns the checkpoint."""

    def finish_all(name, count, steps):
        flags = job(count) if count > 1 else []
        started = [
            train(
                f"{name}-process{process}" if process else name,
                1,
                *([*flags, f"--process_id={process}"] if flags else []),
                f"--config.num_train_steps={steps}",
                "--config.eval_every_steps=0",
                config="gan",
            )
            for process in range(count)
        ]
        for process, _ in started:
            finish(process)
        workdir, *others = (workdir for _, workdir in started)
        assert not any(other.exists() for other in others)
        return workdir

    return finish_all


@pytest.fixture(scope="module")
def dense_on_one_device(train_dense):
    return checkpoints.read(train_dense("dense", 1, STEPS) / "checkpoints")


@pytest.fixture(scope="module")
def start_dense(train_dense):
    """The folder of a run whose first four steps were done by some processes."""
    return functools.cache(lambda count: train_dense(f"dense-by-{count}", count, 4))


def test_four_processes_give_the_run_of_one(train_dense, dense_on_one_device):
    workdir = train_dense("dense-of-4", 4, STEPS)
    assert_same_run(checkpoints.read(workdir / "checkpoints"), dense_on_one_device)


@pytest.mark.parametrize("first, then", [(1, 2), (2, 1), (2, 4)])
def test_a_run_goes_on_in_another_number_of_processes(
    train_dense, start_dense, dense_on_one_device, first, then
):
    begun, name = start_dense(first), f"dense-by-{first}-and-{then}"
    shutil.copytree(begun, begun.with_name(name))
    workdir = train_dense(name, then, STEPS)
    assert_same_run(checkpoints.read(workdir / "checkpoints"), dense_on_one_device)


@pytest.mark.parametrize(
    "process_id, sentence",
    [
        (0, "\nerror: process 1 and process 2 of the job's 3 processes did not arr"),
        (2, "\nerror: process 0 of the job could not be reached at localhost:"),
    ],
)
def test_a_process_that_never_arrives_is_named(train, process_id, sentence):
    flags = [*job(3), f"--process_id={process_id}", "--join_timeout=1"]
    process, workdir = train(f"alone{process_id}", 1, *flags)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Waiting up to 1 s for the 3 processes of the job, which" in output
    assert sentence in output and "within 1 s" in output and output.count("\n") == 2
    assert not workdir.exists()


def test_a_process_that_waits_for_others_leaves_at_once_when_it_is_told_to(train):
    process, _ = train("waits", 1, *job(2), "--process_id=0")
    assert "Waiting up to 300 s for the 2 processes" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75 and output.startswith("Left because of SIGTERM")


def test_a_job_of_a_scheduler_that_is_not_complete_ends_with_a_sentence():
    job_id = os.getpid()  # which decides about the port
    slurm = {"JOB_ID": job_id, "STEP_NODELIST": "localhost", "NTASKS": 2}
    slurm |= {"STEP_NUM_TASKS": 2, "PROCID": 1, "LOCALID": 1}
    environment = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    code = "from gan_jax import parallel\nwith parallel.joined(join_timeout=1): pass"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the processes of this job did not all arrive")
    assert done.stderr.count("\n") == 1


def test_two_processes_train_in_a_bucket_to_which_host_0_copies(
    train, on_one_device, tmp_path
):
    flags = [*job(2), f"--workdir=file://{tmp_path}/bucket/run"]
    first, folder = train("bucket", 1, *flags, "--process_id=0")
    second, _ = train("bucket", 1, *flags, "--process_id=1")
    finish(second)
    said = finish(first)
    assert_same_run(
        checkpoints.read(tmp_path / "bucket" / "run" / "checkpoints"), on_one_device
    )
    assert f"All of the run is in file://{tmp_path}/bucket/run." in said
    assert not (tmp_path / "bucket" / "run" / "writer.txt").exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((None, 2, 0), "--num_processes, --process_id was given, but not --coord"),
        (("a:1", None, 0), "was given, but not --num_processes: a job of several"),
        (("a:1", 2, None), "was given, but not --process_id: a job of several"),
        (("localhost", 2, 0), "coordinator_address is 'localhost', but must be HOST:P"),
        (("a:65536", 2, 0), "coordinator_address is 'a:65536', but must be HOST:PORT"),
        (("a:1", 0, 0), "num_processes is 0, but must be at least 1"),
        (("a:1", 2, 2), "process_id is 2, but .* numbered from 0 to 1"),
        (("a:1", 2, -1), "process_id is -1, but .* numbered from 0 to 1"),
    ],
)
def test_a_job_that_lacks_a_part_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message), parallel.joined(*arguments):
        pass


def test_a_batch_that_devices_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"batch_size is 7, which 2 devices.*=8"):
        parallel.local_slots(7)


def test_local_slots_number_the_examples_of_the_global_batch():
    np.testing.assert_array_equal(parallel.local_slots(6), [[0, 1, 2], [3, 4, 5]])


def test_replicate_and_unreplicate_are_inverse():
    tree = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.int32(4)}
    replicated = parallel.replicate(tree)
    assert replicated["a"].shape == (2, 2, 3)
    jax.tree.map(np.testing.assert_array_equal, parallel.unreplicate(replicated), tree)


def test_a_copy_of_the_first_replica_outlives_its_donation():
    donate = jax.pmap(lambda x: x + 1, donate_argnums=0)
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    for index, expected in (((), rows), ((2,), rows[2])):
        tree = parallel.replicate(rows)
        copy = parallel.start_fetch(parallel.copy_first_replica(tree, *index))
        donate(tree)
        assert tree.is_deleted()
        np.testing.assert_array_equal(np.asarray(copy), expected)


def test_scan_steps_scans_averages_agrees_to_stop_and_donates():
    def step(state, data, inputs, key):
        del key
        total = jax.lax.psum(inputs * data, parallel.AXIS)
        return state + total, {"total": total}

    call = parallel.scan_steps(step)
    state = parallel.replicate(jnp.float32(1))
    inputs = np.array([[1, 2, 3], [10, 20, 30]], np.float32)  # (D, T)
    new, metrics, stop = call(
        state,
        parallel.replicate(np.float32(2)),
        inputs,
        jax.random.key(0),
        np.array([0, 1], np.int32),
    )
    np.testing.assert_array_equal(metrics["total"], [[22, 44, 66]] * 2)
    np.testing.assert_array_equal(new, [133, 133])
    np.testing.assert_array_equal(stop, [1, 1])
    assert state.is_deleted()


@pytest.mark.parametrize(
    "before, after",
    [
        ("", "FLAG=true"),
        ("--xla_a=1", "--xla_a=1 FLAG=true"),
        ("FLAG=true --xla_a=1", "FLAG=true --xla_a=1"),
        ("FLAG=false FLAG", "FLAG=false FLAG"),
    ],
)
def test_determinism_is_added_to_the_flags_that_are_there(monkeypatch, before, after):
    monkeypatch.setenv("XLA_FLAGS", before.replace("FLAG", parallel.DETERMINISTIC))
    parallel.make_deterministic()
    expected = after.replace("FLAG", parallel.DETERMINISTIC)
    assert os.environ["XLA_FLAGS"] == expected


@pytest.mark.parametrize("flags", [f"{parallel.DETERMINISTIC}=false", "flags.txt"])
def test_flags_that_contradict_determinism_are_refused(monkeypatch, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(ValueError, match=f"but XLA_FLAGS is '{flags}', which must be"):
        parallel.make_deterministic()


def test_gpus_that_were_started_without_determinism_are_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    parallel.check_deterministic()  # a CPU needs no flag
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="has started its GPUs without --xla_gpu_det"):
        parallel.check_deterministic()
    monkeypatch.setenv("XLA_FLAGS", f"{parallel.DETERMINISTIC}=true")
    parallel.check_deterministic()


def test_a_deterministic_run_tells_xla_and_keeps_its_programs(
    train, monkeypatch, tmp_path
):
    flags = f"{os.environ['XLA_FLAGS']} --xla_dump_to={tmp_path}"
    monkeypatch.setenv("XLA_FLAGS", flags)
    process, workdir = train("deterministic", 1, "--config.deterministic")
    finish(process)
    options = [path.read_text() for path in tmp_path.glob("*debug_options")]
    assert options
    assert all("xla_gpu_deterministic_ops: true" in text for text in options)
    assert list((workdir / "compiled").glob("*-cache"))


@pytest.fixture
def any_platform(monkeypatch):
    """JAX without JAX_PLATFORMS, on a machine without programs and its variables."""
    for name in [name for name in os.environ if name.startswith(("TPU_", "CUDA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "")
    jax.config.update("jax_platforms", None)
    yield
    jax.config.update("jax_platforms", "cpu")


@pytest.mark.parametrize(
    "device, variable, message",
    [
        ("dev/nvidia0", "", r"an NVIDIA GPU, since there is .*/dev/nvidia0, .*cuda13"),
        ("proc/driver/nvidia/version", "", "there is .*/nvidia/version, .*jax.cuda13"),
        (
            "dev/accel0",
            "",
            r"to have a TPU, since there is .*/dev/accel0, .*jax\[tpu\]",
        ),
        ("dev/vfio/0", "TPU_NAME", r"to have a TPU, .*/dev/vfio/0, but .*jax\[tpu\]"),
        ("dev/vfio/0", "", "^$"),
        ("dev/accel", "", "^$"),  # a folder with accelerators of other makers
        ("dev/nvidia0", "CUDA_VISIBLE_DEVICES", "^$"),
        ("dev/null", "", "^$"),
    ],
)
def test_an_accelerator_that_jax_does_not_use_is_named(
    any_platform, monkeypatch, tmp_path, device, variable, message
):
    (tmp_path / device).parent.mkdir(parents=True)
    (tmp_path / device).touch()
    if variable:
        monkeypatch.setenv(variable, "")
    assert re.search(message, parallel.missed_accelerator(tmp_path))


def test_the_program_of_the_driver_is_a_sign_of_a_gpu(
    any_platform, monkeypatch, tmp_path
):
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is " + str(tmp_path) in parallel.missed_accelerator(tmp_path)


def test_who_chose_the_cpu_is_not_told_of_a_gpu(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert parallel.missed_accelerator(tmp_path) == ""
