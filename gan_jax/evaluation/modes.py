"""Counts the modes that samples cover, of mixtures of Gaussians and stacked MNIST."""

from typing import NamedTuple

import numpy as np

NUM_STACKED_MODES = 1000


class ModeScore(NamedTuple):
    """How samples are distributed over the modes of a mixture.

    Attributes:
      modes: number of modes that are nearest to at least one high-quality sample.
      high_quality: share of samples closer than 3 standard deviations to a mode.
      reverse_kl: KL(generated || uniform) in nats over the modes of high-quality
        samples, ln K - entropy, from 0 to ln K. It is infinite without such samples,
        so that their absence does not look better than any finite value.
    """

    modes: int
    high_quality: float
    reverse_kl: float


class StackedScore(NamedTuple):
    """How samples are distributed over the 1,000 modes of stacked MNIST.

    Attributes:
      modes: number of modes with at least one sample.
      reverse_kl: KL(generated || uniform) in nats, ln 1000 - entropy.
    """

    modes: int
    reverse_kl: float


def mixture_score(samples: np.ndarray, modes: np.ndarray, *, std: float) -> ModeScore:
    """The score of samples (N, D) on a mixture with means `modes` (K, D).

        high_quality = mean_i [min_k |x_i - m_k| < 3 std]
        modes        = #{k: n_k > 0}
        reverse_kl   = sum_k n_k / n ln(K n_k / n)

    Here n_k is the number of high-quality samples whose nearest mean is m_k, and n is
    the sum of these numbers.

    Srivastava et al. 2017, VEEGAN (arXiv 1705.07761), take 2,500 samples and 3 standard
    deviations. The distance is Euclidean in all D dimensions, so in two dimensions the
    mixture itself has a high-quality share of 1 - exp(-9 / 2) = 0.989.

    Raises:
      ValueError: there are no samples, samples are not finite or have another dimension
        than modes, or std is not above 0.
    """
    if samples.ndim != 2 or samples.shape[1:] != modes.shape[1:] or not len(samples):
        raise ValueError(
            f"samples have shape {samples.shape} and modes {modes.shape}, but a sample "
            "is a point in the space of the modes: give (N, D) for modes of (K, D)."
        )
    finite = np.isfinite(samples).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{np.sum(~finite)} of {len(samples)} samples are not finite, but a point "
            "has a place: look at the generator's training."
        )
    if not std > 0:
        raise ValueError(f"std is {std}, but a mode has a width: give std above 0.")
    differences = samples.astype(np.float64)[:, None] - modes[None]  # (N, K, D)
    distances = np.linalg.norm(differences, axis=2)
    high_quality = distances.min(axis=1) < 3 * std
    nearest = distances.argmin(axis=1)[high_quality]
    counts = np.bincount(nearest, minlength=len(modes))
    return ModeScore(
        modes=int(np.count_nonzero(counts)),
        high_quality=float(high_quality.mean()),
        reverse_kl=_kl_to_uniform(counts),
    )


def stacked_score(digits: np.ndarray) -> StackedScore:
    """The score of images of three digits, from the digit read in each channel.

        modes      = #{k: n_k > 0}
        reverse_kl = sum_k n_k / N ln(1000 n_k / N)

    Here n_k is the number of the N images that are read as the number k.

    Metz et al. 2016 (arXiv 1611.02163) and VEEGAN (arXiv 1705.07761) take 26,000
    samples. Counting has a floor: N samples drawn uniformly from all modes have an
    expected divergence of about 999 / (2 N), which is 0.019 for 26,000.

    Args:
      digits: (N, 3) integers in [0, 10), a digit for each channel.

    Raises:
      ValueError: there is no sample, or an image does not have three digits in [0, 10).
    """
    if digits.ndim != 2 or digits.shape[1] != 3 or not len(digits):
        raise ValueError(
            f"digits have shape {digits.shape}, but an image is three digits: give "
            "(N, 3)."
        )
    if digits.min() < 0 or digits.max() > 9:
        raise ValueError(
            f"digits go from {digits.min()} to {digits.max()}, but a digit is 0 to 9: "
            "give the classes of a digit classifier."
        )
    numbers = digits.astype(np.int64) @ np.array([100, 10, 1])
    counts = np.bincount(numbers, minlength=NUM_STACKED_MODES)
    return StackedScore(int(np.count_nonzero(counts)), _kl_to_uniform(counts))


def _kl_to_uniform(counts: np.ndarray) -> float:
    """KL of the shares of counts (K,) to 1 / K, in nats; infinite if all are 0."""
    if not counts.any():
        return float("inf")
    shares = counts[counts > 0] / counts.sum()
    return max(0.0, float(np.log(len(counts)) + np.sum(shares * np.log(shares))))
