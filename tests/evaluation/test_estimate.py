"""A mean with its standard error."""

import math

import numpy as np
import pytest

from gan_jax.evaluation import estimate


def test_the_standard_error_of_two_values_by_hand():
    # The standard deviation of 1 and 3 is sqrt(2), and sqrt(2) / sqrt(2) is 1.
    np.testing.assert_allclose(estimate.mean_of([1, 3]), [2, 1], rtol=1e-12, atol=0)


def test_a_single_value_has_no_standard_error():
    assert estimate.mean_of([3]) == (3, None)


@pytest.mark.parametrize(
    "values, mean",
    [
        ([math.inf, 1], math.inf),
        ([-math.inf, -math.inf], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1], math.nan),
        ([math.nan], math.nan),
    ],
)
def test_a_mean_that_is_not_finite_has_no_standard_error_and_no_warning(values, mean):
    found = estimate.mean_of(values)
    np.testing.assert_equal(found.value, mean)
    assert found.standard_error is None
