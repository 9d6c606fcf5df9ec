"""Images on the host: floats to bytes, grids, PNG files."""

from pathlib import Path

import numpy as np
from PIL import Image


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images as uint8 in [0, 255] from floats in [-1, 1], any shape; clipped."""
    scaled = np.rint((np.asarray(images, np.float32) + 1) * 127.5)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def make_grid(images: np.ndarray, columns: int, *, gap: int = 2) -> np.ndarray:
    """One picture of many, row by row, on white.

    Args:
      images: (N, H, W, C) uint8, C 1 or 3.
      columns: images in a row; the last row may be short.
      gap: white pixels between neighbours.

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


def save_png(path: Path, image: np.ndarray) -> None:
    """Writes an (H, W, C) uint8 image, C 1 or 3, whole or not at all."""
    mode_image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    unfinished = path.with_name(path.name + ".tmp")
    mode_image.save(unfinished, format="PNG")
    unfinished.replace(path)
