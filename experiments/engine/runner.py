"""Runs programs of trials: here, in processes, or as jobs of a cluster."""

from collections.abc import Iterator, Sequence
from concurrent import futures
import itertools
import multiprocessing
import os
from pathlib import Path
from typing import Any

from absl import logging
import tqdm

from experiments.engine.trials import Program
from gan_jax import parallel, sweep, train


def run_program(program: Program) -> bool:
    """Trains a program's trials; whether they are done, and were not interrupted.

    What a trial prints goes to log.txt in its folder. A trial that diverges or whose
    config is refused is marked as failed.

    Raises:
      OSError: a folder could not be written.
    """
    if program.is_done:
        return True
    parallel.use_compilation_cache(program.configs[0].compilation_cache_dir)
    if len(program.trials) > 1:
        sweep.train_and_evaluate(program.configs, program.workdirs)
        return program.is_done
    (config,), (workdir,) = program.configs, program.workdirs
    try:
        with sweep.printing_to_log(workdir):
            train.train_and_evaluate(config, workdir)
    except ValueError as error:
        logging.warning("%s: %s", workdir, error)
        sweep.record_failure(workdir, 0, error)
    return program.is_done


def run_all(todo: Sequence[Program], *, processes: int) -> bool:
    """Runs the programs that are not done, with a progress bar; whether all are done.

    Args:
      todo: the programs.
      processes: that run at once, each on its share of the processor's cores; 1 runs
        them in this one.
    """
    done = [program.is_done for program in todo]
    left = [one for one, is_done in zip(todo, done, strict=True) if not is_done]
    with tqdm.tqdm(
        total=sum(len(one.trials) for one in todo),
        initial=sum(len(one.trials) for one in todo) - sum(len(x.trials) for x in left),
        unit="run",
        dynamic_ncols=True,
    ) as bar:
        for program, is_done in _outcomes(left, processes):
            if not is_done:
                return False
            bar.update(len(program.trials))
    return True


def _outcomes(
    left: Sequence[Program], processes: int
) -> Iterator[tuple[Program, bool]]:
    if processes == 1:
        for program in left:
            yield program, run_program(program)
        return
    context = multiprocessing.get_context("spawn")
    shares: Any = context.Queue()
    cores = sorted(os.sched_getaffinity(0))
    for number in range(processes):
        shares.put(cores[number::processes] or cores)
    with futures.ProcessPoolExecutor(
        processes, context, initializer=_keep_to, initargs=(shares,)
    ) as pool:
        # No more at once than run: an interrupted pool would go on with the others.
        waiting, running = iter(left), {}
        for program in itertools.islice(waiting, processes):
            running[pool.submit(run_program, program)] = program
        while running:
            finished, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()
                for program in itertools.islice(waiting, 1):
                    running[pool.submit(run_program, program)] = program


def _keep_to(shares: Any) -> None:
    """Keeps this process, and the threads that it will start, to its share of cores."""
    os.sched_setaffinity(0, shares.get())
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.set_verbosity(logging.WARNING)


def submit(
    todo: Sequence[Program], folder: Path, *, cluster: str, options: dict[str, Any]
) -> list[Any]:
    """Hands each program that is not done to a cluster as a job of its own.

    Args:
      todo: the programs.
      folder: for the jobs' files and output.
      cluster: "slurm", or "local" for processes of this machine.
      options: of submitit's executor, such as timeout_min or slurm_partition.

    Returns:
      submitit's jobs.
    """
    import submitit

    left = [one for one in todo if not one.is_done]
    if not left:
        return []
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(name=folder.parent.name, **options)
    return executor.map_array(run_program, left)
