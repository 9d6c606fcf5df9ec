"""A number with its standard error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A measured number.

    Attributes:
      value: the number.
      standard_error: of the value; None where nothing was repeated.
    """

    value: float
    standard_error: float | None


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of independent values, and its standard error from two values on."""
    if len(values) < 2:
        return Estimate(float(np.mean(values)), None)
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(float(np.mean(values)), error)
