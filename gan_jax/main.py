r"""Trains the GAN that a config describes, and writes a folder with the run.

This command trains a DCGAN on MNIST, in the folder runs/dcgan:
  python -m gan_jax.main --config=configs/dcgan.py
This one changes two fields of the config, and names the run's folder:
  python -m gan_jax.main --config=configs/dcgan.py --workdir=runs/wide \
      --config.model.generator.features=64 --config.seed=1
The same command goes on with a run that was interrupted, and does nothing if the run is
finished. configs/README.md lists every field.
This one says what the run would take on each of 256 chips, without a TPU:
  python -m gan_jax.main --config=dcgan:celeba --compile_for=v5e:16x16 \
      --config.batch_size=32_768

With --workdir=gs://BUCKET/RUN or s3://BUCKET/RUN the run trains in a local folder that
is copied to the bucket meanwhile. On another machine the same command fetches it first.

While a run trains, Ctrl-C and SIGTERM save a checkpoint first. The exit status is then
75, not 130, which tells a scheduler to start the same command again.
"""

import contextlib
import functools
from pathlib import Path
import signal

from absl import flags, logging
from ml_collections import config_flags

from gan_jax import command, interrupt, models, parallel
from gan_jax.run import bucket, mirror
from gan_jax.training import compile_for, dry_run, train

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "The run has this config: the path or the name of a Python file with get_config(), "
    "perhaps with a colon and the name of a preset. It must be given. "
    "--config.section.field=value sets a field.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The run's config, checkpoints, samples and logs are written to this folder, which "
    "is runs/<config name> by default, or to this address in a bucket, such as "
    "gs://BUCKET/RUN.",
)
_OVERRIDE = flags.DEFINE_bool(
    "override_config",
    False,
    "The run in --workdir goes on although it was started with another config. The "
    "numbers of updates a step may not change.",
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "The run is checked, and its config, data, networks, memory and time are printed; "
    "nothing is trained or written.",
)
_COMPILE_FOR = flags.DEFINE_string(
    "compile_for",
    None,
    "The run is compiled for this TPU slice, such as v5e:16x16, which need not be at "
    "hand, and what it takes on each chip is printed; nothing is trained or written. "
    "The package libtpu is needed.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address",
    None,
    "The first process of a job of several processes listens at this host:port. TPU "
    "pods and SLURM tell it by themselves.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes",
    None,
    "The job has this number of processes, see --coordinator_address.",
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id",
    None,
    "This process has this number in the job. Processes are counted from 0.",
)
_JOIN_TIMEOUT = flags.DEFINE_integer(
    "join_timeout",
    300,
    "The processes of a job wait for each other this number of seconds. Then those "
    "that have arrived end, and say who is missing.",
    lower_bound=1,
)


LEFT = (
    "Left because of SIGTERM before a step was done: the same command starts it again."
)


def _config_name(filename: str) -> str:
    """Returns dcgan for configs/dcgan.py, dcgan_celeba for configs/dcgan.py:celeba."""
    path, _, preset = filename.partition(":")
    return Path(path).stem + (f"_{preset}" if preset else "")


def _show(place: str) -> None:
    """Prints what the run would be, here or on the slice of --compile_for.

    Raises:
      ValueError: the run would be refused, or flags were given that exclude each other.
      OSError: the run's folder could not be written, or a bucket cannot be read.
    """
    slice_name = _COMPILE_FOR.value
    asked = _DRY_RUN if _DRY_RUN.value else _COMPILE_FOR
    excluded = [_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID]
    if asked is _DRY_RUN:
        excluded.append(_COMPILE_FOR)
    names = [f"--{flag.name}" for flag in excluded if flag.value is not None]
    if names:
        raise ValueError(
            f"{' and '.join(names)} came with --{asked.name}, which takes a single "
            "process on this machine: leave out one or the other."
        )
    default = command.shipped_configs()["default"]
    if slice_name is not None:
        compile_for.show(_CONFIG.value, slice_name, default=default)
        return
    with bucket.fetched(place, bucket.choose_start) as workdir:
        dry_run.show(
            _CONFIG.value, workdir, default=default, override_config=_OVERRIDE.value
        )


def _warn_of_missed_accelerator() -> None:
    missed = parallel.missed_accelerator()
    if missed:
        logging.warning("%s", missed)


def main() -> int:
    """Reads the flags and trains, or says what would be trained.

    Returns:
      The exit status: 0 if the run is finished, command.UNFINISHED if a signal came and
      the run was saved.

    Raises:
      ValueError: the config is missing or refused, or the job cannot be joined.
      OSError: the run cannot be written, or not be copied to its bucket.
    """
    filename = command.config_filename()
    overrides = config_flags.get_override_values(flags.FLAGS["config"])
    place = _WORKDIR.value or f"runs/{_config_name(filename)}"
    train.choose_kernels(_CONFIG.value)
    if _DRY_RUN.value or _COMPILE_FOR.value is not None:
        if _COMPILE_FOR.value is None:
            _warn_of_missed_accelerator()
        models.use_own(_CONFIG.value, overrides)
        _show(place)
        return 0
    job = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    leaving = functools.partial(
        interrupt.leaving_at_once, signal.SIGTERM, LEFT, status=command.UNFINISHED
    )
    with contextlib.ExitStack() as stack:
        with leaving():  # JAX takes the signal over when it joins
            joined = parallel.joined(*job, join_timeout=_JOIN_TIMEOUT.value)
            stack.enter_context(joined)
        stay = stack.enter_context(leaving())
        _warn_of_missed_accelerator()
        models.use_own(_CONFIG.value, overrides)
        with mirror.staged(place, is_writer=parallel.is_writer()) as (workdir, copy):

            def on_first_call() -> None:
                stay()
                copy()

            train.use_compilation_cache(_CONFIG.value, workdir)
            is_finished = train.train_and_evaluate(
                _CONFIG.value,
                workdir,
                override_config=_OVERRIDE.value,
                on_first_call=on_first_call,
            )
    return 0 if is_finished else command.UNFINISHED


if __name__ == "__main__":
    command.run(main)
