"""Time of gan_jax's bare training steps, without input, logging or checkpoints.

    export PYTHONPATH=.
    python experiments/throughput/benchmark.py --config=configs/dcgan.py \
        --config.data.image_size=32 --calls=4
    python experiments/throughput/benchmark.py --config=configs/ring.py --seeds=10
    python experiments/throughput/benchmark.py --config=configs/ring.py --processes=2

prints one JSON line: milliseconds a step (median over calls), in which all seeds or
processes advance by one step each, images and seed-steps per second of all together.
With --costs also what XLA counts, and the memory that it predicts and that was used.
"""

import json
import multiprocessing
import os
from typing import Any

from absl import app, flags
import jax
from ml_collections import ConfigDict, config_flags

from experiments.throughput import steps
from gan_jax import parallel
from gan_jax.training import programs, train

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_CALLS = flags.DEFINE_integer("calls", 4, "Timed calls of steps_per_call steps each.")
_SEEDS = flags.DEFINE_integer("seeds", 0, "Vmapped seeds; 0: one run, not vmapped.")
_PROCESSES = flags.DEFINE_integer(
    "processes", 0, "Processes at once, a seed and a core each; 0: all cores for one."
)
_COSTS = flags.DEFINE_bool("costs", False, "Add FLOP, bytes and memory.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, "host:port, of one run over several processes."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Processes of the run.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "This process, from 0.")


def time_alone(config: ConfigDict) -> tuple[float, dict[str, float]]:
    """Seconds a step in this process, and the costs if wanted."""
    program = steps.build(config, seeds=_SEEDS.value)
    line: dict[str, float] = {}
    with jax.default_matmul_precision(config.matmul_precision):
        if _COSTS.value:
            program, line = steps.compile_and_count(program)
        seconds = steps.seconds_per_step(program, _CALLS.value)
    if _COSTS.value:
        line["devices"] = jax.device_count()
        line["peak_mib"] = round(steps.peak_bytes() / steps.MIB, 1)
    return seconds, line


def time_together(config: ConfigDict, processes: int, calls: int) -> list[float]:
    """Each process's seconds a step, while all of them run."""
    context = multiprocessing.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0))
    start, results = context.Barrier(processes), context.SimpleQueue()
    workers = [
        context.Process(
            target=_work, args=(config, calls, cores[n % len(cores)], start, results)
        )
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a process failed; its error is printed above.")
    return [results.get() for _ in workers]


def _work(config: ConfigDict, calls: int, core: int, start: Any, results: Any) -> None:
    """Times one seed on one core; the first call compiles, then all start."""
    os.sched_setaffinity(0, {core})  # before JAX starts its threads
    program = steps.build(config)
    runs = steps.run_calls(program)
    next(runs)
    start.wait()
    results.put(sum(next(runs) for _ in range(calls)) / calls)


def main(argv: list[str]) -> None:
    """Times the steps and prints the line."""
    del argv
    config, together = _CONFIG.value, max(1, _SEEDS.value, _PROCESSES.value)
    costs: dict[str, float] = {}
    line: dict[str, float] = {
        "size": config.data.image_size,
        "batch": config.batch_size,
        "steps_per_call": config.steps_per_call or programs.FEWEST_STEPS,
    }
    if _PROCESSES.value:
        each = time_together(config, _PROCESSES.value, _CALLS.value)
        seconds, rate = max(each), sum(1 / one for one in each)
        line["processes"] = _PROCESSES.value
    else:
        train.choose_kernels(config)
        job = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
        with parallel.joined(*job):
            seconds, costs = time_alone(config)
        rate = together / seconds
        if _SEEDS.value:
            line["seeds"] = _SEEDS.value
    line["ms_per_step"] = round(seconds * 1e3, 2)
    line["images_per_second"] = round(config.batch_size * rate, 1)
    if together > 1 or _SEEDS.value:
        line["seed_steps_per_second"] = round(rate, 2)
    print(json.dumps(line | costs), flush=True)


if __name__ == "__main__":
    app.run(main)
