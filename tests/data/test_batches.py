"""The order of the data and the prefetching of batches."""

import contextlib
import itertools
import threading

import numpy as np
import pytest

from gan_jax.data import batches


def order_of_run(seed, steps, num_examples, batch_size):
    return np.concatenate(
        [
            batches.batch_indices(
                seed, step, num_examples=num_examples, batch_size=batch_size
            )
            for step in range(steps)
        ]
    )


@pytest.mark.parametrize("batch_size", [1, 3, 10, 25])
def test_each_epoch_visits_every_example_once(batch_size):
    # 10 examples: the sizes divide the epoch, straddle it, equal it and exceed it.
    order = order_of_run(0, steps=50, num_examples=10, batch_size=batch_size)
    whole_epochs = order[: len(order) // 10 * 10].reshape(-1, 10)
    assert np.array_equal(
        np.sort(whole_epochs), np.tile(np.arange(10), (len(whole_epochs), 1))
    )


def test_order_does_not_depend_on_batch_size():
    small = order_of_run(7, steps=35, num_examples=13, batch_size=2)
    large = order_of_run(7, steps=10, num_examples=13, batch_size=7)
    np.testing.assert_array_equal(small, large)


def test_batch_is_a_function_of_seed_and_step():
    later = batches.batch_indices(3, 29, num_examples=100, batch_size=8)
    batches._permutation.cache_clear()
    again = batches.batch_indices(3, 29, num_examples=100, batch_size=8)
    np.testing.assert_array_equal(later, again)
    assert again.dtype == np.int32


def test_seeds_and_epochs_have_orders_of_their_own():
    orders = {
        tuple(batches.batch_indices(seed, epoch, num_examples=50, batch_size=50))
        for seed, epoch in itertools.product(range(4), range(4))
    }
    assert len(orders) == 16


def test_every_example_is_equally_likely_in_every_place():
    # 2000 epochs of 4 examples: 500 expected a cell, standard deviation 19.4.
    order = order_of_run(1, steps=2000, num_examples=4, batch_size=4).reshape(-1, 4)
    counts = np.stack([np.bincount(place, minlength=4) for place in order.T])
    assert np.abs(counts - 500).max() < 5 * 19.4


def test_far_steps_do_not_overflow():
    indices = batches.batch_indices(0, 2**40, num_examples=60_000, batch_size=128)
    assert indices.min() >= 0 and indices.max() < 60_000


@pytest.mark.parametrize(
    ("seed", "step", "num_examples", "batch_size"),
    [(-1, 0, 1, 1), (2**64, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)],
)
def test_values_outside_their_range_are_refused(seed, step, num_examples, batch_size):
    with pytest.raises(ValueError, match="outside its range"):
        batches.batch_indices(
            seed, step, num_examples=num_examples, batch_size=batch_size
        )


def test_gather_keeps_the_order_and_the_shape_of_the_indices():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    labels = np.arange(5, dtype=np.int32) * 10
    batch = batches.gather(images, labels, np.array([[4, 0, 4], [2, 1, 3]]))
    assert batch["images"].shape == (2, 3, 1, 1, 1)
    np.testing.assert_array_equal(batch["images"][..., 0, 0, 0], [[4, 0, 4], [2, 1, 3]])
    np.testing.assert_array_equal(batch["labels"], [[40, 0, 40], [20, 10, 30]])


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefetch_keeps_the_order(depth):
    made = list(batches.prefetch(lambda item: item * item, range(7), depth))
    assert made == [0, 1, 4, 9, 16, 25, 36]


def test_prefetch_of_nothing_is_empty():
    assert list(batches.prefetch(abs, [])) == []


def test_prefetch_works_ahead_in_another_thread():
    second_made = threading.Event()
    threads = set()

    def make(item):
        threads.add(threading.get_ident())
        if item == 1:
            second_made.set()
        return item

    with contextlib.closing(batches.prefetch(make, itertools.count())) as made:
        assert next(made) == 0
        # Item 1 is made although nobody has asked for it yet.
        assert second_made.wait(timeout=30)
    assert threading.get_ident() not in threads


def test_prefetch_raises_an_error_where_its_batch_would_come():
    made = batches.prefetch(lambda item: 1 // item, [1, 0, 1])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
    with pytest.raises(StopIteration):
        next(made)


def test_closing_prefetch_stops_its_thread():
    before = threading.active_count()
    made = batches.prefetch(abs, itertools.count())
    next(made)
    assert threading.active_count() == before + 1
    made.close()
    assert threading.active_count() == before
