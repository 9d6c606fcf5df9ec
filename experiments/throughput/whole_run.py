"""Time of a step in a whole run: input, logging, samples and checkpoints included.

    python experiments/throughput/whole_run.py --config=configs/dcgan.py \
        --config.num_train_steps=600

passes its flags on to gan_jax.main, in a folder that it removes, and prints one JSON
line: milliseconds a step from the first call after compilation to the last log.
"""

import json
from pathlib import Path
import subprocess
import sys
import tempfile


def main() -> None:
    """Runs and reads the last line of metrics.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "gan_jax.main", f"--workdir={folder}/run"]
            + sys.argv[1:],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        text = (Path(folder) / "run" / "metrics.jsonl").read_text()
    last = json.loads(text.splitlines()[-1])
    print(json.dumps({"ms_per_step": round(1e3 * last["seconds"] / last["step"], 2)}))


if __name__ == "__main__":
    main()
