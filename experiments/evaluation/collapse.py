"""Images as collapsed generators would draw them, from a conditional run.

    python experiments/evaluation/collapse.py RUN FOLDER

writes 10,000 images each to FOLDER/constant.npz, where the latents are constant and
only the label changes the image, and to FOLDER/two_classes.npz, where only threes and
sevens are asked for.
"""

import argparse
from pathlib import Path

import numpy as np

from gan_jax.run import reader, trained

NUM, SEED, DIGITS = 10_000, 0, (3, 7)


def draw(run: trained.Run, label: int, num: int) -> np.ndarray:
    """(num, H, W, C) uint8 of one class."""
    return run.sample(num, seed=SEED, label=label)


def main() -> None:
    """Draws and writes."""
    parser = argparse.ArgumentParser(description="Draws collapsed images.")
    parser.add_argument("run", type=Path, help="folder of a conditional run")
    parser.add_argument("folder", type=Path, help="where to write")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    run = reader.load(arguments.run)
    classes = run.config.data.num_classes
    one_each = np.concatenate([draw(run, label, 1) for label in range(classes)])
    constant = np.tile(one_each, (NUM // classes, 1, 1, 1))
    np.savez(arguments.folder / "constant.npz", images=constant)
    pair = [draw(run, label, NUM // len(DIGITS)) for label in DIGITS]
    np.savez(arguments.folder / "two_classes.npz", images=np.concatenate(pair))


if __name__ == "__main__":
    main()
