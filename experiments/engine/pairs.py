"""Differences between rows, taken seed by seed.

Two rows with the same seed share the order of the data, the latents and, if their
networks are alike, the initial parameters. So the difference of two rows may be known
more precisely than their means.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.engine.spec import Part
from experiments.engine.summary import Cell, Row
from gan_jax.evaluation import estimate

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """A row's number minus that of its baseline, over the seeds that both have.

    Attributes:
      mean: mean over the seeds.
      standard_error: standard error of the mean.
      seeds: number of seeds that both rows have, two or more.
    """

    mean: float
    standard_error: float
    seeds: int

    @property
    def is_resolved(self) -> bool:
        """Whether Student's 95 % interval leaves out zero."""
        return abs(self.mean) > quantile(self.seeds) * self.standard_error


def quantile(seeds: int) -> float:
    """How many standard errors Student's 95 % interval reaches to either side."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1))


def between(cell: Cell, baseline: Cell) -> Difference | None:
    """The difference of two cells; None without two common seeds and finite values."""
    first, second = (
        dict(zip(x.seeds, x.values, strict=True)) for x in (cell, baseline)
    )
    common = [seed for seed in first if seed in second]
    values = [first[seed] - second[seed] for seed in common]
    if len(common) < 2 or not np.isfinite(values).all():
        return None
    mean, error = estimate.mean_of(values)
    assert error is not None
    return Difference(mean, error, len(common))


def differences(
    part: Part, rows: Sequence[Row]
) -> dict[str, Mapping[str, Difference | None]]:
    """For each row that has a baseline, the differences of the columns' numbers."""
    by_name = {row.name: row for row in rows}
    return {
        name: {
            column.number: between(
                by_name[name].cells[column.number],
                by_name[baseline].cells[column.number],
            )
            for column in part.columns
        }
        for name, baseline in part.compared.items()
    }
