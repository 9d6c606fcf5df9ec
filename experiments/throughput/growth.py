"""How a step's time and memory grow, one axis at a time, each point a fresh process.

    export PYTHONPATH=.
    python experiments/throughput/growth.py --output=runs/growth.jsonl
    python experiments/throughput/growth.py --output=runs/growth.jsonl --only=batch \
        --calls=1 --config.steps_per_call=1
    python experiments/throughput/plots.py --growth=runs/growth.jsonl --output=runs

appends one JSON line a point, as benchmark.py --costs prints it; flags that are not its
own go to every point. Points that are in the file are kept, so the same command goes on
after an interruption; delete a line to measure it again. Memory is predicted before the
first call. Devices and processes share one batch, all cores of one machine; over
processes, memory and FLOP are those of all of them together.
"""

import argparse
import json
import os
from pathlib import Path
import socket
import subprocess
import sys

BENCHMARK = str(Path(__file__).with_name("benchmark.py"))
DCGAN = ("--config=configs/dcgan.py", "--config.steps_per_call=2")
RING = ("--config=configs/ring.py",)
WIDTHS = tuple(
    f"--config.model.{network}.features={{0}}"
    for network in ("generator", "discriminator")
)
# For each axis its values, and the flags in which {0} is the value.
AXES: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "batch": ((32, 64, 128, 256, 512), (*DCGAN, "--config.batch_size={0}")),
    "width": ((16, 32, 64, 128), (*DCGAN, *WIDTHS)),
    "image_size": ((32, 64, 128), (*DCGAN, "--config.data.image_size={0}")),
    "devices": ((1, 2, 4, 8), DCGAN),
    "processes": ((1, 2, 4), DCGAN),
    "seeds": ((1, 2, 5, 10, 20), (*RING, "--seeds={0}")),
}
SUMS: tuple[str, ...] = ("flop_per_step", "bytes_per_step", "program_mib")
SUMS += ("predicted_peak_mib", "peak_mib")


def commands(axis: str, value: int, extra: list[str]) -> list[list[str]]:
    """The commands of a point: one, or one for each process of a job."""
    flags = [flag.format(value) for flag in AXES[axis][1]]
    command = [sys.executable, BENCHMARK, "--costs", *flags, *extra]
    if axis != "processes" or value == 1:
        return [command]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    job = [f"--coordinator_address={address}", f"--num_processes={value}"]
    return [[*command, *job, f"--process_id={number}"] for number in range(value)]


def measure(axis: str, value: int, extra: list[str]) -> dict[str, object]:
    """The line of a point; `error` if a process failed, as for want of memory."""
    devices = value if axis == "devices" else 1
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    processes = [
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands(axis, value, extra)
    ]
    outputs = [process.communicate() for process in processes]
    line: dict[str, object] = {"axis": axis, "value": value}
    for process, (_, errors) in zip(processes, outputs, strict=True):
        if process.returncode:
            text = (errors.splitlines() or [""])[-1]
            return line | {"error": f"exit status {process.returncode}: {text}"}
    lines = [json.loads(output.splitlines()[-1]) for output, _ in outputs]
    totals = {name: sum(one[name] for one in lines) for name in SUMS}
    return line | lines[0] | totals


def main() -> None:
    """Measures the points that the file does not have."""
    parser = argparse.ArgumentParser(description="Times steps along several axes.")
    parser.add_argument("--output", type=Path, default=Path("runs/growth.jsonl"))
    parser.add_argument("--only", choices=AXES, help="one axis")
    parser.add_argument("--values", type=int, nargs="+", help="in place of its own")
    arguments, extra = parser.parse_known_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if arguments.output.exists():
        lines = map(json.loads, arguments.output.read_text().splitlines())
        done = {(line["axis"], line["value"]) for line in lines}
    for axis in [arguments.only] if arguments.only else AXES:
        for value in arguments.values or AXES[axis][0]:
            if (axis, value) in done:
                continue
            text = json.dumps(measure(axis, value, extra))
            with arguments.output.open("a") as file:
                print(text, file=file)
            print(text, flush=True)


if __name__ == "__main__":
    main()
