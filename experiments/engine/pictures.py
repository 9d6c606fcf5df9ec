"""Joins the sample pictures of several rows in a labelled grid or an animation."""

from collections.abc import Mapping, Sequence
import io
from pathlib import Path
import re

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_jax.run import files
from gan_jax.run import images as images_lib

PNG_BYTES = 100_000
GIF_BYTES = 1_000_000
MONTAGE_SIDES = (220, 180, 150, 120, 90)  # pixels of a picture, tried in turn
ANIMATIONS = (  # pixels of a picture, colours and frames, tried in turn
    *((160, 64, 30), (160, 32, 24), (140, 32, 18)),
    *((128, 16, 15), (112, 16, 12), (96, 8, 10), (72, 8, 8)),
)
COLUMNS = 4  # pictures side by side
GAP = 8  # pixels
FONT_SIZE = 12  # pixels
LINE = 15  # pixels
LEAST_WIDTH = 128  # smallest width of a label in pixels


def save_small(image: Image.Image, path: Path) -> bool:
    """Writes a PNG with as many colours as a small file allows.

    Returns:
      Whether the file is small.
    """
    for colours in (256, 64, 24, 8):
        content = io.BytesIO()
        _quantised(image, colours).save(content, format="PNG", optimize=True)
        is_small = len(content.getvalue()) <= PNG_BYTES
        if is_small:
            break
    files.write_whole(path, content.getvalue())
    return is_small


def montage(pictures: Mapping[str, Path], path: Path) -> None:
    """Writes a PNG of labelled pictures, as large as a small file allows.

    Raises:
      ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError(
            "there is no picture to put into a montage; it takes one or more: leave "
            "the montage out, or run the rows first."
        )
    for side in MONTAGE_SIDES:
        images = {label: _opened(name, side) for label, name in pictures.items()}
        if save_small(_grid(images), path):
            return


def animate(frames: Mapping[str, Sequence[Path]], path: Path) -> None:
    """Writes an animated GIF of the rows' pictures over the steps, side by side.

    A row that has no picture at a step shows its latest picture.

    Args:
      frames: pictures of each row, with names such as step_0000500.png.
      path: path of the GIF, whose folder exists.

    Raises:
      ValueError: there is no picture, or a name has no step.
    """
    by_step = {
        label: {_step(name): name for name in names}
        for label, names in frames.items()
        if names
    }
    steps = sorted({step for names in by_step.values() for step in names})
    if not steps:
        raise ValueError(
            "there is no picture to animate; it takes one step or more of a row: "
            "leave the animation out, or run the rows first."
        )
    for side, colours, count in ANIMATIONS:
        places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
        drawn = [_frame(by_step, steps[place], side) for place in places]
        _save_gif([_quantised(image, colours) for image in drawn], path)
        if path.stat().st_size <= GIF_BYTES:
            return


def _save_gif(images: Sequence[Image.Image], path: Path) -> None:
    with images_lib.writing_whole(path) as file:
        images[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=[300] * (len(images) - 1) + [2_500],  # milliseconds
            loop=0,
        )


def _frame(
    by_step: Mapping[str, Mapping[int, Path]], step: int, side: int
) -> Image.Image:
    """The rows' latest pictures at a step, below the step."""
    images = {
        label: _opened(
            names[max([s for s in names if s <= step] or [min(names)])], side
        )
        for label, names in by_step.items()
    }
    return _grid(images, title=f"step {step:,}")


def _step(path: Path) -> int:
    found = re.search(r"step_(\d+)", path.name)
    if not found:
        raise ValueError(
            f"{path} has no step in its name; frames are called step_0000500.png: "
            "rename it, or leave it out."
        )
    return int(found[1])


def _opened(path: Path, side: int) -> Image.Image:
    """A picture as RGB, its longer side at most `side` pixels."""
    with Image.open(path) as image:
        opened = image.convert("RGB")
    opened.thumbnail((side, side), Image.Resampling.LANCZOS)
    return opened


def _grid(images: Mapping[str, Image.Image], *, title: str = "") -> Image.Image:
    """The images on white, below their labels, which may take several lines."""
    font = ImageFont.load_default(FONT_SIZE)
    width = max(LEAST_WIDTH, *(image.width for image in images.values()))
    labels = [_wrapped(label, font, width) for label in images]
    columns = min(COLUMNS, len(images))
    starts = range(0, len(images), columns)
    pictures = list(images.values())
    heads = [LINE * max(map(len, labels[i : i + columns])) + 2 for i in starts]
    heights = [max(p.height for p in pictures[i : i + columns]) for i in starts]
    top = GAP + (LINE + GAP if title else 0)
    size = (
        GAP + columns * (width + GAP),
        top + sum(heads) + sum(heights) + GAP * len(starts),
    )
    grid = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(grid)
    pen.text((GAP, GAP), title, "black", font)
    for start, head, height in zip(starts, heads, heights, strict=True):
        for column, lines in enumerate(labels[start : start + columns]):
            left = GAP + column * (width + GAP)
            upper = top + head - 2 - LINE * len(lines)  # labels stand on pictures
            pen.text((left, upper), "\n".join(lines), "black", font, spacing=3)
            grid.paste(pictures[start + column], (left, top + head))
        top += head + height + GAP
    return grid


def _wrapped(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    """The words of a label in lines of at most `width` pixels, if no word is longer."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _quantised(image: Image.Image, colours: int) -> Image.Image:
    method = Image.Quantize.MEDIANCUT
    return image.quantize(colours, method=method, dither=Image.Dither.NONE)
