"""Scores a run's generator, prints a table and adds the numbers to scores.jsonl.

This command computes all cheap metrics of the newest checkpoint:
  python -m gan_jax.evaluate --workdir=RUN
This one computes one metric of every checkpoint, three times with different images:
  python -m gan_jax.evaluate --workdir=RUN --step=all --draws=3 --metrics=prdc
This one scores the training images, whose scores a perfect generator would have:
  python -m gan_jax.evaluate --workdir=RUN --images=training
gan_jax/evaluation/README.md lists the metrics with their formulas. Flags without a
default take the value of the run's config.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
import shlex
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, command, data, parallel
from gan_jax.data import array
from gan_jax.evaluation import neighbours, scores
from gan_jax.run import bucket, config_file, files, reader, trained
from gan_jax.run import images as images_lib

_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The run to score lies in this folder, or at this address in a bucket, such as "
    "gs://BUCKET/RUN. It must be given.",
    required=True,
)
_STEP = flags.DEFINE_list(
    "step",
    [],
    "The checkpoints of these steps are scored: numbers with commas between them, or "
    "the word all. The newest checkpoint is scored by default.",
)
_BEST = flags.DEFINE_bool(
    "best",
    False,
    "The best checkpoint is scored, which training keeps if the config sets "
    "evaluation.best_metric.",
)
_ALLOW_CODE = flags.DEFINE_bool(
    "allow_code",
    False,
    "A model and a data source that the run names as module:name may be imported, "
    "which executes code from the working directory.",
)
_IMAGES = flags.DEFINE_string(
    "images",
    "",
    "These images are scored instead of generated images: an .npz or .npy file with "
    "images (N, H, W, C) uint8 and perhaps labels, or the word training for the "
    "training images, whose scores are the best that a generator can hope for.",
)
_PAIRS = flags.DEFINE_string(
    "neighbours",
    "",
    "A picture is written to this PNG file, which shows generated images, each to the "
    "left of its nearest training image. Points have no such picture, and images of a "
    "file have none.",
)
# The other flags override the evaluation section of the run's config.
_SETTINGS = (
    flags.DEFINE_string(
        "extractor",
        None,
        "This extractor computes the features of an image: pixels, mnist, "
        "stacked_mnist, classifier or inception.",
    ),
    flags.DEFINE_string(
        "weights",
        None,
        "The extractor classifier or inception takes its weights from this file.",
    ),
    flags.DEFINE_string(
        "metrics",
        "cheap",
        "These metrics are computed: names with commas between them, of which cheap "
        "and all stand for several. module:name is a metric that is imported from the "
        "working directory.",
    ),
    flags.DEFINE_integer(
        "num_images", None, "A draw has this number of generated images."
    ),
    flags.DEFINE_integer(
        "draws",
        None,
        "Images are drawn and scored this number of times, with another seed each "
        "time. Two or more draws give a standard error. Draws from --images have no "
        "image in common.",
    ),
    flags.DEFINE_string(
        "split",
        None,
        "The real images to compare with are those of this split, such as test.",
    ),
    flags.DEFINE_string(
        "statistics",
        None,
        "The generator's BatchNorm uses these statistics: running, from training, or "
        "batch, from the generated batch.",
    ),
    flags.DEFINE_integer(
        "batch_size", None, "This number of images is generated at once."
    ),
    flags.DEFINE_integer("seed", None, "The first draw has this seed."),
)
# The paths in config.json are not followed: the run may come from a stranger.
_PATHS = (
    flags.DEFINE_string(
        "data_dir",
        "",
        "Data that TFDS has prepared lie in this folder. If it is empty, they lie in "
        "TFDS's default folder.",
    ),
    flags.DEFINE_string(
        "manual_dir",
        "",
        "The original data files or the images lie in this folder, or it is an array "
        "file.",
    ),
    flags.DEFINE_string(
        "cache_dir",
        "",
        "Decoded arrays lie in this folder. If it is empty, they lie beside the "
        "prepared data.",
    ),
)
PAIRS = 50


def _read_config(workdir: Path) -> ConfigDict:
    """The run's config, whose data and evaluation sections have every field.

    Raises:
      ValueError: there is no run, a field of its config.json is missing or out of
        range, or it names code that is not allowed.
    """
    config = config_file.read(workdir)
    read = ["data.name"] if _IMAGES.value else ["data.name", "model.name"]
    config_file.check_code(workdir, read, allow_code=_ALLOW_CODE.value)
    with config_file.naming_version(workdir):
        for name, ranges in (("data", data.RANGES), ("evaluation", scores.RANGES)):
            section = checks.section(config, name)
            checks.check_fields(section, ranges, path=name, advice=reader.ADVICE)
    return config


def _sections(config: ConfigDict) -> tuple[ConfigDict, ConfigDict]:
    """The data and evaluation sections of a run's config, with the flags' values."""
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
    """Names the flags for paths that config.json has; "" if it has no paths."""
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
      ValueError: scores.Scorer refuses the settings or the data.
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
    """Adds a record to the run's scores.jsonl; a failure to write is only logged."""
    try:
        files.append_line(path, record)
    except OSError as error:
        logging.warning("The scores are not recorded: %s", error)
    else:
        logging.info("The scores of step %d were added to %s.", record["step"], path)


