"""Watches a training for long: its memory, open files, threads and disk.

    PYTHONPATH=. python experiments/faults/soak.py --folder=/tmp/soak --minutes=60

The default config trains with checkpoints, samples and scores at short intervals, while
`gan_jax.sample` reads its folder once a minute. Every ten seconds a line goes to
soak.csv. At its end the training gets SIGTERM, and soak.png shows the curves.
"""

import csv
import os
from pathlib import Path
import signal
import statistics
import subprocess
import sys
import time

from absl import app, flags

_FOLDER = flags.DEFINE_string("folder", None, "Folder to write.", required=True)
_MINUTES = flags.DEFINE_float("minutes", 60, "Minutes of the training.")
FIELDS = {
    "num_train_steps": 1_000_000,
    "log_every_steps": 20,
    "sample_every_steps": 100,
    "checkpoint_every_steps": 100,
    "eval_every_steps": 500,
    "evaluation.num_images": 2_000,
    "evaluation.best_metric": "frechet_distance",
}
QUANTITIES = ("memory_mb", "files", "threads", "disk_mb")
EVERY = 10  # seconds


def measure(process: int, run: Path) -> dict[str, float]:
    """The quantities of a process and its run's folder."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    disk = 0
    for path in run.rglob("*"):
        try:
            disk += path.lstat().st_size
        except FileNotFoundError:  # the run has just deleted it
            continue
    return {
        "memory_mb": int(status["VmRSS"].split()[0]) / 1024,
        "files": len(os.listdir(f"/proc/{process}/fd")),
        "threads": int(status["Threads"]),
        "disk_mb": disk / 2**20,
    }


def watch(folder: Path, *, seconds: float) -> list[dict[str, float]]:
    """Trains and reads for so many seconds; returns what was measured."""
    run = folder / "run"
    command = [sys.executable, "-m", "gan_jax.main", "--config=configs/dcgan.py"]
    options = [f"--config.{name}={value}" for name, value in FIELDS.items()]
    reader = [
        *(sys.executable, "-m", "gan_jax.sample", f"--workdir={run}", "--num=64"),
        f"--output={folder / 'grid.png'}",
    ]
    rows, reads, failed = [], 0, 0
    start = time.monotonic()
    with open(folder / "run.log", "w") as log, open(folder / "reads.log", "w") as other:
        process = subprocess.Popen(
            [*command, f"--workdir={run}", *options], stdout=log, stderr=log
        )
        reading = None
        while (passed := time.monotonic() - start) < seconds:
            if process.poll() is not None:
                raise RuntimeError(f"the run ended: {folder / 'run.log'}")
            rows.append({"seconds": passed, **measure(process.pid, run)})
            if reading and reading.poll() is not None:
                reads, failed = reads + 1, failed + bool(reading.returncode)
                reading = None
            due = passed > 60 * (reads + 2)  # the first checkpoint is there by then
            if due and not reading:
                reading = subprocess.Popen(reader, stdout=other, stderr=other)
            time.sleep(EVERY)
        process.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        status = process.wait()
    left = time.monotonic() - sent
    print(f"{reads} reads, {failed} failed; left {left:.1f} s after SIGTERM: {status}")
    return rows


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Writes a picture of the four curves."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(12, 2.6), layout="constrained")
    for axis, name in zip(axes, QUANTITIES, strict=True):
        axis.plot([row["seconds"] / 60 for row in rows], [row[name] for row in rows])
        axis.set(title=name, xlabel="minutes", ylim=(0, None))
    figure.savefig(path, dpi=80)


def main(argv: list[str]) -> None:
    """Watches, and prints how each quantity changes over the later part."""
    del argv
    folder = Path(_FOLDER.value)
    folder.mkdir(parents=True)
    rows = watch(folder, seconds=60 * _MINUTES.value)
    with open(folder / "soak.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["seconds", *QUANTITIES])
        writer.writeheader()
        writer.writerows(rows)
    quarter = len(rows) // 4
    for name in QUANTITIES:
        second = statistics.median(row[name] for row in rows[quarter : 2 * quarter])
        last = statistics.median(row[name] for row in rows[-quarter:])
        most = max(row[name] for row in rows)
        print(f"{name:9} second quarter {second:.0f}, last {last:.0f}, most {most:.0f}")
    draw(rows, folder / "soak.png")


if __name__ == "__main__":
    app.run(main)
