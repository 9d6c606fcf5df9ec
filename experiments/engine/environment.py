"""The environment in which a run trains, which is recorded in the run's folder.

The last digits of a run's numbers depend on it.
"""

from importlib import metadata
import os
from pathlib import Path
import platform
import subprocess

import jax

from gan_jax.run import files

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
ROOT = Path(__file__).parent.parent.parent


def describe(*, runs: int) -> str:
    """Commit, processor, cores of this process, accelerator and versions, in a line.

    Args:
      runs: number of runs that train together in the program.
    """
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0))
    return (
        f"commit {_commit()}; {_processor()}, {_counted(cores, 'core')}{_accelerator()}"
        f" and {_counted(runs, 'run')} a program; Python {platform.python_version()}, "
        f"{versions}"
    )


def record(workdir: Path, text: str) -> None:
    """Adds an environment to the record of the run in `workdir`, unless it is there."""
    if text not in files.read_environments(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        files.append_line(workdir / files.ENVIRONMENTS, {"environment": text})


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + "s" * (count != 1)


def _processor() -> str:
    """The processor's name, with family and model, since models may share a name."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    name = found.get("model name") or platform.machine()
    if "cpu family" not in found:
        return name
    return f"{name} (family {found['cpu family']}, model {found['model']})"


def _accelerator() -> str:
    """JAX's devices as a part of the line, or "" if it computes on the processor."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        return ""
    return f", {len(devices)} {devices[0].device_kind}"


def _commit() -> str:
    """The first digits of the commit, and "with changes" if files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10"]
    done = subprocess.run(
        [*command, "--exclude=*", "--dirty= with changes"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
