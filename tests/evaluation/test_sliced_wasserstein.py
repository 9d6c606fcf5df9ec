"""Sliced Wasserstein distance: closed forms, slow references, pyramids, patches."""

import numpy as np
import pytest
from scipy import ndimage, special, stats

from gan_jax.evaluation import sliced_wasserstein as swd


def images(count, side=28, channels=1, seed=0, high=256):
    rng = np.random.default_rng(seed)
    return rng.integers(0, high, (count, side, side, channels), np.uint8)


def smooth_images(count, seed=0):
    noise = np.random.default_rng(seed).normal(size=(count, 28, 28, 1))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    return np.uint8(np.clip(128 + 500 * smooth, 0, 255))


def points(count, size, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def distance(first, second, *, num_projections=512, seed=0):
    """The distance of two sets of points (N, F), as that of patches is computed."""
    directions = swd._directions(
        np.random.default_rng(seed), num_projections, first.shape[1]
    )

    def projected(flat):
        return lambda block: block @ flat.T.astype(np.float32)

    return swd._mean_distance(projected(first), projected(second), directions, 1_000)


def slow_distance(first, second, num_projections, seed):
    rng = np.random.default_rng(seed)
    total = 0
    for direction in rng.normal(size=(num_projections, first.shape[1])):
        direction = direction / np.sqrt(np.sum(direction**2))
        total += stats.wasserstein_distance(first @ direction, second @ direction)
    return total / num_projections


def slow_pyramid(image, levels):
    """Of one (H, W) image, with two-dimensional kernels."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    result = [np.float64(image)]
    for _ in range(levels - 1):
        big = result[-1]
        small = ndimage.convolve(big, kernel, mode="mirror")[::2, ::2]
        spread = np.zeros(big.shape)
        for i, row in enumerate(small):
            for j, value in enumerate(row):
                spread[2 * i, 2 * j] = value
        result[-1] = big - ndimage.convolve(spread, 4 * kernel, mode="mirror")
        result.append(small)
    return result


def test_distance_equals_the_slow_reference():
    first, second = points(40, 5), 2 * points(40, 5, seed=1) + 0.3
    np.testing.assert_allclose(
        distance(first, second, num_projections=30, seed=7),
        slow_distance(first, second, 30, 7),
        rtol=1e-5,
        atol=0,
    )


def test_translation_on_a_line_is_the_shift():
    first = points(100, 1)
    np.testing.assert_allclose(distance(first, first - 2.5), 2.5, rtol=1e-6, atol=0)


def test_gaussians_of_two_widths_on_a_line_have_the_closed_form():
    # Sorted quantiles z and 3 z: E|3z - z| = 2 sqrt(2 / pi), on a grid of 10,000.
    quantiles = special.ndtri((np.arange(10_000) + 0.5) / 10_000)[:, None]
    np.testing.assert_allclose(
        distance(quantiles, 3 * quantiles[::-1], num_projections=3),
        2 * np.sqrt(2 / np.pi),
        rtol=1e-3,
        atol=0,
    )


def test_translation_in_space_is_the_mean_projection_of_the_shift():
    # E|<u, v>| = |v| gamma(D/2) / (sqrt(pi) gamma((D+1)/2)) for u uniform on the
    # sphere: |v| / 2 in three dimensions, where <u, v> / |v| is uniform in [-1, 1] and
    # the standard error of 20,000 directions |v| / sqrt(12 * 20,000) = 0.002 |v|.
    first = points(4, 3)
    shift = np.float32([[2, -1, 2]])  # of length 3
    value = distance(first, first + shift, num_projections=20_000)
    np.testing.assert_allclose(value, 3 / 2, rtol=0, atol=0.03)


def test_order_of_the_points_does_not_matter():
    first = points(50, 4)
    np.testing.assert_allclose(distance(first, first[::-1]), 0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [27, 28])
def test_pyramid_equals_the_slow_reference(side):
    batch = images(2, side, channels=2)
    levels = swd.pyramid(batch)
    assert len(levels) == 2
    for i in range(2):
        for c in range(2):
            for level, expected in zip(
                levels, slow_pyramid(batch[i, :, :, c], 2), strict=True
            ):
                np.testing.assert_allclose(
                    level[i, :, :, c], expected, rtol=1e-5, atol=1e-3
                )


@pytest.mark.parametrize(
    "side, expected",
    [
        (7, [7]),
        (16, [16]),
        (27, [27, 14]),
        (28, [28, 14]),
        (32, [32, 16]),
        (64, [64, 32, 16]),
        (110, [110, 55, 28, 14]),
    ],
)
def test_levels_halve_down_to_fourteen_pixels(side, expected):
    levels = swd.pyramid(images(1, side))
    assert [level.shape[1:3] for level in levels] == [(n, n) for n in expected]


def test_constant_images_have_details_of_exactly_zero():
    details, rest = swd.pyramid(np.full((1, 28, 28, 1), 77, np.uint8))
    np.testing.assert_array_equal(details, np.zeros((1, 28, 28, 1)))
    np.testing.assert_array_equal(rest, np.full((1, 14, 14, 1), 77))


def test_patches_are_cut_at_their_places(monkeypatch):
    monkeypatch.setattr(swd, "BLOCK", 2)
    level = np.random.default_rng(0).normal(size=(5, 9, 12, 2)).astype(np.float32)
    places = np.random.default_rng(1).integers((3, 6), size=(5, 4, 2))
    patches = np.concatenate(list(swd._patches(level, places)))
    expected = [
        level[i, row : row + 7, column : column + 7].transpose(2, 0, 1).ravel()
        for i in range(5)
        for row, column in places[i]
    ]
    np.testing.assert_array_equal(patches, expected)


def test_images_of_one_patch_are_compared_as_normalised_points():
    # One place for the patch, so the distance is that of whole images of which each
    # channel has mean 0 and standard deviation 1 over the set. 4,000 directions of
    # either side agree within a few per cent.
    real, fake = images(60, 7, 2), images(60, 7, 2, seed=1) // 2
    fake[..., 1] = fake[..., 0].mean(
        2, keepdims=True
    )  # rows: far from the real channel
    flat = [
        ((x - x.mean((0, 1, 2))) / x.std((0, 1, 2))).reshape(60, -1)
        for x in (real, fake)
    ]
    found = swd.sliced_wasserstein(
        real, fake, patches_per_image=1, num_projections=4000, seed=3
    )
    expected = distance(*flat, num_projections=4000, seed=4)
    assert list(found) == [7]
    np.testing.assert_allclose(found[7], expected, rtol=0.04, atol=0)


def test_brightness_and_contrast_of_a_channel_do_not_count():
    real = images(20, 16, 3, high=100)
    fake = np.uint8(real * [2, 1, 1] + [10, 70, 0])
    found = swd.sliced_wasserstein(real, fake, num_projections=16)
    np.testing.assert_allclose(found[16], 0, rtol=0, atol=1e-5)


def test_identical_sets_have_distance_zero_at_all_levels():
    real = images(10)
    found = swd.sliced_wasserstein(real, real.copy(), num_projections=16)
    assert found == {28: 0, 14: 0}


def test_noise_of_single_pixels_shows_in_the_details():
    # Blurring before the halving takes most of it from the coarser level.
    real = smooth_images(100)
    noise = np.random.default_rng(2).normal(0, 10, real.shape)
    noisy = np.uint8(np.clip(real + noise, 0, 255))
    found = swd.sliced_wasserstein(real, noisy, num_projections=64)
    assert found[28] > 5 * found[14] > 0


def test_collapse_to_a_constant_image_is_finite_and_far():
    real = smooth_images(50)
    found = swd.sliced_wasserstein(real, np.full_like(real, 128), num_projections=16)
    # The projections of real patches have mean absolute value near 1 or above it.
    assert all(0.3 < value < 10 for value in found.values())


def test_blocks_do_not_change_the_distance(monkeypatch):
    real, fake = images(10), smooth_images(10)
    whole = swd.sliced_wasserstein(real, fake, num_projections=10)
    monkeypatch.setattr(swd, "BLOCK", 3)
    monkeypatch.setattr(swd, "PROJECTED", 3 * 10 * 128)
    parts = swd.sliced_wasserstein(real, fake, num_projections=10)
    np.testing.assert_allclose(
        list(parts.values()), list(whole.values()), rtol=1e-5, atol=0
    )


def test_distance_follows_its_seed():
    real, fake = images(10), smooth_images(10)

    def found(seed):
        return swd.sliced_wasserstein(real, fake, num_projections=4, seed=seed)

    assert found(0) == found(0)
    assert found(0) != found(1)


def test_sets_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 28.*\(4, 28.*of one shape"):
        swd.sliced_wasserstein(images(3), images(4))


def test_images_below_the_patch_are_refused():
    with pytest.raises(ValueError, match="6x6 pixels, but .* 7x7: give larger"):
        swd.sliced_wasserstein(images(3, 6), images(3, 6))


@pytest.mark.parametrize("patches, projections", [(0, 5), (5, 0)])
def test_no_patches_or_projections_are_refused(patches, projections):
    with pytest.raises(ValueError, match=f"{patches} patches .* {projections} proj.*"):
        swd.sliced_wasserstein(
            images(2),
            images(2),
            patches_per_image=patches,
            num_projections=projections,
        )
