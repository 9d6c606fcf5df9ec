"""Runs programs of trials: in this process, in several, or as jobs of a cluster."""

from collections.abc import Iterator, Sequence
from concurrent import futures
from concurrent.futures import process
import contextlib
import itertools
import multiprocessing
import os
from pathlib import Path
from typing import Any

from absl import logging
import tqdm

from experiments.engine import environment
from experiments.engine.trials import Program
from gan_jax.training import sweep, train, watchdog


def run_program(program: Program) -> bool:
    """Trains the trials of a program.

    The output of a trial goes to log.txt in its folder. A trial that diverges, or that
    the watchdog stops, is marked as failed.

    Returns:
      Whether all trials are done; False after an interruption.

    Raises:
      OSError: a folder could not be written.
      ValueError: the environment contradicts the field `deterministic`, a config
        cannot be run, or a folder belongs to a run with another config.
    """
    if program.is_done:
        return True
    train.choose_kernels(program.configs[0])
    here = environment.describe(runs=len(program.trials))
    for workdir in program.workdirs:
        environment.record(workdir, here)
    train.use_compilation_cache(program.configs[0], program.workdirs[0])
    if len(program.trials) > 1:
        sweep.train_and_evaluate(program.configs, program.workdirs)
        return program.is_done
    (config,), (workdir,) = program.configs, program.workdirs
    try:
        with sweep.printing_to_log(workdir):
            train.train_and_evaluate(config, workdir)
    except watchdog.FailedError as error:
        logging.warning("%s: %s", workdir, error)
        sweep.record_failure(workdir, error.step, error)
    return program.is_done


def keep_to(cores: Sequence[int]) -> None:
    """Keeps this process, and the threads that it will start, to these cores.

    The number of cores decides in which order the sums of a step are added, so a
    program gives the same last digits only on the same number of cores. Call this
    before JAX computes anything, since that starts its threads.
    """
    os.sched_setaffinity(0, cores)


def shares(processes: int, cores: int) -> list[list[int]]:
    """The cores of each process: `cores` of them, or all cores if `cores` is 0.

    Raises:
      ValueError: this machine has too few cores.
    """
    have = sorted(os.sched_getaffinity(0))
    if not cores:
        return [have] * processes
    if processes * cores > len(have):
        fitting = len(have) // cores
        advice = f"set --processes to {fitting} or less"
        if not fitting:
            advice = f"set --cores to {len(have)} or less"
        raise ValueError(
            f"{processes} processes of {cores} cores each were asked for, but there "
            f"are {len(have)} cores; a program keeps the number of its cores, on which "
            f"its last digits depend: {advice}."
        )
    return [have[i * cores : (i + 1) * cores] for i in range(processes)]


def run_all(todo: Sequence[Program], *, processes: int, cores: int = 0) -> bool:
    """Runs the programs that are not done, with a progress bar.

    Args:
      todo: programs to run.
      processes: number of processes that run at once; 1 runs the programs in this
        process.
      cores: number of cores of a process, if there are several processes; 0 gives all
        cores to each.

    Returns:
      Whether all programs are done; False after an interruption.

    Raises:
      ValueError: the processes need more cores than there are, or `run_program`
        refuses a program.
      OSError: a folder could not be written, or the process of a program was killed.
    """
    done = [program.is_done for program in todo]
    left = [one for one, is_done in zip(todo, done, strict=True) if not is_done]
    with tqdm.tqdm(
        total=sum(len(one.trials) for one in todo),
        initial=sum(len(one.trials) for one in todo) - sum(len(x.trials) for x in left),
        unit=" runs",
        dynamic_ncols=True,
        disable=None,  # it is quiet unless a terminal shows it
    ) as bar:
        for program, is_done in _outcomes(left, processes, cores):
            if not is_done:
                return False
            bar.update(len(program.trials))
    return True


def _outcomes(
    left: Sequence[Program], processes: int, cores: int
) -> Iterator[tuple[Program, bool]]:
    if processes == 1:
        for program in left:
            yield program, run_program(program)
        return
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    for share in shares(processes, cores):
        queue.put(share)
    with (
        _errors_in_words(),
        futures.ProcessPoolExecutor(
            processes, context, initializer=_start_process, initargs=(queue,)
        ) as pool,
    ):
        # Programs are submitted only when a process is free, since a pool goes on with
        # all submitted programs when it is interrupted.
        waiting, running = iter(left), {}
        for program in itertools.islice(waiting, processes):
            running[pool.submit(run_program, program)] = program
        while running:
            finished, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()
                for program in itertools.islice(waiting, 1):
                    running[pool.submit(run_program, program)] = program


@contextlib.contextmanager
def _errors_in_words() -> Iterator[None]:
    """A context in which the errors of a pool's processes are raised as in this one.

    A mistake that a process has found is raised here once more, since
    gan_jax.command prints a sentence only for errors that our own code raises.
    """
    try:
        yield
    except process.BrokenProcessPool:
        raise OSError(
            "the process of a program was killed, perhaps because memory ran out: the "
            "same command goes on from the last checkpoints; set --processes to less "
            "if it happens again."
        ) from None
    except OSError as error:
        raise OSError(str(error)) from error
    except ValueError as error:
        raise ValueError(str(error)) from error


def _start_process(queue: Any) -> None:
    keep_to(queue.get())
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.set_verbosity(logging.WARNING)


def _run_job(program: Program, cores: int) -> bool:
    """Runs a program as a job of a cluster, on the first cores of the job."""
    keep_to(*shares(1, cores))
    return run_program(program)


def submit(
    todo: Sequence[Program],
    folder: Path,
    *,
    cluster: str,
    options: dict[str, Any],
    cores: int = 0,
) -> list[Any]:
    """Hands each program that is not done to a cluster as a separate job.

    Args:
      todo: programs to run.
      folder: folder for the jobs' files and output.
      cluster: "slurm", or "local" for processes of this machine.
      options: options of submitit's executor, such as timeout_min or slurm_partition.
      cores: number of cores that a job uses; 0 uses all cores that it was given.

    Returns:
      The jobs, as submitit returns them.
    """
    import submitit

    left = [one for one in todo if not one.is_done]
    if not left:
        return []
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(name=folder.parent.name, **options)
    return executor.map_array(_run_job, left, [cores] * len(left))
