"""The trials of an experiment: their configs, programs and results."""

from collections.abc import Mapping, Sequence
import functools
import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.engine import spec, summary
from gan_jax import checks, own_parts
from gan_jax import data as data_lib
from gan_jax.evaluation import suite
from gan_jax.run import checkpoints, config_file, files
from gan_jax.training import sweep, vmapped

FOLDER = Path(__file__).parent.parent  # experiments/
KINDS = ("raw", "averaged")  # generators that are scored, in this order
PROTOCOL = {  # fields that decide what a score means, and that a run may change
    f"evaluation.{name}"
    for name in ("extractor", "num_images", "draws", "split", "statistics", "seed")
}


class Program(NamedTuple):
    """Trials that train together, or a single trial.

    Attributes:
      trials: trials in the experiment's order.
      configs: configs of the trials.
      workdirs: folders of the trials.
    """

    trials: tuple[spec.Trial, ...]
    configs: tuple[ConfigDict, ...]
    workdirs: tuple[Path, ...]

    @property
    def is_done(self) -> bool:
        """Whether all trials are finished or failed.

        Raises:
          ValueError: a trial's folder belongs to a run with another config.
        """
        pairs = zip(self.configs, self.workdirs, strict=True)
        return all(is_done(*pair) for pair in pairs)


def is_done(config: ConfigDict, workdir: Path) -> bool:
    """Whether a trial is not run again: it has its last checkpoint, or has failed.

    Raises:
      ValueError: the folder belongs to a run with another config.
    """
    _refuse_changed(config, workdir)
    return _has_last_checkpoint(config, workdir) or bool(sweep.failure(workdir))


def _refuse_changed(config: ConfigDict, workdir: Path) -> None:
    """Refuses a folder whose run was trained or scored by another config."""
    try:
        config_file.check(workdir, config)
        _check_protocol(config, workdir)
    except ValueError as error:
        raise ValueError(
            f"{error} For a trial of an experiment, restore its row in experiment.py, "
            "or move its folder away to train it anew."
        ) from None


def _check_protocol(config: ConfigDict, workdir: Path) -> None:
    """Refuses scores that do not compare with those of the trial's config.

    gan_jax.main lets a run go on with another section evaluation, since each score has
    its protocol beside it. A table has no place for that.
    """
    if not (workdir / "config.json").exists():
        return
    before = config_file.read(workdir)
    differing = config_file.differences(before, config_file.as_json(config))
    changed = [
        f"{name} was {old!r}, now {new!r}"
        for name, (old, new) in differing.items()
        if name in PROTOCOL and old != config_file.MISSING
    ]
    if changed:
        raise ValueError(
            f"{workdir} has scores of another protocol: {'; '.join(changed)}."
        )


def _has_last_checkpoint(config: ConfigDict, workdir: Path) -> bool:
    return config.num_train_steps in checkpoints.steps(workdir / "checkpoints")


def load(name: str) -> spec.Experiment:
    """The experiment of experiments/NAME/experiment.py.

    Raises:
      ValueError: there is no experiment of that name.
    """
    known = sorted(path.parent.name for path in FOLDER.glob("*/experiment.py"))
    if name not in known:
        raise ValueError(
            f"there is no experiment {name!r}, there are: {', '.join(known)}; give one "
            "of them as --experiment."
        )
    experiment: spec.Experiment = importlib.import_module(
        f"experiments.{name}.experiment"
    ).EXPERIMENT
    return experiment


def load_config(name: str) -> ConfigDict:
    """The config of a name like configs/ring.py:grid, or ring:grid in short.

    Raises:
      ValueError: there is no such file or preset.
    """
    filename, _, preset = name.partition(":")
    if not filename.endswith(".py"):
        filename = f"configs/{filename}.py"
    root = FOLDER.parent
    if not (Path(filename).is_file() or (root / filename).is_file()):
        known = sorted(path.stem for path in root.glob("configs/[!_]*.py"))
        raise ValueError(
            f"an experiment has the config {name!r}, but there is no {filename}, there "
            f"are {', '.join(known)}: change Part.config in experiment.py."
        )
    module = importlib.import_module(filename.removesuffix(".py").replace("/", "."))
    config: ConfigDict = module.get_config(preset or None)
    return config


