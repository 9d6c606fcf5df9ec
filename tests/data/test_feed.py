"""What the compiled steps get: rows on the device, or batches from the host."""

import jax
import numpy as np
import pytest

from gan_jax import data, parallel
from gan_jax.data import feed


@pytest.mark.parametrize(
    "shape, columns",
    [((28, 28, 1), 896), ((16, 16, 1), 256), ((5, 3, 2), 30), ((1, 1, 2), 2)],
)
def test_rows_are_whole_tiles_and_give_back_the_images(shape, columns):
    images = np.random.default_rng(0).integers(1, 256, (7, *shape), np.uint8)
    rows = feed.Rows.of(images)
    assert rows.rows.shape == (7, columns)
    indices = np.array([[3, 0], [6, 3], [1, 2]])
    taken = jax.jit(feed.Rows.take)(rows, indices)
    np.testing.assert_array_equal(taken, images[indices])


def test_data_on_the_device_and_data_from_the_host_give_the_same_batches(tiny_config):
    dataset = data.create(tiny_config.data)
    slots = parallel.local_slots(8)
    batches = {}
    for device_bytes in (0, 2**30):
        inputs = feed.create(
            dataset,
            seed=3,
            steps=range(4, 12, 2),
            batch_size=8,
            slots=slots,
            examples_per_slot=1,
            device_bytes=device_bytes,
        )
        assert bool(inputs.resident) == (device_bytes > 0)
        batches[device_bytes] = [
            feed.fetch(
                inputs.resident,
                jax.tree.map(lambda leaf, d=device, t=step: leaf[d, t], call),
            )
            for call in inputs.calls
            for device in range(2)
            for step in range(2)
        ]
    assert len(batches[0]) == 16
    for one, other in zip(batches[0], batches[2**30], strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    # 64 examples of 48, in order of (call, device, step): all 48 were seen.
    seen = np.concatenate([batch["images"] for batch in batches[0]])
    assert len(np.unique(seen.reshape(-1, 16 * 16), axis=0)) == 48
