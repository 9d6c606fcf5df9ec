"""Optimisers by name."""

from collections.abc import Callable

from ml_collections import ConfigDict
import optax

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}


def create(config: ConfigDict) -> optax.GradientTransformation:
    """The optimiser that a section such as config.optimizer.generator describes.

    Args:
      config: `name`, one of OPTIMIZERS, and that optimiser's own arguments.

    Raises:
      ValueError: an unknown name, or arguments that the optimiser does not take.
    """
    arguments = config.to_dict()
    name = arguments.pop("name")
    if name not in OPTIMIZERS:
        raise ValueError(
            f"unknown optimizer {name!r}; known are {', '.join(OPTIMIZERS)}: set "
            "--config.optimizer.generator.name or .discriminator.name to one."
        )
    return OPTIMIZERS[name](**arguments)
