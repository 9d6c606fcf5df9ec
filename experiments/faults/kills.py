"""Kills a training at random moments and compares its result with an unbroken run.

    PYTHONPATH=. python experiments/faults/kills.py --folder=/tmp/kills --kills=50
    PYTHONPATH=. python experiments/faults/kills.py --folder=/tmp/kills --kills=10 \
        --kind=processes

A run of a small DCGAN on 2,000 digits is started, killed with SIGKILL and started again
until it is finished, and then the next one begins, each with an empty folder and an
empty array cache. The moments take turns: a random second, and the first sight of an
unfinished checkpoint, of an unfinished best checkpoint, of an unfinished cache and
of an evaluation, each followed by a random pause. Nothing is cleaned up by hand.

The other kinds train dense networks on random images: three seeds in one program, two
processes, of which one is killed and the other has to end by itself, and one and two
devices in turns.
"""

import collections
from collections.abc import Callable
import json
import os
from pathlib import Path
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from absl import app, flags
import jax
import numpy as np

from configs import gan
from gan_jax.run import checkpoints
from gan_jax.training import sweep

_FOLDER = flags.DEFINE_string("folder", None, "Folder of the runs.", required=True)
_KILLS = flags.DEFINE_integer("kills", 50, "Number of kills after which it ends.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments.")
_KIND = flags.DEFINE_enum(
    "kind", "alone", ["alone", "seeds", "processes", "devices"], "What is trained."
)
_TRAIN_SEEDS = flags.DEFINE_string(
    "train_seeds", None, "Only trains the three seeds, in this folder."
)
STEPS, SAVED_EVERY, SCORED_EVERY = 48, 4, 8
COMMON = {
    "num_train_steps": STEPS,
    "batch_size": 32,
    "steps_per_call": 2,
    "log_every_steps": 2,
    "sample_every_steps": 4,
    "checkpoint_every_steps": SAVED_EVERY,
    "eval_every_steps": SCORED_EVERY,
    "tensorboard": False,
    "evaluation.num_images": 500,
    "evaluation.best_metric": "frechet_distance",
}
SIDE = 8  # pixels of the random images
DIGITS = {
    "data.split": "train[:2000]",
    "model.generator.features": 8,
    "model.discriminator.features": 8,
    "model.generator.hidden_dense": 16,
    "model.discriminator.hidden_dense": 16,
}
RANDOM = {
    "data.name": "array",
    "data.num_classes": 0,
    "data.image_size": SIDE,
    "evaluation.extractor": "pixels",
    "evaluation.metrics": "frechet_distance",
    "model.generator.features": (16,),
    "model.generator.norm": "batch",
    "model.discriminator.features": (16,),
}
# With Adam's usual eps, rounding decides an update where a gradient is nearly zero.
CONFIG = """from configs import gan


def get_config():
    config = gan.get_config()
    for network in ("generator", "discriminator"):
        config.optimizer[network].eps = 1e-3
    return config
"""
SEEDS = 3
TOLERANCE = 1e-4  # of parameters, between one and two devices
JOIN_TIMEOUT = 60  # seconds that a process waits for one that was killed before
ENDED = 300  # seconds after which the other process must have ended
CLOCK = {"seconds", "steps_per_second"}  # differ from run to run
PAUSE = 0.3  # seconds, at most, between the sight and the kill


def overrides(run: Path) -> dict[str, Any]:
    """The fields of the run in `run` that differ from the config's."""
    own = {"data.cache_dir": str(run.with_suffix(".cache"))}
    if _KIND.value == "alone":
        return COMMON | DIGITS | own
    return COMMON | RANDOM | own | {"data.manual_dir": str(run.parent / "images.npz")}


def workdirs(run: Path) -> list[Path]:
    """The folders that training writes."""
    if _KIND.value == "seeds":
        return [run / f"seed_{seed}" for seed in range(SEEDS)]
    return [run]


