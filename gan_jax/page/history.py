"""What a run's folder tells about the run, without its parameters."""

from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax.run import config_file, files


class History(NamedTuple):
    """A run as its folder shows it.

    Attributes:
      name: name of the run on the page.
      workdir: folder of the run.
      config: config of the run; its values are not checked.
      version: version of gan_jax that wrote the config.
      metrics: lines of metrics.jsonl in order, each with its step and finite numbers.
      scores: records of the scores in order, see scores.Scores.as_record.
      environments: environments in which the run was trained, if they are recorded.
      grids: pictures of the same latents, by step and in order.
    """

    name: str
    workdir: Path
    config: ConfigDict
    version: str
    metrics: list[dict[str, float]]
    scores: list[dict[str, Any]]
    environments: tuple[str, ...]
    grids: dict[int, Path]

    def fields(self) -> dict[str, Any]:
        """The values of the config by their paths, such as data.image_size."""
        return config_file.flatten(self.config.to_dict())


def read(workdir: Path, name: str) -> History:
    """The history of the run in `workdir`, in which nothing changes.

    Args:
      workdir: folder of the run.
      name: name of the run on the page.

    Raises:
      ValueError: the folder holds no run, a file cannot be read, or the run has not
        logged anything yet.
    """
    config = config_file.read(workdir)
    lines = files.read_lines(workdir / files.METRICS, _has_step)
    metrics = [_numbers(line) for line in lines]
    if not metrics:
        raise ValueError(
            f"{workdir} has no metrics yet: a run writes the first after "
            "log_every_steps steps, so wait for them, or start the run again with "
            "python -m gan_jax.main."
        )
    records = [
        record
        for file in (files.SCORES, files.LATER_SCORES)
        for record in files.read_scores(workdir / file)
        if _has_step(record)
    ]
    return History(
        name,
        workdir,
        config,
        config_file.version_of(workdir),
        sorted(metrics, key=lambda line: line["step"]),
        sorted(records, key=lambda record: record["step"]),
        files.read_environments(workdir),
        files.sample_grids(workdir),
    )


def _has_step(record: dict[str, Any]) -> bool:
    return files.is_number(record["step"])


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in line.items() if files.is_number(value)}


def read_all(workdirs: list[Path]) -> list[History]:
    """The histories of runs, whose names on the page differ.

    Raises:
      ValueError: a folder is given twice, or `read` refuses it.
    """
    places = [workdir.resolve() for workdir in workdirs]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise ValueError(
                f"the run {workdirs[index]} is given twice: name each run once in "
                "--workdir and --compare."
            )
    short = [place.name for place in places]
    are_different = len(set(short)) == len(short)
    names = short if are_different else [str(workdir) for workdir in workdirs]
    return [read(*pair) for pair in zip(workdirs, names, strict=True)]
