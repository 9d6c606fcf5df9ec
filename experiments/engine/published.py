"""Published values that experiments quote, each with its source, protocol and doubts.

The values lie in published.csv, their tables in sources.csv. Pages show them beside our
values but do not rank them, since protocols differ. A value was read in a copy of the
paper or in its code, unless `doubts` says that it was not. Only values that a page
quotes belong here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

FOLDER = Path(__file__).parent
PERCENT = "percent"  # the unit of a value that is a share in [0, 1] here


class Published(NamedTuple):
    """A value from a paper.

    Attributes:
      paper: authors and year, a comma, and a short title.
      arxiv: arXiv number of the paper.
      table: table of the paper, such as "table 1".
      row: row of the table.
      number: name of the measured number, as in gan_jax if gan_jax computes it.
      value: value in gan_jax's unit: shares are in [0, 1] even if the paper has
        percent.
      spread: spread that the paper gives, in the same unit; None if it gives none.
      spread_kind: "standard error", "standard deviation" or "not said".
      protocol: protocol of the measurement, in one sentence.
      doubts: reason to doubt the value, in one sentence, or "".
    """

    paper: str
    arxiv: str
    table: str
    row: str
    number: str
    value: float
    spread: float | None
    spread_kind: str
    protocol: str
    doubts: str

    @property
    def source(self) -> str:
        """The authors and the table, such as "Lin et al. 2018, table 1"."""
        return f"{self.paper.partition(',')[0]}, {self.table}"


def read(folder: Path) -> dict[str, Published]:
    """The values of published.csv by key, with the sources in sources.csv.

    Raises:
      KeyError: the source of a value is missing.
    """
    values = pd.read_csv(folder / "published.csv", na_filter=False, index_col="key")
    sources = pd.read_csv(folder / "sources.csv", dtype=str, index_col="name")
    found = {}
    for key, line in values.iterrows():
        scale = 100 if line.unit == PERCENT else 1
        found[key] = Published(
            **sources.loc[line.source],
            **line[["row", "number", "doubts"]],
            value=round(line.value / scale, 6),
            spread=round(float(line.spread) / scale, 6) if line.spread else None,
        )
    return found


VALUES: Mapping[str, Published] = read(FOLDER)
