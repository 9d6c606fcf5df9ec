"""Sends SIGTERM to a training in each of its phases and times its end.

    PYTHONPATH=. python experiments/faults/sigterm.py --folder=/tmp/sigterm

The default config starts with an empty array cache and without compiled programs. A
phase is recognised by what the run has written. Each line says the exit status, the
seconds from the signal to the end, and the last line of the run.
"""

from collections.abc import Sequence
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from absl import app, flags

_FOLDER = flags.DEFINE_string("folder", None, "Folder of the runs.", required=True)
LOGGED = "--config.log_every_steps=20"
# Phase -> what the run has written when it begins, the pause before the signal in
# seconds, and further flags.
PHASES: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "start": ("are to be trained", 0, ()),
    "data preparation": ("Writing 60000 images", 0.1, ()),
    "compilation": ("Compiling the step", 1, ()),
    "steps": ("step 20/", 0.5, (LOGGED,)),
    "evaluation": ("step 20/", 0.3, (LOGGED, "--config.eval_every_steps=20")),
}


def trial(folder: Path, sign: str, pause: float, more: Sequence[str]) -> str:
    """Starts a run in an empty folder, ends it and describes how it ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "log"
    command = [
        *(sys.executable, "-u", "-m", "gan_jax.main", "--config=configs/dcgan.py"),
        f"--workdir={folder / 'run'}",
        f"--config.data.cache_dir={folder / 'cache'}",
        f"--config.compilation_cache_dir={folder / 'compiled'}",
        *more,
    ]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    while sign not in log.read_text():
        if process.poll() is not None:
            raise RuntimeError(f"the run ended before {sign!r}: see {log}")
        time.sleep(0.02)
    time.sleep(pause)
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = process.wait()
    seconds = time.monotonic() - start
    said = [line for line in log.read_text().splitlines() if line.strip()][-1]
    return f"status {status} after {seconds:.1f} s: {said}"


def main(argv: list[str]) -> None:
    """Prints a line for each phase."""
    del argv
    for phase, arguments in PHASES.items():
        folder = Path(_FOLDER.value) / phase.replace(" ", "_")
        print(f"{phase}: {trial(folder, *arguments)}", flush=True)


if __name__ == "__main__":
    app.run(main)
