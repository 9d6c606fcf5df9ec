"""Runs an experiment, prints what it costs, or writes its page.

This command prints the trials of an experiment and what they cost:
  python -m experiments.run --experiment=stabilisers --dry_run
This one trains them, two at a time:
  python -m experiments.run --experiment=stabilisers --processes=2
This one writes the table, the pictures and the page:
  python -m experiments.run --experiment=stabilisers --collect
Trials that are done are not run again, trials that were killed go on, and the table
says which trials diverged.

Ctrl-C and SIGTERM save the trials that are running. The exit status is then 75, not
130, and the same command goes on.
"""

import collections
from collections.abc import Sequence
import functools
from pathlib import Path
from typing import Any

from absl import flags
import tqdm

from experiments.engine import collect, forecast, results, runner, spec, trials
from gan_jax import command
from gan_jax.run import bucket

_EXPERIMENT = flags.DEFINE_string(
    "experiment",
    None,
    "The experiment has this name, that of a folder of experiments/ in which there is "
    "an experiment.py. It must be given.",
    required=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The experiment's runs lie in this folder, which is runs/<experiment> by default.",
)
_ONLY = flags.DEFINE_string(
    "only",
    "",
    "Only those trials are run whose folder starts with this text, such as ring/GAN/, "
    "and those that share a program with them. If the search of a row is not done, the "
    "row takes the choice on the experiment's page.",
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "The trials that would be run are printed with their cost, and nothing is run.",
)
_COLLECT = flags.DEFINE_bool(
    "collect",
    False,
    "The page, its tables and its pictures are written from the runs in --workdir, and "
    "nothing is run. A run that was copied without its checkpoints counts as finished "
    "if the scores of its last step are recorded.",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The page of --collect is written to this folder, which is <workdir>/page by "
    "default.",
)
_PROCESSES = flags.DEFINE_integer(
    "processes",
    1,
    "This number of programs runs at the same time. A program is a process that trains "
    "one or several runs, on as many cores as the experiment says.",
    lower_bound=1,
)
_CORES = flags.DEFINE_integer(
    "cores",
    None,
    "A program has this number of the processor's cores; 0 gives all cores to each, as "
    "a GPU needs it. By default the experiment decides. On a CPU another number of "
    "cores changes the last digits of the results.",
    lower_bound=0,
)
_RUNS_PER_PROGRAM = flags.DEFINE_integer(
    "runs_per_program",
    None,
    "A program trains at most this number of runs together. By default the experiment "
    "decides. Another number changes the last digits of the results.",
    lower_bound=1,
)
_CLUSTER = flags.DEFINE_enum(
    "cluster",
    None,
    ["slurm", "local"],
    "Each program is a job of this kind, which the library submitit starts.",
)
_CLUSTER_OPTIONS = flags.DEFINE_list(
    "cluster_options",
    [],
    "The executor of submitit has these options, such as "
    "timeout_min=60,slurm_partition=gpu.",
)


def _show_forecast(todo: Sequence[trials.Program]) -> None:
    """Prints the trials, their cost and the time that is left."""
    rate = forecast.matrix_product_rate() * forecast.EFFICIENCY
    left, largest = 0.0, 0
    totals: collections.Counter[str] = collections.Counter()
    known: dict[str, forecast.Forecast] = {}
    print("trial, parameters of generator and discriminator, GFLOP a step, steps, time")
    for number, program in enumerate(todo):
        for trial, config, workdir in zip(*program, strict=True):
            key = trials.shared_fields(config)
            if key not in known:
                known[key] = forecast.forecast(config)
            cost = known[key]
            largest = max(largest, len(program.trials) * cost.state_bytes)
            status = trials.result(trial, config, workdir).status
            flop = cost.flop * config.num_train_steps
            totals[trial.part] += flop
            seconds = flop / rate
            left += 0 if trials.is_done(config, workdir) else seconds
            print(
                f"{number:4} {trial.folder}: {cost.generator_parameters:,} and "
                f"{cost.discriminator_parameters:,}, {cost.flop / 1e9:.3g}, "
                f"{config.num_train_steps:,}, {tqdm.tqdm.format_interval(seconds)}, "
                f"{status}",
                flush=True,
            )
    for part, flop in totals.items():
        print(f"{part}: {flop / 1e15:.3g} PFLOP of training in all")
    print(
        f"{len(todo)} programs; about {tqdm.tqdm.format_interval(left)} left, if steps "
        f"reach {rate / 1e9:.0f} GFLOP a second, {forecast.EFFICIENCY:.0%} of what a "
        "matrix product reaches here; evaluation and compilation come on top. The "
        f"largest program holds {largest / 2**20:.0f} MiB of networks and optimisers, "
        "gradients, activations and data come on top."
    )


