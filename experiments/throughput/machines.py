"""Machines by their data sheets, and how long they would take for a step's work."""

from collections.abc import Mapping
from typing import NamedTuple

from gan_jax.training import tpu


class Machine(NamedTuple):
    """Chips that train together.

    Attributes:
      name: of the row.
      chips: that share a step.
      flop_per_second: of a chip at its best, by dtype.
      bytes_per_second: of a chip's memory.
      link_bytes_per_second: that a chip can send, while it receives as many.
    """

    name: str
    chips: int
    flop_per_second: Mapping[str, float]
    bytes_per_second: float
    link_bytes_per_second: float


# NVIDIA H100 Tensor Core GPU data sheet, column SXM: 1,979 TFLOP/s bfloat16 and 989
# TF32 with sparsity, dense half of it; 3.35 TB/s; NVLink 900 GB/s, both directions
# together. XLA multiplies float32 as TF32 by default.
_H100 = ({"float32": 494.7e12, "bfloat16": 989.4e12}, 3.35e12, 450e9)


def _tpu(title: str, name: str) -> Machine:
    """A TPU slice; XLA multiplies float32 as bfloat16 there by default too."""
    of = tpu.parse(name)
    rates = dict.fromkeys(("float32", "bfloat16"), of.chip.flop_per_second)
    return Machine(
        title, of.chips, rates, of.chip.bytes_per_second, of.link_bytes_per_second
    )


MACHINES = (
    Machine("H100 SXM", 1, *_H100),
    Machine("8 H100 SXM on NVLink", 8, *_H100),
    _tpu("TPU v5e, a host's 8 chips", "v5e:2x4"),
    _tpu("TPU v5e, a pod's 256 chips", "v5e:16x16"),
)


class Work(NamedTuple):
    """A step's work on a chip: `fixed + batch * per_image`, and what is all-reduced."""

    fixed_flop: float
    flop_per_image: float
    fixed_bytes: float
    bytes_per_image: float
    gradient_bytes: float


class Times(NamedTuple):
    """Seconds of a step."""

    compute: float
    memory: float
    all_reduce: float


def step_times(machine: Machine, work: Work, *, batch: float, dtype: str) -> Times:
    """The three times of a step with `batch` images on each chip.

    A ring all-reduce over n chips sends 2 (n - 1) / n times the gradients.
    """
    n = machine.chips
    return Times(
        (work.fixed_flop + batch * work.flop_per_image)
        / machine.flop_per_second[dtype],
        (work.fixed_bytes + batch * work.bytes_per_image) / machine.bytes_per_second,
        2 * (n - 1) / n * work.gradient_bytes / machine.link_bytes_per_second,
    )


def balanced_batch(machine: Machine, work: Work, *, dtype: str, by: str) -> float:
    """Images a chip at which the all-reduce takes as long as "compute" or "memory"."""
    none, one = (step_times(machine, work, batch=b, dtype=dtype) for b in (0, 1))
    fixed, slope = getattr(none, by), getattr(one, by) - getattr(none, by)
    return max(0.0, (none.all_reduce - fixed) / slope)
