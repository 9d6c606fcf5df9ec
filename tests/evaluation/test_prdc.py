"""Precision, recall, density, coverage: loops, hand-made sets, ties, invariances."""

import numpy as np
import pytest

from gan_jax.evaluation import prdc


def normal(seed, count, size, spread=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, spread, (count, size)).astype(np.float32)


def line(*places):
    return np.array(places, np.float32)[:, None]


def reference(real, fake, neighbours):
    """The definitions, ball by ball."""

    def radii(features):
        return [
            sorted(np.linalg.norm(x - y) for j, y in enumerate(features) if j != i)[
                neighbours - 1
            ]
            for i, x in enumerate(features)
        ]

    real, fake = np.float64(real), np.float64(fake)
    real_radii, fake_radii = radii(real), radii(fake)
    within_real = [
        [np.linalg.norm(x - y) <= r for x, r in zip(real, real_radii, strict=True)]
        for y in fake
    ]
    within_fake = [
        [np.linalg.norm(x - y) <= r for y, r in zip(fake, fake_radii, strict=True)]
        for x in real
    ]
    return (
        np.mean([any(row) for row in within_real]),
        np.mean([any(row) for row in within_fake]),
        np.sum(within_real) / neighbours / len(fake),
        np.mean([any(column) for column in zip(*within_real, strict=True)]),
    )


@pytest.mark.parametrize("block_values", [2**23, 200, 1])
@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_scores_equal_the_loop_over_balls(monkeypatch, neighbours, block_values):
    monkeypatch.setattr(prdc, "BLOCK_VALUES", block_values)
    real, fake = normal(0, 50, 3), normal(1, 40, 3, spread=0.7)
    np.testing.assert_allclose(
        prdc.prdc(real, fake, neighbours=neighbours),
        reference(real, fake, neighbours),
        rtol=1e-12,
    )


def test_scores_by_hand():
    # k = 1. Real 0, 1, 10: radii 1, 1, 9, balls [-1, 1], [0, 2], [1, 19].
    # Fake 1.5, 2.5, 30: radii 1, 1, 27.5, balls [0.5, 2.5], [1.5, 3.5], [2.5, 57.5].
    # 1.5 is in two real balls, 2.5 in one, 30 in none; balls of 1 and 10 hold fakes.
    # 1 and 10 are in fake balls.
    scores = prdc.prdc(line(0, 1, 10), line(1.5, 2.5, 30), neighbours=1)
    np.testing.assert_allclose(scores, (2 / 3, 2 / 3, 1, 2 / 3), rtol=1e-12)


def test_copy_of_the_real_samples_is_precise_and_complete():
    real = normal(0, 300, 8)
    scores = prdc.prdc(real, real.copy())
    assert (scores.precision, scores.recall, scores.coverage) == (1, 1, 1)
    # Each ball holds its own centre and 5 neighbours, the fifth on the border.
    assert 1 <= scores.density <= 6 / 5


def test_sets_far_apart_have_nothing_in_common():
    assert prdc.prdc(normal(0, 60, 4), normal(1, 60, 4) + 100) == (0, 0, 0, 0)


def test_collapsed_fakes_are_precise_and_cover_little():
    # All fakes are one real sample: their balls have radius 0 and hold it alone.
    real = normal(0, 60, 4)
    scores = prdc.prdc(real, np.tile(real[7], (40, 1)))
    assert scores.precision == 1
    np.testing.assert_allclose(scores.recall, 1 / 60, rtol=1e-12)
    assert scores.coverage < 0.5


@pytest.mark.parametrize("block_rows", [80, 79, 1])
def test_samples_that_repeat_are_found_at_distance_zero(monkeypatch, block_rows):
    # Norms of 1e3 and spreads of 1e-1, so that rounding would show at duplicates, also
    # between a block of one row and one of many.
    monkeypatch.setattr(prdc, "BLOCK_VALUES", 80 * block_rows)
    centre = normal(0, 1, 300) * 1000
    real = np.repeat(centre + normal(1, 10, 300, spread=0.1), 8, axis=0)
    for fake in real[::8], real[-1:].repeat(8, axis=0):
        scores = prdc.prdc(real, fake)
        assert scores.precision == 1
        assert scores.recall == scores.coverage == len(np.unique(fake, axis=0)) / 10
        # Radius 0: a fake is in the balls of its 8 copies alone.
        np.testing.assert_allclose(scores.density, 8 / 5, rtol=1e-12)


def test_density_and_coverage_of_one_distribution_have_their_expected_values():
    # Naeem et al. 2020: E density = 1, E coverage = 1 - the chance that no fake is
    # among the k nearest of N - 1 real and M fake samples, which is
    # (N - 1) ... (N - k) / (N + M - 1) ... (N + M - k), about 1 - 2^-k for N = M.
    scores = prdc.prdc(normal(0, 2000, 4), normal(1, 2000, 4))
    expected = 1 - np.prod([(2000 - i) / (4000 - i) for i in range(1, 6)])
    np.testing.assert_allclose(scores.coverage, expected, rtol=0, atol=0.015)
    np.testing.assert_allclose(scores.density, 1, rtol=0, atol=0.05)


def test_narrow_fakes_lose_recall_and_coverage_and_wide_ones_precision_and_density():
    real = normal(0, 400, 4)
    narrow, even, wide = (
        prdc.prdc(real, normal(1, 400, 4, spread=spread)) for spread in (0.3, 1, 3)
    )
    assert narrow.precision >= even.precision > 2 * wide.precision
    assert narrow.density > even.density > 2 * wide.density
    assert 2 * narrow.recall < even.recall <= wide.recall
    assert 2 * narrow.coverage < even.coverage


def test_scores_are_blind_to_order_rotation_and_scale():
    real, fake = normal(0, 80, 6), normal(1, 90, 6)
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))
    scores = prdc.prdc(real, fake)
    for pair in (
        (real[::-1], fake[::-1]),
        (real @ turn, fake @ turn),
        (4 * real, 4 * fake),
    ):
        np.testing.assert_allclose(prdc.prdc(*pair), scores, rtol=1e-12)


def test_swapped_sets_swap_precision_and_recall():
    real, fake = normal(0, 80, 6), normal(1, 90, 6, spread=0.8)
    scores, swapped = prdc.prdc(real, fake), prdc.prdc(fake, real)
    assert (scores.precision, scores.recall) == (swapped.recall, swapped.precision)


@pytest.mark.parametrize(
    "fake, neighbours, match",
    [
        (normal(1, 5, 2), 5, "5 samples, but at least 6 .* give more"),
        (normal(1, 9, 2), 9, "9 samples, but at least 10"),
        (normal(1, 9, 2), 0, "0 neighbours, .* give 1 or more"),
        (normal(1, 9, 3), 5, "size 2 and fake features 3"),
        (normal(1, 9, 2) * np.nan, 5, "sample 0 are not finite"),
        (np.zeros(9), 5, r"\(9,\), .* give \(N, F\)"),
    ],
)
def test_sets_without_neighbours_are_refused(fake, neighbours, match):
    with pytest.raises(ValueError, match=match):
        prdc.prdc(normal(0, 9, 2), fake, neighbours=neighbours)
