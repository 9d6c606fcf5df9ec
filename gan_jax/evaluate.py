"""Scores a run's generator: python -m gan_jax.evaluate --workdir=RUN."""

from collections.abc import Iterator, Mapping
from pathlib import Path
import shlex
from typing import Any
import zipfile

from absl import flags, logging
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, command, data, parallel
from gan_jax.evaluation import neighbours, scores, suite
from gan_jax.run import files, trained
from gan_jax.run import images as images_lib

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_STEP = flags.DEFINE_list("step", [], "Of the checkpoints, or all; default the newest.")
_BEST = flags.DEFINE_bool(
    "best", False, "Take the checkpoint that evaluation.best_metric kept."
)
_IMAGES = flags.DEFINE_string(
    "images",
    "",
    "Score these instead of a generator's: an .npz or .npy file with images (N, H, W, "
    "C) uint8 and perhaps labels, or `training` for the training images themselves, "
    "which gives the floor.",
)
_PAIRS = flags.DEFINE_string(
    "neighbours", "", "Write a PNG of images, each left of its nearest training image."
)
# The rest overrides the evaluation section of the run's config.
_SETTINGS = (
    flags.DEFINE_string("extractor", None, "See configs/default.py."),
    flags.DEFINE_string("weights", None, "File of a classifier or of inception."),
    flags.DEFINE_string("metrics", "cheap", "Names with commas, cheap or all."),
    flags.DEFINE_integer("num_images", None, "Images of each draw."),
    flags.DEFINE_integer("draws", None, "Draws with seeds of their own."),
    flags.DEFINE_string("split", None, "Of the real images."),
    flags.DEFINE_string("statistics", None, "Of BatchNorm: running or batch."),
    flags.DEFINE_integer("batch_size", None, "Images generated at once."),
    flags.DEFINE_integer("seed", None, "Of the first draw."),
)
# Those of config.json are not followed: the folder of a run may be a stranger's.
_PATHS = (
    flags.DEFINE_string("data_dir", "", "Prepared TFDS data; default TFDS's own."),
    flags.DEFINE_string("manual_dir", "", "Original files or the folder of images."),
    flags.DEFINE_string("cache_dir", "", "Decoded arrays; default beside the data."),
)
PAIRS = 50


def _read_config(workdir: Path) -> ConfigDict:
    """The run's config, whose data and evaluation sections are whole.

    Raises:
      ValueError: there is no run, or its config.json lacks a field or has one out of
        its range.
    """
    config = files.read_config(workdir)
    with files.naming_version(workdir):
        for name, ranges in (("data", data.RANGES), ("evaluation", scores.RANGES)):
            section = checks.section(config, name)
            checks.check_fields(section, ranges, path=name, advice=trained.ADVICE)
    return config


def _sections(config: ConfigDict) -> tuple[ConfigDict, ConfigDict]:
    """The data and the evaluation section of a run's config, with the flags' values."""
    real, settings = (
        config[name].copy_and_resolve_references() for name in ("data", "evaluation")
    )
    settings.weights = ""
    for flag in _SETTINGS:
        if flag.value is not None:
            settings[flag.name] = flag.value
    for flag in _PATHS:
        real[flag.name] = flag.value
    return real, settings


def _paths_not_followed(config: ConfigDict) -> str:
    """Says which flags would take the paths that config.json has; "" if it has none."""
    paths = {flag.name: config.data[flag.name] for flag in _PATHS}
    paths["weights"] = config.evaluation.weights
    unused = [
        f"--{name}={path}"
        for name, path in paths.items()
        if path and not flags.FLAGS[name].present
    ]
    if not unused:
        return ""
    return (
        "Paths in a run's config.json are not followed, since it may be a stranger's: "
        f"if they are yours, add {shlex.join(unused)}."
    )


def _create_scorer(config: ConfigDict) -> scores.Scorer:
    """The scorer that the config and the flags describe.

    Raises:
      ValueError: what scores.Scorer refuses.
    """
    hint = _paths_not_followed(config)
    try:
        scorer = scores.Scorer(*_sections(config))
    except ValueError as error:
        raise ValueError(f"{error} {hint}".strip()) from error
    if hint:
        logging.info("%s", hint)
    return scorer


