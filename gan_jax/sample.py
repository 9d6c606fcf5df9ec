"""Draws images from a trained run: python -m gan_jax.sample --workdir=RUN."""

import math
from pathlib import Path

from absl import flags, logging
import numpy as np

from gan_jax import checks, command, memory
from gan_jax.run import images as images_lib
from gan_jax.run import trained

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the trained run.", required=True
)
_NUM = flags.DEFINE_integer(
    "num", 64, "Number of images to draw.", lower_bound=1, upper_bound=checks.MOST
)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Seed of the latents and labels.",
    lower_bound=0,
    upper_bound=checks.SEEDS,
)
_LABEL = flags.DEFINE_integer(
    "label",
    None,
    "Class of all images, for a conditional generator. By default the class of each "
    "image is drawn at random.",
)
_STEP = flags.DEFINE_integer(
    "step", None, "Step of the checkpoint to load; the newest checkpoint by default."
)
_AVERAGED = flags.DEFINE_bool(
    "averaged", True, "Use the generator's averaged parameters where the run has them."
)
_BEST = flags.DEFINE_bool(
    "best",
    False,
    "Load the best checkpoint, which training keeps if the config sets "
    "evaluation.best_metric.",
)
_STATISTICS = flags.DEFINE_enum(
    "statistics",
    "running",
    ["running", "batch"],
    "Statistics that the generator's BatchNorm uses: running, from training, or batch, "
    "of the generated batch.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    256,
    "Number of images generated at once.",
    lower_bound=1,
    upper_bound=checks.MOST,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    "samples.npz",
    "File to write: .npz holds the images as arrays, .png shows them in a grid.",
)


def main() -> None:
    """Generates images from a run and writes them to a file.

    Raises:
      ValueError: there is no such run, or the output is neither .npz nor .png or
        cannot be written.
      OSError: the disk is full.
    """
    output = Path(_OUTPUT.value)
    if output.suffix not in (".npz", ".png"):
        raise ValueError(
            f"output is {output}, but must end in .npz (arrays) or .png (a grid): "
            "change --output."
        )
    images_lib.check_output(output, "--output")
    folder = "best" if _BEST.value else "checkpoints"
    run = trained.load(Path(_WORKDIR.value), _STEP.value, folder=folder)
    averaged = _AVERAGED.value and bool(run.averaged)
    if averaged:
        run = run.with_averaged()
    data = run.config.data
    shape = data.image_size, data.image_size, data.channels
    filled = _BATCH_SIZE.value if _STATISTICS.value == "batch" else 0
    num = max(_NUM.value, filled)
    memory.check_images(num, shape, "--num" if num > filled else "--batch_size")
    batches = trained.generate_batches(
        run,
        num=_NUM.value,
        seed=_SEED.value,
        label=_LABEL.value,
        batch_size=_BATCH_SIZE.value,
        statistics=_STATISTICS.value,
    )
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if output.suffix == ".npz":
        arrays = {"images": images}
        if run.is_conditional:
            arrays["labels"] = labels
        images_lib.save_arrays(output, **arrays)
    else:
        columns = math.isqrt(_NUM.value - 1) + 1
        extent = 1.25 * float(np.abs(images).max())
        grid = images_lib.make_picture(images, columns, extent=extent)
        images_lib.save_png(output, grid)
    logging.info(
        "Wrote %d images of %s of step %d to %s.",
        len(images),
        "the averaged generator" if averaged else "the generator",
        run.step,
        output,
    )


if __name__ == "__main__":
    command.run(main)
