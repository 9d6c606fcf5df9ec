"""Nearest neighbours: exact distances, copies, the classifier made of samples."""

import numpy as np
import pytest

from gan_jax.evaluation import neighbours


def points(count, size=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def slow_nearest(queries, references):
    found = []
    for query in np.float64(queries):
        distances = [np.sqrt(np.sum((query - row) ** 2)) for row in references]
        found.append((min(distances), int(np.argmin(distances))))
    distances, indices = zip(*found, strict=True)
    return np.array(distances), np.array(indices)


@pytest.mark.parametrize("block", [3, 10, 1000])
def test_nearest_equals_the_slow_reference_for_any_block(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    queries, references = points(20), points(31, seed=1)
    distances, indices = neighbours.nearest(queries, references)
    expected_distances, expected_indices = slow_nearest(queries, references)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12, atol=0)
    np.testing.assert_array_equal(indices, expected_indices)


def test_duplicates_far_from_the_origin_have_distance_zero():
    # ||x||^2 is about 3e12, of which float32 keeps 3e5 and float64 5e-4.
    references = points(40) + 1e6
    order = np.random.default_rng(2).permutation(40)
    distances, indices = neighbours.nearest(references[order], references)
    np.testing.assert_array_equal(distances, np.zeros(40))
    np.testing.assert_array_equal(references[indices], references[order])


def test_pixels_are_not_computed_modulo_256():
    # sqrt(2 * 255^2 + 254^2), where uint8 wraps to sqrt(1 + 1 + 4), and 1.
    queries = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    references = np.array([[255, 255, 254], [255, 255, 255]], np.uint8)
    distances, _ = neighbours.nearest(queries, references[:1])
    np.testing.assert_allclose(distances, [np.sqrt(2 * 255**2 + 254**2), 1], rtol=1e-12)
    assert neighbours.nearest(queries, references)[1].tolist() == [0, 1]


def test_first_of_equally_near_references_wins_over_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    references = np.array([[5.0], [1.0], [-1.0], [1.0], [1.0]])
    assert neighbours.nearest(np.zeros((1, 1)), references)[1].tolist() == [1]
    assert neighbours.nearest(np.ones((1, 1)), references)[1].tolist() == [1]


def test_not_a_number_is_passed_on():
    distances, _ = neighbours.nearest(np.full((1, 2), np.nan), np.zeros((3, 2)))
    assert np.isnan(distances[0])


def test_pure_copies_have_ratio_zero_and_share_one():
    train, test = points(50), points(30, seed=1)
    result = neighbours.memorisation(train[:20], train, test)
    assert result.generated_distance == 0
    assert result.ratio == 0
    assert result.share_near == 1


def test_copies_have_share_one_where_test_images_are_copies_too():
    # 2 of 30 test images are in the training set: the 1 % quantile is 0.
    train, test = points(50), points(30, seed=1)
    test[:2] = train[:2]
    assert neighbours.memorisation(train[:20], train, test).share_near == 1


def test_test_images_themselves_have_ratio_one():
    # 200 distances: the 1 % quantile lies between the second and the third.
    train, test = points(50), points(200, seed=1)
    result = neighbours.memorisation(test, train, test)
    assert result.ratio == 1
    assert result.share_near == 2 / 200


def test_memorisation_on_a_line_has_the_hand_values():
    # Training points at 0 and 100. Distances: generated 1, 2, 30; test 3, 4, 5. The 1 %
    # quantile is 3 + 0.02 (4 - 3), so two of three are near.
    train = np.array([[0.0], [100.0]])
    generated = np.array([[1.0], [98.0], [30.0]])
    test = np.array([[-3.0], [4.0], [105.0]])
    result = neighbours.memorisation(generated, train, test)
    np.testing.assert_allclose(result, (2, 4, 0.5, 2 / 3), rtol=1e-12, atol=0)


def test_nearest_neighbour_error_counts_wrong_labels():
    # Points at 1, 2, 9, 12 take the labels of 0, 0, 10, 10: 7, 7, 8, 8. One is wrong;
    # the standard error is sqrt(1/4 * 3/4 / 4).
    samples, sample_labels = np.array([[0.0], [10.0]]), np.array([7, 8])
    real = np.array([[1.0], [2.0], [9.0], [12.0]])
    result = neighbours.nearest_neighbour_error(
        samples, sample_labels, real, np.array([7, 8, 8, 8])
    )
    np.testing.assert_allclose(result, (1 / 4, np.sqrt(3 / 64)), rtol=1e-12, atol=0)


def test_separate_classes_have_no_error():
    labels = np.arange(40) % 4
    centres = np.eye(4)[labels] * 100
    rng = np.random.default_rng(0)
    samples, real = (centres + rng.normal(size=(40, 4)) for _ in range(2))
    result = neighbours.nearest_neighbour_error(samples, labels, real, labels)
    assert result == (0, 0)


@pytest.mark.parametrize("shape", [(4, 2), (0, 3), (4, 3, 1)])
def test_unfit_references_are_refused(shape):
    with pytest.raises(ValueError, match=r"queries are \(4, 3\) and .*\(N, -1\)"):
        neighbours.nearest(points(4), np.zeros(shape))


def test_no_generated_images_are_refused():
    with pytest.raises(ValueError, match="0 generated and 5 test .* one or more"):
        neighbours.memorisation(points(0), points(4), points(5))


def test_test_images_out_of_the_training_set_are_refused():
    train = points(10)
    with pytest.raises(ValueError, match="is 0, but .*unseen.* give a split"):
        neighbours.memorisation(points(5, seed=1), train, train[:6])


@pytest.mark.parametrize("samples, labels", [(3, 4), (4, 3)])
def test_missing_labels_are_refused(samples, labels):
    name = "samples" if samples == 3 else "points"
    with pytest.raises(
        ValueError, match=rf"{name} are \(4, 3\) .*\(3,\).* give \(N,\)"
    ):
        neighbours.nearest_neighbour_error(
            points(4), np.zeros(samples, int), points(4), np.zeros(labels, int)
        )
