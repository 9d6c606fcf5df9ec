"""The state of a GAN: two train states and nothing else."""

from typing import Any

from flax import struct
import flax.linen as nn
from flax.training import train_state
import jax
import jax.numpy as jnp
import optax


class TrainState(train_state.TrainState):
    """Flax's TrainState plus BatchNorm's running statistics.

    `batch_stats` is an empty dict for a network without BatchNorm, so that every
    network takes the same code path.
    """

    batch_stats: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What the module's `apply` takes: `params` and `batch_stats`."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    def apply(self, params: Any, *args: Any, **kwargs: Any) -> tuple[jax.Array, Any]:
        """The training pass at `params`: its output, and the batch_stats it leaves."""
        variables = self.variables | {"params": params}
        output, updates = self.apply_fn(
            variables, *args, train=True, mutable=["batch_stats"], **kwargs
        )
        return output, updates.get("batch_stats", self.batch_stats)


class GANState(struct.PyTreeNode):
    """Both networks: the unit that is checkpointed, replicated and donated.

    The generator's step is the step of the run.
    """

    generator: TrainState
    discriminator: TrainState


def _create_one(
    module: nn.Module,
    key: jax.Array,
    tx: optax.GradientTransformation,
    *inputs: jax.Array,
) -> TrainState:
    variables = module.init(key, *inputs, train=True)
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
    image_shape: tuple[int, int, int],
) -> GANState:
    """A fresh GANState at step 0; pure, so it can be jitted, vmapped or only shaped.

    Args:
      key: PRNG key of the initial parameters.
      generator: maps latents (B, latent_size) and labels (B,) to images.
      discriminator: maps images (B, H, W, C) and labels (B,) to logits (B,).
      generator_tx: the generator's optimiser.
      discriminator_tx: the discriminator's optimiser.
      latent_size: length of a latent vector.
      image_shape: (H, W, C) of the images that the discriminator sees.
    """
    g_key, d_key = jax.random.split(key)
    labels = jnp.zeros((1,), jnp.int32)
    latents = jnp.zeros((1, latent_size))
    images = jnp.zeros((1, *image_shape))
    return GANState(
        generator=_create_one(generator, g_key, generator_tx, latents, labels),
        discriminator=_create_one(
            discriminator, d_key, discriminator_tx, images, labels
        ),
    )
