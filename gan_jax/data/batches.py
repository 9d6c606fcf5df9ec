"""Batches as a pure function of (seed, step), and their prefetching; numpy only."""

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent import futures
import functools
import itertools
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Batch = TypeVar("Batch")


def batch_indices(
    seed: int, step: int, *, num_examples: int, batch_size: int
) -> np.ndarray:
    """Indices of the examples of one global batch, a pure function of (seed, step).

    Epochs follow each other without a gap: image i of a batch has position
    step * batch_size + i in the run and belongs to epoch position // num_examples.
    An epoch visits every example once, and every epoch has another order. So a batch
    may hold the end of one epoch and the start of the next, nothing is dropped, and a
    batch may be larger than the data.

    Args:
      seed: seed of the order, non-negative and below 2**64.
      step: step of the run, counted from 0.
      num_examples: number of examples in the data.
      batch_size: number of examples in the batch of all devices and hosts.

    Returns:
      (B,) int32 in [0, num_examples).

    Raises:
      ValueError: the seed, the step or a size is outside its range.
    """
    if not 0 <= seed < 2**64 or step < 0 or num_examples < 1 or batch_size < 1:
        raise ValueError(
            f"batch_indices got seed {seed}, step {step}, {num_examples} examples and"
            f" batch size {batch_size}. Seed and step start at 0, the sizes at 1 (seed"
            " below 2**64). Change the one outside its range."
        )
    places = step * batch_size + np.arange(batch_size, dtype=np.int64)
    epochs, offsets = np.divmod(places, num_examples)
    indices = np.empty(batch_size, np.int32)
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        in_epoch = epochs == epoch
        indices[in_epoch] = _permutation(seed, epoch, num_examples)[offsets[in_epoch]]
    return indices


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    # Sorts Philox's raw output instead of calling Generator.permutation: numpy promises
    # that the raw stream of a bit generator never changes, but not that shuffling does.
    key = np.array([seed, epoch], np.uint64)
    raw = np.random.Philox(key=key).random_raw(num_examples)
    return np.argsort(raw, kind="stable").astype(np.int32)


def gather(
    images: np.ndarray, labels: np.ndarray, indices: np.ndarray
) -> dict[str, np.ndarray]:
    """The batch {"images": (..., H, W, C) uint8, "labels": (...) int32} of `indices`.

    Args:
      images: (N, H, W, C) uint8, usually memory-mapped.
      labels: (N,) int32.
      indices: integers of any shape, such as (B,) or (steps, B).
    """
    return {
        "images": np.asarray(images[indices]),
        "labels": np.asarray(labels[indices]),
    }


def prefetch(
    make: Callable[[Item], Batch], items: Iterable[Item], depth: int = 2
) -> Generator[Batch, None, None]:
    """Yields make(item) for each item; a thread computes up to `depth` of them ahead.

    An error in `make` is raised when its batch is asked for. Closing the iterator
    (`contextlib.closing`, or its deletion) stops the thread after the current batch.

    Args:
      make: function that the thread calls for one item at a time.
      items: items, which may be endless; the caller's thread reads them at most `depth`
        ahead.
      depth: number of batches made ahead, at least 1.
    """
    remaining = iter(items)
    executor = futures.ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        pending = collections.deque(
            executor.submit(make, item) for item in itertools.islice(remaining, depth)
        )
        while pending:
            batch = pending.popleft().result()
            for item in itertools.islice(remaining, 1):
                pending.append(executor.submit(make, item))
            yield batch
    finally:
        executor.shutdown(cancel_futures=True)