def train_seeds(run: Path) -> None:
    """Trains the seeds in one program."""
    configs = []
    for seed in range(SEEDS):
        config = gan.get_config()
        config.update_from_flattened_dict(overrides(run) | {"seed": seed})
        configs.append(config)
    sweep.train_and_evaluate(configs, workdirs(run))


def commands(run: Path) -> list[list[str]]:
    """The commands that start the run in `run`, or go on with it."""
    if _KIND.value == "seeds":
        here = ["--kind=seeds", f"--folder={run.parent}", f"--train_seeds={run}"]
        return [[sys.executable, __file__, *here]]
    config = run.with_name("config.py")
    if _KIND.value == "alone":
        config = Path("configs/dcgan.py")
    command = [
        *(sys.executable, "-m", "gan_jax.main", f"--config={config}"),
        f"--workdir={run}",
        *(f"--config.{name}={value}" for name, value in overrides(run).items()),
    ]
    if _KIND.value != "processes":
        return [command]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command += [f"--coordinator_address=localhost:{port}", "--num_processes=2"]
    command += [f"--join_timeout={JOIN_TIMEOUT}"]
    return [[*command, f"--process_id={process}"] for process in range(2)]


def start(run: Path, devices: int = 1) -> list[subprocess.Popen[bytes]]:
    """Starts the run's processes, or goes on with them."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    with open(run.with_suffix(".log"), "a") as log:
        return [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            for command in commands(run)
        ]


def finish(run: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """Waits until the processes have finished the run."""
    for process in processes:
        if process.wait():
            raise RuntimeError(f"{run}: status {process.returncode}, see {run}.log")


def sights(run: Path) -> dict[str, Callable[[], bool]]:
    """For each moment that can be seen in the run's folder, whether it is seen now.

    What a kill before this call has left does not count.
    """
    begin = time.time()

    def is_new(path: Path) -> bool:
        try:
            return path.stat().st_mtime > begin
        except FileNotFoundError:
            return False

    def has_unfinished(name: str) -> bool:
        found = [path for one in workdirs(run) for path in (one / name).glob("*.*")]
        return any(map(is_new, found))

    def is_scoring() -> bool:
        workdir = workdirs(run)[0]
        logged = lines(workdir / "metrics.jsonl")
        scored = {line["step"] for line in lines(workdir / "evaluations.jsonl")}
        steps = {line["step"] for line in logged if line["step"] % SCORED_EVERY == 0}
        return bool(steps - scored) and is_new(workdir / "metrics.jsonl")

    cache = run.with_suffix(".cache")
    return {
        "saving a checkpoint": lambda: has_unfinished("checkpoints"),
        "replacing best/": lambda: has_unfinished("best"),
        "writing the cache": lambda: any(map(is_new, cache.glob("**/incomplete.*"))),
        "evaluation": is_scoring,
    }


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON lines."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:  # is being written
            continue
    return found


def kill(
    run: Path,
    processes: list[subprocess.Popen[bytes]],
    moment: str,
    rng: random.Random,
    *,
    longest: float,
) -> str | None:
    """Kills one of the run's processes at a moment; says in which phase it was killed.

    The result is None if the run was finished before.
    """
    seen = sights(run)
    begin, limit = time.monotonic(), rng.uniform(0, longest)
    victim = rng.choice(processes)
    while victim.poll() is None:
        waited = time.monotonic() - begin
        if moment == "a random second":
            if waited > limit:
                break
        elif seen[moment]():
            time.sleep(rng.uniform(0, PAUSE))
            break
        time.sleep(0.001)
    if victim.poll() is not None:
        finish(run, processes)
        return None
    phase = moment
    if moment == "a random second":
        started = (workdirs(run)[0] / "metrics.jsonl").exists()
        phase = "steps" if started else "start (imports, data, compilation)"
        phase = next((name for name, is_seen in seen.items() if is_seen()), phase)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    for number, other in enumerate(processes):
        if other is not victim:
            begin = time.monotonic()
            status = other.wait(timeout=ENDED)
            took = time.monotonic() - begin
            print(f"process {number} ended by itself in {took:.1f} s: status {status}")
    return phase


def result(run: Path) -> tuple[list[Any], list[Any], list[Any]]:
    """The last checkpoints, the metrics without the clock, and the scores."""
    state = [checkpoints.read(one / "checkpoints", STEPS) for one in workdirs(run)]
    metrics = [
        {name: value for name, value in line.items() if name not in CLOCK}
        for one in workdirs(run)
        for line in lines(one / "metrics.jsonl")
    ]
    scores = [
        (line["step"], line["generator"], line["numbers"])
        for one in workdirs(run)
        for line in lines(one / "evaluations.jsonl")
    ]
    return state, metrics, scores


def difference(one: Any, other: Any) -> float:
    """The largest difference of a parameter between two results."""
    return max(
        float(np.max(np.abs(a - b)))
        for network in ("generator", "discriminator")
        for a, b in zip(
            jax.tree.leaves(one[0][0][network]["params"]),
            jax.tree.leaves(other[0][0][network]["params"]),
            strict=True,
        )
    )


def is_same(one: Any, other: Any) -> bool:
    """Whether two results are equal: bit for bit, unless the devices changed."""
    if _KIND.value == "devices":
        steps, others = ([line["step"] for line in x[1]] for x in (one, other))
        return difference(one, other) <= TOLERANCE and steps == others
    leaves, others = jax.tree.leaves(one[0]), jax.tree.leaves(other[0])
    same = [np.array_equal(a, b) for a, b in zip(leaves, others, strict=True)]
    return all(same) and one[1:] == other[1:]


def prepare(folder: Path) -> tuple[Any, float]:
    """Makes the folder and the unbroken run; returns its result and its seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shape = (2_000, SIDE, SIDE, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.zeros(2_000, np.int32))
    (folder / "config.py").write_text(CONFIG)
    begin = time.monotonic()
    unbroken = folder / "unbroken"
    finish(unbroken, start(unbroken))
    longest = time.monotonic() - begin
    print(f"unbroken: {longest:.0f} s", flush=True)
    expected = result(unbroken)
    if _KIND.value == "devices":
        two = folder / "unbroken_2"
        finish(two, start(two, devices=2))
        apart = difference(result(two), expected)
        print(f"unbroken on two devices: parameters differ by up to {apart:.1e}")
    return expected, longest


