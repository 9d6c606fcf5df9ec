"""An own data source: white discs of random radius and place on a black ground."""

from ml_collections import ConfigDict
import numpy as np

from gan_jax import data

SEEDS = {"train": 0, "test": 1}
COUNTS = {"train": 2_000, "test": 500}


def check(config: ConfigDict) -> None:
    """Refuses other splits, other channels and images in which no disc has room.

    Raises:
      ValueError: the config asks for one of these.
    """
    if config.split not in COUNTS:
        raise ValueError(
            f"data.split is {config.split!r}, but discs have the splits "
            f"{' and '.join(COUNTS)}: set --config.data.split to one of them."
        )
    if config.channels != 1 or config.image_size < 8:
        raise ValueError(
            f"data.channels is {config.channels} and data.image_size is "
            f"{config.image_size}, but discs are grey and have 8 pixels or more: set "
            "--config.data.channels=1 and --config.data.image_size=16."
        )


def load(config: ConfigDict) -> data.Dataset:
    """Images (N, H, W, 1) uint8 of discs, whose radius is H/8 to H/4; no classes."""
    count, size = COUNTS[config.split], config.image_size
    rng = np.random.default_rng(SEEDS[config.split])
    radius = rng.uniform(size / 8, size / 4, (count, 1, 1))
    x, y = rng.uniform(size / 4, 3 * size / 4, (2, count, 1, 1))
    rows, columns = np.mgrid[:size, :size] + 0.5  # the centres of the pixels
    is_inside = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    images = np.where(is_inside, 255, 0).astype(np.uint8)[..., None]
    return data.Dataset(images, np.zeros(count, np.int32), 1)


source = data.Source(check, load)