def _record(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a record to the run's scores.jsonl; scores are worth more than the file."""
    try:
        files.append_line(path, record)
    except OSError as error:
        logging.warning("The scores are not recorded: %s", error)
    else:
        logging.info("The scores of step %d were added to %s.", record["step"], path)


def read_images(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The images and labels of an .npz file, or the images of an .npy file.

    Raises:
      ValueError: no such file, or one that does not hold them.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                return arrays, None
            return arrays["images"], arrays.get("labels")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no images ({error}): --images takes an .npz file with the "
            "array images (N, H, W, C) uint8, an .npy file of it, or the word training."
        ) from None


def _steps(workdir: Path, folder: str) -> list[int | None]:
    """The steps asked for; None is the newest checkpoint.

    Raises:
      ValueError: a step that is no number.
    """
    if _STEP.value == ["all"]:
        return list(trained.steps(workdir, folder=folder)) or [None]
    try:
        return [int(step) for step in _STEP.value] or [None]
    except ValueError:
        raise ValueError(
            f"step is {','.join(_STEP.value)}, but must be numbers with commas between "
            "them, or the word all: change --step."
        ) from None


def _generators(workdir: Path) -> Iterator[tuple[str, trained.Run]]:
    """Each step's generator, and its averaged one where the run keeps it."""
    folder = "best" if _BEST.value else "checkpoints"
    for step in _steps(workdir, folder):
        try:
            run = trained.load(workdir, step, folder=folder)
        except ValueError:
            if _STEP.value != ["all"] or step in trained.steps(workdir, folder=folder):
                raise
            logging.info("The checkpoint of step %s was deleted meanwhile.", step)
            continue
        yield "raw", run
        if run.averaged:
            yield "averaged", run.with_averaged()


def _score_images(scorer: scores.Scorer) -> scores.Scores:
    if _IMAGES.value == "training":
        images, labels = scorer.training.images, scorer.training.labels
        if len(images) > 2 * suite.VALIDATION:  # on which Parzen's width is chosen
            images, labels = (x[: -suite.VALIDATION] for x in (images, labels))
        return scorer.score_images(images, labels)
    return scorer.score_images(*read_images(Path(_IMAGES.value)))


def _save_pairs(path: Path, run: trained.Run, training: np.ndarray) -> None:
    drawn = trained.generate_batches(run, num=PAIRS, seed=run.config.seed)
    images = np.concatenate([batch for batch, _ in drawn])
    flat = (x.reshape(len(x), -1).astype(np.float32) for x in (images, training))
    _, nearest = neighbours.nearest(*flat)
    pairs = np.stack([images, training[nearest]], axis=1)
    grid = images_lib.make_grid(pairs.reshape(-1, *images.shape[1:]), columns=10)
    images_lib.save_png(path, grid)


def main() -> None:
    """Reads the flags, scores, prints a table and adds lines to scores.jsonl.

    Raises:
      ValueError: a run, data or settings that cannot be scored.
      OSError: the picture of neighbours cannot be written.
    """
    workdir = Path(_WORKDIR.value)
    config = _read_config(workdir)
    if _PAIRS.value:
        images_lib.check_output(Path(_PAIRS.value), "--neighbours")
    parallel.use_compilation_cache("")
    scorer = _create_scorer(config)
    columns = {}
    if _IMAGES.value:
        columns[Path(_IMAGES.value).stem] = _score_images(scorer)
    else:
        for kind, run in _generators(workdir):
            columns[f"{run.step} {kind}"] = found = scorer.score_run(run)
            record = {"step": run.step, "generator": kind, **found.as_record()}
            _record(workdir / scores.LATER_RECORDS, record)
    print(scores.format_table(columns))
    protocol = next(iter(columns.values())).protocol
    known = {k: v for k, v in protocol.items() if v not in ("", None)}
    print("protocol:", ", ".join(f"{k} {v}" for k, v in known.items()), flush=True)
    if _PAIRS.value and not _IMAGES.value:
        _save_pairs(Path(_PAIRS.value), run, scorer.training.images)


if __name__ == "__main__":
    command.run(main)