def _check_part(part: spec.Part, config: ConfigDict) -> None:
    """Refuses numbers that no metric gives, and rows that there are not."""
    own = filter(own_parts.is_named, config.evaluation.metrics.split(","))
    shown = [*(column.number for column in part.columns), *part.curves]
    judged = [one.number for one in (part.search, part.threshold) if one]
    judging = [number for number in suite.numbers() if suite.direction(number)]
    for numbers, known in (shown, suite.numbers(own)), (judged, judging):
        for number in numbers:
            plain = number.removeprefix(spec.RAW)
            if plain not in known:
                raise ValueError(
                    f"the part {part.title!r} shows or goes by the number {plain!r}"
                    f"{checks.nearest(plain, known)}, but it can be one of "
                    f"{', '.join(known)}: change experiment.py."
                )
    is_mixture = config.data.name in data_lib.MIXTURES
    references = [*([spec.UNIFORM] if is_mixture else []), spec.UNTRAINED, spec.REAL]
    for field, names, rows in (
        ("compared", (*part.compared, *part.compared.values()), list(part.rows)),
        ("published", part.published, list(part.rows)),
        ("references", part.references, references),
    ):
        for name in names:
            if name not in rows:
                raise ValueError(
                    f"Part.{field} of the part {part.title!r} names {name!r}"
                    f"{checks.nearest(name, rows)}, but there are {', '.join(rows)}: "
                    "change experiment.py."
                )


def make_config(part: spec.Part, trial: spec.Trial) -> ConfigDict:
    """The whole config of a trial, locked.

    Raises:
      ValueError: an override names a field that the config does not have.
    """
    config = load_config(part.config)
    chosen = part.search.choices[trial.choice] if part.search else {}
    searched = spec.NOTHING
    if part.search and spec.is_searched(part, trial):
        searched = part.search.overrides
    for overrides in (part.overrides, part.rows[trial.row], chosen, searched):
        for path, value in overrides.items():
            _override(config, path, value)
    config.seed = trial.seed
    return config.lock()


def _override(config: ConfigDict, path: str, value: Any) -> None:
    *sections, field = path.split(".")
    section = config
    for name in sections:
        section = section[name] if name in section else ConfigDict()
    if field not in section:
        raise ValueError(
            f"an override sets {path!r}, which the config does not have: "
            "configs/default.py lists every field, change the experiment's file."
        )
    section[field] = ConfigDict(value) if isinstance(value, dict) else value


def programs(
    experiment: spec.Experiment,
    workdir: Path,
    *,
    only: str = "",
    runs_per_program: int | None = None,
    foresee: bool = False,
    decided: Mapping[tuple[str, str], str] = spec.NOTHING,
) -> list[Program]:
    """The programs of all trials; trials that can train together share a program.

    A row whose search is not done has only the trials of the search. Apart from that,
    the programs do not depend on what is done already, so a killed run goes on together
    with the runs with which it began.

    Args:
      experiment: experiment to run.
      workdir: folder of the experiment.
      only: start of a trial's folder. Programs without such a trial are left out. A
        program that has such a trial keeps all its trials, since their last digits
        depend on which trials train together.
      runs_per_program: largest number of trials in a program; None takes the number of
        each part.
      foresee: take the first choice if a search is not done.
      decided: choices by part and row, which are taken if a search is not done.

    Raises:
      ValueError: two trials have the same folder, a folder belongs to a run with
        another config, there is no such config, number or row, or an override names a
        field that the config does not have.
    """
    chosen = {**decided, **_chosen(experiment, workdir, foresee=foresee)}
    searched = set(spec.searches(experiment))
    joined: dict[str, list[tuple[spec.Trial, ConfigDict, Path]]] = {}
    folders: dict[str, spec.Trial] = {}
    for trial in spec.trials(experiment, chosen):
        other = folders.setdefault(trial.folder, trial)
        if other is not trial:
            raise ValueError(
                f"two trials have the folder {trial.folder}: {other} and {trial}. The "
                "names must differ in letters, digits or the signs . _ - + =, and the "
                "seeds of a search from those of the table: change a name or a seed in "
                "experiment.py."
            )
        part = experiment.parts[trial.part]
        config = make_config(part, trial)
        _check_part(part, config)
        key = f"{trial.part} {trial in searched} {shared_fields(config)}"
        joined.setdefault(key, []).append((trial, config, workdir / trial.folder))
    found = []
    for members in joined.values():
        limit = (
            runs_per_program or experiment.parts[members[0][0].part].runs_per_program
        )
        for first in range(0, len(members), limit):
            columns = zip(*members[first : first + limit], strict=True)
            found.append(Program(*columns))
    return [
        program
        for program in found
        if any(f"{one.folder}/".startswith(only) for one in program.trials)
    ]


