"""Structural similarity at several scales, and the diversity of a set of images."""

import numpy as np

from gan_jax.evaluation import estimate

WINDOW = 11  # side of the window in pixels
SIGMA = 1.5  # width of the window's Gaussian in pixels
# Powers of the five scales of Wang et al. 2003, the finest first.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LUMINANCE = (0.01 * 255) ** 2  # C1 and C2 for pixels in [0, 255]
CONTRAST = (0.03 * 255) ** 2
BLOCK = 256  # pairs


def num_scales(height: int, width: int) -> int:
    """The number of scales, at most five, at which images of this size are compared.

    Each scale halves the image, rounding down, and the window of 11 pixels must fit
    into it: there is 1 scale from 11 pixels on, 2 from 22 (MNIST, CIFAR-10), 3 from 44,
    4 from 88 and 5 from 176.

    Raises:
      ValueError: a side is below 11 pixels.
    """
    side = min(height, width)
    if side < WINDOW:
        raise ValueError(
            f"images are {height}x{width} pixels, but the window of MS-SSIM takes "
            f"{WINDOW}x{WINDOW}: give larger images."
        )
    fitting = [level for level in range(len(WEIGHTS)) if side >> level >= WINDOW]
    return len(fitting)


def ms_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Similarity (N,) float64 in [0, 1] of each pair of images; 1 if they are equal.

        l_M^w_M (c_1 s_1)^w_1 ... (c_M s_M)^w_M
        l   = (2 m_x m_y + C_1) / (m_x^2 + m_y^2 + C_1)
        c s = (2 v_xy + C_2) / (v_x + v_y + C_2)

    The means m, variances v and the covariance v_xy are those of a window. Scale 1 is
    the finest and M the coarsest, and w are the weights of the scales.

    Wang, Simoncelli and Bovik 2003 (Multi-scale structural similarity for image
    quality assessment), equation 7: a Gaussian window of 11 pixels and sigma 1.5
    inside the image, contrast and structure at each scale, luminance at the coarsest,
    each averaged over the image before its power is taken, as in the authors' code.

    Small images have fewer scales (`num_scales`), whose weights are divided by their
    sum. So do not compare values of images of different sizes, such as 28 or 32 pixels
    with the 128 pixels of Odena et al. A scale with negative mean structure counts as
    0, since its power does not exist. An image is halved by the mean of 2x2 pixels,
    without the last row or column of an odd side. The values of several channels are
    averaged.

    Args:
      first: (N, H, W, C) uint8, or real numbers in [0, 255].
      second: images of the same shape.

    Raises:
      ValueError: the images differ in shape or are smaller than the window.
    """
    if first.shape != second.shape or first.ndim != 4:
        raise ValueError(
            f"the images are {first.shape} and {second.shape}, but they are compared "
            "in pairs: give two (N, H, W, C) arrays of one shape."
        )
    scales = num_scales(*first.shape[1:3])
    blocks = [
        _similarities(first[i : i + BLOCK], second[i : i + BLOCK], scales)
        for i in range(0, len(first), BLOCK)
    ]
    return np.concatenate([np.zeros(0), *blocks])


def diversity(
    images: np.ndarray, *, num_pairs: int = 100, seed: int = 0
) -> estimate.Estimate:
    """Mean MS-SSIM of random pairs of different images; diverse images have a low mean.

    Odena et al. 2017 (arXiv 1610.09585), section 4.2, take 100 pairs within a class. So
    give the images of a single class, and compare with the value of real images.

    Args:
      images: (N, H, W, C) uint8.
      num_pairs: number of pairs, which are drawn with replacement.
      seed: seed of the draws.

    Raises:
      ValueError: there are fewer than two images or no pairs, or the images are smaller
        than the window.
    """
    if len(images) < 2 or num_pairs < 1:
        raise ValueError(
            f"{num_pairs} pairs of {len(images)} images, but a pair has two different "
            "images: give at least two images and ask for at least one pair."
        )
    rng = np.random.default_rng(seed)
    first = rng.integers(len(images), size=num_pairs)
    second = (first + rng.integers(1, len(images), size=num_pairs)) % len(images)
    values = ms_ssim(images[first], images[second])
    return estimate.mean_of(values.tolist())


def _similarities(first: np.ndarray, second: np.ndarray, scales: int) -> np.ndarray:
    """The similarities (N,) of a block of pairs."""
    x, y = (np.moveaxis(images, 3, 1).astype(np.float64) for images in (first, second))
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    products = np.ones(x.shape[:2])  # (N, C)
    for scale, weight in enumerate(weights):
        structure, similarity = _maps(x, y)
        mean = similarity if scale == scales - 1 else structure
        products *= np.maximum(np.mean(mean, axis=(2, 3)), 0) ** weight
        x, y = _halve(x), _halve(y)
    return np.mean(products, axis=1)


def _maps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contrast times structure at each window, and the same times luminance."""
    filters = [_window_matrix(size) for size in x.shape[2:]]

    def average(values: np.ndarray) -> np.ndarray:
        return filters[0] @ values @ filters[1].T

    x_mean, y_mean = average(x), average(y)
    x_variance = average(x * x) - x_mean**2
    y_variance = average(y * y) - y_mean**2
    covariance = average(x * y) - x_mean * y_mean
    structure = (2 * covariance + CONTRAST) / (x_variance + y_variance + CONTRAST)
    luminance = 2 * x_mean * y_mean + LUMINANCE
    luminance /= x_mean**2 + y_mean**2 + LUMINANCE
    return structure, structure * luminance


def _window_matrix(size: int) -> np.ndarray:
    """A matrix (size - 10, size), whose row i is the window at pixels i to i + 10."""
    offsets = np.arange(size)[None, :] - np.arange(size - WINDOW + 1)[:, None]
    inside = (offsets >= 0) & (offsets < WINDOW)
    weights = np.exp(-((offsets - WINDOW // 2) ** 2) / (2 * SIGMA**2)) * inside
    return weights / np.sum(weights, axis=1, keepdims=True)


def _halve(x: np.ndarray) -> np.ndarray:
    """Means (N, C, H // 2, W // 2) of 2x2 pixels."""
    height, width = (side // 2 for side in x.shape[2:])
    x = x[:, :, : 2 * height, : 2 * width]
    return x.reshape(*x.shape[:2], height, 2, width, 2).mean((3, 5))
