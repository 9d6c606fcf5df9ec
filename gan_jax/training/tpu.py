"""TPU slices by their data sheets: names, chips, and the time of a step's work."""

import math
import re
from typing import NamedTuple


class Chip(NamedTuple):
    """A TPU chip and the slices that it is sold in.

    Attributes:
      memory: bytes of its HBM.
      flop_per_second: the most, of bfloat16. XLA multiplies float32 so too by default.
      bytes_per_second: of its HBM.
      link_bytes_per_second: that it sends on all its links, while it receives as many.
      cubed: slices have three dimensions and are made of cubes of 4x4x4 chips.
      most: chips of the largest slice.
    """

    memory: int
    flop_per_second: float
    bytes_per_second: float
    link_bytes_per_second: float
    cubed: bool
    most: int


# Google Cloud's pages "TPU v4", "TPU v5e", "TPU v5p" and "TPU v6e" at
# docs.cloud.google.com/tpu/docs (2026-11): memory, peak bfloat16 FLOP, bandwidth of HBM
# and of the links, whose two directions they add up. The page of v4 says nothing of its
# links, but that 4,096 chips all-reduce 1.1 PB/s. Gigabytes of memory are GiB: the page
# of v5p says that 95 of its 96 GiB are free.
CHIPS = {
    "v4": Chip(32 * 2**30, 275e12, 1200e9, 1.1e15 / 4096, True, 4096),
    "v5e": Chip(16 * 2**30, 197e12, 819e9, 400e9 / 2, False, 256),
    "v5p": Chip(95 * 2**30, 459e12, 2765e9, 1200e9 / 2, True, 6144),
    "v6e": Chip(32 * 2**30, 918e12, 1638e9, 800e9 / 2, False, 256),
}
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_BELOW_A_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
_RING = 16  # chips in a dimension of a flat slice that wraps around


class Slice(NamedTuple):
    """A TPU slice.

    Attributes:
      name: as users write it, such as v5e:2x4.
      chip: what one of its chips can do.
      shape: number of chips in each dimension.
    """

    name: str
    chip: Chip
    shape: tuple[int, ...]

    @property
    def chips(self) -> int:
        """How many chips share a step."""
        return math.prod(self.shape)

    @property
    def link_bytes_per_second(self) -> float:
        """What a chip at a corner of the slice sends on its links.

        A dimension that wraps around gives it two links, another one a single link, and
        a dimension of one chip none. Cubes wrap around in all dimensions.
        """
        cubes = self.chip.cubed and all(size % 4 == 0 for size in self.shape)
        links = [
            2 if cubes or size == _RING else min(size - 1, 1) for size in self.shape
        ]
        return self.chip.link_bytes_per_second * sum(links) / (2 * len(self.shape))


def parse(name: str) -> Slice:
    """The slice of a name such as v5e:2x4.

    Raises:
      ValueError: there is no such slice.
    """
    generation, _, layout = name.partition(":")
    if generation not in CHIPS:
        raise ValueError(
            f"{name!r} is no TPU slice: it must be a generation, a colon and the chips "
            f"in each dimension, such as v5e:2x4; generations are {', '.join(CHIPS)}."
        )
    chip = CHIPS[generation]
    shape = tuple(map(int, re.findall("[0-9]+", layout)))
    small = _BELOW_A_CUBE if chip.cubed else _FLAT
    if layout in small or (chip.cubed and _is_of_cubes(layout, shape, chip.most)):
        return Slice(name, chip, shape)
    cubes = ""
    if chip.cubed:
        cubes = (
            ", and AxBxC of multiples of 4 with A <= B <= C, such as 4x4x8, of at most "
            f"{chip.most:,} chips"
        )
    raise ValueError(
        f"{layout!r} is no shape of a TPU {generation} slice; shapes are "
        f"{', '.join(small)}{cubes}."
    )


def _is_of_cubes(layout: str, shape: tuple[int, ...], most: int) -> bool:
    is_canonical = layout == "x".join(map(str, sorted(shape))) and len(shape) == 3
    return (
        is_canonical
        and all(n and n % 4 == 0 for n in shape)
        and math.prod(shape) <= most
    )


class Work(NamedTuple):
    """What a chip does in a step.

    Attributes:
      flop: its operations.
      bytes: that its operations read and write.
      all_reduces: number of them.
      reduced_bytes: bytes that they reduce.
    """

    flop: float
    bytes: float
    all_reduces: float
    reduced_bytes: float


class Times(NamedTuple):
    """The seconds of a step's work, by data sheets."""

    compute: float
    memory: float
    all_reduce: float

    @property
    def step(self) -> float:
        """The slower of arithmetic and memory, and then the all-reduces."""
        return max(self.compute, self.memory) + self.all_reduce


def roofline(of: Slice, work: Work) -> Times:
    """The times of a step, without any latency.

    A ring all-reduce over n chips sends 2 (n - 1) / n times what is reduced.
    """
    sent = 2 * (of.chips - 1) / of.chips * work.reduced_bytes
    return Times(
        work.flop / of.chip.flop_per_second,
        work.bytes / of.chip.bytes_per_second,
        sent / of.link_bytes_per_second if sent else 0.0,
    )
