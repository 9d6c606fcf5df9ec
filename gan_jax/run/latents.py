"""Paths through latents and sums of latents: pure functions of arrays."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

REACH = {"normal": 3.0, "uniform": 1.0}  # walks go to this distance from zero
OPPOSITE = 1e-4  # angles to pi, in radians, below which two latents count as opposite


def truncate(latents: ArrayLike, threshold: float) -> np.ndarray:
    """Normal latents with every coordinate in [-threshold, threshold], float32.

    The law is that of the truncation trick (Brock et al. 2018, arXiv 1809.11096,
    section 3.1), which draws coordinates beyond the threshold anew. Instead of drawing
    anew, we move every coordinate to the same quantile of the truncated normal law. So
    a latent vector has one truncated vector, which changes smoothly with the threshold.

    Args:
      latents: array of any shape, drawn from N(0, 1).
      threshold: largest magnitude of a coordinate, above 0.

    Raises:
      ValueError: the threshold is not above 0.
    """
    if not threshold > 0:
        raise ValueError(
            f"the truncation is {threshold}, but must be above 0: give the largest "
            "magnitude of a latent coordinate, such as 1."
        )
    latents = np.asarray(latents, np.float64)
    beyond = special.ndtr(-threshold)  # the mass of one tail
    tail = special.ndtr(-np.abs(latents))  # is precise where 1 - tail is not
    magnitudes = -special.ndtri(beyond + (1 - 2 * beyond) * tail)
    truncated = np.sign(latents) * np.clip(magnitudes, 0, threshold)
    return truncated.astype(np.float32)


def interpolate(start: ArrayLike, end: ArrayLike, num: int) -> np.ndarray:
    """Latents (num, Z) float32 on an arc from `start` to `end`, both included.

    The angle from the start and the norm change linearly. For ends of one norm this is
    the spherical interpolation of White 2016, arXiv 1609.04468, section 2, which stays
    at the norm; his formula for ends of two norms changes the angle unevenly. Where an
    end is zero the arc is the straight line.

    Args:
      start: (Z,).
      end: (Z,).
      num: number of latents, at least 2.

    Raises:
      ValueError: there are fewer than two latents, the ends are not two vectors of one
        length, or they are opposite, so that no arc is the shortest.
    """
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    if first.ndim != 1 or first.shape != last.shape:
        raise ValueError(
            f"the ends have the shapes {first.shape} and {last.shape}, but must be two "
            "vectors of the same length: give one row of the latents for each."
        )
    if num < 2:
        raise ValueError(
            f"{num} latents were asked for, but a path has both ends: ask for 2 or "
            "more."
        )
    share = np.linspace(0, 1, num)[:, None]
    lengths = np.linalg.norm(first), np.linalg.norm(last)
    if min(lengths) == 0:
        return ((1 - share) * first + share * last).astype(np.float32)
    units = first / lengths[0], last / lengths[1]
    # 2 atan2(|u - v|, |u + v|) is precise at all angles, arccos of u . v is not.
    apart, together = (np.linalg.norm(units[0] + sign * units[1]) for sign in (-1, 1))
    angle = 2 * np.arctan2(apart, together)
    if np.pi - angle < OPPOSITE:
        raise ValueError(
            "the ends point in opposite directions, so no arc between them is the "
            "shortest: change one of them, or go by way of a third."
        )
    # sinc(x) is sin(pi x) / (pi x), so the weights have their limits at angle 0.
    near, far = (
        part * np.sinc(part * angle / np.pi) / np.sinc(angle / np.pi)
        for part in (1 - share, share)
    )
    direction = near * units[0] + far * units[1]
    path = ((1 - share) * lengths[0] + share * lengths[1]) * direction
    path[0], path[-1] = first, last
    return path.astype(np.float32)


def walk(latent: ArrayLike, coordinate: int, values: ArrayLike) -> np.ndarray:
    """Latents (N, Z) float32 that differ in one coordinate, which takes N values.

    Args:
      latent: (Z,), which gives the other coordinates.
      coordinate: number of the coordinate, from 0 to Z - 1.
      values: (N,).

    Raises:
      ValueError: the latents have no such coordinate.
    """
    latent, values = np.asarray(latent, np.float32), np.asarray(values, np.float32)
    if not 0 <= coordinate < len(latent):
        raise ValueError(
            f"the coordinate is {coordinate}, but the latents have the coordinates 0 "
            f"to {len(latent) - 1}: walk along one of them."
        )
    path = np.tile(latent, (len(values), 1))
    path[:, coordinate] = values
    return path


def combine(first: ArrayLike, minus: ArrayLike, plus: ArrayLike) -> np.ndarray:
    """Latents (4, Z) float32: the means of three groups, and first - minus + plus.

    Radford et al. 2015, arXiv 1511.06434, section 6.3.2, take three latents a group,
    because the sums of single ones are unstable. Around the result they draw eight more
    images with noise, which we leave to the caller.

    Args:
      first: (N, Z), for example of men with glasses.
      minus: (N, Z), for example of men without glasses.
      plus: (N, Z), for example of women without glasses.
    """
    means = [np.mean(np.asarray(group), axis=0) for group in (first, minus, plus)]
    return np.stack([*means, means[0] - means[1] + means[2]]).astype(np.float32)
