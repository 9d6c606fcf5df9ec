"""Devices and hosts do not change the numbers: the test of the whole design."""

import os
from pathlib import Path
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
    (folder / "config.py").write_text(
        "from configs import dcgan\n\n\ndef get_config():\n"
        "    config = dcgan.get_config()\n"
        "    for network in ('generator', 'discriminator'):\n"
        "        config.optimizer[network].eps = 1e-3\n"
        "    return config\n"
    )

    def start(name, devices, *flags):
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
            "model.generator.features": 4,
            "model.discriminator.features": 4,
        }
        command = [
            sys.executable,
            "-m",
            "gan_jax.main",
            f"--config={folder / 'config.py'}",
        ]
        command += [f"--workdir={folder / name}", *flags]
        command += [f"--config.{field}={value}" for field, value in overrides.items()]
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


def job_of_two():
    """The flags that both processes of a job share."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [f"--coordinator_address=localhost:{port}", "--num_processes=2"]


def test_processes_that_differ_are_refused_with_what_differs(train):
    flags = job_of_two()
    first, workdir = train("differ0", 1, *flags, "--process_id=0", "--config.seed=1")
    second, _ = train("differ1", 1, *flags, "--process_id=1", "--config.seed=2")
    sentence = "error: the processes of the job differ in seed, which is 1 in process 0"
    shown = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert any(f"{sentence}, 2 in process 1: start all" in text for text in shown)
    assert 0 not in (first.returncode, second.returncode)
    assert not (workdir / "checkpoints").exists()


def test_two_processes_give_the_run_of_one_and_host_0_writes(train, on_one_device):
    flags = job_of_two()
    first, workdir = train("host0", 1, *flags, "--process_id=0")
    second, other_workdir = train("host1", 1, *flags, "--process_id=1")
    finish(second)
    finish(first)
    assert_same_run(checkpoints.read(workdir / "checkpoints"), on_one_device)
    assert not other_workdir.exists()


def test_two_processes_train_in_a_bucket_to_which_host_0_copies(
    train, on_one_device, tmp_path
):
    flags = [*job_of_two(), f"--workdir=file://{tmp_path}/bucket/run"]
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
