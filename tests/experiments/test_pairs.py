"""Differences between rows, seed by seed, by closed forms."""

import math

import numpy as np
import pytest

from experiments.engine import pairs
from experiments.engine.summary import Cell


def cell(values, seeds=None):
    seeds = range(len(values)) if seeds is None else seeds
    return Cell(None, None, tuple(values), (), tuple(seeds))


def test_a_difference_is_taken_seed_by_seed():
    # Differences 1, 1, 4 of values that vary by hundreds: mean 2, error sqrt(3 / 3).
    found = pairs.between(cell([101.0, 201.0, 304.0]), cell([100.0, 200.0, 300.0]))
    np.testing.assert_allclose([found.mean, found.standard_error], [2, 1], 1e-12)
    assert found.seeds == 3 and not found.is_resolved


def test_seeds_that_one_row_lacks_are_left_out():
    found = pairs.between(cell([5.0, 7.0, 9.0], [1, 2, 3]), cell([0.0, 1.0], [2, 3]))
    assert (found.mean, found.seeds) == (7.5, 2)
    assert pairs.between(cell([1.0, 2.0]), cell([1.0, 2.0], [2, 3])) is None
    assert pairs.between(cell([1.0]), cell([1.0])) is None


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_values_that_are_not_finite_have_no_difference(value):
    assert pairs.between(cell([1.0, value]), cell([1.0, 2.0])) is None


@pytest.mark.parametrize(
    "mean, seeds, resolved", [(4.2, 3, False), (4.4, 3, True), (2.3, 10, True)]
)
def test_a_difference_is_resolved_outside_of_students_interval(mean, seeds, resolved):
    # Tables give 4.303 for two degrees of freedom and 2.262 for nine.
    assert pairs.Difference(mean, 1.0, seeds).is_resolved is resolved
    assert pairs.Difference(-mean, 1.0, seeds).is_resolved is resolved
    assert not pairs.Difference(0.0, 0.0, seeds).is_resolved
