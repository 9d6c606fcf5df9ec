"""Time of a step in a whole run: input, logging, samples and checkpoints included.

    python experiments/throughput/whole_run.py --config=configs/dcgan.py \
        --config.num_train_steps=600

passes its flags on to gan_jax.main, in a folder that it removes, and prints one JSON
line: milliseconds a step over the second half of the run, between two logs (in the
first half TensorFlow is still being imported beside it), and seconds of the whole
command, from its start to its end after the last checkpoint.
"""

import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time


def main() -> None:
    """Runs and reads the last line of metrics.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gan_jax.main", f"--workdir={folder}/run"]
        start = time.perf_counter()
        subprocess.run([*command, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - start
        text = (Path(folder) / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    first = next(line for line in lines if 2 * line["step"] >= lines[-1]["step"])
    seconds = lines[-1]["seconds"] - first["seconds"]
    steps = lines[-1]["step"] - first["step"]
    line = {"ms_per_step": round(1e3 * seconds / steps, 2), "seconds": round(whole, 1)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
