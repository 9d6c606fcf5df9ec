"""Loses a machine that trains a run in a bucket, again and again.

    PYTHONPATH=. python experiments/pods/lost_machine.py --folder=/tmp/lost \
        --address=file:///tmp/lost_bucket/run --kills=6

A small run trains in the bucket. It is killed with SIGKILL at a random moment after the
bucket has got a new checkpoint, and everything on its local disk is removed but the
array cache and compiled programs. Then the same command is started again. When the run
is finished, it is fetched from the bucket and compared with one that trained in a
local folder without a break. The bucket must be empty at the start.
"""

import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import time

from absl import app, flags

from experiments.faults import (
    kills,
)  # whose flags --folder, --kills and --seed are used
from gan_jax.run import bucket

_ADDRESS = flags.DEFINE_string("address", None, "Address of the run.", required=True)
LONGEST = 2.0  # seconds between the sight of a checkpoint and the kill, at most
# A short run is copied more often here than every 15 seconds.
CODE = """
import runpy
from gan_jax.run import mirror
mirror.SECONDS = 0.2
runpy.run_module("gan_jax.main", run_name="__main__", alter_sys=True)
"""


def start(folder: Path, place: str, log: str) -> subprocess.Popen[bytes]:
    """Starts a run, or goes on with it, on a machine whose home is `folder`/home."""
    fields = {
        **kills.COMMON,
        **kills.DIGITS,
        "data.cache_dir": str(folder / "cache"),
        "compilation_cache_dir": str(folder / "compiled"),
    }
    command = [
        *(sys.executable, "-c", CODE, "--config=configs/dcgan.py"),
        f"--workdir={place}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]
    with open(folder / log, "a") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env=os.environ | {"HOME": str(folder / "home")},
        )


def newest(remote: bucket.Bucket) -> int:
    """The step of the newest complete checkpoint in the bucket, or 0."""
    found = bucket.steps(bucket.complete(remote.names()), "checkpoints")
    return found[-1] if found else 0


def lose(folder: Path, remote: bucket.Bucket, rng: random.Random) -> int | None:
    """Starts the run and kills it after its next checkpoint; None if it was finished.

    Otherwise the result is the step from which the run can go on.
    """
    before = newest(remote)
    process = start(folder, remote.address, "run.log")
    while process.poll() is None and newest(remote) == before:
        time.sleep(0.02)
    time.sleep(rng.uniform(0, LONGEST))
    if process.poll() is not None:
        if process.returncode:
            raise RuntimeError(f"status {process.returncode}, see {folder}/run.log")
        return None
    process.send_signal(signal.SIGKILL)
    process.wait()
    shutil.rmtree(folder / "home")
    return newest(remote)


def main(argv: list[str]) -> None:
    """Prints a line for each loss, and whether the result is that of a whole run."""
    del argv
    folder = Path(flags.FLAGS.folder)
    rng, remote = random.Random(flags.FLAGS.seed), bucket.Bucket(_ADDRESS.value)
    if remote.names():
        raise ValueError(f"{remote.address} is not empty: give another --address.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if start(folder, str(folder / "whole"), "whole.log").wait():
        raise RuntimeError(f"the whole run failed, see {folder}/whole.log")
    lost = 0
    while lost < flags.FLAGS.kills:
        step = lose(folder, remote, rng)
        if step is None:
            break
        lost += 1
        print(f"machine {lost} is lost; the bucket has step {step}", flush=True)
    if start(folder, remote.address, "run.log").wait():
        raise RuntimeError(f"the last start failed, see {folder}/run.log")
    choose = bucket.choose_checkpoints("checkpoints", [None])
    with bucket.fetched(remote.address, choose) as fetched:
        found, whole = kills.result(fetched), kills.result(folder / "whole")
    same = "equals" if kills.is_same(found, whole) else "DIFFERS FROM"
    print(f"{lost} machines were lost; the run in the bucket {same} the whole one.")


if __name__ == "__main__":
    app.run(main)
