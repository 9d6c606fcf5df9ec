"""The memory that a run takes, estimated from shapes before anything is allocated.

The estimates leave much out, so that hardly a run is refused that would have fitted:
they are meant to be lower bounds. For networks of a few units they may be too high: for
configs/gan.py with 8 units, 16 images in a pack and a batch of 512, the estimate is 111
MiB where XLA takes 78 MiB on a CPU.
"""

from collections.abc import Sequence
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import parallel
from gan_jax.step import states

_EXAMPLES = 1_024  # examples traced at once: so many that parameters hardly count
# Bytes that autodiff keeps for the gradients, divided by the bytes that XLA then takes
# for them: 0.8 to 1.44 on a CPU, measured on four configs. Other devices were not
# measured, so the number leaves room to spare.
_FUSED_ON_CPU, _FUSED_ELSEWHERE = 1.45, 2.5


class Need(NamedTuple):
    """Memory for one purpose.

    Attributes:
      bytes: estimate of the memory.
      purpose: what the memory is for, in words.
      advice: how the user can reduce it.
    """

    bytes: int
    purpose: str
    advice: str


def nbytes(tree: Any) -> int:
    """The bytes of a tree of arrays or of their shapes, without PRNG keys."""
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )


def _kept_per_example(
    state: states.TrainState, inputs: tuple[int, ...], key: jax.Array
) -> int:
    """Bytes that one example's pass through a network leaves for its gradient."""

    def passing(
        state: states.TrainState, inputs: jax.Array, labels: jax.Array, key: Any
    ) -> Any:
        return jax.vjp(
            lambda params, inputs: state.apply(params, inputs, labels, key).output,
            state.params,
            inputs,
        )

    kept = jax.eval_shape(
        passing,
        state,
        jax.ShapeDtypeStruct((_EXAMPLES, *inputs), jnp.float32),
        jax.ShapeDtypeStruct((_EXAMPLES,), jnp.int32),
        key,
    )
    return max(0, nbytes(kept) - nbytes(state.params)) // _EXAMPLES


