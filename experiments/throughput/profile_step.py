"""Where the time of a config's steps goes: the most expensive operations of one call.

    export PYTHONPATH=.
    python experiments/throughput/profile_step.py --config=configs/dcgan.py --top=15

traces the second call with jax.profiler and prints two Markdown tables of milliseconds
a step in operations themselves, without those that they contain, over all threads or
streams, with their share of the sum: by kind, which is "matrix product" or the last
operation of ours that XLA fused, and one by one with where in our code they come from.
The last line is JSON: the second table, and the step's time under the profiler.
"""

import collections
import json
from pathlib import Path
import tempfile

from absl import app, flags
import jax
from ml_collections import config_flags

from experiments.throughput import steps, traces

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_TOP = flags.DEFINE_integer("top", 15, "Operations to show.")


def main(argv: list[str]) -> None:
    """Traces, reads and prints."""
    del argv
    program = steps.build(_CONFIG.value)
    program, _ = steps.compile_and_count(program)
    runs = steps.run_calls(program)
    next(runs)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            seconds = next(runs)
        total = traces.read(Path(folder))
    assert isinstance(program.call, jax.stages.Compiled)
    known, whole = traces.origins(program.call.as_text() or ""), sum(total.values())
    rows = [
        {
            "operation": name,
            "ms_per_step": round(total[name] / 1e6 / program.steps, 3),
            "share": round(total[name] / whole, 4),
            "origin": known.get(name, ""),
        }
        for name in sorted(total, key=total.__getitem__, reverse=True)[: _TOP.value]
    ]
    kinds: dict[str, float] = collections.defaultdict(float)
    for name, duration in total.items():
        kinds[traces.kind(name, known.get(name, ""))] += duration
    print("| kind | ms a step | share |\n| --- | --- | --- |")
    longest = sorted(kinds.items(), key=lambda item: item[1], reverse=True)
    for kind, duration in longest[: _TOP.value]:
        milliseconds = duration / 1e6 / program.steps
        print(f"| {kind} | {milliseconds:.3f} | {duration / whole:.1%} |")
    print()
    print("| operation | ms a step | share | from |\n| --- | --- | --- | --- |")
    for row in rows:
        cells = row["operation"], row["ms_per_step"], f"{row['share']:.1%}"
        print("|", " | ".join(map(str, cells)), "|", row["origin"], "|")
    line = {
        "ms_per_step": round(seconds * 1e3, 2),
        "ms_of_operations": round(whole / 1e6 / program.steps, 2),
        "operations": rows,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