def _read_images(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The images and labels of an .npz file, or the images of an .npy file.

    Raises:
      ValueError: there is no such file, or it holds no images.
    """
    try:
        return array.read_whole(path, most=parallel.memory().of_host // 2)
    except ValueError as error:
        raise ValueError(
            f"{path} holds no images ({error}): --images takes an .npz file with the "
            "array images (N, H, W, C) uint8, an .npy file of it, or the word training."
        ) from None


def _steps(workdir: Path, folder: str) -> list[int | None]:
    """The steps that --step names; None is the newest checkpoint.

    Raises:
      ValueError: a step is not a number.
    """
    if _STEP.value == ["all"]:
        return list(reader.steps(workdir, folder=folder)) or [None]
    try:
        return [int(step) for step in _STEP.value] or [None]
    except ValueError:
        raise ValueError(
            f"step is {','.join(_STEP.value)}, but must be numbers with commas between "
            "them, or the word all: change --step."
        ) from None


def _choose() -> bucket.Choose:
    """Chooses what is fetched of a run in a bucket.

    Raises:
      ValueError: a step is not a number.
    """
    folder = "best" if _BEST.value else "checkpoints"
    if _IMAGES.value:
        return bucket.choose_checkpoints(folder, [])
    if _STEP.value == ["all"]:
        return bucket.choose_all_checkpoints(folder)
    return bucket.choose_checkpoints(folder, _steps(Path(), folder))


def _check_steps(workdir: Path) -> None:
    """Refuses a step of --step that has no good checkpoint, before any is scored.

    Raises:
      ValueError: there is no such checkpoint, or it is damaged.
    """
    if not _STEP.value or _STEP.value == ["all"] or _IMAGES.value:
        return
    folder = "best" if _BEST.value else "checkpoints"
    good = reader.steps(workdir, folder=folder)
    for step in _steps(workdir, folder):
        if step not in good:
            reader.load(workdir, step, folder=folder, allow_code=_ALLOW_CODE.value)


def _generators(workdir: Path) -> Iterator[tuple[str, trained.Run]]:
    """The named generators of each step: raw, and averaged where the run keeps it."""
    folder = "best" if _BEST.value else "checkpoints"
    for step in _steps(workdir, folder):
        try:
            run = reader.load(
                workdir, step, folder=folder, allow_code=_ALLOW_CODE.value
            )
        except ValueError:
            if _STEP.value != ["all"] or step in reader.steps(workdir, folder=folder):
                raise
            logging.info("The run has just deleted its checkpoint of step %s.", step)
            continue
        yield "raw", run
        if run.averaged:
            yield "averaged", run.with_averaged()


def _score_images(scorer: scores.Scorer) -> scores.Scores:
    if _IMAGES.value == "training":
        return scorer.score_training()
    return scorer.score_images(*_read_images(Path(_IMAGES.value)))


def _save_pairs(path: Path, run: trained.Run, training: np.ndarray) -> None:
    images = run.sample(PAIRS, seed=run.config.seed)
    flat = (x.reshape(len(x), -1) for x in (images, training))
    _, nearest = neighbours.nearest(*flat)
    pairs = np.stack([images, training[nearest]], axis=1)
    grid = images_lib.make_grid(pairs.reshape(-1, *images.shape[1:]), columns=10)
    images_lib.save_png(path, grid)


def _check_pairs(data_config: ConfigDict) -> None:
    """Refuses --neighbours before anything is computed for it.

    Raises:
      ValueError: the run has points, --images is given too, or the file cannot be
        written.
    """
    if data_config.name in data.MIXTURES:
        raise ValueError(
            "--neighbours draws pairs of images, but the run has points of "
            f"{data_config.name}: leave --neighbours out, or draw the points with "
            "python -m gan_jax.sample."
        )
    if _IMAGES.value:
        raise ValueError(
            "--neighbours shows images that the run's generator draws, so it does not "
            "go with --images: leave one of them out."
        )
    images_lib.check_output(Path(_PAIRS.value), "--neighbours")


def main() -> None:
    """Scores a run, which is fetched if it lies in a bucket.

    Raises:
      ValueError: the run, the data or the settings cannot be scored, or flags exclude
        each other.
      OSError: the picture of neighbours cannot be written, or a bucket cannot be read.
    """
    for flag in (_STEP, _BEST):
        if _IMAGES.value and flag.value:
            raise ValueError(
                f"--images scores no checkpoint, so it does not go with --{flag.name}: "
                "leave one of them out."
            )
    with bucket.fetched(_WORKDIR.value, _choose()) as workdir:
        _score(workdir)
        if not _IMAGES.value:
            bucket.send(_WORKDIR.value, workdir, files.LATER_SCORES)


def _score(workdir: Path) -> None:
    """Scores a run, prints a table and adds lines to scores.jsonl."""
    config = _read_config(workdir)
    if _PAIRS.value:
        _check_pairs(config.data)
    _check_steps(workdir)
    parallel.use_compilation_cache("")
    scorer = _create_scorer(config)
    columns = {}
    if _IMAGES.value:
        columns[Path(_IMAGES.value).stem] = _score_images(scorer)
    else:
        for kind, run in _generators(workdir):
            columns[f"{run.step} {kind}"] = found = scorer.score_run(run)
            record = {"step": run.step, "generator": kind, **found.as_record()}
            _record(workdir / files.LATER_SCORES, record)
    print(scores.format_table(columns))
    protocol = next(iter(columns.values())).protocol
    known = {k: v for k, v in protocol.items() if v not in ("", None)}
    print("protocol:", ", ".join(f"{k} {v}" for k, v in known.items()), flush=True)
    if _PAIRS.value:
        _save_pairs(Path(_PAIRS.value), run, scorer.training.images)


if __name__ == "__main__":
    command.run(main)
