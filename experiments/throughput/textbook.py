"""FLOP of a training step as textbooks count them, whatever the program does.

A multiplication and an addition for each weight and each pixel that it meets, zeros of
the padding left out; convolutions and dense layers only. So a share of the machine's
limit does not rise or fall with tricks such as Winograd's.
"""

import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import models
from gan_jax.models import convolution
from gan_jax.step import recipes


class Network(NamedTuple):
    """Multiplications of one pass over one batch.

    The forward pass, the gradient in the kernels and the gradient in the layers' inputs
    each take `all` of them, but the gradient in the input of the first layer is wanted
    only where it goes on into another network.
    """

    all: int
    first: int

    @property
    def hidden(self) -> int:
        """Multiplications of the input gradients of all layers but the first."""
        return self.all - self.first


def met_pixels(size: int, window: int, stride: int, low: int, outputs: int) -> int:
    """How many pairs of window place and pixel there are along one axis.

    Args:
      size: pixels.
      window: length of the kernel.
      stride: between two outputs, pixels.
      low: zeros before the first pixel.
      outputs: places of the window.
    """
    starts = [place * stride - low for place in range(outputs)]
    return sum(min(start + window, size) - max(start, 0) for start in starts)


def multiplications(layer: nn.Module, images: tuple[int, ...]) -> int:
    """Multiplications of a dense or convolutional layer's forward pass."""
    if isinstance(layer, nn.Dense):
        return math.prod(images) * layer.features
    batch, *sizes, channels = images
    pairs = []
    pads = lax.padtype_to_pads(sizes, layer.kernel_size, layer.strides, layer.padding)
    axes = zip(sizes, layer.kernel_size, layer.strides, pads, strict=True)
    for size, window, stride, (low, high) in axes:
        if isinstance(layer, convolution.Conv):
            outputs = (size + low + high - window) // stride + 1
            pairs.append(met_pixels(size, window, stride, low, outputs))
        elif layer.padding == "VALID":  # each pixel becomes a whole window
            pairs.append(size * window)
        else:  # the convolution that leads back from the outputs
            low = max(window - stride, 0) // 2
            pairs.append(met_pixels(size * stride, window, stride, low, size))
    return batch * math.prod(pairs) * channels * layer.features


def network(module: nn.Module, inputs: tuple[int, ...]) -> Network:
    """Traces a network on inputs of a shape; compiles nothing."""
    counts = []

    def record(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        counted = nn.Dense | convolution.Conv | convolution.ConvTranspose
        if isinstance(context.module, counted) and context.method_name == "__call__":
            counts.append(multiplications(context.module, args[0].shape))
        return call(*args, **kwargs)

    labels = jnp.zeros(inputs[0], jnp.int32)
    with nn.intercept_methods(record):
        jax.eval_shape(
            lambda x: module.init(jax.random.key(0), x, labels, train=False),
            jax.ShapeDtypeStruct(inputs, jnp.float32),
        )
    return Network(sum(counts), counts[0])


def step_flop(config: ConfigDict) -> int:
    """FLOP of the passes that a step of a config needs.

    Raises:
      ValueError: a recipe with a penalty, whose passes are not counted here.
    """
    recipe = recipes.create(config, axis_name=None)
    if recipe.penalty:
        raise ValueError(
            f"recipe.penalty is {config.recipe.penalty!r}, but only steps without one "
            "are counted: set --config.recipe.penalty=none."
        )
    data, batch, packing = config.data, config.batch_size, recipe.packing
    modules = models.build(config, axis_name=None)
    side, channels = data.image_size, data.channels * packing
    g = network(modules[0], (batch, recipe.latent_size))
    d = network(modules[1], (batch, side, side, channels))
    # Real and fake images: forward, kernels' gradient, inputs' gradient.
    d_update = packing * g.all + 2 * (d.all + d.all + d.hidden)
    # The fake images, and the real ones where a loss compares: the kernels' gradient of
    # the discriminator is not needed, that of its first layer's input is.
    simultaneous = recipe.updates == "simultaneous"  # has judged the fake images
    judged = (0 if simultaneous else d.all) + recipe.loss.uses_real * d.all
    g_update = judged + d.all + packing * (g.all + g.hidden)
    updates = recipe.generator_steps
    redrawn = updates if recipe.updates == "fresh" else updates - 1
    total = recipe.discriminator_steps * d_update + updates * g_update
    return 2 * (total + redrawn * packing * g.all)
