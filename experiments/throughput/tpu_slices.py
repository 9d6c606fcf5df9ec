"""What steps take on a TPU's chips, as XLA compiles them; no TPU is needed.

    export PYTHONPATH=.
    python experiments/throughput/tpu_slices.py configs --output=runs/tpu.jsonl
    python experiments/throughput/tpu_slices.py generations --output=runs/tpu.jsonl

needs the package libtpu (the extra `tpu` of setup.cfg). `configs` compiles every
shipped config for v5e:2x4, with its batch rounded up to 8 images a chip and more;
`generations` compiles dcgan.py:celeba in bfloat16 with 128 images a chip for two sizes
of each generation. One JSON line a point is appended to the file. Points that are in
the file are kept, so the same command goes on after an interruption. A Markdown table
of the points is printed as they are done.
"""

import argparse
import json
from pathlib import Path

import jax
from ml_collections import ConfigDict

from gan_jax import command, data, parallel
from gan_jax.training import compile_for, dry_run, programs, tpu

SMALL, IMAGES = "v5e:2x4", 128
OF_8, OF_256 = ("2x4", "2x2x2"), ("16x16", "4x8x8")
GENERATIONS = [
    f"{name}:{layouts[chip.cubed]}"
    for layouts in (OF_8, OF_256)
    for name, chip in tpu.CHIPS.items()
]
SETS = ("configs", "generations")


def points(name: str) -> list[tuple[str, str]]:
    """Configs and slices of a set."""
    if name == "generations":
        return [("dcgan:celeba", one) for one in GENERATIONS]
    return [(one, SMALL) for one in command.shipped_configs() if one != "default"]


def prepare(name: str, one: str, slice_: str) -> ConfigDict:
    """The config of a point."""
    config = command.shipped_configs()[one]
    chips = tpu.parse(slice_).chips
    if name == "generations":
        config.model.dtype, config.batch_size = "bfloat16", IMAGES * chips
    config.batch_size = -(-config.batch_size // chips) * chips
    if config.data.name == "folder":  # any folder of images will do
        config.data.manual_dir = str(Path(__file__).parent)
    return config


def compile_point(name: str, one: str, slice_: str) -> dict[str, object]:
    """The line of a point."""
    config = prepare(name, one, slice_)
    devices = parallel.slice_devices(slice_)
    compiled = compile_for.compile_call(config, devices, data.count(config.data))
    return {
        "set": name,
        "config": one,
        "slice": slice_,
        "batch": config.batch_size,
        "dtype": config.model.dtype,
        "steps": programs.steps_per_call(config),
        "memory": dry_run.memory_of_call(compiled.sizes),
        **compiled.work._asdict(),
        "seconds_to_compile": compiled.seconds_to_compile,
    }


def row(line: dict[str, object]) -> list[str]:
    """The cells of a point."""
    of = tpu.parse(str(line["slice"]))
    work = tpu.Work(*(line[field] for field in tpu.Work._fields))  # type: ignore
    times = tpu.roofline(of, work)
    whole = sum(line["memory"].values())  # type: ignore
    return [
        str(line["config"]),
        of.name,
        f"{int(line['batch']) // of.chips:,}",  # type: ignore
        f"{whole / 2**20:,.0f}",
        f"{100 * whole / of.chip.memory:.2g} %",
        f"{work.flop / 1e9:.3g}",
        f"{work.bytes / 1e9:.3g}",
        f"{work.all_reduces:.3g}",
        f"{work.reduced_bytes / 1e6:.3g}",
        *(f"{1e3 * seconds:.3g}" for seconds in (*times, times.step)),
    ]


def main() -> None:
    """Compiles what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description="Compiles steps for TPU slices.")
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.touch()
    lines = [json.loads(line) for line in arguments.output.read_text().splitlines()]
    done = {(line["set"], line["config"], line["slice"]): line for line in lines}
    titles = ["config", "slice", "images a chip", "MiB", "of the chip's memory"]
    titles += ["GFLOP", "GB", "all-reduces", "MB reduced", "arithmetic, ms"]
    titles += ["memory, ms", "all-reduce, ms", "step, ms"]
    print("|", " | ".join(titles), "|\n" + "| --- " * len(titles) + "|")
    for one, slice_ in points(arguments.set):
        point = (arguments.set, one, slice_)
        if point not in done:
            done[point] = compile_point(*point)
            with arguments.output.open("a") as file:
                print(json.dumps(done[point]), file=file)
            jax.clear_caches()
        print("|", " | ".join(row(done[point])), "|", flush=True)


if __name__ == "__main__":
    main()
