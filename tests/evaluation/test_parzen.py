"""Parzen windows: closed forms, a slow reference, far points, the choice of sigma."""

import numpy as np
import pytest

from gan_jax.evaluation import parzen


def uint8_images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 5, 4, 3), np.uint8)


def slow_log_likelihoods(points, samples, sigma):
    """One density a loop, in the order of the formula."""
    size = points.shape[1]
    results = []
    for point in points:
        densities = [
            np.exp(-np.sum((point - sample) ** 2) / (2 * sigma**2))
            / (2 * np.pi * sigma**2) ** (size / 2)
            for sample in samples
        ]
        results.append(np.log(np.mean(densities)))
    return np.array(results)


def test_one_centre_has_the_gaussian_density():
    # -D/2 log(2 pi s^2) - ||x - m||^2 / (2 s^2), here D = 3 and ||x - m||^2 = 4 + 1.
    point, centre = np.array([[3.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])
    value = parzen.log_likelihoods(point, centre, sigma=0.5)
    expected = -1.5 * np.log(2 * np.pi * 0.25) - 5 / 0.5
    np.testing.assert_allclose(value, [expected], rtol=1e-12, atol=0)


@pytest.mark.parametrize("block", [4, 7, 100])
def test_values_equal_the_slow_reference_for_any_block(monkeypatch, block):
    monkeypatch.setattr(parzen, "BLOCK", block)
    rng = np.random.default_rng(0)
    points, samples = rng.normal(size=(11, 6)), rng.normal(size=(17, 6))
    for sigma in 0.3, 2.0:
        np.testing.assert_allclose(
            parzen.log_likelihoods(points, samples, sigma=sigma),
            slow_log_likelihoods(points, samples, sigma),
            rtol=1e-10,
            atol=0,
        )


def test_images_are_scaled_to_the_unit_range():
    images, samples = uint8_images(4), uint8_images(5, seed=1)
    np.testing.assert_allclose(
        parzen.log_likelihoods(images, samples, sigma=0.7),
        slow_log_likelihoods(
            images.reshape(4, -1) / 255, samples.reshape(5, -1) / 255, 0.7
        ),
        rtol=1e-10,
        atol=0,
    )


def test_gaussian_centres_give_the_widened_gaussian():
    # Windows N(c, t^2 I) around c from N(0, s^2 I) tend to N(0, (s^2 + t^2) I). The
    # error of 20,000 centres is about sqrt(1 / (n density)): below 0.05 here.
    rng = np.random.default_rng(0)
    s, t = 1.5, 0.8
    points = rng.normal(0, 1, (200, 2))
    values = parzen.log_likelihoods(points, rng.normal(0, s, (20_000, 2)), sigma=t)
    variance = s**2 + t**2
    expected = -np.log(2 * np.pi * variance) - np.sum(points**2, 1) / (2 * variance)
    np.testing.assert_allclose(values, expected, rtol=0, atol=0.1)
    np.testing.assert_allclose(np.mean(values), np.mean(expected), rtol=0, atol=0.02)


def test_far_points_have_finite_values():
    # The nearest centre dominates: -(1e6)^2 / 2 * (1e4 for sigma 0.01).
    points, samples = np.full((1, 1), 1e6), np.array([[0.0], [-5.0]])
    value = parzen.log_likelihoods(points, samples, sigma=0.01)
    constant = np.log(2) + np.log(0.01 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(value, [-5e15 - constant], rtol=1e-12, atol=0)


def test_sigma_is_the_best_on_validation_and_the_value_that_of_test():
    rng = np.random.default_rng(1)
    samples, validation = rng.normal(size=(50, 3)), rng.normal(size=(20, 3))
    test = rng.normal(size=(30, 3))
    sigmas = (0.1, 0.4, 0.7, 3.0)
    means = [
        np.mean(slow_log_likelihoods(validation, samples, sigma)) for sigma in sigmas
    ]
    result = parzen.parzen_log_likelihood(samples, validation, test, sigmas=sigmas)
    assert result.sigma == sigmas[int(np.argmax(means))]
    values = slow_log_likelihoods(test, samples, result.sigma)
    np.testing.assert_allclose(
        result.estimate,
        (np.mean(values), np.std(values, ddof=1) / np.sqrt(30)),
        rtol=1e-9,
        atol=0,
    )


def test_default_sigmas_are_the_published_ones():
    np.testing.assert_allclose(parzen.SIGMAS, 10 ** np.linspace(-1, 0, 10), rtol=1e-12)


@pytest.mark.parametrize("sigma", [0, -1, np.nan])
def test_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(ValueError, match=r"sigmas are .*above 0: give .* positive"):
        parzen.log_likelihoods(np.zeros((1, 2)), np.zeros((1, 2)), sigma=sigma)


def test_no_sigma_is_refused():
    points = np.zeros((1, 2))
    with pytest.raises(ValueError, match=r"sigmas are \[\], .*give one or more"):
        parzen.parzen_log_likelihood(points, points, points, sigmas=())


@pytest.mark.parametrize("shape", [(1, 3), (0, 2)])
def test_samples_of_another_size_or_none_are_refused(shape):
    with pytest.raises(ValueError, match=r"points \(1, 2\) and samples .*of each, of"):
        parzen.log_likelihoods(np.zeros((1, 2)), np.zeros(shape), sigma=1)


def test_mixed_units_are_refused():
    images = uint8_images(2)
    with pytest.raises(ValueError, match="points are uint8 and samples float.*convert"):
        parzen.log_likelihoods(images, images / 255, sigma=1)
