"""Log-likelihood of real images under a Gaussian Parzen window on generated ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tqdm

from gan_jax.evaluation import estimate

BLOCK = 2000  # rows of a block, whose float64 distances take 32 MB
# The authors' script tries these ten widths from 0.1 to 1, in units of the pixel range.
SIGMAS = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))


class Parzen(NamedTuple):
    """A Parzen-window log-likelihood.

    Attributes:
      estimate: mean over the test images, in nats, and its standard error.
      sigma: standard deviation of the window, chosen on the validation images. If it is
        the smallest or largest candidate, a value beyond it may be better.
    """

    estimate: estimate.Estimate
    sigma: float


def parzen_log_likelihood(
    samples: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    *,
    sigmas: Sequence[float] = SIGMAS,
) -> Parzen:
    """Mean log-likelihood of test images; sigma is the best on validation images.

        mean_i ln (1/M sum_j N(x_i; s_j, sigma^2 I))

    Goodfellow et al. 2014 (arXiv 1406.2661), section 5 and table 1, with the numbers
    of the authors' parzen_ll.py (github.com/goodfeli/adversarial): 10,000 samples,
    1,000 validation images, all 10,000 test images. The standard error is the
    standard deviation over test images divided by the square root of their number; it
    ignores that the samples are random. Theis et al. 2016 (arXiv 1511.01844) show that
    the number does not rank models: a model of cluster centres can beat the data.

    Args:
      samples: generated samples, (M, H, W, C) uint8, which are scaled to [0, 1], or
        (M, D) floats, which are not scaled.
      validation: real images in the form of the samples, held out of training and test.
      test: real images in the form of the samples.
      sigmas: candidates for sigma, in the units of the scaled values.

    Raises:
      ValueError: there is no sigma, a sigma is not positive, or `log_likelihoods`
        refuses the arrays.
    """
    windows = np.asarray(sigmas, np.float64)
    means = np.mean(_log_likelihoods(validation, samples, windows), axis=1)
    sigma = float(windows[np.argmax(means)])
    values = log_likelihoods(test, samples, sigma=sigma)
    return Parzen(estimate.mean_of(values.tolist()), sigma)


def log_likelihoods(
    points: np.ndarray, samples: np.ndarray, *, sigma: float
) -> np.ndarray:
    """Log of the mean of N(sample, sigma^2 I) at each point, (N,) float64, in nats.

    Args:
      points: (N, H, W, C) uint8, which are scaled to [0, 1], or (N, D) floats, which
        are not scaled.
      samples: centres of the windows, in the form of the points.
      sigma: standard deviation of a window, in the units of the scaled values.

    Raises:
      ValueError: sigma is not positive, there are no points or no samples, their sizes
        differ, or the arrays are neither uint8 nor floats.
    """
    return _log_likelihoods(points, samples, np.array([sigma], np.float64))[0]


def _log_likelihoods(
    points: np.ndarray, samples: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Log-likelihoods (S, N) for S sigmas; each distance is computed once."""
    _check(points, samples, sigmas)
    size = int(np.prod(points.shape[1:]))
    totals = np.full((len(sigmas), len(points)), -np.inf)
    for i in tqdm.trange(
        0,
        len(points),
        BLOCK,
        desc="windows",
        unit_scale=BLOCK,
        delay=5,
        disable=None,
        leave=False,
    ):
        rows = _scale(points[i : i + BLOCK])
        part = totals[:, i : i + BLOCK]
        for j in range(0, len(samples), BLOCK):
            squares = _squared_distances(rows, _scale(samples[j : j + BLOCK]))
            part[...] = np.logaddexp(part, _log_sums(squares, sigmas))
    constants = np.log(len(samples)) + size * np.log(sigmas * np.sqrt(2 * np.pi))
    return totals - constants[:, None]


def _check(points: np.ndarray, samples: np.ndarray, sigmas: np.ndarray) -> None:
    if len(sigmas) == 0 or not np.all(sigmas > 0):
        raise ValueError(
            f"sigmas are {sigmas.tolist()}, but a window needs a standard deviation "
            "above 0: give one or more positive numbers."
        )
    if points.shape[1:] != samples.shape[1:] or not (len(points) and len(samples)):
        raise ValueError(
            f"points {points.shape} and samples {samples.shape}, but the windows "
            "around the samples are evaluated at the points: give one or more of "
            "each, of the same size."
        )
    integers = points.dtype == samples.dtype == np.uint8
    floats = all(np.issubdtype(x.dtype, np.floating) for x in (points, samples))
    if not (integers or floats):
        raise ValueError(
            f"points are {points.dtype} and samples {samples.dtype}; allowed are uint8 "
            "for both, which is scaled to [0, 1], or floats for both: convert one."
        )


def _scale(array: np.ndarray) -> np.ndarray:
    """The array as (N, D) float64; integers in [0, 255] are scaled to [0, 1]."""
    flat = array.reshape(len(array), -1).astype(np.float64)
    return flat / 255 if array.dtype == np.uint8 else flat


def _squared_distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared distances (N, M), in float64 exact to 1e-13 of the squared norms."""
    squares = rows @ columns.T
    squares *= -2
    squares += np.sum(rows**2, axis=1)[:, None]
    squares += np.sum(columns**2, axis=1)[None, :]
    return np.maximum(squares, 0, out=squares)


def _log_sums(squares: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Log of the sum over columns of exp(-squares / (2 sigma^2)), (S, N).

    The exponent of the nearest centre is subtracted, so that its term is 1.
    """
    nearest = np.min(squares, axis=1)
    beyond = squares - nearest[:, None]
    terms = np.empty_like(beyond)
    sums = np.empty((len(sigmas), len(squares)))
    for k, sigma in enumerate(sigmas):
        np.multiply(beyond, -0.5 / sigma**2, out=terms)
        sums[k] = np.log(np.sum(np.exp(terms, out=terms), axis=1))
        sums[k] -= 0.5 * nearest / sigma**2
    return sums
