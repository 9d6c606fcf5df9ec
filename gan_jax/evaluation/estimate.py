"""A number with its standard error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A measured number.

    Attributes:
      value: measured value.
      standard_error: standard error of the value; None where nothing was repeated.
    """

    value: float
    standard_error: float | None


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of independent values; two or more values give a standard error."""
    if len(values) < 2:
        return Estimate(float(np.mean(values)), None)
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(float(np.mean(values)), error)
