"""MS-SSIM: a slow reference, closed forms, scales, pairs."""

import numpy as np
import pytest
from scipy import signal

from gan_jax.evaluation import ssim

PUBLISHED = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def images(count, height=28, width=28, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, channels), np.uint8)


def window():
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    return weights / np.sum(weights)


def slow_ms_ssim(x, y, scales):
    """Of two (H, W) images, by two-dimensional convolutions and centred windows."""
    x, y = np.float64(x), np.float64(y)
    weights = np.array(PUBLISHED[:scales]) / np.sum(PUBLISHED[:scales])
    result = 1.0
    for scale in range(scales):
        (h, w), c1, c2 = x.shape, (0.01 * 255) ** 2, (0.03 * 255) ** 2
        structure, luminance = np.zeros((2, h - 10, w - 10))
        for i in range(h - 10):
            for j in range(w - 10):
                a, b = (image[i : i + 11, j : j + 11] for image in (x, y))
                mean_a, mean_b = (np.sum(window() * patch) for patch in (a, b))
                var_a = np.sum(window() * (a - mean_a) ** 2)
                var_b = np.sum(window() * (b - mean_b) ** 2)
                cov = np.sum(window() * (a - mean_a) * (b - mean_b))
                structure[i, j] = (2 * cov + c2) / (var_a + var_b + c2)
                luminance[i, j] = 2 * mean_a * mean_b + c1
                luminance[i, j] /= mean_a**2 + mean_b**2 + c1
        last = scale == scales - 1
        mean = np.mean(luminance * structure if last else structure)
        result *= max(mean, 0) ** weights[scale]
        box = np.full((2, 2), 1 / 4)
        x, y = (signal.convolve2d(image, box, "valid")[::2, ::2] for image in (x, y))
    return result


def similar_pair(height, width, seed=0):
    """Two images that share most of their structure."""
    first = images(1, height, width, seed=seed)
    noise = images(1, height, width, seed=seed + 1)
    return first, np.uint8(0.6 * first + 0.3 * noise + 10)


@pytest.mark.parametrize(
    "height, width, scales", [(11, 13, 1), (28, 28, 2), (27, 31, 2), (45, 44, 3)]
)
def test_values_equal_the_slow_reference(height, width, scales):
    first, second = similar_pair(height, width)
    expected = slow_ms_ssim(first[0, :, :, 0], second[0, :, :, 0], scales)
    assert 0.1 < expected < 0.99
    np.testing.assert_allclose(
        ssim.ms_ssim(first, second), [expected], rtol=1e-9, atol=0
    )


def test_constant_images_leave_the_luminance_of_the_coarsest_scale():
    # No variance: structure 1; luminance (2ab + C1) / (a^2 + b^2 + C1), its power the
    # coarsest scale's share of the weights, at 28 pixels 0.2856 / (0.0448 + 0.2856).
    a, b, c1 = 50, 200, (0.01 * 255) ** 2
    first, second = (np.full((1, 28, 28, 1), value, np.uint8) for value in (a, b))
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)
    np.testing.assert_allclose(
        ssim.ms_ssim(first, second), [luminance ** (0.2856 / 0.3304)], rtol=1e-9, atol=0
    )


def test_five_scales_have_the_published_powers():
    # As above with the published weight, whose sum with the others is 1.0001.
    a, b, c1 = 50, 200, (0.01 * 255) ** 2
    first, second = (np.full((1, 176, 176, 1), value, np.uint8) for value in (a, b))
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)
    np.testing.assert_allclose(
        ssim.ms_ssim(first, second), [luminance ** (0.1333 / 1.0001)], rtol=1e-9, atol=0
    )


def test_identical_images_have_one():
    batch = images(5, channels=3)
    np.testing.assert_allclose(ssim.ms_ssim(batch, batch), np.ones(5), rtol=1e-12)


