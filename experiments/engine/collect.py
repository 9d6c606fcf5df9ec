"""Writes an experiment's page, table, results and pictures from its trials' folders."""

from collections.abc import Iterable, Sequence
from importlib import metadata
import os
from pathlib import Path
import platform

from experiments.engine import page, pictures, plots, results, spec, tables, trials
from gan_jax import data as data_lib
from gan_jax import workdir as workdir_lib

INDEX = Path(__file__).parent.parent / "README.md"
PACKAGES = ("jax", "flax", "optax", "numpy")


def describe_machine() -> str:
    """Hardware and versions, in a line."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2] for line in lines if "model name" in line]
        model = (names or [model])[0].strip()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores; Python {platform.python_version()}, {versions}."


def collect(
    name: str,
    experiment: spec.Experiment,
    workdir: Path,
    output: Path,
    *,
    processes: int,
) -> None:
    """Writes results.json, table.csv, README.md and pictures to `output`.

    What an earlier results.json there says of trials that `workdir` lacks stays. If
    `output` lies in experiments/, the index there is brought up to date too.

    Args:
      name: of the experiment.
      experiment: what was run.
      workdir: the folder of its trials.
      output: of the page; made if it is not there.
      processes: programs that ran at once, for the time that they took.
    """
    output.mkdir(parents=True, exist_ok=True)
    found = _find_results(experiment, workdir, output / "results.json")
    minutes = _seconds(found) / 60
    done = sum(one.status == "finished" for one in found)
    made_on = (
        f"{describe_machine()} {done} of {len(found)} runs finished, {minutes:.0f} "
        f"minutes of training added up, {processes} programs at a time; compilation "
        "and evaluation not counted."
    )
    results.write(output / "results.json", found, made_on=made_on)
    (output / "table.csv").write_text(tables.to_csv(experiment, found))
    for part_name, part in experiment.parts.items():
        if any(one.numbers for one in found if one.trial.part == part_name):
            plots.draw(part_name, part, found, output)
        if part.grids:
            _draw_samples(part_name, part, found, workdir, output)
    write_page(name, experiment, output)
    if output.resolve().parent == INDEX.parent:
        write_index(processes=processes)


def _seconds(found: Iterable[spec.Result]) -> float:
    """Of training, all finished runs added up."""
    return sum(one.seconds for one in found if one.status == "finished")


def _find_results(
    experiment: spec.Experiment, workdir: Path, earlier: Path
) -> list[spec.Result]:
    """What the trials' folders hold, else what `earlier` says, in the table's order."""
    known = {}
    for program in trials.programs(experiment, workdir):
        for trial, config, folder in zip(*program, strict=True):
            known[trial] = results.rounded(trials.result(trial, config, folder))
    for one in results.read(earlier).results if earlier.exists() else ():
        if one.trial not in known or known[one.trial].status == "missing":
            known[one.trial] = one
    rows = [(name, row) for name, part in experiment.parts.items() for row in part.rows]
    found = [one for one in known.values() if (one.trial.part, one.trial.row) in rows]
    return sorted(found, key=lambda one: rows.index((one.trial.part, one.trial.row)))


def write_page(name: str, experiment: spec.Experiment, output: Path) -> None:
    """Writes README.md from the results and pictures that `output` has."""
    saved = results.read(output / "results.json")
    text = page.render(
        name,
        experiment,
        saved.results,
        pictures=_pictures(output),
        made_on=saved.made_on,
    )
    workdir_lib.write_whole(output / "README.md", text)


def write_index(*, processes: int) -> None:
    """Writes the table of experiments/README.md from all results there."""
    rows = []
    for path in sorted(INDEX.parent.glob("*/results.json")):
        name, saved = path.parent.name, results.read(path)
        shown = sorted(_pictures(path.parent))
        seconds = _seconds(saved.results) / processes
        rows.append(
            page.index_row(name, trials.load(name), saved.results, shown[:1], seconds)
        )
    workdir_lib.write_whole(INDEX, page.update_index(INDEX.read_text(), rows))


def _pictures(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix in (".png", ".gif")]


def _draw_samples(
    part_name: str,
    part: spec.Part,
    found: Sequence[spec.Result],
    workdir: Path,
    output: Path,
) -> None:
    """A picture of each row's samples of its first seed; of points an animation."""
    frames: dict[str, list[Path]] = {}
    for trial in (one.trial for one in found):
        if trial.part == part_name and trial.seed == part.seeds[0]:
            paths = sorted((workdir / trial.folder / "samples").glob("*.png"))
            frames |= {trial.row: paths} if paths else {}
            config = trials.make_config(part, trial)
    if not frames:
        return
    if config.data.name in data_lib.MIXTURES:
        pictures.animate(frames, output / f"{part_name}_samples.gif")
    else:
        last = {row: paths[-1] for row, paths in frames.items()}
        pictures.montage(last, output / f"{part_name}_samples.png")
