"""What a step would take on machines that we do not have, by their data sheets.

    export PYTHONPATH=.
    python experiments/throughput/roofline.py --config=configs/dcgan.py:celeba
    python experiments/throughput/roofline.py --config=configs/dcgan.py:celeba \
        --config.model.dtype=bfloat16

prints a Markdown table: milliseconds of a step by arithmetic, by memory traffic and by
the all-reduce of both networks' gradients, at config.batch_size images on each chip;
images a second if the all-reduce waits for the slower of the other two; and the images
a chip below which the all-reduce takes longer than they do, where adding chips to a
fixed batch stops to pay. The last line is JSON.

FLOP and bytes are XLA's counts of the step with lax convolutions, a straight line
through two batch sizes. Bytes are those of the program that XLA makes for this
machine's CPU, which fuses other operations than a GPU's or a TPU's and widens bfloat16
to float32: read them as an order of magnitude. Latency, BatchNorm's small all-reduces
and input are left out.
"""

import json

from absl import app, flags
import jax
from ml_collections import ConfigDict, config_flags

from experiments.throughput import machines, steps
from gan_jax import parallel

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_BATCHES = flags.DEFINE_list("batches", ["16", "32"], "The two that are counted.")


def count(config: ConfigDict, batches: tuple[int, int]) -> machines.Work:
    """The work of a config's step, from its counts at two batch sizes."""
    config = config.copy_and_resolve_references()
    config.model.convolution, config.steps_per_call = "lax", 1
    flop, moved = [], []
    for batch in batches:
        config.batch_size = batch
        program = steps.build(config)
        _, counts = steps.compile_and_count(program)
        flop.append(counts["flop_per_step"])
        moved.append(counts["bytes_per_step"])
    state = parallel.unreplicate(program.state)
    params = (state.generator.params, state.discriminator.params)

    def line(values: list[float]) -> tuple[float, float]:
        slope = (values[1] - values[0]) / (batches[1] - batches[0])
        return values[0] - batches[0] * slope, slope

    gradient_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return machines.Work(*line(flop), *line(moved), gradient_bytes)


def main(argv: list[str]) -> None:
    """Counts and prints."""
    del argv
    config, (low, high) = _CONFIG.value, map(int, _BATCHES.value)
    batch, dtype = config.batch_size, config.model.dtype
    work = count(config, (low, high))
    titles = ["machine", "images a chip", "compute, ms", "memory, ms", "all-reduce, ms"]
    titles += ["images a second", "all-reduce = compute at", "= memory at"]
    print("|", " | ".join(titles), "|\n" + "| --- " * len(titles) + "|")
    for machine in machines.MACHINES:
        times = machines.step_times(machine, work, batch=batch, dtype=dtype)
        seconds = max(times.compute, times.memory) + times.all_reduce
        cells = [machine.name, str(batch)]
        cells += [f"{1e3 * one:.3g}" for one in times]
        cells.append(f"{machine.chips * batch / seconds:,.0f}")
        for by in ("compute", "memory"):
            balanced = machines.balanced_batch(machine, work, dtype=dtype, by=by)
            cells.append(f"{balanced:.3g}" if machine.chips > 1 else "-")
        print("|", " | ".join(cells), "|")
    print(json.dumps({"batch": batch, "dtype": dtype, **work._asdict()}))


if __name__ == "__main__":
    app.run(main)
