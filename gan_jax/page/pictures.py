"""The sample grids of a page, few and small enough for it."""

import base64
from collections.abc import Sequence
import io
from typing import NamedTuple

from absl import logging
from PIL import Image

from gan_jax.page.history import History
from gan_jax.run import files

MOST_BYTES = 8 * 2**20  # bytes of all pictures of a page
LARGEST_FILE = 2**26  # bytes of a picture that is read
MOST_PIXELS = 2**26  # pixels of a picture that is decoded
SMALL = 100_000  # bytes of a PNG file that is embedded as it is
SIDE = 2_048  # pixels of the longest side of a picture on the page
QUALITY = 85  # of WebP; its errors are hard to see


class Picture(NamedTuple):
    """A sample grid as the page embeds it.

    Attributes:
      step: step at which the grid was drawn.
      source: data URI.
      size: (width, height) in pixels.
      is_exact: whether its pixels are those of the file.
    """

    step: int
    source: str
    size: tuple[int, int]
    is_exact: bool


def embed(runs: Sequence[History], most: int) -> list[list[Picture]]:
    """The pictures of each run, evenly spaced over its steps.

    Fewer than `most` are taken if they would take more than MOST_BYTES together.

    Args:
      runs: runs of the page.
      most: largest number of pictures of a run.
    """
    encoded: dict[tuple[int, int], Picture | None] = {}
    while True:
        chosen = [
            (number, step)
            for number, run in enumerate(runs)
            for step in spaced(list(run.grids), most)
        ]
        for number, step in chosen:
            if (number, step) not in encoded:
                encoded[number, step] = _encode(runs[number], step)
        found = {key: encoded[key] for key in chosen}
        total = sum(len(one.source) for one in found.values() if one)
        if total <= MOST_BYTES or most == 1:
            return [
                [one for (run, _), one in found.items() if one and run == number]
                for number in range(len(runs))
            ]
        most = max(1, most // 2)


def spaced(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of the steps, evenly spaced, with the first and the last."""
    if len(steps) <= most:
        return list(steps)
    if most == 1:
        return [steps[-1]]
    return [steps[i * (len(steps) - 1) // (most - 1)] for i in range(most)]


def _encode(run: History, step: int) -> Picture | None:
    """The grid of a step, or None with a warning if it cannot be shown."""
    path = run.grids[step]
    try:
        content = files.read_bytes(path, LARGEST_FILE)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            image.load()
            if len(content) <= SMALL:
                return Picture(step, _data_uri("png", content), image.size, True)
            size = image.size
            shown = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        logging.warning("%s is left out, as no picture of samples: %s", path, error)
        return None
    shown.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    shown.save(file, format="WEBP", quality=QUALITY)
    return Picture(step, _data_uri("webp", file.getvalue()), size, False)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
