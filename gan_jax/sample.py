"""Draws images from a trained run.

This command draws a grid of 8 rows and 8 columns, whose images are numbered from 0, row
by row:
  python -m gan_jax.sample --workdir=RUN --rows=8 --columns=8 --output=grid.png
This one draws the path from image 3 of that grid to image 7, as an animation:
  python -m gan_jax.sample --workdir=RUN --between=3,7 --output=path.gif
This one writes ten thousand images as arrays:
  python -m gan_jax.sample --workdir=RUN --num=10000 --output=samples.npz
"""

import math
from pathlib import Path
import re
from typing import NamedTuple

from absl import flags, logging
import numpy as np

from gan_jax import checks, command, generator_flags, memory
from gan_jax.run import images as images_lib
from gan_jax.run import latents as latents_lib
from gan_jax.run import trained

flags.adopt_module_key_flags(generator_flags)
_NUM = flags.DEFINE_integer(
    "num",
    None,
    "This number of images is drawn. The default is 64, or 8 along a path, or 32 along "
    "a path that is an animation.",
    lower_bound=1,
    upper_bound=checks.MOST,
)
_ROWS = flags.DEFINE_integer(
    "rows",
    None,
    "The grid has this number of rows. It goes with --columns, instead of --num.",
    lower_bound=1,
    upper_bound=2**15,
)
_COLUMNS = flags.DEFINE_integer(
    "columns",
    None,
    "The grid has this number of columns. By default the grid is square, a path has "
    "one row, and a grid by class has 8 columns.",
    lower_bound=1,
    upper_bound=2**15,
)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "The latents and labels are drawn with this seed.",
    lower_bound=0,
    upper_bound=checks.SEEDS,
)
_LABEL = flags.DEFINE_string(
    "label",
    None,
    "All images have this class: its number or, if the classes are an attribute of "
    "faces, its name, such as Smiling or 'not Smiling'. By default the class of each "
    "image is drawn at random.",
)
_TRUNCATION = flags.DEFINE_float(
    "truncation",
    None,
    "Latents are drawn with coordinates of at most this magnitude, for a run with "
    "normal latents. Images then vary less, and often look better.",
)
_BETWEEN = flags.DEFINE_string(
    "between",
    None,
    "The images follow the arc between the latents of these two images, given by their "
    "numbers in the grid of the same --seed, such as 3,7.",
)
_WALK = flags.DEFINE_integer(
    "walk",
    None,
    "The images follow a walk along this coordinate of the latents, from one end of "
    "its range to the other. The other coordinates are those of image 0.",
)
_ARITHMETIC = flags.DEFINE_string(
    "arithmetic",
    None,
    "The four images are those of three means of latents and of the first mean minus "
    "the second plus the third. Images are given by their numbers in the grid of the "
    "same --seed, such as 1,2,3-4,5,6+7,8,9.",
)
_BY_CLASS = flags.DEFINE_bool(
    "by_class",
    False,
    "The grid has a row for each class of a conditional run, and all images of a "
    "column have the same latents.",
)
_STATISTICS = flags.DEFINE_enum(
    "statistics",
    "running",
    ["running", "batch"],
    "The generator's BatchNorm uses these statistics: running, from training, or "
    "batch, from the generated batch.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    256,
    "This number of images is generated at once.",
    lower_bound=1,
    upper_bound=checks.MOST,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    "samples.npz",
    "The images are written to this file: .npz holds them as arrays, .png shows them "
    "in a grid, .gif is an animation of a path. A name that ends in / is a folder, in "
    "which each image is a .png.",
)

BY_CLASS_COLUMNS = 8
SECONDS_PER_FRAME = 0.08
PAIR = r"(\d{1,5}),(\d{1,5})"
GROUP = r"(\d{1,5}(?:,\d{1,5})*)"
SUM = rf"{GROUP}-{GROUP}\+{GROUP}"


class _Plan(NamedTuple):
    """What is drawn.

    Attributes:
      latents: (N, Z) float32.
      labels: (N,) integers, or one for all images; None for an unconditional run.
      columns: number of columns of the grid.
    """

    latents: np.ndarray
    labels: np.ndarray | int | None
    columns: int