def _options() -> dict[str, object]:
    """The options of the cluster, with numbers as int.

    Raises:
      ValueError: an option has no value.
    """
    options: dict[str, object] = {}
    for option in _CLUSTER_OPTIONS.value:
        name, equals, value = option.partition("=")
        if not equals:
            raise ValueError(
                f"the cluster option {option!r} has no value: write name=value, with "
                "commas between options."
            )
        options[name] = int(value) if value.isdigit() else value
    return options


def _start_jobs(
    todo: Sequence[trials.Program], *, cluster: str, workdir: Path, cores: int
) -> list[Any]:
    """The jobs of the programs that are not done, which are named on the terminal."""
    options, folder = _options(), workdir / "jobs"
    jobs = runner.submit(todo, folder, cluster=cluster, options=options, cores=cores)
    print(f"{len(jobs)} jobs, their output in {folder}: ", end="")
    print(", ".join(str(job.job_id) for job in jobs))
    return jobs


def _run_jobs(todo: Sequence[trials.Program], *, workdir: Path, cores: int) -> bool:
    """Runs the programs as jobs of this machine, as runner.run_all runs them."""
    jobs = _start_jobs(todo, cluster="local", workdir=workdir, cores=cores)
    outcomes = [job.result() for job in jobs]
    return all(outcomes)


def _count_trials(found: Sequence[trials.Program]) -> int:
    return sum(len(program.trials) for program in found)


def _choices_of_the_page(experiment: spec.Experiment) -> dict[tuple[str, str], str]:
    """The choices of the searches on the experiment's page; empty without a page."""
    path = trials.FOLDER / _EXPERIMENT.value / "results.json"
    found = results.read(path).results if path.exists() else []
    return trials.decided(experiment, found)


def main() -> int:
    """Runs an experiment, prints its cost, or writes its page.

    Returns:
      The exit status: 0, or command.UNFINISHED if a signal came and runs were saved.

    Raises:
      ValueError: the experiment is unknown, --workdir is no folder, or no trial's
        folder starts with --only.
    """
    experiment = trials.load(_EXPERIMENT.value)
    place = _WORKDIR.value or f"runs/{_EXPERIMENT.value}"
    if bucket.is_address(place):
        raise ValueError(
            f"--workdir is {place}, but trials run in a local folder: give one, and "
            "copy it to the bucket when they are done."
        )
    workdir = Path(place)
    if workdir.is_file():
        raise ValueError(
            f"--workdir is {place}, which is a file, but trials run in a folder: give "
            "one, which is made if it does not exist."
        )
    cores = experiment.cores if _CORES.value is None else _CORES.value
    find = functools.partial(
        trials.programs,
        experiment,
        workdir,
        only=_ONLY.value,
        runs_per_program=_RUNS_PER_PROGRAM.value,
        decided=_choices_of_the_page(experiment) if _ONLY.value else {},
    )
    todo = find(foresee=_DRY_RUN.value)
    if not todo:
        raise ValueError(
            f"no trial's folder starts with {_ONLY.value!r}: --dry_run prints them all."
        )
    if _DRY_RUN.value:
        _show_forecast(todo)
    elif _COLLECT.value:
        output = Path(_OUTPUT.value or workdir / "page")
        collect.collect(_EXPERIMENT.value, experiment, workdir, output)
        print(f"the page is {output / 'README.md'}")
    elif _CLUSTER.value == "slurm":
        _start_jobs(todo, cluster="slurm", workdir=workdir, cores=cores)
        if _count_trials(find(foresee=True)) > _count_trials(todo):
            print(
                "A search has not made its choice yet: give the same command again "
                "when these jobs are done, for the runs of the table."
            )
    else:
        run = functools.partial(runner.run_all, processes=_PROCESSES.value, cores=cores)
        if _CLUSTER.value:
            run = functools.partial(_run_jobs, workdir=workdir, cores=cores)
        elif _PROCESSES.value == 1:
            runner.keep_to(*runner.shares(1, cores))
        while not all(program.is_done for program in todo):
            if not run(todo):
                print("interrupted: the same command continues the experiment.")
                return command.UNFINISHED
            todo = find()  # has more trials once a search has made its choice
    return 0


if __name__ == "__main__":
    command.run(main)
