"""An own tracker: Weights & Biases in its offline mode, which needs no account.

`wandb sync runs/NAME/wandb/offline-run-*` uploads what it wrote, if that is wanted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Offline:
    """Has the three methods of a clu MetricWriter that a run calls."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        """Starts to record, in the folder wandb/ of the run's folder."""
        import wandb  # here, so that only a run that tracks needs the package

        self._image = wandb.Image
        self._run = wandb.init(
            project="gan_jax",
            name=workdir.name,
            dir=workdir,
            config=dict(config),
            mode="offline",
        )

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the scalars of a step."""
        self._run.log(dict(scalars), step=step)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Adds images (1, H, W, C) uint8 of a step."""
        pictures = {name: self._image(image[0]) for name, image in images.items()}
        self._run.log(pictures, step=step)

    def close(self) -> None:
        """Returns when everything is written."""
        self._run.finish()
