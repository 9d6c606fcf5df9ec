"""A number with its standard error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A measured number.

    Attributes:
      value: measured value.
      standard_error: standard error of the value; None where nothing was repeated, or
        where the value is inf or nan.
    """

    value: float
    standard_error: float | None


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of independent values; two or more values give a standard error.

    The mean is inf or nan and has no standard error if a value is inf or nan.
    """
    with np.errstate(invalid="ignore"):  # inf - inf
        mean = float(np.mean(values))
    if len(values) < 2 or not np.isfinite(values).all():
        return Estimate(mean, None)
    return Estimate(mean, float(np.std(values, ddof=1) / np.sqrt(len(values))))
