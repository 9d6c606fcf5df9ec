"""Everything that is to be measured on a GPU, by one command.

    export PYTHONPATH=.
    python experiments/throughput/gpu.py --torch_python=TORCH_PYTHON
    JAX_PLATFORMS=cpu python experiments/throughput/gpu.py --tiny --only=MLP

prints the device, the commit and the versions, and then a Markdown table with the
milliseconds of a step: gan_jax with `lax` convolutions, with those for accelerators,
with the latter and deterministic kernels, and the PyTorch peer. Each cell is the median
of some rounds in fresh processes that take turns. Below are the times of the default
command, first with an empty and then with a warm compilation cache, and what became of
two deterministic runs, one of them killed and started again: whether they end with the
same bits. --only takes what has a name that begins so: rows, "whole command" or
"deterministic runs". --columns takes some of the columns, such as adjoint PyTorch.
Where TensorFlow is missing, --run_flags=--config.tensorboard=False lets whole runs do
without it. --tiny makes all so small that it tries the script on a CPU and measures
nothing.
"""

import argparse
from collections.abc import Sequence
import importlib.util
from pathlib import Path
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import jax
import numpy as np

from experiments.engine import environment
from experiments.throughput import compare
from gan_jax.run import checkpoints

FOLDER = "experiments/throughput"
DEVICE = (
    "import jax; one = jax.devices()[0]; "
    "print(one.device_kind, one.client.platform_version.splitlines()[-1], sep=', ')"
)
COLUMNS = ("lax", "adjoint", "adjoint, deterministic", "PyTorch")
STEPS = 50  # of a call of ours and of a timed block of the peer, five of each


class Row(NamedTuple):
    """A row of the table.

    Attributes:
      name: what is trained, and the batch where it varies.
      config: config of gan_jax.
      flags: further flags of benchmark.py.
      peer: arguments of torch_gpu.py, but for the number of steps; "" for none.
    """

    name: str
    config: str
    flags: str
    peer: str


PAPER, CELEBA = "configs/dcgan.py:paper", "configs/dcgan.py:celeba"
MLP, RING = "configs/gan.py", "configs/ring.py"
LARGE, NARROW = "--config.batch_size=1024", "--config.model.dtype=bfloat16"
SEVERAL = "--config.steps_per_call=10"  # where many seeds train together
ROWS = (
    Row("DCGAN 28x28x1, 128, float32", PAPER, "", "dcgan:28:1:128 graph-cl"),
    Row("DCGAN 64x64x3, 128, float32", CELEBA, "", "dcgan:64:3:128 graph-cl"),
    Row("DCGAN 64x64x3, 128, bfloat16", CELEBA, NARROW, "dcgan:64:3:128 graph-cl-bf16"),
    Row("DCGAN 64x64x3, 1024, float32", CELEBA, LARGE, "dcgan:64:3:1024 graph-cl"),
    Row(
        "DCGAN 64x64x3, 1024, bfloat16",
        CELEBA,
        f"{LARGE} {NARROW}",
        "dcgan:64:3:1024 graph-cl-bf16",
    ),
    Row("MLP GAN, 128", MLP, "", "gan:128 graph-compile"),
    Row("ring GAN, one seed", RING, "", "ring:100 graph-compile"),
    Row("ring GAN, a seed of 10", RING, f"{SEVERAL} --seeds=10", ""),
    Row("ring GAN, a seed of 100", RING, f"{SEVERAL} --seeds=100", ""),
)


def commands(row: Row, torch_python: str, *, tiny: bool) -> dict[str, str]:
    """The commands of a row's columns; "" where there is nothing to measure."""
    has_images = row.name.startswith("DCGAN")
    steps = f"--calls=5 --config.steps_per_call={STEPS}"
    flags = f"{'--calls=1' if tiny else steps} {row.flags}"
    if tiny:  # the last value of a flag counts
        flags += " --config.steps_per_call=1" + " --seeds=2" * ("--seeds" in flags)
    if tiny and has_images:
        flags += " --config.model.generator.features=4 --config.batch_size=8"
        flags += " --config.model.discriminator.features=4"
    python = shlex.quote(sys.executable)
    ours = f"{python} {FOLDER}/benchmark.py --config={row.config} {flags}"
    convolution = "--config.model.convolution="
    peer = f"{torch_python} {FOLDER}/torch_gpu.py {row.peer} {STEPS}"
    if tiny:
        name = row.peer.rpartition(":")[0]
        peer = f"{torch_python} {FOLDER}/torch_gpu.py {name}:4 eager 1"
    return {
        "lax": f"{ours} {convolution}lax" if has_images else "",
        "adjoint": f"{ours} {convolution}adjoint" if has_images else ours,
        "adjoint, deterministic": f"{ours} {convolution}adjoint --config.deterministic",
        "PyTorch": peer if torch_python and row.peer else "",
    }


