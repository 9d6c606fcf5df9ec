"""Runs an experiment: python -m experiments.run --experiment=NAME --workdir=DIR.

Trials that are done are kept, those that were killed go on, those that diverge become
rows that say so. The same command goes on after an interruption.
"""

import collections
from collections.abc import Sequence
import functools
from pathlib import Path

from absl import flags
import tqdm

from experiments.engine import collect, forecast, results, runner, spec, trials
from gan_jax import command

_EXPERIMENT = flags.DEFINE_string(
    "experiment", None, "A folder of experiments/ with an experiment.py.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Of the trials' folders; default runs/<experiment>."
)
_ONLY = flags.DEFINE_string(
    "only",
    "",
    "Only trials whose folder's name starts so, such as ring/GAN/, and those that "
    "share a program; a row whose search is not done takes the choice of its page.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would be run, and its cost.")
_COLLECT = flags.DEFINE_bool(
    "collect", False, "Write the page, tables and pictures from what is there."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the page; default <workdir>/page."
)
_PROCESSES = flags.DEFINE_integer(
    "processes",
    1,
    "Programs run at once, each on as many cores as the experiment says.",
    lower_bound=1,
)
_RUNS_PER_PROGRAM = flags.DEFINE_integer(
    "runs_per_program",
    None,
    "At most so many runs in one program; default what the experiment says, which the "
    "last digits of its numbers depend on.",
    lower_bound=1,
)
_CLUSTER = flags.DEFINE_enum(
    "cluster", None, ["slurm", "local"], "Hand each program to submitit as a job."
)
_CLUSTER_OPTIONS = flags.DEFINE_list(
    "cluster_options",
    [],
    "Of submitit's executor, such as timeout_min=60,slurm_partition=gpu.",
)


def _show_forecast(todo: Sequence[trials.Program]) -> None:
    """Prints the trials and what is left to do."""
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
            left += 0 if status in ("finished", "failed") else seconds
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
    """The cluster's options, numbers as numbers.

    Raises:
      ValueError: an option without a value.
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


def _submit(
    todo: Sequence[trials.Program], workdir: Path, *, cluster: str, cores: int
) -> None:
    jobs = runner.submit(
        todo,
        workdir / "jobs",
        cluster=cluster,
        options=_options(),
        cores=cores,
    )
    print(f"{len(jobs)} jobs, their output in {workdir / 'jobs'}: ", end="")
    print(", ".join(str(job.job_id) for job in jobs))
    if cluster == "local":
        for job in jobs:
            job.result()


def _choices_of_the_page(experiment: spec.Experiment) -> dict[tuple[str, str], str]:
    """What the searches of the published page chose; none where there is no page."""
    path = trials.FOLDER / _EXPERIMENT.value / "results.json"
    found = results.read(path).results if path.exists() else []
    return trials.decided(experiment, found)


def main() -> None:
    """Reads the flags, and runs, shows or collects.

    Raises:
      ValueError: an unknown experiment, or no trial of that name.
    """
    experiment = trials.load(_EXPERIMENT.value)
    workdir = Path(_WORKDIR.value or Path("runs") / _EXPERIMENT.value)
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
    elif _CLUSTER.value:
        _submit(todo, workdir, cluster=_CLUSTER.value, cores=experiment.cores)
    else:
        if _PROCESSES.value == 1:
            runner.keep_to(*runner.shares(1, experiment.cores))
        while not all(program.is_done for program in todo):
            if not runner.run_all(
                todo, processes=_PROCESSES.value, cores=experiment.cores
            ):
                print("left before the end: the same command goes on.")
                return
            todo = find()  # more, where a search has found its choice


if __name__ == "__main__":
    command.run(main)
