"""Classifier score, class shares and label accuracy: closed forms, loops, errors."""

import numpy as np
import pytest
from scipy import special, stats

from gan_jax.evaluation import classes


def softmax_rows(seed, count, size):
    logits = np.random.default_rng(seed).normal(0, 2, (count, size))
    return special.softmax(logits, axis=1).astype(np.float32)


def reference(probabilities):
    """The score of one split, sample by sample."""
    rows = probabilities.astype(np.float64)
    marginal = rows.mean(axis=0)
    return np.exp(np.mean([stats.entropy(row, marginal) for row in rows]))


@pytest.mark.parametrize("splits", [1, 2, 5])
def test_sure_and_balanced_samples_score_the_number_of_classes(splits):
    probabilities = np.tile(np.eye(4), (10, 1))
    result = classes.classifier_score(probabilities, splits=splits)
    np.testing.assert_allclose(result.value, 4, rtol=1e-12)


@pytest.mark.parametrize("row", [[0.2, 0.3, 0.5], [1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
def test_samples_that_look_alike_score_one(row):
    result = classes.classifier_score(np.tile(row, (20, 1)), splits=2)
    np.testing.assert_allclose(result.value, 1, rtol=1e-12)
    np.testing.assert_allclose(result.standard_error, 0, rtol=0, atol=1e-12)


def test_score_by_hand():
    # Two rows (0.9, 0.1) and (0.1, 0.9): ln 2 - entropy of a row.
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = 2 * 0.9**0.9 * 0.1**0.1
    result = classes.classifier_score(probabilities, splits=1)
    np.testing.assert_allclose(result.value, expected, rtol=1e-12)
    assert result.standard_error is None


def test_score_equals_the_loop_over_samples_of_contiguous_splits():
    # 23 samples in 4 splits: 5, 6, 6 and 6 of them, in their order.
    probabilities = softmax_rows(0, 23, 5)
    scores = [reference(probabilities[i:j]) for i, j in [(0, 5), (5, 11), (11, 17)]]
    scores.append(reference(probabilities[17:]))
    result = classes.classifier_score(probabilities, splits=4)
    np.testing.assert_allclose(result.value, np.mean(scores), rtol=1e-6)
    error = np.std(scores, ddof=1) / 2
    np.testing.assert_allclose(result.standard_error, error, rtol=1e-4)


def test_score_of_one_split_is_blind_to_order_of_samples_and_classes():
    probabilities = softmax_rows(0, 30, 5)
    value = classes.classifier_score(probabilities, splits=1).value
    for other in probabilities[::-1], probabilities[:, ::-1]:
        result = classes.classifier_score(other, splits=1)
        np.testing.assert_allclose(result.value, value, rtol=1e-6)


@pytest.mark.parametrize(
    "probabilities, splits, match",
    [
        (softmax_rows(0, 9, 3), 10, "10 splits of 9 .* splits from 1 to 9"),
        (softmax_rows(0, 9, 3), 0, "0 splits of 9"),
        (np.zeros((0, 3)), 1, "1 splits of 0"),
        (np.ones(9) / 9, 1, r"\(9,\), .* give \(N, K\)"),
        (np.array([[2.0, -1], [0, 1]]), 1, "values from -1 to 2 .* give a softmax"),
        (np.array([[0.7, 0.7], [0, 1]]), 1, "sums from 1 to 1.4, but prob"),
        (np.array([[0.7, np.nan], [0, 1]]), 1, "nan.* give a softmax"),
    ],
)
def test_rows_without_a_score_are_refused(probabilities, splits, match):
    with pytest.raises(ValueError, match=match):
        classes.classifier_score(probabilities, splits=splits)


def test_histogram_holds_the_share_of_each_class():
    predicted = np.array([3, 0, 3, 1, 3])
    histogram = classes.class_histogram(predicted, num_classes=5)
    np.testing.assert_allclose(histogram, [0.2, 0.2, 0, 0.6, 0], rtol=1e-12)


@pytest.mark.parametrize(
    "predicted, match",
    [
        ([0, 3], "go from 0 to 3, but 3 classes .* change num_classes"),
        ([-1, 0], "go from -1 to 0"),
        ([], "0 predicted classes, but .* give one or more"),
    ],
)
def test_classes_outside_the_histogram_are_refused(predicted, match):
    with pytest.raises(ValueError, match=match):
        classes.class_histogram(np.array(predicted), num_classes=3)


@pytest.mark.parametrize(
    "p, q, expected",
    [
        ([0.5, 0.5, 0], [0.5, 0.5, 0], 0),
        ([1, 0, 0], [0, 0.5, 0.5], 1),
        # (0.3 + 0.1 + 0.2) / 2
        ([0.5, 0.3, 0.2], [0.2, 0.4, 0.4], 0.3),
    ],
)
def test_total_variation_by_hand(p, q, expected):
    for first, second in (p, q), (q, p):
        value = classes.total_variation(np.array(first), np.array(second))
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "p, q, match",
    [
        ([0.5, 0.5], [0.5, 0.25, 0.25], r"\(2,\) and \(3,\), .* give \(K,\) twice"),
        ([[1.0]], [[1.0]], r"\(1, 1\) and"),
        ([0.5, 0.5], [5.0, 5.0], "sums from 10 to 10"),
    ],
)
def test_total_variation_of_no_distributions_is_refused(p, q, match):
    with pytest.raises(ValueError, match=match):
        classes.total_variation(np.array(p), np.array(q))


def test_label_accuracy_is_a_share_with_its_binomial_error():
    predicted, labels = np.array([0, 1, 2, 2, 1]), np.array([0, 1, 2, 0, 0])
    result = classes.label_accuracy(predicted, labels)
    # 3 of 5: sqrt(0.6 * 0.4 / 5)
    np.testing.assert_allclose(result, (0.6, np.sqrt(0.048)), rtol=1e-12)


def test_label_accuracy_is_zero_where_labels_are_ignored_by_one():
    labels = np.arange(10)
    assert classes.label_accuracy(labels, labels) == (1, 0)
    assert classes.label_accuracy((labels + 1) % 10, labels) == (0, 0)


@pytest.mark.parametrize(
    "predicted, labels, match",
    [
        (np.zeros(4), np.zeros(3), r"\(4,\) and labels \(3,\), .* give \(N,\) twice"),
        (np.zeros((4, 1)), np.zeros((4, 1)), r"\(4, 1\)"),
        (np.zeros(0), np.zeros(0), r"\(0,\)"),
    ],
)
def test_labels_that_do_not_pair_are_refused(predicted, labels, match):
    with pytest.raises(ValueError, match=match):
        classes.label_accuracy(predicted, labels)
