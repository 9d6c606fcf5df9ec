"""The inputs of the compiled steps: indices into device data, or gathered images."""

from collections.abc import Generator, Mapping
import math
from typing import Any, NamedTuple

from flax import struct
import jax
import numpy as np

from gan_jax import data
from gan_jax.data import batches

COLUMNS = 128  # a TPU stores arrays in tiles of so many columns


class Rows(struct.PyTreeNode):
    """Images as the rows of a matrix, from which a batch is gathered.

    A TPU does not gather from an array (N, H, W, 3) as it is: XLA first copies the
    whole array into another layout in each call, five times as large for 28x28x3.

    Attributes:
      rows: (N, R), a row for each image, filled up with zeros to a multiple of COLUMNS
        if it is longer than that.
      shape: (H, W, C) of an image.
    """

    rows: Any
    shape: tuple[int, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, images: np.ndarray) -> "Rows":
        """The rows of images (N, H, W, C)."""
        size = math.prod(images.shape[1:])
        rows = images.reshape(len(images), size)
        if size > COLUMNS and size % COLUMNS:
            rows = np.pad(rows, [(0, 0), (0, -size % COLUMNS)])
        return cls(rows, images.shape[1:])

    def take(self, indices: jax.Array) -> jax.Array:
        """Images (..., H, W, C) at these indices (...)."""
        rows = self.rows[indices][..., : math.prod(self.shape)]
        return rows.reshape(*indices.shape, *self.shape)


class Feed(NamedTuple):
    """Data that stay on the device, and the inputs of each call.

    Attributes:
      resident: what is to be replicated on all devices: `images`, as Rows, and `labels`
        of the whole dataset, or nothing where the host gathers the batches.
      calls: iterator of the inputs of successive calls, with leaves (D, T, ...).
    """

    resident: dict[str, Any]
    calls: Generator[dict[str, np.ndarray]]


def create(
    dataset: data.Dataset,
    *,
    seed: int,
    steps: range,
    batch_size: int,
    slots: np.ndarray,
    examples_per_slot: int,
    device_bytes: int,
) -> Feed:
    """The feed of the run's remaining steps.

    The batches are the same whether the data are on the device or on the host.

    Args:
      dataset: images and labels, memory-mapped.
      seed: seed of the order of the examples.
      steps: first step of each remaining call; the stride T is the number of steps in
        a call.
      batch_size: number of examples in a step, over all devices of all hosts.
      slots: (D, B / D_all) int32, batch indices of this host's examples, one row for
        each local device.
      examples_per_slot: N, the number of examples that a batch index takes in a step.
      device_bytes: largest size of a dataset that is copied to the device.
    """
    resident = dataset.images.nbytes <= device_bytes
    shape = (len(slots), steps.step, slots.shape[1])

    def make(first: int) -> dict[str, np.ndarray]:
        order = [
            batches.batch_indices(
                seed,
                step,
                num_examples=len(dataset.images),
                batch_size=batch_size * examples_per_slot,
            ).reshape(examples_per_slot, batch_size)
            for step in range(first, first + steps.step)
        ]
        indices = np.moveaxis(np.stack(order)[..., slots], 2, 0)  # (D, T, N, B / D_all)
        inputs = {"slots": np.broadcast_to(slots[:, None], shape)}
        if resident:
            return inputs | {"indices": indices}
        return inputs | batches.gather(dataset.images, dataset.labels, indices)

    if resident:
        whole = {"images": Rows.of(dataset.images), "labels": dataset.labels}
        return Feed(whole, (make(first) for first in steps))
    return Feed({}, batches.prefetch(make, steps))


def fetch(resident: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The batch of one step on one device, as train_step takes it.

    Args:
      resident: Feed.resident, on the device.
      inputs: part of an element of Feed.calls that belongs to the step.
    """
    if not resident:
        return dict(inputs)
    return {
        "images": resident["images"].take(inputs["indices"]),
        "labels": resident["labels"][inputs["indices"]],
        "slots": inputs["slots"],
    }
