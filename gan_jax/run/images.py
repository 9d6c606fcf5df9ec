"""Images on the host: floats to bytes, grids, PNG files."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import tempfile
from typing import BinaryIO

import numpy as np
from PIL import Image
import tqdm


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images of any shape as uint8 in [0, 255], from floats clipped to [-1, 1]."""
    scaled = np.rint((np.asarray(images, np.float32) + 1) * 127.5)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def are_points(images: np.ndarray) -> bool:
    """Whether the array (N, H, W, C) holds points of data/toy.py instead of images."""
    return images.shape[1:] == (1, 1, 2)


def as_stored(images: np.ndarray) -> np.ndarray:
    """Generated images in the form of the data: uint8 in [0, 255], or float points."""
    if are_points(images):
        return np.asarray(images, np.float32)
    return to_uint8(images)


def draw_density(
    points: np.ndarray, *, extent: float, side: int = 256, bins: int = 128
) -> np.ndarray:
    """A picture (side, side, 3) of points (N, 1, 1, 2), dark where points are dense.

    Args:
      points: points, with the first coordinate to the right and the second up.
      extent: half of the side of the square around the origin that is shown.
      side: side of the picture in pixels, a multiple of bins.
      bins: number of squares along a side, in which points are counted.
    """
    x, y = points.reshape(-1, 2).T
    limits = [[-extent, extent]] * 2
    counts, _, _ = np.histogram2d(-y, x, bins=bins, range=limits)
    shade = np.log1p(counts) / np.log1p(max(1, len(points) / 8 / 4))
    dark, light = np.array([8, 48, 107]), np.array([255, 255, 255])
    shade = np.clip(shade, 0, 1)[..., None]
    picture = np.where(shade > 0, 0.75 * light + 0.25 * dark, light)
    picture = np.where(shade > 0, picture + shade * (dark - picture), picture)
    zoom = side // bins
    return picture.astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)


def make_picture(images: np.ndarray, columns: int, *, extent: float) -> np.ndarray:
    """A picture (H, W, C) uint8: a grid of images, or the density of points."""
    if are_points(images):
        return draw_density(images, extent=extent)
    return make_grid(images, columns)


def make_grid(images: np.ndarray, columns: int, *, gap: int = 2) -> np.ndarray:
    """A picture of many images, row by row, on white.

    Args:
      images: (N, H, W, C) uint8, C 1 or 3.
      columns: number of images in a row; the last row may be shorter.
      gap: number of white pixels between neighbours.

    Returns:
      (rows * (H + gap) - gap, columns * (W + gap) - gap, C) uint8.
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    grid = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        top = index // columns * (height + gap)
        left = index % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def mean_distance(images: np.ndarray) -> float:
    """Root-mean-square difference of two images, averaged over all pairs.

    It has the units of the images (N, H, W, C). It is 0 for a generator that draws the
    same image again and again.
    """
    count = len(images)
    flat = images.reshape(count, -1).astype(np.float64)
    squares = (flat**2).sum(1)
    distances = squares[:, None] + squares - 2 * flat @ flat.T
    mean_squares = np.maximum(distances, 0) / flat.shape[1]
    return float(np.sqrt(mean_squares).sum() / max(1, count * (count - 1)))


def mean_change(images: np.ndarray, others: np.ndarray) -> float:
    """Root-mean-square difference of images at the same place, averaged over places.

    It has the units of the images (N, H, W, C), as `mean_distance` has.
    """
    squares = (np.asarray(images, np.float64) - others) ** 2
    return float(np.sqrt(squares.reshape(len(images), -1).mean(axis=1)).mean())


def save_png(path: Path, image: np.ndarray) -> None:
    """Writes an (H, W, C) uint8 image, C 1 or 3, completely or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    with writing_whole(path) as file:
        Image.fromarray(_without_one_channel(image)).save(file, format="PNG")


def save_gif(path: Path, images: np.ndarray, *, seconds: float) -> None:
    """Writes images (N, H, W, C) uint8, C 1 or 3, as an endless animation.

    The file is written completely or not at all.

    Args:
      path: file to write.
      images: frames of the animation, in order.
      seconds: how long each frame is shown.

    Raises:
      OSError: the file cannot be written.
    """
    first, *others = (Image.fromarray(_without_one_channel(one)) for one in images)
    with writing_whole(path) as file:
        first.save(
            file,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=round(1000 * seconds),
            loop=0,
        )


def save_folder(path: Path, images: np.ndarray) -> None:
    """Writes images (N, H, W, C) uint8 as 00000.png, 00001.png and so on, or nothing.

    Args:
      path: folder, which is missing or empty.
      images: images, C 1 or 3.

    Raises:
      OSError: the folder or a file cannot be written.
    """
    digits = max(5, len(str(len(images) - 1)))
    numbered = tqdm.tqdm(
        enumerate(images),
        "writing",
        len(images),
        unit=" images",
        delay=5,
        disable=None,
        leave=False,
    )
    try:
        # Only its owner may enter a temporary folder, but anyone the folder inside.
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix=f"{path.name}.", ignore_cleanup_errors=True
        ) as outer:
            unfinished = Path(outer) / "images"
            unfinished.mkdir()
            for number, image in numbered:
                save_png(unfinished / f"{number:0{digits}}.png", image)
            unfinished.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _without_one_channel(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C), as PIL takes it: (H, W) if C is 1."""
    return image[..., 0] if image.shape[-1] == 1 else image


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an .npz file, completely or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    with writing_whole(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


@contextlib.contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file under a temporary name, which replaces `path` at the end.

    Raises:
      OSError: the file cannot be written; an earlier file at `path` stays.
    """
    # Hidden, so it is no user's file, and always the same, so a kill leaves only one.
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except BaseException as error:  # Ctrl-C too
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise


def _unwritable(path: Path, error: OSError) -> OSError:
    return OSError(
        f"{path} cannot be written: {error.strerror or error}; make room, or choose "
        "another file."
    )


def check_output(path: Path, flag: str) -> None:
    """Refuses a file that cannot be written, before anything is computed for it.

    Raises:
      ValueError: the path is a folder, or its folder is missing or cannot be written.
    """
    if path.is_dir():
        raise ValueError(
            f"{flag} is {path}, which is a folder: add the name of a file in it."
        )
    _check_parent(path, flag)


def check_folder(path: Path, flag: str) -> None:
    """Refuses a folder of images that cannot be written or that holds other files.

    Raises:
      ValueError: the path is a file or a folder with files, or the folder that it lies
        in is missing or cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"{flag} is the folder {path}/, but {path} is a file: change {flag}."
        )
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(
            f"{flag} is the folder {path}/, which holds files: empty it, or name a new "
            "folder."
        )
    _check_parent(path, flag)


def _check_parent(path: Path, flag: str) -> None:
    if not path.parent.is_dir():
        raise ValueError(
            f"the folder of the output {path} does not exist: make it, or change "
            f"{flag}."
        )
    if not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"the folder of the output {path} cannot be written: change its "
            f"permissions, or {flag}."
        )