def decided(
    experiment: spec.Experiment, found: Sequence[spec.Result]
) -> dict[tuple[str, str], str]:
    """The choices that follow from results, such as a page's, by part and row."""
    return {
        (name, row): choice
        for name, part in experiment.parts.items()
        if part.search
        for row, choice in summary.choose(name, part, found).items()
        if choice
    }


def _chosen(
    experiment: spec.Experiment, workdir: Path, *, foresee: bool
) -> dict[tuple[str, str], str]:
    """The choice of each search whose trials are all done, by part and row."""
    chosen = {}
    found: dict[tuple[str, str], list[spec.Result]] = {}
    for trial in spec.searches(experiment):
        config = make_config(experiment.parts[trial.part], trial)
        one = result(trial, config, workdir / trial.folder)
        found.setdefault((trial.part, trial.row), []).append(one)
    for (name, row), results in found.items():
        part = experiment.parts[name]
        choice = summary.choose(name, part, results)[row]
        if choice and all(one.status in ("finished", "failed") for one in results):
            chosen[name, row] = choice
        elif foresee and part.search:
            chosen[name, row] = next(iter(part.search.choices))
    return chosen


def shared_fields(config: ConfigDict) -> str:
    """The fields that all trials of a program have in common, as JSON."""
    fields: dict[str, Any] = config.to_dict()
    for path in ("seed", *vmapped.FLOATS):
        *sections, field = path.split(".")
        functools.reduce(lambda x, name: x[name], sections, fields).pop(field, None)
    return json.dumps(fields, sort_keys=True)


def _evaluations(workdir: Path) -> dict[int, dict[str, float]]:
    """The numbers of a trial by the step of their evaluation.

    If the run keeps an average, they are those of the averaged generator, and those of
    the raw generator have the prefix spec.RAW.
    """
    records: dict[int, dict[str, float]] = {}
    found = files.read_scores(workdir / files.SCORES)
    for line in found:
        # Earlier versions of gan_jax.evaluate added records of other protocols here.
        is_same = files.same_protocol(line["protocol"], found[0]["protocol"])
        if line["generator"] in KINDS and is_same:
            numbers = {name: one["value"] for name, one in line["numbers"].items()}
            if line["generator"] == "averaged":
                raw = records.get(line["step"], {})
                numbers |= {f"{spec.RAW}{name}": value for name, value in raw.items()}
            records[line["step"]] = numbers
    return records


def result(trial: spec.Trial, config: ConfigDict, workdir: Path) -> spec.Result:
    """The result in the folder of a trial.

    A trial with the checkpoint of its last step is finished, also if it has a mark of
    failure: earlier versions marked finished trials too, when another start of them was
    refused. So is a trial with the scores of its last step, whose folder may have been
    copied without the checkpoints.

    Raises:
      ValueError: the folder belongs to a run with another config, or a file in it is
        damaged.
    """
    _refuse_changed(config, workdir)
    records = _evaluations(workdir)
    lines = files.read_lines(
        workdir / files.METRICS,
        lambda line: isinstance(line.get("steps_per_second"), int | float),
    )
    steps = [0, *(line["step"] for line in lines)]
    seconds = sum(
        (step - before) / line["steps_per_second"]
        for before, step, line in zip(steps, steps[1:], lines, strict=False)
    )
    is_finished = _has_last_checkpoint(config, workdir) or any(
        # The average is scored after the raw generator, and the table shows it.
        name.startswith(spec.RAW) or not config.recipe.ema_decay
        for name in records.get(config.num_train_steps, ())
    )
    failure = None if is_finished else sweep.failure(workdir)
    if is_finished:
        status = "finished"
    elif failure:
        status = "failed"
    else:
        status = "unfinished" if lines else "missing"
    # The table shows the last step of a finished trial, and no other in its place.
    last = config.num_train_steps if is_finished else max(records, default=0)
    return spec.Result(
        trial,
        status,
        error=failure["error"] if failure else "",
        step=last if last in records else 0,
        numbers=records.get(last, {}),
        curves={
            name: [
                (step, records[step][name])
                for step in sorted(records)
                if name in records[step]  # another version may lack the number
            ]
            for name in records.get(last, {})
        },
        seconds=seconds / sweep.sweep_size(workdir),
        environments=files.read_environments(workdir),
    )
