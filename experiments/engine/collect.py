"""Writes an experiment's page, table, results and pictures from its trials' folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.engine import (
    page,
    pictures,
    plots,
    references,
    results,
    spec,
    summary,
    tables,
    trials,
)
from gan_jax import data as data_lib
from gan_jax.run import files

INDEX = Path(__file__).parent.parent / "README.md"


def collect(
    name: str,
    experiment: spec.Experiment,
    workdir: Path,
    output: Path,
) -> None:
    """Writes results.json, table.csv, README.md and pictures to `output`.

    Results of trials that `workdir` lacks are kept from an earlier results.json in
    `output`. If `output` lies in experiments/, the index there is updated too.

    Args:
      name: name of the experiment.
      experiment: experiment that was run.
      workdir: folder of the trials.
      output: folder of the page, which is made if it does not exist.

    Raises:
      ValueError: a run or the earlier results cannot be read, or a page cannot be made.
      OSError: the folder or a file in it cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the page's folder {output} cannot be made: {files.cause(error)}; give "
            "another one as --output."
        ) from None
    path = output / "results.json"
    earlier = results.read(path) if path.exists() else results.Saved("", [])
    found = _find_results(experiment, workdir, earlier.results)
    results.write(path, found, made_on=earlier.made_on)
    files.write_whole(output / "table.csv", tables.to_csv(experiment, found))
    for part_name, part in experiment.parts.items():
        plots.draw(part_name, part, found, output)
        if part.grids:
            _draw_samples(part_name, part, found, workdir, output)
    write_page(name, experiment, output)
    if output.resolve().parent == INDEX.parent:
        write_index()


def _find_results(
    experiment: spec.Experiment, workdir: Path, earlier: Sequence[spec.Result]
) -> list[spec.Result]:
    """The results from the trials' folders, or else from `earlier`, in table order.

    So is the choice of a search. Reference rows that `earlier` lacks are computed.
    """
    known = {}
    decided = trials.decided(experiment, earlier)
    for program in trials.programs(experiment, workdir, decided=decided):
        for trial, config, folder in zip(*program, strict=True):
            known[trial] = results.rounded(trials.result(trial, config, folder))
    for one in earlier:
        if one.trial not in known or known[one.trial].status == "missing":
            known[one.trial] = one
    known |= _references(experiment, known)
    rows = [
        (name, row)
        for name, part in experiment.parts.items()
        for row in (*part.rows, *part.references)
    ]
    found = [one for one in known.values() if (one.trial.part, one.trial.row) in rows]
    return sorted(found, key=lambda one: rows.index((one.trial.part, one.trial.row)))


def _references(
    experiment: spec.Experiment, known: Mapping[spec.Trial, spec.Result]
) -> dict[spec.Trial, spec.Result]:
    """The reference results of the parts in which a reference row has no result."""
    have = {(trial.part, trial.row) for trial in known}
    return {
        one.trial: results.rounded(one)
        for name, part in experiment.parts.items()
        if not have.issuperset((name, row) for row in part.references)
        for one in references.results(name, part)
    }


def write_page(name: str, experiment: spec.Experiment, output: Path) -> None:
    """Writes README.md from the results and pictures in `output`."""
    saved = results.read(output / "results.json")
    text = page.render(
        name,
        experiment,
        saved.results,
        pictures=_pictures(output),
        made_on=saved.made_on,
    )
    files.write_whole(output / "README.md", text)


def write_index() -> None:
    """Writes the tables of experiments/README.md from all results and pages there."""
    files.write_whole(INDEX, index(INDEX.read_text()))


def index(text: str) -> str:
    """The text of experiments/README.md with tables from all results and pages."""
    rows = []
    for path in sorted(INDEX.parent.glob("*/results.json")):
        name, saved = path.parent.name, results.read(path)
        experiment, shown = trials.load(name), _pictures(path.parent)
        seconds = sum(x.seconds for x in saved.results if x.status == "finished")
        rows.append(page.index_row(name, experiment, saved.results, shown, seconds))
    pages = {
        path.parent.name: path.read_text()
        for path in sorted(INDEX.parent.glob("*/README.md"))
        if not (path.parent / "experiment.py").exists()
    }
    return page.update_index(text, rows, pages)


def _pictures(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix in (".png", ".gif")]


def _draw_samples(
    part_name: str,
    part: spec.Part,
    found: Sequence[spec.Result],
    workdir: Path,
    output: Path,
) -> None:
    """Draws the samples of each row's first seed, for points as an animation.

    A part with a search shows those of each row's present choice.
    """
    frames: dict[str, list[Path]] = {}
    first = {
        spec.Trial(part_name, row, choice, part.seeds[0])
        for row, choice in summary.choose(part_name, part, found).items()
        if choice is not None
    }
    for trial in (one.trial for one in found):
        if trial in first:
            paths = list(files.sample_grids(workdir / trial.folder).values())
            frames |= {trial.row: paths} if paths else {}
            config = trials.make_config(part, trial)
    if not frames:
        return
    if config.data.name in data_lib.MIXTURES:
        pictures.animate(frames, output / f"{part_name}_samples.gif")
    else:
        last = {row: paths[-1] for row, paths in frames.items()}
        pictures.montage(last, output / f"{part_name}_samples.png")
