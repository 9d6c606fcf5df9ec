"""Draws images from a trained run: python -m gan_jax.sample --workdir=RUN."""

from collections.abc import Iterator
import math
from pathlib import Path
from typing import Any

from absl import flags, logging
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checkpoints as checkpoints_lib
from gan_jax import command, models, sampling
from gan_jax import images as images_lib
from gan_jax import workdir as workdir_lib

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_NUM = flags.DEFINE_integer("num", 64, "Images to draw.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the latents and labels.", lower_bound=0)
_LABEL = flags.DEFINE_integer(
    "label", None, "The class asked of a conditional generator; default uniform draws."
)
_STEP = flags.DEFINE_integer("step", None, "Of the checkpoint; default the newest.")
_AVERAGED = flags.DEFINE_bool(
    "averaged", True, "Use the generator's averaged parameters where the run has them."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 256, "Images generated at once; changes nothing else.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output", "samples.npz", "Where to write: .npz for arrays, .png for a grid."
)


def generate_batches(
    workdir: Path,
    *,
    num: int,
    seed: int,
    label: int | None = None,
    step: int | None = None,
    averaged: bool = True,
    batch_size: int = 256,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of images (B, H, W, C) uint8 and labels (B,) int32, `num` in all.

    An unconditional generator ignores the labels.

    Image i depends on the checkpoint, the seed and i alone. The generator uses its
    running BatchNorm statistics.

    Args:
      workdir: a run's folder.
      num: images in all.
      seed: of latents and labels.
      label: the label of all images; None draws labels uniformly.
      step: of the checkpoint; None takes the newest.
      averaged: use the averaged parameters where the run keeps them.
      batch_size: images generated at once.

    Raises:
      ValueError: no run or no such checkpoint in `workdir`, or no such label.
    """
    config = workdir_lib.read_config(workdir)
    classes = max(1, config.data.num_classes)
    _check_label(workdir, label, config)
    generator, _ = models.build(config, axis_name=None)
    saved = checkpoints_lib.read(workdir / "checkpoints", step)
    variables = {name: saved["generator"][name] for name in ("params", "batch_stats")}
    if averaged and saved["averaged"]:
        variables["params"] = saved["averaged"]
    latent_key, label_key = jax.random.split(jax.random.key(seed))

    @jax.jit
    def generate(variables: Any, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
        latents = sampling.draw_latents(
            latent_key,
            indices,
            latent_size=config.model.latent_size,
            distribution=config.model.latent_distribution,
        )
        if label is None:
            labels = sampling.draw_labels(label_key, indices, num_classes=classes)
        else:
            labels = jnp.full(indices.shape, label)
        return sampling.generate_images(generator, variables, latents, labels), labels

    batch_size = min(batch_size, num)
    for first in range(0, num, batch_size):
        images, labels = generate(variables, jnp.arange(first, first + batch_size))
        count = min(batch_size, num - first)
        yield (
            images_lib.to_uint8(np.asarray(images))[:count],
            np.asarray(labels)[:count],
        )


def is_conditional(config: ConfigDict) -> bool:
    """Whether the generator of a run's config heeds labels."""
    return config.model.generator.condition != "none"


def _check_label(workdir: Path, label: int | None, config: ConfigDict) -> None:
    if label is None:
        return
    if not is_conditional(config):
        raise ValueError(
            f"label is {label}, but the run in {workdir} is unconditional: leave "
            "--label out, or train one of configs/cgan.py."
        )
    if not 0 <= label < config.data.num_classes:
        raise ValueError(
            f"label is {label}, but the run in {workdir} has the classes 0 to "
            f"{config.data.num_classes - 1}: give one of them as --label."
        )


def main() -> None:
    """Reads the flags, generates and writes.

    Raises:
      ValueError: an output that is neither .npz nor .png or cannot be written.
    """
    output = Path(_OUTPUT.value)
    if output.suffix not in (".npz", ".png"):
        raise ValueError(
            f"output is {output}, but must end in .npz (arrays) or .png (a grid): "
            "change --output."
        )
    if not output.parent.is_dir():
        raise ValueError(
            f"the folder of the output {output} does not exist: make it, or change "
            "--output."
        )
    batches = generate_batches(
        Path(_WORKDIR.value),
        num=_NUM.value,
        seed=_SEED.value,
        label=_LABEL.value,
        step=_STEP.value,
        averaged=_AVERAGED.value,
        batch_size=_BATCH_SIZE.value,
    )
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if output.suffix == ".npz":
        arrays = {"images": images}
        if is_conditional(workdir_lib.read_config(Path(_WORKDIR.value))):
            arrays["labels"] = labels
        np.savez(output, allow_pickle=False, **arrays)
    else:
        grid = images_lib.make_grid(images, columns=math.isqrt(_NUM.value - 1) + 1)
        images_lib.save_png(output, grid)
    logging.info("Wrote %d images to %s.", len(images), output)


if __name__ == "__main__":
    command.run(main)
