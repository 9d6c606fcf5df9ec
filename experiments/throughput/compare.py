"""Runs two commands in turn and compares the `ms_per_step` of their JSON lines.

Where several seeds advance in a step, it is the time divided by their number.

    python experiments/throughput/compare.py --rounds=5 \
        "python experiments/throughput/benchmark.py --config=configs/dcgan.py" \
        "TORCH_PYTHON experiments/throughput/torch_peer.py 128 32 1 compile-cl 10"

prints each command's median and range, and the ratio of the first to the second round
by round: machines drift, and neighbours in time share the drift.
"""

import argparse
import json
import shlex
import statistics
import subprocess


def measure(command: str) -> float:
    """Milliseconds a step of one seed, by the last line that a command prints."""
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, check=True
    )
    line = json.loads(done.stdout.splitlines()[-1])
    if "seed_steps_per_second" in line:
        return float(1e3 / line["seed_steps_per_second"])
    return float(line["ms_per_step"])


def describe(name: str, values: list[float], digits: int) -> None:
    """Prints a median and a range."""
    median = statistics.median(values)
    print(
        f"{name}: median {median:.{digits}f}, "
        f"{min(values):.{digits}f} to {max(values):.{digits}f}, {len(values)} rounds",
        flush=True,
    )


def main() -> None:
    """Alternates the two commands."""
    parser = argparse.ArgumentParser(description="Alternates two benchmarks.")
    parser.add_argument("first", help="command whose last line is JSON")
    parser.add_argument("second", help="the other command")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    pairs = [
        (measure(arguments.first), measure(arguments.second))
        for _ in range(arguments.rounds)
    ]
    describe("first, ms a step", [first for first, _ in pairs], 2)
    describe("second, ms a step", [second for _, second in pairs], 2)
    describe("first / second", [first / second for first, second in pairs], 3)


if __name__ == "__main__":
    main()
