"""Metrics that are computed from a classifier's view of generated images."""

import numpy as np

from gan_jax.evaluation import estimate


def classifier_score(
    probabilities: np.ndarray, *, splits: int = 10
) -> estimate.Estimate:
    """The classifier score, from 1 to K: a mean over splits of the samples.

        exp(mean_i KL(p(y|x_i) || p(y)))

    Salimans et al. 2016 (arXiv 1606.03498), section 4: the inception score where the
    classifier is their Inception network. p(y) is the mean of a split. Splits are
    contiguous, as those of torch-fidelity, which by default shuffles the samples
    first. This function does not shuffle, so samples in the order of their labels must
    be shuffled before. Smaller splits score less.

    The standard error is the standard deviation over splits divided by the root of
    their number; papers and torch-fidelity quote the deviation itself.

    Args:
      probabilities: (N, K), a distribution over classes in each row.
      splits: number of parts; with 1 there is no standard error.

    Raises:
      ValueError: a row is not a distribution, or there are fewer samples than splits.
    """
    if probabilities.ndim != 2:
        raise ValueError(
            f"probabilities have shape {probabilities.shape}, but a row is a sample's "
            "distribution over classes: give (N, K)."
        )
    count = len(probabilities)
    if not 1 <= splits <= count:
        raise ValueError(
            f"{splits} splits of {count} samples, but a split needs a sample: give "
            f"splits from 1 to {count}."
        )
    _check_distributions(probabilities)
    scores = []
    for split in range(splits):
        start, stop = split * count // splits, (split + 1) * count // splits
        part = probabilities[start:stop].astype(np.float64)
        divergence = _entropies(part.mean(axis=0)) - _entropies(part).mean()
        scores.append(float(np.exp(divergence)))
    return estimate.mean_of(scores)


def class_histogram(predicted: np.ndarray, *, num_classes: int) -> np.ndarray:
    """The share of each class among predicted classes (N,): (K,) float64, sum 1.

    Raises:
      ValueError: there is no sample, or a class is outside [0, num_classes).
    """
    if not len(predicted):
        raise ValueError(
            "0 predicted classes, but shares need a sample: give one or more."
        )
    if predicted.min() < 0 or predicted.max() >= num_classes:
        raise ValueError(
            f"predicted classes go from {predicted.min()} to {predicted.max()}, but "
            f"{num_classes} classes start at 0: change num_classes."
        )
    return np.bincount(predicted, minlength=num_classes) / len(predicted)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """The total variation of two distributions (K,): 0 if equal, 1 if disjoint.

        sum_k |p_k - q_k| / 2

    Raises:
      ValueError: p or q is not a distribution, or their numbers of classes differ.
    """
    if p.ndim != 1 or p.shape != q.shape:
        raise ValueError(
            f"distributions have shapes {p.shape} and {q.shape}, but both are over the "
            "same classes: give (K,) twice."
        )
    for distribution in p, q:
        _check_distributions(distribution[None])
    return float(np.abs(p - q).sum() / 2)


def label_accuracy(predicted: np.ndarray, labels: np.ndarray) -> estimate.Estimate:
    """The share of samples that the classifier puts in the requested class.

        mean_i [argmax_k p(k|x_i) = label_i]

    Shmelkov et al. 2018 (arXiv 1807.09499) call it GAN-test where a classifier that was
    trained on real images reads generated ones.

    The standard error is the binomial sqrt(p (1 - p) / N) with the measured share as p,
    so it is 0 where all samples agree, or none.

    Args:
      predicted: (N,) classes that the classifier sees.
      labels: (N,) classes that the generator was given.

    Raises:
      ValueError: there is no sample, or the number of labels differs.
    """
    if predicted.ndim != 1 or predicted.shape != labels.shape or not len(labels):
        raise ValueError(
            f"predicted classes have shape {predicted.shape} and labels "
            f"{labels.shape}, but each sample has a predicted class and a label: give "
            "(N,) twice."
        )
    share = float(np.mean(predicted == labels))
    return estimate.Estimate(share, float(np.sqrt(share * (1 - share) / len(labels))))


def _entropies(p: np.ndarray) -> np.ndarray:
    """The entropy -sum p log p over the last axis, in nats, where 0 log 0 is 0."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)


def _check_distributions(rows: np.ndarray) -> None:
    """Raises ValueError unless each row is >= 0 and sums to 1 within a thousandth."""
    sums = rows.sum(axis=1, dtype=np.float64)
    if not (np.all(rows >= 0) and np.all(np.abs(sums - 1) < 1e-3)):
        raise ValueError(
            f"values from {rows.min():.4g} to {rows.max():.4g} with sums from "
            f"{sums.min():.4g} to {sums.max():.4g}, but probabilities are at least 0 "
            "with sum 1: give a softmax of logits."
        )
