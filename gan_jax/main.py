"""Trains a GAN: python -m gan_jax.main --config=configs/dcgan.py."""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from gan_jax import command, parallel
from gan_jax.training import train

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Python file with get_config(); fields are set by --config.section.field=value.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder; default runs/<config name>."
)
_OVERRIDE = flags.DEFINE_bool(
    "override_config", False, "Go on with a run whose config differs from this one."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address",
    None,
    "host:port of the first of several processes, where the environment does not "
    "say it (TPU pods and SLURM do).",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Processes of the job.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "This process, from 0.")


def _config_name(filename: str) -> str:
    """Dcgan of configs/dcgan.py, dcgan_celeba of configs/dcgan.py:celeba."""
    path, _, preset = filename.partition(":")
    return Path(path).stem + (f"_{preset}" if preset else "")


def main() -> None:
    """Reads the flags and trains.

    Raises:
      ValueError: no config, one that does not exist, or a job that cannot be joined.
    """
    filename = command.config_filename()
    job = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    with parallel.joined(*job):
        parallel.use_compilation_cache(_CONFIG.value.compilation_cache_dir)
        train.train_and_evaluate(
            _CONFIG.value,
            Path(_WORKDIR.value or Path("runs") / _config_name(filename)),
            override_config=_OVERRIDE.value,
        )


if __name__ == "__main__":
    command.run(main)
