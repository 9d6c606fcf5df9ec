"""Frechet distance: closed forms, scipy's root, invariances, fewer samples than F."""

import numpy as np
import pytest
from scipy import linalg, stats

from gan_jax.evaluation import frechet


def normal(seed, count, size, spread=1.0):
    """Features (count, size) float32, correlated, with means around 1."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) / np.sqrt(size)
    features = rng.normal(size=(count, size)) @ mixing * spread + rng.normal(size=size)
    return features.astype(np.float32)


def gaussian(mean, covariance):
    return frechet.Gaussian(np.float64(mean), np.float64(covariance), 100)


def rotation(size):
    return stats.ortho_group.rvs(size, random_state=3)


def reference(real, fake):
    """The formula as written, with scipy's root of the product."""
    means = [features.astype(np.float64).mean(axis=0) for features in (real, fake)]
    covariances = [
        np.cov(np.float64(features), rowvar=False) for features in (real, fake)
    ]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    distance = np.sum((means[0] - means[1]) ** 2)
    return distance + np.trace(covariances[0] + covariances[1] - 2 * root).real


def test_shifted_mean_has_the_squared_distance_of_the_means():
    covariance = np.cov(normal(0, 50, 4), rowvar=False)
    a, b = gaussian([0, 0, 0, 0], covariance), gaussian([1, -2, 0, 3], covariance)
    # 1 + 4 + 0 + 9
    np.testing.assert_allclose(frechet.gaussian_distance(a, b), 14, rtol=1e-12)


def test_commuting_covariances_have_the_squared_difference_of_the_roots():
    # (3 - 1)^2 + (1 - 2)^2 + (0 - 5)^2 = 30, in any basis that both share.
    basis = rotation(3)
    a = gaussian([0, 0, 0], basis @ np.diag([9, 1, 0]) @ basis.T)
    b = gaussian([0, 0, 0], basis @ np.diag([1, 4, 25]) @ basis.T)
    np.testing.assert_allclose(frechet.gaussian_distance(a, b), 30, rtol=1e-12)


def test_covariances_that_do_not_commute_have_the_closed_form_of_two_dimensions():
    # tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)) for M of 2x2. A = diag(4, 1), and
    # B = [[2, 1], [1, 2]]: tr AB = 8 + 2, det AB = 4 * 3.
    a, b = gaussian([0, 0], np.diag([4, 1])), gaussian([0, 0], [[2, 1], [1, 2]])
    expected = 5 + 4 - 2 * np.sqrt(10 + 2 * np.sqrt(12))
    np.testing.assert_allclose(frechet.gaussian_distance(a, b), expected, rtol=1e-12)


def test_disjoint_planes_have_the_sum_of_the_traces():
    a, b = (
        gaussian([0, 0, 0], np.diag([2, 3, 0])),
        gaussian([0] * 3, np.diag([0, 0, 7])),
    )
    np.testing.assert_allclose(frechet.gaussian_distance(a, b), 12, rtol=1e-12)


def test_covariance_of_nothing_but_zeros_counts_as_a_point():
    a, b = gaussian([0, 0], np.zeros((2, 2))), gaussian([3, 4], np.diag([1, 2]))
    np.testing.assert_allclose(frechet.gaussian_distance(a, b), 28, rtol=1e-12)
    assert frechet.gaussian_distance(a, a) == 0


