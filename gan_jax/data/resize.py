"""Centre crop and resize of one image, the same for every source."""

import numpy as np
from PIL import Image


def crop_and_resize(
    image: np.ndarray, *, crop: int, size: int, channels: int
) -> np.ndarray:
    """One image as a centre square of `size` pixels with `channels` channels.

    Args:
      image: (H, W, 1) or (H, W, 3) uint8 in [0, 255].
      crop: side in pixels of the centre square that is cut out before resizing.
        Where it reaches beyond the image, the rest is black. 0 takes the largest
        centre square.
      size: side of the result in pixels; other sizes are resized, bilinear with
        antialiasing.
      channels: number of channels: 1 turns colours into ITU-R 601 luma, 3 repeats grey.

    Returns:
      (size, size, channels) uint8 in [0, 255].
    """
    image = _with_channels(image, channels)
    image = _crop_centre(image, crop or min(image.shape[:2]))
    if image.shape[0] == size:
        return image
    pillow_image = Image.fromarray(image[..., 0] if channels == 1 else image)
    resized = pillow_image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(size, size, channels)


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=-1)
    return np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis]


def _crop_centre(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    # Floor division cuts an odd pixel off at the bottom and right, and adds an odd
    # pixel of padding at the top and left.
    top, left = (height - side) // 2, (width - side) // 2
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    if inside.shape[:2] == (side, side):
        return inside
    square = np.zeros((side, side, image.shape[-1]), np.uint8)
    rows = slice(max(-top, 0), max(-top, 0) + inside.shape[0])
    columns = slice(max(-left, 0), max(-left, 0) + inside.shape[1])
    square[rows, columns] = inside
    return square