def _on_device(
    config: ConfigDict, state: states.GANState, key: jax.Array, devices: int
) -> list[Need]:
    recipe, data = config.recipe, config.data
    pixels = data.image_size**2 * data.channels
    packed = (data.image_size, data.image_size, data.channels * recipe.packing)
    g_kept = recipe.packing * _kept_per_example(
        state.generator, (config.model.latent_size,), key
    )
    d_kept = _kept_per_example(state.discriminator, packed, key)
    together = g_kept + 2 * d_kept  # the images of one pass serve both gradients
    if recipe.updates == "fresh":
        together = max(2 * d_kept, g_kept + d_kept)
    real = 4 * pixels * recipe.discriminator_steps * recipe.packing
    fused = _FUSED_ON_CPU if jax.default_backend() == "cpu" else _FUSED_ELSEWHERE
    share = -(-config.batch_size // devices)
    drawn = config.evaluation.batch_size
    if config.evaluation.statistics == "running":  # else it is filled up
        drawn = min(drawn, config.evaluation.num_images)
    # A checkpoint is copied to the host while the next steps change the state.
    is_copied = 0 < config.checkpoint_every_steps < config.num_train_steps
    return [
        Need(
            (1 + is_copied) * nbytes(state),
            "parameters and the optimisers' states"
            + (", and a copy that is saved" if is_copied else ""),
            "lower the widths in --config.model.generator and .discriminator, or "
            "--config.model.latent_size",
        ),
        Need(
            int(share * (real + together / fused)),
            f"a batch of {config.batch_size:,} and its gradients",
            "lower --config.batch_size"
            + (" or --config.recipe.packing" if recipe.packing > 1 else ""),
        ),
        Need(
            4 * pixels * drawn if config.eval_every_steps else 0,
            f"an evaluation that draws {drawn:,} images at once",
            "lower --config.evaluation.batch_size",
        ),
    ]


def _on_host(config: ConfigDict, steps_per_call: int) -> list[Need]:
    recipe, data = config.recipe, config.data
    pixels = data.image_size**2 * data.channels
    examples = config.batch_size * recipe.discriminator_steps * recipe.packing
    in_grid = config.sample_rows * config.sample_columns
    scored = config.evaluation.num_images if config.eval_every_steps else 0
    return [
        Need(
            8 * steps_per_call * examples,
            f"the batches of {steps_per_call:,} steps",
            "lower --config.steps_per_call",
        ),
        Need(
            4 * pixels * in_grid + 16 * in_grid**2,  # distances of all pairs
            f"a sample grid of {in_grid:,} images",
            "lower --config.sample_rows and --config.sample_columns",
        ),
        Need(
            2 * pixels * scored,
            f"{scored:,} images to score",
            "lower --config.evaluation.num_images",
        ),
    ]


def refuse_beyond(limit: int, where: str, needs: Sequence[Need]) -> None:
    """Refuses needs whose sum is above a limit.

    Args:
      limit: bytes that are available.
      where: what has this limit, in words.
      needs: memory that is needed at the same time.

    Raises:
      ValueError: the sum is above the limit.
    """
    needed = sum(need.bytes for need in needs)
    if needed <= limit:
        return
    largest = max(needs, key=lambda need: need.bytes)
    raise ValueError(
        f"this needs at least {needed / 2**30:,.1f} GiB of memory, most of it for "
        f"{largest.purpose}, but {where} has {limit / 2**30:,.1f} GiB: "
        f"{largest.advice}."
    )


class Needs(NamedTuple):
    """The memory that a run takes, by purpose.

    Attributes:
      own: parameters and the optimisers' states, on each device all the time, and a
        copy of them while it is saved.
      then: what a device needs beside them, one after the other.
      of_host: what the host needs, one after the other.
    """

    own: Need
    then: list[Need]
    of_host: list[Need]


def needs(
    config: ConfigDict,
    state: states.GANState,
    *,
    steps_per_call: int,
    key: jax.Array,
    runs: int = 1,
) -> Needs:
    """The memory that a run takes; the arguments are those of `check`."""
    key = jax.eval_shape(lambda key: key, key)
    devices = parallel.memory().devices
    own, batch, evaluation = _on_device(config, state, key, devices)
    calls, grid, scored = _on_host(config, steps_per_call)
    own, batch, calls = (
        need._replace(bytes=runs * need.bytes) for need in (own, batch, calls)
    )
    return Needs(own, [batch, evaluation], [calls, grid, scored])


def check(
    config: ConfigDict,
    state: states.GANState,
    *,
    steps_per_call: int,
    key: jax.Array,
    runs: int = 1,
) -> None:
    """Refuses a run that cannot fit into memory.

    Args:
      config: whole config, whose fields are all in their ranges.
      state: shapes of the run's state.
      steps_per_call: number of steps compiled into one call.
      key: PRNG key, of which only the shape is used.
      runs: number of runs that train together.

    Raises:
      ValueError: the run needs more memory than there is.
    """
    limits = parallel.memory()
    found = needs(config, state, steps_per_call=steps_per_call, key=key, runs=runs)
    for then in found.then:
        refuse_beyond(limits.of_device, "each device", [found.own, then])
    for need in found.of_host:
        refuse_beyond(limits.of_host, "this machine", [need])


def check_arrays(arrays: Any, purpose: str, advice: str) -> None:
    """Refuses to read more than the machine's memory holds.

    Args:
      arrays: tree of the arrays' shapes.
      purpose: what the arrays are, in words.
      advice: how the user can need less memory.

    Raises:
      ValueError: the arrays need more memory than there is.
    """
    need = Need(nbytes(arrays), purpose, advice)
    refuse_beyond(parallel.memory().of_host, "this machine", [need])


def check_images(num: int, shape: tuple[int, ...], flag: str) -> None:
    """Refuses to draw more images than the machine's memory holds.

    Args:
      num: number of images.
      shape: (H, W, C) of an image.
      flag: flag that asked for the images.

    Raises:
      ValueError: the images need more memory than there is.
    """
    size = 2 * math.prod(shape) * num  # twice: as batches, and joined
    need = Need(size, f"{num:,} images", f"lower {flag}")
    refuse_beyond(parallel.memory().of_host, "this machine", [need])
