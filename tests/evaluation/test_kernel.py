"""Kernel distance: a loop over pairs, the bias, the subsets, the standard error."""

import numpy as np
import pytest

from gan_jax.evaluation import kernel


def normal(seed, count, size, mean=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(mean, 1, (count, size)).astype(np.float32)


def cube(x, y):
    return (np.dot(np.float64(x), np.float64(y)) / len(x) + 1) ** 3


def reference(real, fake):
    """The unbiased estimate, pair by pair."""
    count = len(real)
    pairs = [(i, j) for i in range(count) for j in range(count)]
    within = [
        cube(features[i], features[j])
        for features in (real, fake)
        for i, j in pairs
        if i != j
    ]
    across = [cube(real[i], fake[j]) for i, j in pairs]
    return np.sum(within) / (count * (count - 1)) - 2 * np.mean(across)


def test_one_subset_of_all_samples_equals_the_loop_over_pairs():
    real, fake = normal(0, 12, 5), normal(1, 12, 5, mean=0.5)
    result = kernel.kernel_distance(real, fake, subset_size=12, num_subsets=1)
    np.testing.assert_allclose(result.value, reference(real, fake), rtol=1e-12)
    assert result.standard_error is None


def test_value_by_hand():
    # F = 1, real 0 and 1, fake 2 and 2: within 1 and 125, across (1, 1, 27, 27) / 4.
    real, fake = np.array([[0.0], [1.0]]), np.array([[2.0], [2.0]])
    result = kernel.kernel_distance(real, fake, subset_size=2, num_subsets=1)
    assert result.value == 1 + 125 - 2 * 14


def test_estimate_is_unbiased_on_one_distribution():
    # 400 pairs of sets of one distribution: the mean is 0 within 4 standard errors.
    # The biased estimate would be off by 2 E[k(x, x) - k(x, y)] / 20.
    values = [
        kernel.kernel_distance(
            normal(2 * i, 20, 3),
            normal(2 * i + 1, 20, 3),
            subset_size=20,
            num_subsets=1,
        ).value
        for i in range(400)
    ]
    error = np.std(values) / np.sqrt(400)
    assert abs(np.mean(values)) < 4 * error
    assert min(values) < 0 < max(values)
    points = normal(0, 2000, 3)
    own = np.mean([cube(x, x) for x in points])
    other = np.mean([cube(x, y) for x, y in zip(points, points[::-1], strict=True)])
    assert 2 * (own - other) / 20 > 10 * error


def test_mean_shift_has_the_closed_form():
    # F = 1, x ~ N(0, 1), y ~ N(m, 1). With t = x y: the moments of the product give
    # E k(x, x') = 1 + 3 * 1 = 4, E k(x, y) = 1 + 3 (1 + m^2) and
    # E k(y, y') = 1 + 3 m^2 + 3 (1 + m^2)^2 + (m^3 + 3 m)^2; all at m = 1: 4, 7, 32.
    real, fake = normal(0, 2500, 1), normal(1, 2500, 1, mean=1)
    result = kernel.kernel_distance(real, fake, subset_size=2500, num_subsets=1)
    np.testing.assert_allclose(result.value, 4 + 32 - 2 * 7, rtol=0.15)


def test_subsets_average_to_the_loop_over_pairs_of_each():
    real, fake = normal(0, 9, 4), normal(1, 11, 4, mean=1)
    result = kernel.kernel_distance(real, fake, subset_size=6, num_subsets=8, seed=5)
    rng = np.random.default_rng(5)
    values = []
    for _ in range(8):
        rows = [rng.choice(len(x), 6, replace=False) for x in (real, fake)]
        values.append(reference(real[rows[0]], fake[rows[1]]))
    np.testing.assert_allclose(result.value, np.mean(values), rtol=1e-12)
    np.testing.assert_allclose(
        result.standard_error, np.std(values, ddof=1) / np.sqrt(8), rtol=1e-9
    )


def test_same_seed_draws_the_same_subsets():
    real, fake = normal(0, 30, 4), normal(1, 30, 4)
    first, again, other = (
        kernel.kernel_distance(real, fake, subset_size=10, num_subsets=3, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_distance_is_symmetric_and_blind_to_order_and_rotation():
    real, fake = normal(0, 40, 6), normal(1, 40, 6, mean=0.3)
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))
    order = np.random.default_rng(3).permutation(40)
    distance, *others = (
        kernel.kernel_distance(*pair, subset_size=40, num_subsets=1).value
        for pair in (
            (real, fake),
            (fake, real),
            (real[order], fake[::-1]),
            (real @ turn, fake @ turn),
        )
    )
    np.testing.assert_allclose(others, distance, rtol=1e-6)


def test_features_are_not_changed():
    real, fake = np.float64(normal(0, 10, 2)), np.float64(normal(1, 10, 2))
    copies = real.copy(), fake.copy()
    kernel.kernel_distance(real, fake, subset_size=10, num_subsets=2)
    np.testing.assert_array_equal(real, copies[0])
    np.testing.assert_array_equal(fake, copies[1])


@pytest.mark.parametrize(
    "fake, options, match",
    [
        (normal(1, 5, 2), {}, "9 real and 5 fake samples, but a subset takes 1000"),
        (normal(1, 5, 2), {"subset_size": 6}, "5 fake .* more samples or a smaller"),
        (normal(1, 9, 2), {"subset_size": 1}, "100 subsets of size 1, .* subset_size"),
        (normal(1, 9, 2), {"num_subsets": 0}, "0 subsets .* give num_subsets >= 1"),
        (normal(1, 9, 3), {"subset_size": 9}, "size 2 and fake features 3, .* same"),
        (normal(1, 9, 2) * np.nan, {"subset_size": 9}, "sample 0 are not finite"),
        (normal(1, 1, 2), {"subset_size": 2}, "1 samples, but at least 2"),
        (np.zeros(9), {"subset_size": 2}, r"\(9,\), .* give \(N, F\)"),
    ],
)
def test_sets_without_a_distance_are_refused(fake, options, match):
    with pytest.raises(ValueError, match=match):
        kernel.kernel_distance(normal(0, 9, 2), fake, **options)