def main() -> None:
    """Generates images from a run and writes them.

    Raises:
      ValueError: there is no such run, flags exclude each other or do not fit the run,
        or the output has no known ending or cannot be written.
      OSError: the disk is full.
    """
    _check_flags()
    _check_output()
    run = generator_flags.load()
    _check_run(run)
    labels: np.ndarray | int | None
    if _STATISTICS.value == "batch":
        num = _count(run.config.data.num_classes)
        columns = _columns(num)
        images, labels = run.draw(
            num,
            seed=_SEED.value,
            label=_label(run),
            batch_size=_BATCH_SIZE.value,
            statistics="batch",
        )
    else:
        latents, labels, columns = _plan(run)
        images = run.generate(latents, labels, batch_size=_BATCH_SIZE.value)
    _write(images, labels, columns)
    logging.info(
        "Wrote %d images of %s of step %d to %s.",
        len(images),
        "the averaged generator" if run.kind == "averaged" else "the generator",
        run.step,
        _OUTPUT.value,
    )


def _kind() -> str:
    """The flag that says what is drawn, without its dashes; "" for a plain draw."""
    given = [
        name
        for name, flag in [
            ("between", _BETWEEN),
            ("walk", _WALK),
            ("arithmetic", _ARITHMETIC),
            ("by_class", _BY_CLASS),
        ]
        if flag.value is not None and flag.value is not False  # --walk=0 is given
    ]
    if len(given) > 1:
        raise ValueError(
            f"--{given[0]} and --{given[1]} draw different pictures: give one of them."
        )
    return given[0] if given else ""


def _check_flags() -> None:
    """Refuses flags that exclude each other, before the run is read."""
    kind = _kind()
    excluded = {  # kind of drawing -> flags that have no meaning for it
        "": [],
        "between": ["rows"],
        "walk": ["rows"],
        "arithmetic": ["rows", "columns", "num"],
        "by_class": ["rows", "num", "label"],
    }[kind]
    for name in excluded:
        if flags.FLAGS[name].value is not None:
            raise ValueError(
                f"--{name} and --{kind} exclude each other: leave --{name} out."
            )
    if _ROWS.value and (_NUM.value or not _COLUMNS.value):
        raise ValueError(
            "--rows goes with --columns, whose product is the number of images: give "
            "--rows and --columns without --num, or --num without --rows."
        )
    if _STATISTICS.value == "batch" and (kind or _TRUNCATION.value is not None):
        raise ValueError(
            "--statistics=batch makes an image depend on its batch, so that it cannot "
            f"go with --{kind or 'truncation'}: leave one of them out."
        )


def _check_output() -> None:
    """Refuses an output that cannot be written, before anything is computed for it."""
    output = Path(_OUTPUT.value)
    if _is_folder():
        images_lib.check_folder(output, "--output")
        return
    if output.suffix not in (".npz", ".png", ".gif"):
        raise ValueError(
            f"output is {output}, but must end in .npz (arrays), .png (a grid), .gif "
            "(an animation) or / (a folder of .png files): change --output."
        )
    if output.suffix == ".gif" and not _is_path():
        raise ValueError(
            f"output is {output}, but only a path is shown as an animation: give "
            "--between or --walk, or take .png."
        )
    images_lib.check_output(output, "--output")


def _is_folder() -> bool:
    return _OUTPUT.value.endswith("/")


def _is_path() -> bool:
    return _kind() in ("between", "walk")


def _label(run: trained.Run) -> int | None:
    return None if _LABEL.value is None else run.class_of(_LABEL.value)


def _check_run(run: trained.Run) -> None:
    """Refuses flags that do not fit the run, and more images than memory holds."""
    kind, data = _kind(), run.config.data
    if kind not in ("", "by_class") and not run.is_smooth:
        raise ValueError(
            f"--{kind} was given, but the run's images are drawn with dropout "
            "(model.generator.test_dropout), whose masks the latents decide, so that "
            f"near latents give unrelated images: leave --{kind} out."
        )
    if kind == "by_class" and not run.is_conditional:
        raise ValueError(
            "--by_class was given, but the run is unconditional: leave it out, or "
            "train a conditional GAN, such as configs/cgan.py."
        )
    if kind not in ("", "by_class") and run.is_conditional and _LABEL.value is None:
        raise ValueError(
            f"the run is conditional, and all images of --{kind} have one class: give "
            f"--label, from 0 to {data.num_classes - 1}."
        )
    shape = data.image_size, data.image_size, data.channels
    if run.draws_points and (_is_folder() or _OUTPUT.value.endswith(".gif")):
        raise ValueError(
            f"output is {_OUTPUT.value}, but the run draws points of the plane, which "
            "are no pictures: take .npz (arrays) or .png (their density)."
        )
    filled = _BATCH_SIZE.value if _STATISTICS.value == "batch" else 0
    num = max(_count(data.num_classes), filled)
    flag = "--batch_size" if num == filled else "--num" if _NUM.value else "--columns"
    memory.check_images(num, shape, flag)


