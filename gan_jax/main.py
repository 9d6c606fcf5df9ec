"""Trains a GAN: python -m gan_jax.main --config=configs/dcgan.py."""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from gan_jax import command, parallel
from gan_jax.training import dry_run, train

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config of the run: a Python file with get_config(), perhaps with a colon and the "
    "name of a preset. --config.section.field=value sets a field.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run, for its config, checkpoints, samples and logs; "
    "runs/<config name> by default.",
)
_OVERRIDE = flags.DEFINE_bool(
    "override_config",
    False,
    "Continue the run in --workdir although it was started with another config.",
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "Check the run and print its config, data, networks, memory and time; train "
    "nothing and write nothing.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address",
    None,
    "host:port of the first process of a job of several processes. TPU pods and SLURM "
    "tell it by themselves.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Number of processes in the job; see --coordinator_address."
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process in the job, counted from 0."
)


def _config_name(filename: str) -> str:
    """Returns dcgan for configs/dcgan.py, dcgan_celeba for configs/dcgan.py:celeba."""
    path, _, preset = filename.partition(":")
    return Path(path).stem + (f"_{preset}" if preset else "")


def _show_dry_run(workdir: Path) -> None:
    """Prints what the run would be.

    Raises:
      ValueError: the run would be refused, or the flags of a job were given.
      OSError: the run's folder could not be written.
    """
    given = (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID)
    names = [f"--{flag.name}" for flag in given if flag.value is not None]
    if names:
        raise ValueError(
            f"{' and '.join(names)} came with --dry_run, which takes a single process: "
            "leave out one or the other."
        )
    dry_run.show(
        _CONFIG.value,
        workdir,
        default=command.shipped_configs()["default"],
        override_config=_OVERRIDE.value,
    )


def main() -> int:
    """Reads the flags and trains, or says what would be trained.

    Returns:
      The exit status: 0 if the run is finished, command.UNFINISHED if a signal came and
      the run was saved.

    Raises:
      ValueError: the config is missing or refused, or the job cannot be joined.
    """
    filename = command.config_filename()
    workdir = Path(_WORKDIR.value or Path("runs") / _config_name(filename))
    if _DRY_RUN.value:
        _show_dry_run(workdir)
        return 0
    job = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    with parallel.joined(*job):
        parallel.use_compilation_cache(_CONFIG.value.compilation_cache_dir)
        is_finished = train.train_and_evaluate(
            _CONFIG.value, workdir, override_config=_OVERRIDE.value
        )
    return 0 if is_finished else command.UNFINISHED


if __name__ == "__main__":
    command.run(main)
