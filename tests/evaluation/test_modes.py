"""Modes: the mixtures, the mixture's own score, closed forms of the divergence."""

import numpy as np
import pytest

from gan_jax import data
from gan_jax.evaluation import modes

MIXTURES = [data.MIXTURES["ring"], data.MIXTURES["grid"]]
MIXTURE_NAMES = ["ring", "grid"]


def draw(means, std, count, seed=0):
    rng = np.random.default_rng(seed)
    chosen = means[rng.integers(0, len(means), count)]
    return chosen + rng.normal(0, std, (count, means.shape[1]))


def test_ring_is_eight_even_places_on_the_unit_circle():
    ring = data.MIXTURES["ring"].means
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), np.ones(8), rtol=1e-12)
    distances = np.linalg.norm(ring[:, None] - ring[None], axis=2)
    nearest = np.sort(distances, axis=1)[:, 1:3]
    # The sides of an octagon.
    np.testing.assert_allclose(nearest, np.full((8, 2), 2 * np.sin(np.pi / 8)))


def test_grid_is_the_square_of_the_five_ticks():
    expected = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(mode) for mode in data.MIXTURES["grid"].means.tolist()} == expected
    assert data.MIXTURES["grid"].means.shape == (25, 2)


@pytest.mark.parametrize("means, std", MIXTURES, ids=MIXTURE_NAMES)
def test_mixture_itself_has_the_share_of_a_radius_of_three(means, std):
    # The radius is Rayleigh: 1 - exp(-9 / 2). Four binomial standard errors.
    count = 40_000
    score = modes.mixture_score(draw(means, std, count), means, std=std)
    share = 1 - np.exp(-4.5)
    tolerance = 4 * np.sqrt(share * (1 - share) / count)
    np.testing.assert_allclose(score.high_quality, share, rtol=0, atol=tolerance)
    assert score.modes == len(means)
    # The divergence of counts has mean (K - 1) / (2 N), 3e-4 here at the most.
    assert 0 <= score.reverse_kl < 1e-3


@pytest.mark.parametrize("means, std", MIXTURES, ids=MIXTURE_NAMES)
def test_missing_modes_have_the_logarithm_of_the_share_that_is_left(means, std):
    for left in range(1, len(means) + 1):
        samples = np.repeat(means[:left], 6, axis=0)
        score = modes.mixture_score(samples, means, std=std)
        assert (score.modes, score.high_quality) == (left, 1)
        np.testing.assert_allclose(
            score.reverse_kl, np.log(len(means) / left), rtol=1e-12, atol=1e-15
        )


def test_one_of_eight_missing_is_ln_8_over_7():
    ring = data.MIXTURES["ring"].means
    score = modes.mixture_score(ring[:7], ring, std=0.01)
    np.testing.assert_allclose(score.reverse_kl, 0.133531, rtol=1e-5)


def test_unequal_modes_have_the_divergence_by_hand():
    # Shares 3/4 and 1/4 of 8 modes: ln 8 + 3/4 ln 3/4 + 1/4 ln 1/4.
    ring = data.MIXTURES["ring"].means
    score = modes.mixture_score(ring[[5, 5, 5, 2]], ring, std=0.01)
    expected = np.log(8) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    np.testing.assert_allclose(score.reverse_kl, expected, rtol=1e-12)


def test_high_quality_is_a_joint_radius():
    # (2.9, 0) is within 3 standard deviations; (2.9, 2.9) is in each coordinate only.
    ring = data.MIXTURES["ring"].means
    samples = ring[0] + 0.01 * np.array([[2.9, 0], [2.9, 2.9], [0, 3.1], [0, -2.9]])
    assert modes.mixture_score(samples, ring, std=0.01).high_quality == 0.5


def test_only_samples_of_high_quality_count_for_modes_and_divergence():
    ring = data.MIXTURES["ring"].means
    astray = ring * 1.5
    score = modes.mixture_score(np.concatenate([ring[:2], astray]), ring, std=0.01)
    assert (score.modes, score.high_quality) == (2, 0.2)
    np.testing.assert_allclose(score.reverse_kl, np.log(4), rtol=1e-12)


def test_no_sample_of_high_quality_has_no_mode_and_no_divergence():
    ring = data.MIXTURES["ring"].means
    assert modes.mixture_score(ring * 2, ring, std=0.01) == (0, 0, np.inf)


def test_mixture_score_is_blind_to_order_and_takes_other_dimensions():
    means = np.random.default_rng(0).normal(0, 10, (6, 5))
    samples = draw(means, 0.1, 500).astype(np.float32)
    score = modes.mixture_score(samples, means, std=0.1)
    assert score.modes == 6
    assert modes.mixture_score(samples[::-1], means, std=0.1) == score


@pytest.mark.parametrize(
    "samples, std, match",
    [
        (np.zeros((0, 2)), 0.01, r"\(0, 2\) .* give \(N, D\)"),
        (np.zeros((5, 3)), 0.01, r"\(5, 3\) and modes \(8, 2\)"),
        (np.zeros(2), 0.01, r"\(2,\) and modes"),
        (np.array([[0, np.nan], [1, 1]]), 0.01, "1 of 2 samples .* generator's"),
        (np.zeros((5, 2)), 0.0, "std is 0.0, .* above 0"),
    ],
)
def test_samples_without_a_score_are_refused(samples, std, match):
    with pytest.raises(ValueError, match=match):
        modes.mixture_score(samples, data.MIXTURES["ring"].means, std=std)


def test_stacked_score_counts_numbers_of_three_digits():
    numbers = np.arange(1000)
    digits = np.stack([numbers // 100, numbers // 10 % 10, numbers % 10], axis=1)
    score = modes.stacked_score(digits)
    assert score.modes == 1000
    np.testing.assert_allclose(score.reverse_kl, 0, rtol=0, atol=1e-12)
    half = modes.stacked_score(np.repeat(digits[::2], 3, axis=0))
    assert half.modes == 500
    np.testing.assert_allclose(half.reverse_kl, np.log(2), rtol=1e-12)


def test_stacked_score_keeps_the_order_of_the_digits():
    assert modes.stacked_score(np.array([[1, 2, 3], [3, 2, 1], [2, 1, 3]])).modes == 3
    score = modes.stacked_score(np.full((7, 3), 9, np.uint8))
    assert score.modes == 1
    np.testing.assert_allclose(score.reverse_kl, np.log(1000), rtol=1e-12)


def test_even_digits_have_the_divergence_that_counting_leaves():
    # 2 N KL is chi-squared with 999 degrees: mean 999, standard deviation 44.7.
    digits = np.random.default_rng(0).integers(0, 10, (26_000, 3))
    statistic = 2 * 26_000 * modes.stacked_score(digits).reverse_kl
    np.testing.assert_allclose(statistic, 999, rtol=0, atol=4 * 44.7)


@pytest.mark.parametrize(
    "digits, match",
    [
        (np.zeros((4, 2), int), r"\(4, 2\), .* give \(N, 3\)"),
        (np.zeros((0, 3), int), r"\(0, 3\)"),
        (np.full((4, 3), 10), "from 10 to 10, .* digit classifier"),
        (np.full((4, 3), -1), "from -1 to -1"),
    ],
)
def test_digits_without_a_score_are_refused(digits, match):
    with pytest.raises(ValueError, match=match):
        modes.stacked_score(digits)
