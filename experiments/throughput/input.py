"""How fast batches come: gathered on the device, or by the host with prefetch.

    export PYTHONPATH=.
    python experiments/throughput/input.py --output=runs/input.jsonl
    python experiments/throughput/plots.py --input=runs/input.jsonl --output=runs

feeds calls of T steps, as a run's, to a step that only takes the mean of its images, so
that the time is the input's: the rate above which input would hold a training step up.
Data are random and lie in a memory-mapped file, as decoded data do. Writes a JSON line
a point: images a second and milliseconds a call, medians over calls.
"""

import argparse
import json
from pathlib import Path
import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import data as data_lib
from gan_jax import parallel
from gan_jax.data import feed

SHAPES = {28: 1, 64: 3, 128: 3}  # image size, channels
BATCHES = (64, 128, 256, 512)
HOMES = {"device": 2**62, "host": 0}  # bytes up to which data live on the device


def tiny_step(state: Any, resident: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
    """Adds the mean of the batch to the state."""
    del key
    images = feed.fetch(resident, inputs)["images"]
    return state + jnp.mean(images.astype(jnp.float32)), {}


def make_dataset(folder: Path, size: int, count: int) -> data_lib.Dataset:
    """`count` random images of SHAPES[size], memory-mapped."""
    path = folder / f"{size}.npy"
    shape = (count, size, size, SHAPES[size])
    np.save(path, np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    labels = np.zeros(count, np.int32)
    return data_lib.Dataset(np.load(path, mmap_mode="r"), labels, 1)


def seconds_per_call(
    dataset: data_lib.Dataset, *, home: str, batch: int, steps: int, calls: int
) -> float:
    """The median over some calls of `steps` steps, after two first ones."""
    inputs = feed.create(
        dataset,
        seed=0,
        steps=range(0, (calls + 2) * steps, steps),
        batch_size=batch,
        slots=parallel.local_slots(batch),
        examples_per_slot=1,
        device_bytes=HOMES[home],
    )
    call, key = parallel.scan_steps(tiny_step), jax.random.key(0)
    stop = parallel.on_each_device(np.int32(0))
    state, resident = parallel.replicate((np.float32(0), inputs.resident))
    ends = []
    for one in inputs.calls:
        state, *_ = jax.block_until_ready(call(state, resident, one, key, stop))
        ends.append(time.perf_counter())
    return statistics.median(np.diff(ends[1:]))


def main() -> None:
    """Measures all points."""
    parser = argparse.ArgumentParser(description="Times the input of training steps.")
    parser.add_argument("--output", type=Path, default=Path("runs/input.jsonl"))
    parser.add_argument("--count", type=int, default=10_000, help="images")
    parser.add_argument("--steps", type=int, default=10, help="of a call")
    parser.add_argument("--calls", type=int, default=20)
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, arguments.output.open("w") as file:
        for size, channels in SHAPES.items():
            dataset = make_dataset(Path(folder), size, arguments.count)
            for home in HOMES:
                for batch in BATCHES:
                    seconds = seconds_per_call(
                        dataset,
                        home=home,
                        batch=batch,
                        steps=arguments.steps,
                        calls=arguments.calls,
                    )
                    line = {
                        "home": home,
                        "size": size,
                        "channels": channels,
                        "batch": batch,
                        "data_mib": dataset.images.nbytes / 2**20,
                        "ms_per_call": round(seconds * 1e3, 3),
                        "ms_per_step": round(seconds * 1e3 / arguments.steps, 4),
                        "images_per_second": round(batch * arguments.steps / seconds),
                    }
                    print(json.dumps(line), file=file, flush=True)
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
