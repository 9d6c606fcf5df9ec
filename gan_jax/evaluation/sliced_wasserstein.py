"""Sliced Wasserstein distance of image patches at several scales."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage
import tqdm

PATCH = 7  # side of a patch in pixels
SMALLEST = 14  # side in pixels of the smallest level that halving makes
BLOCK = 500  # images whose patches exist at once: 64,000 if an image has 128
PROJECTED = 2**25  # projections of a set that exist at once: 128 MB of float32
KERNEL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # Burt and Adelson's, a = 3/8

Project = Callable[[np.ndarray], np.ndarray]


def sliced_wasserstein(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    patches_per_image: int = 128,
    num_projections: int = 512,
    seed: int = 0,
) -> dict[int, float]:
    """Distances of 7x7 patches at each level of a Laplacian pyramid.

        mean_d mean_i |sort(x.d)_i - sort(y.d)_i|

    The patches of the two sets are x and y, and d is a random direction.

    Karras et al. 2018 (arXiv 1710.10196), section 5, and the authors' code
    (github.com/tkarras/progressive_growing_of_gans): patches are cut at random places,
    normalised by the mean and standard deviation of each channel in their set, and
    sorted along random directions. The mean difference, over 4 x 128 directions, is
    small where the sets are alike. Their tables give it times 1000.

    This function differs in three ways. They halve down to 16 pixels, while levels
    here have 14 pixels or more: 28 pixels have the levels 28 and 14. The places are
    drawn once for both sets, so that the distance of a set to itself is 0. A channel
    that is constant over all patches of a level is normalised to 0.

    The pyramids take five bytes for each pixel of the images, and the projections take
    256 MB.

    Args:
      real: (N, H, W, C) uint8 real images.
      fake: (N, H, W, C) uint8 generated images.
      patches_per_image: number of patches in each level of an image.
      num_projections: number of random directions.
      seed: seed of places and directions.

    Returns:
      The distance at each level, by the level's smaller side in pixels.

    Raises:
      ValueError: the arrays differ in shape, there are no images, patches or
        directions, or the images are smaller than a patch.
    """
    _check(real, fake, patches_per_image, num_projections)
    distances = {}
    levels = zip(pyramid(real), pyramid(fake), strict=True)
    for number, (real_level, fake_level) in enumerate(levels):
        height, width, channels = real_level.shape[1:]
        rng = np.random.default_rng([seed, number])
        places = rng.integers(
            (height - PATCH + 1, width - PATCH + 1),
            size=(len(real), patches_per_image, 2),
        )
        directions = _directions(rng, num_projections, channels * PATCH**2)
        distances[min(height, width)] = _mean_distance(
            _patch_projection(real_level, places),
            _patch_projection(fake_level, places),
            directions,
            max(1, PROJECTED // (len(real) * patches_per_image)),
        )
    return distances


def pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Laplacian levels (N, h, w, C) float32 of images (N, H, W, C), the finest first.

    Burt and Adelson 1983 (The Laplacian pyramid as a compact image code): a level is
    what blurring and halving loses, and the last level is the blurred rest. Sides
    halve, rounding up, while 14 pixels or more are left.
    """
    level = images.astype(np.float32)
    levels = []
    while (min(level.shape[1:3]) + 1) // 2 >= SMALLEST:
        smaller = _blur(level)[:, ::2, ::2]
        spread = np.zeros_like(level)
        spread[:, ::2, ::2] = 4 * smaller
        levels.append(level - _blur(spread))
        level = smaller
    return [*levels, level]


def _blur(images: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        images = ndimage.correlate1d(images, KERNEL, axis=axis, mode="mirror")
    return images


def _patch_projection(level: np.ndarray, places: np.ndarray) -> Project:
    """A function from directions (K, C * 49) to projections (K, N * P) float32.

    It cuts the patches anew for each block of directions, which bounds the memory. The
    normalisation is applied to the directions and to an offset instead of the patches.
    """
    mean, scale = _moments(level, places)

    def project(directions: np.ndarray) -> np.ndarray:
        weights = directions.reshape(-1, len(mean), PATCH**2) / scale[:, None]
        offsets = np.sum(weights * mean[:, None], axis=(1, 2))
        weights = weights.reshape(len(directions), -1).astype(np.float32)
        projected = [weights @ patches.T for patches in _patches(level, places)]
        joined = np.concatenate(projected, axis=1)
        joined -= offsets[:, None].astype(np.float32)
        return joined

    return project


def _moments(level: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) over all patches; a deviation of 0 becomes 1."""
    channels = level.shape[-1]
    sums = np.zeros((2, channels))
    for patches in _patches(level, places):
        values = patches.reshape(-1, channels, PATCH**2).astype(np.float64)
        sums += [np.sum(values, axis=(0, 2)), np.sum(values**2, axis=(0, 2))]
    mean, square = sums / (places.shape[0] * places.shape[1] * PATCH**2)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return mean, np.where(std > 0, std, 1)


def _patches(level: np.ndarray, places: np.ndarray) -> Iterator[np.ndarray]:
    """Yields blocks of patches (n, C * 49) at places (N, P, 2), image by image."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), (1, 2))
    for i in range(0, len(level), BLOCK):
        rows, columns = np.moveaxis(places[i : i + BLOCK], 2, 0)
        numbers = np.arange(len(rows))[:, None]
        patches = windows[i : i + BLOCK][numbers, rows, columns]
        yield patches.reshape(rows.size, -1)


def _directions(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Directions (count, size) float32, uniform on the unit sphere."""
    vectors = rng.normal(size=(count, size))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def _mean_distance(
    first: Project, second: Project, directions: np.ndarray, block: int
) -> float:
    """The mean over directions of the 1-Wasserstein distance along them.

    Rabin et al. 2012 (Wasserstein barycenter and its application to texture mixing),
    with absolute differences, as Karras et al. take them. Along a direction, the
    distance is the mean difference of the sorted projections.

    Args:
      first: function that projects the first set.
      second: function that projects the second set, of the same size.
      directions: (K, F) random directions.
      block: number of directions that are projected at once.
    """
    total = 0.0
    for i in tqdm.trange(
        0,
        len(directions),
        block,
        desc="directions",
        unit_scale=block,
        delay=5,
        disable=None,
        leave=False,
    ):
        projected, other = (each(directions[i : i + block]) for each in (first, second))
        projected.sort(axis=1)
        other.sort(axis=1)
        projected -= other  # in place: these are the largest arrays
        np.abs(projected, out=projected)
        total += float(np.sum(np.mean(projected, axis=1), dtype=np.float64))
    return total / len(directions)


def _check(
    real: np.ndarray, fake: np.ndarray, patches_per_image: int, num_projections: int
) -> None:
    if real.shape != fake.shape or real.ndim != 4 or not real.size:
        raise ValueError(
            f"real images are {real.shape} and fake ones {fake.shape}, but sorted "
            "projections are compared in pairs: give two (N, H, W, C) arrays of one "
            "shape."
        )
    if min(real.shape[1:3]) < PATCH:
        raise ValueError(
            f"images are {real.shape[1]}x{real.shape[2]} pixels, but a patch takes "
            f"{PATCH}x{PATCH}: give larger images."
        )
    if patches_per_image < 1 or num_projections < 1:
        raise ValueError(
            f"{patches_per_image} patches an image and {num_projections} projections, "
            "but the distance is a mean over both: ask for at least one of each."
        )
