"""Paths and sums of latents, held to closed forms."""

import numpy as np
import pytest
from scipy import stats

from gan_jax.run import latents as latents_lib


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_an_arc_of_the_circle_is_walked_evenly():
    path = latents_lib.interpolate([2, 0], [0, 2], 4)
    angles = np.pi / 2 * np.array([0, 1, 2, 3]) / 3
    expected = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(path, expected, rtol=0, atol=1e-6)
    assert path.dtype == np.float32


def test_ends_are_exact_and_norms_and_angles_are_linear():
    start, end = draw(2, 100)
    end *= 1.5
    path = latents_lib.interpolate(start, end, 9)
    np.testing.assert_array_equal(path[[0, -1]], [start, end])
    norms = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(
        norms, np.linspace(norms[0], norms[-1], 9), rtol=1e-5, atol=0
    )
    angles = np.arccos(np.clip(path @ start / norms / norms[0], -1, 1))
    np.testing.assert_allclose(
        angles, np.linspace(0, angles[-1], 9), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("factor", [1, 3])
def test_an_arc_between_parallel_latents_is_the_straight_line(factor):
    start = draw(10)
    path = latents_lib.interpolate(start, factor * start, 5)
    expected = np.linspace(1, factor, 5)[:, None] * start
    np.testing.assert_allclose(path, expected, rtol=1e-5, atol=1e-6)


def test_an_arc_from_zero_is_the_straight_line():
    end = draw(10)
    for path in (
        latents_lib.interpolate(np.zeros(10), end, 5),
        latents_lib.interpolate(end, np.zeros(10), 5)[::-1],
    ):
        expected = np.linspace(0, 1, 5)[:, None] * end
        np.testing.assert_allclose(path, expected, rtol=1e-6, atol=0)
    np.testing.assert_array_equal(latents_lib.interpolate([0, 0], [0, 0], 3), 0)


def test_paths_that_cannot_be_are_refused():
    start = draw(10)
    with pytest.raises(ValueError, match="the ends point in opposite directions"):
        latents_lib.interpolate(start, -2 * start, 3)
    with pytest.raises(ValueError, match=r"shapes \(10,\) and \(9,\), but must be two"):
        latents_lib.interpolate(start, start[1:], 3)
    with pytest.raises(ValueError, match="1 latents were asked for, but a path has"):
        latents_lib.interpolate(start, start, 1)
    with pytest.raises(ValueError, match="coordinate is 10, but .* coordinates 0 to 9"):
        latents_lib.walk(start, 10, [0])
    with pytest.raises(ValueError, match="coordinate is -1, but .* coordinates 0 to 9"):
        latents_lib.walk(start, -1, [0])


@pytest.mark.parametrize("threshold", [0.1, 1, 2])
def test_truncated_latents_have_the_truncated_normal_law(threshold):
    quantiles = np.linspace(0.0005, 0.9995, 1001)
    latents = stats.norm.ppf(quantiles).astype(np.float32)
    truncated = latents_lib.truncate(latents, threshold)
    expected = stats.truncnorm.ppf(quantiles, -threshold, threshold)
    np.testing.assert_allclose(truncated, expected, rtol=1e-4, atol=1e-6)
    assert truncated.dtype == np.float32


def test_a_truncation_far_out_changes_nothing_and_none_is_beyond_it():
    latents = np.concatenate([draw(1000), [0, 30, -30]])
    np.testing.assert_allclose(
        latents_lib.truncate(latents, 12)[:1000], latents[:1000], rtol=1e-4, atol=1e-6
    )
    truncated = latents_lib.truncate(latents, 0.5)
    np.testing.assert_array_equal(truncated[-3:], np.float32([0, 0.5, -0.5]))


@pytest.mark.parametrize("threshold", [0, -1, float("nan")])
def test_a_truncation_not_above_zero_is_refused(threshold):
    with pytest.raises(ValueError, match="the truncation is .*, but must be above 0"):
        latents_lib.truncate([1.0], threshold)


def test_a_walk_changes_one_coordinate():
    path = latents_lib.walk([1, 2, 3], 1, [-1, 0, 1, 5])
    np.testing.assert_array_equal(path, [[1, -1, 3], [1, 0, 3], [1, 1, 3], [1, 5, 3]])


def test_means_of_groups_are_added_and_subtracted():
    combined = latents_lib.combine([[1, 2], [3, 4]], [[1, 1]], [[0, 0], [0, 3], [3, 0]])
    np.testing.assert_array_equal(combined, [[2, 3], [1, 1], [1, 1], [2, 3]])
    combined = latents_lib.combine([[1, 0]], [[0, 1]], [[5, 5]])
    np.testing.assert_array_equal(combined[-1], [6, 4])
