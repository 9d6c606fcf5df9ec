"""Generative adversarial networks as pure functions of two parameter trees."""

import os
import sys
from typing import TYPE_CHECKING

from gan_jax import version

if TYPE_CHECKING:
    from gan_jax.run import trained

if sys.argv[:1] == ["-m"]:  # Python is about to start a command of this package
    from gan_jax import interrupt

    interrupt.install()  # before the libraries are imported, which takes seconds

__version__ = version.VERSION


def load(
    workdir: str | os.PathLike[str],
    step: int | None = None,
    *,
    best: bool = False,
    raw: bool = False,
    allow_code: bool = False,
) -> "trained.Run":
    """A trained run, read from its folder, in which nothing changes.

        model = gan_jax.load("runs/dcgan")
        images = model.sample(16, seed=0)
        images = model.generate(model.draw_latents(16, seed=0))  # are the same images

    `model.generator` is the Flax module, `model.variables` its parameters and batch
    statistics, `model.config` and `model.step` say where they come from.

    Args:
      workdir: the run's folder, or its address in a bucket, such as gs://BUCKET/RUN.
      step: the step of the checkpoint; None takes the newest good checkpoint.
      best: take the checkpoint with the best score instead, which a run keeps if
        config.evaluation.best_metric names a metric.
      raw: take the generator as the optimiser left it. Otherwise it is the averaged
        generator, if the run keeps an average.
      allow_code: import the run's model from a file if config.model.name has the form
        module:name. Importing a file executes it, so allow only code that you trust.

    Raises:
      ValueError: the folder holds no run or no such checkpoint, or its model is code
        that was not allowed.
      OSError: the bucket cannot be read.
    """
    from gan_jax.run import bucket, reader

    folder = "best" if best else "checkpoints"
    choose = bucket.choose_checkpoints(folder, [step])
    with bucket.fetched(os.fspath(workdir), choose) as local:
        run = reader.load(local, step, folder=folder, allow_code=allow_code)
    return run.with_averaged() if run.averaged and not raw else run
