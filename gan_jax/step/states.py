"""The state of a GAN: the train states of both networks and the averaged parameters."""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

from flax import struct
import flax.linen as nn
from flax.training import train_state
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax


class Pass(NamedTuple):
    """The results of a training pass through a network.

    Attributes:
      output: images or logits, or a pair of logits.
      batch_stats: BatchNorm's running statistics after the pass.
      loss: scalar, the sum of the losses that the network sowed into "losses"; 0
        without any.
    """

    output: Any
    batch_stats: Any
    loss: jax.Array


# The entry of the discriminator's batch_stats that holds the moving averages of its
# mean logits, `real` and `fake`, in runs with losses.lecam; other runs have no entry.
LOGIT_MEANS = "logit_means"


class TrainState(train_state.TrainState):
    """Flax's TrainState plus running statistics, those of BatchNorm and LOGIT_MEANS.

    `batch_stats` is an empty dict for a network without any, so that every network
    takes the same code path.
    """

    batch_stats: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The variables for the module's `apply`: `params` and `batch_stats`."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    def apply(
        self, params: Any, inputs: jax.Array, labels: jax.Array, key: jax.Array
    ) -> Pass:
        """Runs a training pass with `params`; `key` is used by dropout."""
        output, updates = self.apply_fn(
            self.variables | {"params": params},
            inputs,
            labels,
            train=True,
            mutable=["batch_stats", "losses"],
            rngs={"dropout": key},
        )
        sown = jax.tree.leaves(updates.get("losses", {}))
        return Pass(
            output.astype(jnp.float32),
            updates.get("batch_stats", self.batch_stats),
            sum(sown, start=jnp.zeros(())),
        )


class GANState(struct.PyTreeNode):
    """Both networks: the unit that is checkpointed, replicated and donated.

    The `step` of a network counts the network's updates; train_step.steps_done gives
    the step of the run.

    Attributes:
      generator: generator's parameters, statistics and optimiser state.
      discriminator: discriminator's parameters, statistics and optimiser state.
      averaged: generator's averaged parameters; an empty dict if none are kept.
    """

    generator: TrainState
    discriminator: TrainState
    averaged: Any


def _create_one(
    module: nn.Module,
    key: jax.Array,
    tx: optax.GradientTransformation,
    *inputs: jax.Array,
) -> TrainState:
    params_key, dropout_key = jax.random.split(key)
    keys = {"params": params_key, "dropout": dropout_key}
    variables = module.init(keys, *inputs, train=True)
    state = TrainState.create(
        apply_fn=module.apply,
        params=variables["params"],
        tx=tx,
        batch_stats=variables.get("batch_stats", {}),
    )
    return state.replace(step=jnp.zeros((), jnp.int32))


def create(
    key: jax.Array,
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    generator_tx: optax.GradientTransformation,
    discriminator_tx: optax.GradientTransformation,
    latent_size: int,
    image_shape: tuple[int, ...],
    average: bool = False,
    follow_logits: bool = False,
) -> GANState:
    """A new GANState at step 0; the function is pure, so it can be jitted or vmapped.

    Args:
      key: PRNG key of the initial parameters.
      generator: module that maps latents (B, latent_size) and labels (B,) to images.
      discriminator: module that maps images (B, H, W, C) and labels (B,) to logits.
      generator_tx: generator's optimiser.
      discriminator_tx: discriminator's optimiser.
      latent_size: length of a latent vector.
      image_shape: (H, W, C) of the images that the discriminator sees.
      average: keep averaged parameters of the generator.
      follow_logits: keep moving averages of the discriminator's mean logits.
    """
    g_key, d_key = jax.random.split(key)
    labels = jnp.zeros((1,), jnp.int32)
    latents = jnp.zeros((1, latent_size))
    images = jnp.zeros((1, *image_shape))
    g_state = _create_one(generator, g_key, generator_tx, latents, labels)
    d_state = _create_one(discriminator, d_key, discriminator_tx, images, labels)
    if follow_logits:
        means = {"real": jnp.zeros(()), "fake": jnp.zeros(())}
        d_state = d_state.replace(
            batch_stats={**d_state.batch_stats, LOGIT_MEANS: means}
        )
    return GANState(
        generator=g_state,
        discriminator=d_state,
        # Copies, since two leaves of a donated state must not share a buffer.
        averaged=jax.tree.map(jnp.copy, g_state.params) if average else {},
    )


def creator(
    config: ConfigDict,
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    generator_tx: optax.GradientTransformation,
    discriminator_tx: optax.GradientTransformation,
) -> Callable[[jax.Array], GANState]:
    """A function that makes the first GANState of a config's run from a key."""
    data = config.data
    return functools.partial(
        create,
        generator=generator,
        discriminator=discriminator,
        generator_tx=generator_tx,
        discriminator_tx=discriminator_tx,
        latent_size=config.model.latent_size,
        image_shape=(
            data.image_size,
            data.image_size,
            data.channels * config.recipe.packing,
        ),
        average=config.recipe.ema_decay > 0,
        follow_logits=config.recipe.lecam_weight > 0,
    )
