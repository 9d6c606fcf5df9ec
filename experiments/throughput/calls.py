"""What a call costs besides its steps: compilation once, dispatch each time.

    export PYTHONPATH=.
    python experiments/throughput/calls.py
    python experiments/throughput/calls.py configs/dcgan.py:celeba

prints a Markdown row for each config, by default for all: seconds to trace and compile
without the persistent cache; steps of a call; milliseconds of such a call, and of one
that has no steps, which is what dispatch takes if nothing hides it; its share.
"""

import argparse
import statistics
import time

import jax
from ml_collections import ConfigDict

from experiments.engine import trials
from experiments.throughput import steps
from gan_jax.training import programs

CONFIGS = (
    "configs/gan.py",
    "configs/gan.py:paper",
    "configs/dcgan.py",
    "configs/dcgan.py:celeba",
    "configs/dcgan_keras.py",
    "configs/cgan.py:onehot",
    "configs/cgan.py:embedding",
    "configs/cgan.py:projection",
    "configs/cgan.py:acgan",
    "configs/ring.py",
    "configs/stacked_mnist.py",
)


def load(name: str) -> ConfigDict:
    """A config with the steps per call that its run takes."""
    config = trials.load_config(name)
    config.steps_per_call = programs.steps_per_call(config)
    return config


def dispatch_seconds(program: steps.Program, calls: int = 50) -> float:
    """The median time of a call without steps."""
    data, inputs, *rest = program.rest
    inputs = {name: leaf[:, :0] for name, leaf in inputs.items()}
    empty = program._replace(rest=(data, inputs, *rest), steps=1)
    return steps.seconds_per_step(empty, calls)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Times compilation and dispatch.")
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--calls", type=int, default=2)
    arguments = parser.parse_args()
    titles = ["config", "compilation, s", "steps a call", "call, ms"]
    titles += ["dispatch, ms", "share"]
    print("|", " | ".join(titles), "|\n" + "| --- " * len(titles) + "|")
    for name in arguments.configs:
        program = steps.build(load(name))
        start = time.perf_counter()
        compiled = steps.lower(program).compile()
        compilation = time.perf_counter() - start
        runs = steps.run_calls(program._replace(call=compiled))
        seconds = statistics.median(next(runs) for _ in range(arguments.calls))
        call = seconds * program.steps
        # After the compilation, which it would warm up; the state was donated.
        dispatch = dispatch_seconds(steps.build(load(name)))
        cells = [name, f"{compilation:.1f}", str(program.steps), f"{1e3 * call:.0f}"]
        cells += [f"{1e3 * dispatch:.2f}", f"{dispatch / call:.2%}"]
        print("|", " | ".join(cells), "|", flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