def _count(classes: int) -> int:
    """The number of images that the flags ask for."""
    if _kind() == "by_class":
        return classes * (_COLUMNS.value or BY_CLASS_COLUMNS)
    if _kind() == "arithmetic":
        return 4
    if _ROWS.value and _COLUMNS.value:
        return _ROWS.value * _COLUMNS.value
    if _is_path():
        return _NUM.value or (32 if _OUTPUT.value.endswith(".gif") else 8)
    return _NUM.value or 64


def _columns(num: int) -> int:
    """The number of columns of a grid, which is as square as possible by default."""
    return _COLUMNS.value or math.isqrt(num - 1) + 1


def _plan(run: trained.Run) -> _Plan:
    """The latents and labels that the flags ask for."""
    num = _count(run.config.data.num_classes)
    kind = _kind()
    if kind == "by_class":
        return _plan_by_class(run)
    labels: np.ndarray | int | None = _label(run)
    if kind == "":
        if labels is None and run.is_conditional:
            labels = run.draw_labels(num, seed=_SEED.value)
        return _Plan(_draw_latents(run, num), labels, _columns(num))
    if kind == "arithmetic":
        groups = _named_latents(run, _ARITHMETIC, SUM, "1,2,3-4,5,6+7,8,9")
        return _Plan(latents_lib.combine(*groups), labels, num)
    if kind == "between":
        start, end = _named_latents(run, _BETWEEN, PAIR, "3,7")
        latents = latents_lib.interpolate(start[0], end[0], num)
    else:
        assert _WALK.value is not None
        reach = (
            _TRUNCATION.value or latents_lib.REACH[run.config.model.latent_distribution]
        )
        values = np.linspace(-reach, reach, num)
        latents = latents_lib.walk(_draw_latents(run, 1)[0], _WALK.value, values)
    return _Plan(latents, labels, _COLUMNS.value or num)


def _plan_by_class(run: trained.Run) -> _Plan:
    """A row for each class, with the same latents in all rows."""
    columns = _COLUMNS.value or BY_CLASS_COLUMNS
    classes = run.config.data.num_classes
    latents = np.tile(_draw_latents(run, columns), (classes, 1))
    return _Plan(latents, np.repeat(np.arange(classes), columns), columns)


def _draw_latents(run: trained.Run, num: int) -> np.ndarray:
    return run.draw_latents(num, seed=_SEED.value, truncation=_TRUNCATION.value)


def _named_latents(
    run: trained.Run, flag: flags.FlagHolder[str | None], pattern: str, example: str
) -> list[np.ndarray]:
    """The latents (N, Z) of each group of image numbers in the flag's value.

    Args:
      run: run whose latents are drawn.
      flag: flag with the numbers.
      pattern: regular expression of the value, with a group for each group of numbers.
      example: value that fits the pattern.
    """
    match = re.fullmatch(pattern, (flag.value or "").replace(" ", ""))
    if match is None:
        raise ValueError(
            f"--{flag.name} is {flag.value}, but must have the form {example}, with "
            "numbers of images from 0 to 99999: change it."
        )
    groups = [[int(number) for number in group.split(",")] for group in match.groups()]
    latents = _draw_latents(
        run, 1 + max(number for group in groups for number in group)
    )
    return [latents[group] for group in groups]


def _write(images: np.ndarray, labels: np.ndarray | int | None, columns: int) -> None:
    output = Path(_OUTPUT.value)
    if _is_folder():
        images_lib.save_folder(output, images)
    elif output.suffix == ".npz":
        arrays = {"images": images}
        if labels is not None:
            arrays["labels"] = np.broadcast_to(labels, len(images)).astype(np.int32)
        images_lib.save_arrays(output, **arrays)
    elif output.suffix == ".gif":
        there_and_back = np.concatenate([images, images[-2:0:-1]])
        images_lib.save_gif(output, there_and_back, seconds=SECONDS_PER_FRAME)
    else:
        extent = 1.25 * float(np.abs(images).max())
        grid = images_lib.make_picture(images, columns, extent=extent)
        images_lib.save_png(output, grid)


if __name__ == "__main__":
    command.run(main)
