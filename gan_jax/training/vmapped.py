"""The training step of several runs, with the runs on a leading axis."""

from collections.abc import Callable, Mapping, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax.data import feed
from gan_jax.run import config_file
from gan_jax.step import optimizers, recipes, states, train_step

NETWORKS = ("generator", "discriminator")
# Fields that may differ between runs that train together, besides the seed.
FLOATS = tuple(
    f"optimizer.{network}.{name}"
    for network in NETWORKS
    for name in ("learning_rate", "b1", "b2")
)


def train_step_of(
    config: ConfigDict, recipe: recipes.Recipe
) -> Callable[..., tuple[states.GANState, Any]]:
    """A training step of S runs, as parallel.scan_steps takes it.

    The optimisers are built inside the step from the floats of each run. So the state,
    and with it a checkpoint, has the form of a run that trains alone.
    optax.inject_hyperparams would keep the floats in the optimiser's state.

    Args:
      config: config of any of the runs.
      recipe: recipe, which all runs have in common.

    Returns:
      `(state, data, inputs, each) -> (state, metrics)`: state and metrics are (S, ...),
      the data are common to all runs, and inputs are (S, ...) except for `slots`;
      `each` holds the (S,) PRNG keys and, by the fields' names, the (S,) floats that
      differ.
    """

    def step(state: Any, data: Any, inputs: Any, each: Any) -> Any:
        batch = feed.fetch(data, inputs)
        done = train_step.steps_done(state, recipe=recipe)
        key = jax.random.fold_in(each["key"], done)
        own = {name: getattr(state, name).tx for name in NETWORKS}
        state = _with_optimizers(state, _optimizers(config, each["floats"]))
        state, metrics = train_step.train_step(state, batch, key, recipe=recipe)
        return _with_optimizers(state, own), metrics

    def vmapped(state: Any, data: Any, inputs: Any, each: Any) -> Any:
        axes = {name: None if name == "slots" else 0 for name in inputs}
        return jax.vmap(step, in_axes=(0, None, axes, 0))(state, data, inputs, each)

    return vmapped


def _optimizers(config: ConfigDict, floats: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Both optimisers, with `floats` such as optimizer.generator.b1 in the config."""
    return {
        network: optimizers.create(
            config,
            network,
            values={
                name.rpartition(".")[2]: value
                for name, value in floats.items()
                if name.startswith(f"optimizer.{network}.")
            },
        )
        for network in NETWORKS
    }


def _with_optimizers(
    state: states.GANState, each: Mapping[str, Any]
) -> states.GANState:
    return state.replace(
        **{name: getattr(state, name).replace(tx=tx) for name, tx in each.items()}
    )


def differing_floats(configs: Sequence[ConfigDict]) -> dict[str, jax.Array]:
    """The values (S,) of the fields in which the runs differ, by the fields' names.

    Raises:
      ValueError: the runs differ in more than the seed and FLOATS.
    """
    names = {
        name
        for config in configs[1:]
        for name in config_file.differences(configs[0], config)
    } - {"seed"}
    if not names <= set(FLOATS):
        raise ValueError(
            f"runs of one program differ in {', '.join(sorted(names))}, but may differ "
            f"in the seed and in {', '.join(FLOATS)} only: train the others alone."
        )

    def read(config: ConfigDict, name: str) -> float:
        return functools.reduce(lambda x, part: x[part], name.split("."), config)

    return {name: jnp.array([read(x, name) for x in configs]) for name in sorted(names)}
