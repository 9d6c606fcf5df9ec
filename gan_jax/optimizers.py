"""Optimisers by name: optax's, and two as the sources' own libraries compute them."""

from collections.abc import Callable, Mapping
import inspect
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax


def keras_rmsprop(
    learning_rate: float, *, decay: float = 0.0, rho: float = 0.9, epsilon: float = 1e-7
) -> optax.GradientTransformation:
    """RMSprop of Keras 2: a decaying rate, and epsilon outside the square root.

    Update t, from 0, is -rate_t * g / (sqrt(mean of squared gradients) + epsilon)
    with rate_t = learning_rate / (1 + decay * t).

    Args:
      learning_rate: of the first update.
      decay: of the rate, per update.
      rho: decay of the mean of squared gradients, which starts at 0.
      epsilon: keeps the quotient finite.
    """
    return optax.rmsprop(
        lambda count: learning_rate / (1 + decay * count),
        decay=rho,
        eps=epsilon,
        eps_in_sqrt=False,
    )


class MomentumState(NamedTuple):
    """Updates done, and the last of them."""

    step: jax.Array
    updates: Any


def momentum_sgd(
    learning_rate: float,
    *,
    decay_factor: float = 1.0,
    min_learning_rate: float = 0.0,
    momentum: float = 0.5,
    final_momentum: float = 0.5,
    momentum_steps: int = 1,
) -> optax.GradientTransformation:
    """SGD of pylearn2, in which Goodfellow et al. 2014 trained.

    Update t, from 0, is u_t = m_t * u_(t-1) - rate_t * g with
    rate_t = max(learning_rate / decay_factor^t, min_learning_rate) and m_t going
    linearly from `momentum` to `final_momentum` in `momentum_steps` updates, where
    pylearn2 changes m once an epoch. Unlike optax.sgd it scales gradients before it
    adds them up, so a falling rate does not shorten what has been added.

    Args:
      learning_rate: of the first update.
      decay_factor: divides the rate after each update.
      min_learning_rate: where the rate stops to fall.
      momentum: of the first update.
      final_momentum: from update `momentum_steps` on.
      momentum_steps: updates.
    """
    log_decay = math.log(decay_factor)  # float32 has no 1.000004, but its logarithm

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params))

    def update(
        grads: Any, state: MomentumState, params: Any = None
    ) -> tuple[Any, MomentumState]:
        del params
        rate = learning_rate * jnp.exp(-log_decay * state.step)
        rate = jnp.maximum(rate, min_learning_rate)
        share = jnp.minimum(state.step / momentum_steps, 1)
        kept = momentum + share * (final_momentum - momentum)
        updates = jax.tree.map(lambda u, g: kept * u - rate * g, state.updates, grads)
        return updates, MomentumState(optax.safe_increment(state.step), updates)

    return optax.GradientTransformation(init, update)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
    "keras_rmsprop": keras_rmsprop,
    "momentum_sgd": momentum_sgd,
}


def create(
    config: ConfigDict, *, values: Mapping[str, jax.Array] | None = None
) -> optax.GradientTransformation:
    """The optimiser that a section such as config.optimizer.generator describes.

    Args:
      config: `name`, one of OPTIMIZERS, and that optimiser's own arguments.
      values: arguments that differ from config's, which may be traced.

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
    known = inspect.signature(OPTIMIZERS[name]).parameters
    unknown = set(arguments).difference(known)
    if unknown:
        raise ValueError(
            f"the optimizer {name!r} does not take {', '.join(sorted(unknown))}, but "
            f"{', '.join(known)}: give its section these fields in a config file, "
            "or choose another optimizer."
        )
    return OPTIMIZERS[name](**arguments | dict(values or {}))
