"""Time of gan_jax's bare training steps, without input, logging or checkpoints.

    python experiments/throughput/benchmark.py --config=configs/dcgan.py \
        --config.data.image_size=32 --calls=4

prints one JSON line: milliseconds a step (median over calls) and images per second.
"""

import json
import statistics
import time

from absl import app, flags
import jax
from ml_collections import config_flags
import numpy as np

from gan_jax import models, parallel, recipes, train

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_CALLS = flags.DEFINE_integer("calls", 4, "Timed calls of steps_per_call steps each.")


def main(argv: list[str]) -> None:
    """Compiles one call of the config's step and times it on random images."""
    del argv
    config = _CONFIG.value
    steps, size = config.steps_per_call, config.data.image_size
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    networks = models.build(config, axis_name=parallel.AXIS)
    state = parallel.replicate(
        train.create_state(config, *networks, jax.random.key(config.seed))
    )
    slots = parallel.local_slots(config.batch_size)
    shape = (len(slots), steps, recipe.examples_per_slot, slots.shape[1])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (*shape, size, size, config.data.channels), np.uint8)
    inputs = {
        "images": images,
        "labels": np.zeros(shape, np.int32),
        "slots": np.broadcast_to(slots[:, None], (len(slots), steps, slots.shape[1])),
    }
    call, key = train.make_call(recipe), jax.random.key(0)
    stop = parallel.on_each_device(np.int32(0))
    times = []
    for _ in range(1 + _CALLS.value):
        start = time.perf_counter()
        state, *_ = jax.block_until_ready(call(state, {}, inputs, key, stop))
        times.append((time.perf_counter() - start) / steps)
    seconds = statistics.median(times[1:])  # the first compiles
    line = {
        "size": size,
        "batch": config.batch_size,
        "steps_per_call": steps,
        "ms_per_step": round(seconds * 1e3, 1),
        "images_per_second": round(config.batch_size / seconds, 1),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
