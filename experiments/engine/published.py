"""Published values that experiments quote, each with its source, protocol and doubts.

The values lie in published.csv, their tables in sources.csv. They are shown beside
ours, never ranked with them: protocols differ. A value was read in a copy of the paper
or in its code, unless `doubts` says that it was not. Values that no page quotes have no
place here.
"""

from collections.abc import Mapping
import csv
from pathlib import Path
from typing import NamedTuple

STANDARD_ERROR = "standard error"
STANDARD_DEVIATION = "standard deviation"
NOT_SAID = "not said"
FOLDER = Path(__file__).parent
PERCENT = "percent"  # the unit of a value that is a share in [0, 1] here


class Published(NamedTuple):
    """One value of a paper.

    Attributes:
      paper: authors and year, a comma, a short title.
      arxiv: number of the paper.
      table: of the paper, such as "table 1".
      row: of the table.
      number: what is measured, by gan_jax's name where it has one.
      value: in gan_jax's unit: shares in [0, 1] even where the paper has percent.
      spread: as the paper gives it, in the same unit; None without any.
      spread_kind: "standard error", "standard deviation" or "not said".
      protocol: in one sentence.
      doubts: "" or one sentence.
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
        """Such as "Lin et al. 2018, table 1"."""
        return f"{self.paper.partition(',')[0]}, {self.table}"


def read(folder: Path) -> dict[str, Published]:
    """By key, the values of published.csv with what sources.csv says of their tables.

    Raises:
      KeyError: a value whose source is not there.
    """
    sources = {line["name"]: line for line in _lines(folder / "sources.csv")}
    found = {}
    for line in _lines(folder / "published.csv"):
        source = sources[line["source"]]
        scale = 100 if line["unit"] == PERCENT else 1
        found[line["key"]] = Published(
            paper=source["paper"],
            arxiv=source["arxiv"],
            table=source["table"],
            row=line["row"],
            number=line["number"],
            value=round(float(line["value"]) / scale, 6),
            spread=round(float(line["spread"]) / scale, 6) if line["spread"] else None,
            spread_kind=source["spread_kind"],
            protocol=source["protocol"],
            doubts=line["doubts"],
        )
    return found


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


VALUES: Mapping[str, Published] = read(FOLDER)