def cell(command: str, times: list[float]) -> str:
    """The median and the range of a column, or why there is none."""
    if not command:
        return "-"
    if not times:
        return "failed"
    return f"{statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})"


def measure(command: str) -> list[float]:
    """Milliseconds a step in a list, which is empty if the command fails."""
    try:
        return [compare.measure(command)] if command else []
    except subprocess.CalledProcessError as error:
        print(f"{command} failed:\n{error.stderr[-1500:]}", file=sys.stderr)
        return []


def show_row(columns: Sequence[str], name: str, rounds: int) -> None:
    """Measures and prints a row."""
    times: list[list[float]] = [[] for _ in columns]
    for _ in range(rounds):
        for command, found in zip(columns, times, strict=True):
            found += measure(command)
    print("|", " | ".join([name, *map(cell, columns, times)]), "|", flush=True)


def train(workdir: Path, flags: list[str]) -> subprocess.Popen[str]:
    """Starts a deterministic run, which goes on if it was started before."""
    command = [sys.executable, "-m", "gan_jax.main", f"--workdir={workdir}"]
    return subprocess.Popen(
        [*command, *flags, "--config.deterministic"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Waits for the end of a run.

    Raises:
      RuntimeError: the run failed.
    """
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a deterministic run failed:\n{said[-1500:]}")


def killed_and_resumed(workdir: Path, flags: list[str]) -> int:
    """Trains a run that is killed once; returns the step from which it goes on.

    Raises:
      RuntimeError: the run was over before it could be killed.
    """
    process = train(workdir, flags)
    while not checkpoints.steps(workdir / "checkpoints") and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    if process.returncode >= 0:
        raise RuntimeError("the run ended before it was killed: give it more steps.")
    step = checkpoints.newest_step(workdir / "checkpoints") or 0
    finish(train(workdir, flags))
    return step


def show_determinism(run_flags: Sequence[str], *, tiny: bool) -> None:
    """Trains a run whole and killed, and says whether they end with the same bits."""
    flags = ["--config=configs/dcgan.py:paper", "--config.num_train_steps=5000"]
    if tiny:
        flags = [f"--config={RING}", "--config.num_train_steps=400"]
        flags += ["--config.checkpoint_every_steps=100", "--config.log_every_steps=100"]
    flags += ["--config.eval_every_steps=0", "--config.sample_every_steps=0"]
    flags += run_flags
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        finish(train(whole, flags))
        step = killed_and_resumed(killed, flags)
        states = [checkpoints.read(one / "checkpoints") for one in (whole, killed)]
    leaves = [jax.tree.leaves(state) for state in states]
    equal = [np.array_equal(a, b) for a, b in zip(*leaves, strict=True)]
    print(
        f"Two deterministic runs, the second killed and resumed from step {step}: "
        f"{sum(equal)} of {len(equal)} arrays of their last states are equal.",
        flush=True,
    )


def show_whole_command(run_flags: Sequence[str], *, tiny: bool) -> None:
    """Times the default command with an empty compilation cache and with a warm one."""
    config = f"--config={RING}" if tiny else "--config=configs/dcgan.py"
    short = "--config.num_train_steps=200 --config.log_every_steps=100"
    flags = f"{config} {short if tiny else ''} --config.compilation_cache_dir="
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty", "warm"):
            command = [sys.executable, f"{FOLDER}/whole_run.py"]
            command += [*shlex.split(f"{flags}{cache}"), *run_flags]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            line = done.stdout.splitlines()[-1]
            print(f"The whole command, {state} compilation cache: {line}", flush=True)


def main() -> None:
    """Measures everything."""
    parser = argparse.ArgumentParser(description="Measures gan_jax on a GPU.")
    has_torch = importlib.util.find_spec("torch") is not None
    parser.add_argument("--torch_python", default=sys.executable if has_torch else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=COLUMNS)
    parser.add_argument("--run_flags", default="")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")  # here: the processes need the GPU
    found = subprocess.run(
        [sys.executable, "-c", DEVICE], capture_output=True, text=True, check=True
    )
    print(f"{found.stdout.strip()}; {environment.describe(runs=1)}\n")
    rows = [row for row in ROWS if row.name.startswith(arguments.only)]
    if rows:
        titles = ["step", *arguments.columns]
        print(f"| {' | '.join(titles)} |\n{'| --- ' * len(titles)}|", flush=True)
    for row in rows:
        known = commands(row, arguments.torch_python, tiny=arguments.tiny)
        columns = [known[title] for title in arguments.columns]
        show_row(columns, row.name, 1 if arguments.tiny else arguments.rounds)
    print()
    run_flags = shlex.split(arguments.run_flags)
    if "whole command".startswith(arguments.only):
        show_whole_command(run_flags, tiny=arguments.tiny)
    if "deterministic runs".startswith(arguments.only):
        show_determinism(run_flags, tiny=arguments.tiny)


if __name__ == "__main__":
    main()
