"""Kills a training at random moments and compares its result with an unbroken run.

    PYTHONPATH=. python experiments/faults/kills.py --folder=/tmp/kills --kills=50

A run of a small DCGAN on 2,000 digits is started, killed with SIGKILL and started again
until it is finished, and then the next one begins, each with an empty folder and an
empty array cache. The moments take turns: a random second, and the first sight of an
unfinished checkpoint, of an unfinished best checkpoint, of an unfinished cache and
of an evaluation, each followed by a random pause. Nothing is cleaned up by hand.
"""

import collections
from collections.abc import Callable
import json
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from absl import app, flags
import jax
import numpy as np

from gan_jax.run import checkpoints

_FOLDER = flags.DEFINE_string("folder", None, "Folder of the runs.", required=True)
_KILLS = flags.DEFINE_integer("kills", 50, "Number of kills after which it ends.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments.")
STEPS, SAVED_EVERY, SCORED_EVERY = 48, 4, 8
OVERRIDES = {
    "num_train_steps": STEPS,
    "batch_size": 32,
    "steps_per_call": 2,
    "log_every_steps": 2,
    "sample_every_steps": 4,
    "checkpoint_every_steps": SAVED_EVERY,
    "eval_every_steps": SCORED_EVERY,
    "tensorboard": False,
    "data.split": "train[:2000]",
    "model.generator.features": 8,
    "model.discriminator.features": 8,
    "model.generator.hidden_dense": 16,
    "model.discriminator.hidden_dense": 16,
    "evaluation.num_images": 500,
    "evaluation.best_metric": "frechet_distance",
}
CLOCK = {"seconds", "steps_per_second"}  # differ from run to run
PAUSE = 0.3  # seconds, at most, between the sight and the kill


def command(run: Path) -> list[str]:
    """The command that starts the run in `run`, or goes on with it."""
    fields = {**OVERRIDES, "data.cache_dir": str(run.with_suffix(".cache"))}
    return [
        *(sys.executable, "-m", "gan_jax.main", "--config=configs/dcgan.py"),
        f"--workdir={run}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def sights(run: Path) -> dict[str, Callable[[], bool]]:
    """For each moment that can be seen in the run's folder, whether it is seen now."""

    def has_unfinished(folder: Path, pattern: str) -> bool:
        return any(folder.glob(pattern))

    def is_scoring() -> bool:
        logged = lines(run / "metrics.jsonl")
        scored = {line["step"] for line in lines(run / "evaluations.jsonl")}
        steps = {line["step"] for line in logged if line["step"] % SCORED_EVERY == 0}
        return bool(steps - scored)

    cache = run.with_suffix(".cache")
    return {
        "saving a checkpoint": lambda: has_unfinished(run / "checkpoints", "*.*"),
        "replacing best/": lambda: has_unfinished(run / "best", "*.*"),
        "writing the cache": lambda: has_unfinished(cache, "**/incomplete.*"),
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


def kill(run: Path, moment: str, rng: random.Random, *, longest: float) -> str | None:
    """Starts the run and kills it at a moment; says in which phase it was killed.

    The result is None if the run was finished before.
    """
    seen = sights(run)
    start, limit = time.monotonic(), rng.uniform(0, longest)
    with open(run.with_suffix(".log"), "a") as log:
        process = subprocess.Popen(command(run), stdout=log, stderr=log)
    while process.poll() is None:
        waited = time.monotonic() - start
        if moment == "a random second":
            if waited > limit:
                break
        elif seen[moment]():
            time.sleep(rng.uniform(0, PAUSE))
            break
        time.sleep(0.001)
    if process.poll() is not None:
        if process.returncode:
            raise RuntimeError(f"{run}: status {process.returncode}, see {run}.log")
        return None
    phase = moment
    if moment == "a random second":
        started = (run / "metrics.jsonl").exists()
        phase = "steps" if started else "start (imports, data, compilation)"
        phase = next((name for name, is_seen in seen.items() if is_seen()), phase)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return phase


def result(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[Any]]:
    """The last checkpoint, the metrics without the clock, and the scores."""
    state = checkpoints.read(run / "checkpoints", STEPS)
    metrics = [
        {name: value for name, value in line.items() if name not in CLOCK}
        for line in lines(run / "metrics.jsonl")
    ]
    scores = [
        (line["step"], line["generator"], line["numbers"])
        for line in lines(run / "evaluations.jsonl")
    ]
    return state, metrics, scores


def is_same(one: Any, other: Any) -> bool:
    """Whether two results are equal, bit for bit."""
    leaves, others = jax.tree.leaves(one[0]), jax.tree.leaves(other[0])
    same = [np.array_equal(a, b) for a, b in zip(leaves, others, strict=True)]
    return all(same) and one[1:] == other[1:]


def main(argv: list[str]) -> None:
    """Prints a line for each kill and each finished run, and the counts."""
    del argv
    folder, rng = Path(_FOLDER.value), random.Random(_SEED.value)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()
    unbroken = folder / "unbroken"
    with open(unbroken.with_suffix(".log"), "w") as log:
        subprocess.run(command(unbroken), stdout=log, stderr=log, check=True)
    longest = time.monotonic() - start
    expected = result(unbroken)
    print(f"unbroken: {longest:.0f} s", flush=True)
    counts: collections.Counter[str] = collections.Counter()
    moments = ["a random second", *sights(unbroken)]
    finished = same = turn = 0
    while counts.total() < _KILLS.value:
        run = folder / f"run_{finished}"
        while True:
            enough = counts.total() >= _KILLS.value
            moment = moments[turn % len(moments)]
            turn += 1
            if enough:  # let the last run finish
                with open(run.with_suffix(".log"), "a") as log:
                    subprocess.run(command(run), stdout=log, stderr=log, check=True)
                break
            phase = kill(run, moment, rng, longest=longest)
            if phase is None:
                break
            counts[phase] += 1
            print(f"run {finished}: killed in {phase}", flush=True)
        finished += 1
        same += is_same(result(run), expected)
        print(f"run {finished - 1} is finished; {same} of {finished} equal", flush=True)
    for phase, count in counts.most_common():
        print(f"{count:3} {phase}")
    print(f"{counts.total()} kills; {same} of {finished} runs equal the unbroken one.")


if __name__ == "__main__":
    app.run(main)