@pytest.mark.parametrize("blocks", [4096, 7])
def test_fit_equals_numpy_in_float64(monkeypatch, blocks):
    monkeypatch.setattr(frechet, "BLOCK_ROWS", blocks)
    # A mean a thousand times the spread: float32 sums would keep two digits.
    features = normal(0, 101, 5) + np.float32(1000)
    fitted = frechet.fit_gaussian(features)
    exact = features.astype(np.float64)
    np.testing.assert_allclose(fitted.mean, exact.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(
        fitted.covariance, np.cov(exact, rowvar=False), rtol=1e-9, atol=1e-12
    )
    assert fitted.mean.dtype == fitted.covariance.dtype == np.float64
    assert fitted.num_samples == 101


def test_fit_leaves_the_features_alone():
    features = normal(0, 10, 3).astype(np.float64)
    before = features.copy()
    frechet.fit_gaussian(features)
    np.testing.assert_array_equal(features, before)


# Of singular products, scipy says on some processors that its root may be inaccurate.
@pytest.mark.filterwarnings("ignore:Matrix is singular:scipy.linalg.LinAlgWarning")
@pytest.mark.parametrize("counts", [(200, 300), (300, 30), (20, 30), (2, 2)])
def test_distance_equals_the_formula_with_scipys_root(counts):
    real, fake = normal(1, counts[0], 40), normal(2, counts[1], 40, spread=2)
    # Scipy's root of a singular product keeps half of the digits.
    np.testing.assert_allclose(
        frechet.frechet_distance(real, fake), reference(real, fake), rtol=1e-5
    )


def test_fewer_samples_than_features_equal_the_roots_of_the_small_product():
    # The root's eigenvalues are the singular values of X Y^T over the roots of n - 1.
    real, fake = (np.float64(normal(i, 10 + 10 * i, 60)) for i in (1, 2))
    centred = [x - x.mean(axis=0) for x in (real, fake)]
    centred = [x / np.sqrt(len(x) - 1) for x in centred]
    root = linalg.svdvals(centred[0] @ centred[1].T).sum()
    shift = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    expected = shift + sum(np.sum(x**2) for x in centred) - 2 * root
    np.testing.assert_allclose(
        frechet.frechet_distance(real, fake), expected, rtol=1e-10
    )


@pytest.mark.parametrize("count", [500, 100, 10])
def test_identical_sets_have_no_distance(count):
    features = normal(0, count, 100)
    distance = frechet.frechet_distance(features, features)
    variance = np.sum(features.var(axis=0))
    assert 0 <= distance < 1e-10 * variance


def test_distance_is_symmetric_and_blind_to_order_and_rotation():
    real, fake = normal(1, 60, 12), normal(2, 80, 12)
    distance = frechet.frechet_distance(real, fake)
    others = {
        "swapped": (fake, real),
        "shuffled": (real[np.random.default_rng(0).permutation(60)], fake[::-1]),
        "rotated": (real @ rotation(12), fake @ rotation(12)),
    }
    for name, pair in others.items():
        np.testing.assert_allclose(
            frechet.frechet_distance(*pair), distance, rtol=1e-6, err_msg=name
        )


def test_distance_reads_memory_mapped_features(tmp_path):
    np.save(tmp_path / "real.npy", normal(1, 50, 4))
    mapped = np.load(tmp_path / "real.npy", mmap_mode="r")
    assert frechet.frechet_distance(mapped, normal(2, 50, 4)) == (
        frechet.frechet_distance(np.array(mapped), normal(2, 50, 4))
    )


def test_intra_class_distance_is_the_mean_over_classes():
    real, fake = normal(1, 90, 4), normal(2, 120, 4)
    real_labels, fake_labels = np.arange(90) % 3, np.arange(120) // 40
    expected = np.mean(
        [reference(real[k::3], fake[40 * k : 40 * (k + 1)]) for k in range(3)]
    )
    distance = frechet.intra_class_frechet_distance(
        real, real_labels, fake, fake_labels, num_classes=3
    )
    np.testing.assert_allclose(distance, expected, rtol=1e-10)


def test_intra_class_distance_sees_labels_that_are_ignored():
    # Two classes at -3 and 3; fakes of both classes under either label. Per class the
    # fake mean is 3 away, variance 9 more: 9 + (sqrt(10) - 1)^2 = 13.7 of one feature.
    rng = np.random.default_rng(0)
    labels = np.arange(2000) % 2
    real = rng.normal(size=(2000, 1)) + 6 * labels[:, None] - 3
    shuffled = rng.permutation(labels)
    assert frechet.frechet_distance(real, real) < 1e-9
    distance = frechet.intra_class_frechet_distance(
        real, labels, real, shuffled, num_classes=2
    )
    np.testing.assert_allclose(distance, 9 + (np.sqrt(10) - 1) ** 2, rtol=0.1)


@pytest.mark.parametrize(
    "features, match",
    [
        (np.zeros((1, 3)), "1 samples, but at least 2 .* give more"),
        (np.zeros((0, 3)), "0 samples, but at least 2"),
        (np.zeros((4, 2, 2)), r"\(4, 2, 2\), but .* give \(N, F\)"),
        (np.array([[0.0, 1], [2, np.nan]]), "sample 1 are not finite.*extractor"),
        (np.array([[0.0, np.inf], [2, 1]]), "sample 0 are not finite"),
    ],
)
def test_features_without_a_covariance_are_refused(features, match):
    with pytest.raises(ValueError, match=match):
        frechet.fit_gaussian(features)


def test_features_of_two_extractors_are_refused():
    with pytest.raises(ValueError, match="3 and 4 features, .* from the same"):
        frechet.frechet_distance(normal(0, 9, 3), normal(0, 9, 4))


@pytest.mark.parametrize(
    "labels, match",
    [
        ([0, 0, 0, 2, 2, 2], "class 1 has 0 fake samples, .* give more of the class"),
        ([0, 0, 0, 2, 1, 2], "class 1 has 1 fake samples"),
        ([0, 0, 1, 1, 2, 3], "go from 0 to 3, but labels of 3 .* or num_classes"),
        ([0, 0, 1, 1, 2, -1], "go from -1 to 2"),
        ([0, 0, 1, 1], r"\(4,\) and features \(6, 2\), .* give \(N,\) labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, match):
    real = fake = normal(0, 6, 2)
    real_labels = np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=match):
        frechet.intra_class_frechet_distance(
            real, real_labels, fake, np.array(labels), num_classes=3
        )
