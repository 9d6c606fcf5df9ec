"""How near a config's step comes to this machine's best matrix product.

    export PYTHONPATH=.
    python experiments/throughput/limit.py --config=configs/dcgan.py:celeba \
        --config.steps_per_call=4 --calls=3
    python experiments/throughput/limit.py --config=configs/gan.py \
        --config.batch_size=100

prints the best rate of each shape, and a last JSON line with the step's time in the
same run, its FLOP as XLA counts our program (before it optimises it) and as
textbook.py counts the networks, and the share of the best rate that each means.
The rate is of the config's own dtype.
"""

import json
import time

from absl import app, flags
import jax
import jax.numpy as jnp
from ml_collections import config_flags

from experiments.engine import forecast
from experiments.throughput import steps, textbook

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_CALLS = flags.DEFINE_integer("calls", 3, "Timed calls of steps_per_call steps each.")
_ROUNDS = flags.DEFINE_integer("rounds", 20, "Products of each shape; the best counts.")
_SHAPES = flags.DEFINE_list(
    "shapes",
    # Squares, then the patches of a DCGAN's layers at batch 128 by their kernels.
    "1024x1024x1024,2048x2048x2048,4096x4096x4096,32768x1024x128,8192x2048x256,"
    "2048x4096x512",
    "Products MxKxN.",
)


def short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def product_rate(shape: tuple[int, int, int], dtype: str, rounds: int) -> float:
    """FLOP a second of a product (M, K) x (K, N), the best of some rounds."""
    m, k, n = shape
    left, right = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
    multiply = jax.jit(jnp.matmul)
    multiply(left, right).block_until_ready()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        multiply(left, right).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * m * k * n / min(times)


def best_rates(rounds: int) -> dict[str, float]:
    """For each dtype the best rate of all shapes, FLOP a second; prints each."""
    best = dict.fromkeys(("float32", "bfloat16"), 0.0)
    for text in _SHAPES.value:
        m, k, n = (int(size) for size in text.split("x"))
        for dtype in best:
            rate = product_rate((m, k, n), dtype, rounds)
            best[dtype] = max(best[dtype], rate)
            line = {
                "shape": text,
                "dtype": dtype,
                "gflop_per_second": short(rate / 1e9),
            }
            print(json.dumps(line), flush=True)
    return best


def main(argv: list[str]) -> None:
    """Measures the steps and the rates, and counts."""
    del argv
    config = _CONFIG.value
    # Steps first, in a fresh process, as a run has them.
    seconds = steps.seconds_per_step(steps.build(config), _CALLS.value)
    rates = best_rates(_ROUNDS.value)
    flop = {
        "xla": forecast.forecast(config).flop,
        "textbook": textbook.step_flop(config),
    }
    limit = rates[config.model.dtype]
    line = {
        "size": config.data.image_size,
        "batch": config.batch_size,
        "dtype": config.model.dtype,
        "ms_per_step": round(seconds * 1e3, 2),
        **{f"{d}_gflop_per_second": short(rate / 1e9) for d, rate in rates.items()},
        **{f"{name}_gflop": short(one / 1e9) for name, one in flop.items()},
        **{
            f"{name}_share_of_limit": short(one / seconds / limit)
            for name, one in flop.items()
        },
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