def main(argv: list[str]) -> None:
    """Prints a line for each kill and each finished run, and the counts."""
    del argv
    if _TRAIN_SEEDS.value:
        train_seeds(Path(_TRAIN_SEEDS.value))
        return
    folder, rng = Path(_FOLDER.value), random.Random(_SEED.value)
    expected, longest = prepare(folder)
    counts: collections.Counter[str] = collections.Counter()
    moments = ["a random second", *sights(folder)]
    finished = same = turn = 0
    while counts.total() < _KILLS.value:
        run = folder / f"run_{finished}"
        while True:
            enough = counts.total() >= _KILLS.value
            moment = moments[turn % len(moments)]
            devices = 1 + turn % 2 if _KIND.value == "devices" else 1
            turn += 1
            processes = start(run, devices)
            if enough:  # let the last run finish
                finish(run, processes)
                break
            phase = kill(run, processes, moment, rng, longest=longest)
            if phase is None:
                break
            counts[phase] += 1
            print(f"run {finished}: killed in {phase}", flush=True)
        finished += 1
        same += is_same(result(run), expected)
        apart = difference(result(run), expected)
        print(
            f"run {finished - 1} is finished; {same} of {finished} equal; parameters "
            f"differ by up to {apart:.1e}",
            flush=True,
        )
    for phase, count in counts.most_common():
        print(f"{count:3} {phase}")
    print(f"{counts.total()} kills; {same} of {finished} runs equal the unbroken one.")


if __name__ == "__main__":
    app.run(main)
