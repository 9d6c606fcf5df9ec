"""What the compiled steps are fed: indices into device data, or gathered images."""

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import numpy as np

from gan_jax import data as data_lib
from gan_jax.data import batches


class Feed(NamedTuple):
    """Data that stay on the device and the inputs of each call.

    Attributes:
      resident: arrays to replicate: `images` and `labels` of the whole dataset, or
        nothing where the host gathers.
      calls: the inputs of one call after another, leaves (D, T, ...).
    """

    resident: dict[str, np.ndarray]
    calls: Generator[dict[str, np.ndarray]]


def create(
    dataset: data_lib.Dataset,
    *,
    seed: int,
    steps: range,
    batch_size: int,
    slots: np.ndarray,
    examples_per_slot: int,
    device_bytes: int,
) -> Feed:
    """The feed of the run's remaining steps, the same batches wherever data live.

    Args:
      dataset: images and labels, memory-mapped.
      seed: of the order of the examples.
      steps: the first step of each remaining call; its stride T is the steps a call.
      batch_size: examples a step over all devices of all hosts.
      slots: (D, B / D_all) int32, the places in the global batch of this host's
        examples, one row for each local device.
      examples_per_slot: N, the examples that each place takes a step.
      device_bytes: a dataset up to this size goes to the device as a whole.
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
        arrays = {"images": dataset.images, "labels": dataset.labels}
        return Feed(arrays, (make(first) for first in steps))
    return Feed({}, batches.prefetch(make, steps))


def fetch(resident: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The batch of one step on one device, as train_step takes it.

    Args:
      resident: what Feed.resident holds, on the device.
      inputs: one step's share of one of Feed.calls.
    """
    if not resident:
        return dict(inputs)
    return {
        "images": resident["images"][inputs["indices"]],
        "labels": resident["labels"][inputs["indices"]],
        "slots": inputs["slots"],
    }