def test_order_of_the_pair_does_not_matter():
    first, second = images(6), images(6, seed=1)
    np.testing.assert_allclose(
        ssim.ms_ssim(first, second), ssim.ms_ssim(second, first), rtol=1e-12, atol=0
    )


def test_inverted_images_have_zero():
    # Their structure is -1 plus what the constants add: negative at every scale.
    batch = images(3)
    np.testing.assert_array_equal(ssim.ms_ssim(batch, 255 - batch), np.zeros(3))


def test_channels_are_averaged():
    pairs = [similar_pair(28, 28, seed) for seed in (0, 5, 9)]
    first, second = (np.concatenate(x, axis=3) for x in zip(*pairs, strict=True))
    expected = np.mean([ssim.ms_ssim(*pair)[0] for pair in pairs])
    np.testing.assert_allclose(ssim.ms_ssim(first, second), [expected], rtol=1e-12)


def test_blocks_do_not_change_the_values(monkeypatch):
    first, second = images(7), images(7, seed=1)
    whole = ssim.ms_ssim(first, second)
    monkeypatch.setattr(ssim, "BLOCK", 3)
    np.testing.assert_allclose(ssim.ms_ssim(first, second), whole, rtol=1e-12, atol=0)


def test_no_pairs_have_no_values():
    assert ssim.ms_ssim(images(0), images(0)).shape == (0,)


@pytest.mark.parametrize(
    "side, expected",
    [
        (11, 1),
        (21, 1),
        (22, 2),
        (28, 2),
        (32, 2),
        (64, 3),
        (128, 4),
        (176, 5),
        (999, 5),
    ],
)
def test_scales_keep_the_window_inside(side, expected):
    assert ssim.num_scales(side, side) == expected
    assert ssim.num_scales(side, side + 500) == expected
    assert ssim.num_scales(side + 500, side) == expected


def test_diversity_is_the_mean_over_pairs_of_different_images():
    # All pairs of two images are the same pair.
    batch = np.concatenate(similar_pair(28, 28))
    result = ssim.diversity(batch, num_pairs=20)
    (expected,) = ssim.ms_ssim(batch[:1], batch[1:])
    np.testing.assert_allclose(result, (expected, 0), rtol=1e-12, atol=1e-12)


def test_diversity_draws_all_pairs_equally():
    # Of three images one differs: a pair of different images holds it with chance 2/3,
    # within 5 standard errors, sqrt(2/9 / 2000) = 0.0105.
    batch = np.repeat(images(1), 3, axis=0)
    batch[2] = 255 - batch[2]
    result = ssim.diversity(batch, num_pairs=2000)
    np.testing.assert_allclose(result.value, 1 / 3, rtol=0, atol=0.053)
    np.testing.assert_allclose(result.standard_error, 0.0105, rtol=0.1, atol=0)


def test_collapsed_images_are_less_diverse():
    noise = images(30)
    collapsed = np.uint8(0.9 * noise[:1] + 0.1 * noise)
    assert ssim.diversity(collapsed).value > ssim.diversity(noise).value + 0.5


def test_diversity_follows_its_seed():
    batch = images(30)
    assert ssim.diversity(batch) == ssim.diversity(batch, seed=0)
    assert ssim.diversity(batch) != ssim.diversity(batch, seed=1)


def test_images_below_the_window_are_refused():
    with pytest.raises(ValueError, match="28x10 pixels, .*11x11: give larger"):
        ssim.ms_ssim(images(1, 28, 10), images(1, 28, 10))


def test_unpaired_images_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 28.*\(3, 28.* of one shape"):
        ssim.ms_ssim(images(2), images(3))


@pytest.mark.parametrize("count, pairs", [(1, 5), (5, 0)])
def test_diversity_without_a_pair_is_refused(count, pairs):
    with pytest.raises(ValueError, match=f"{pairs} pairs of {count} .* at least two"):
        ssim.diversity(images(count), num_pairs=pairs)
