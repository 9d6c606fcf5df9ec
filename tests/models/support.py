"""What tests of networks share: small pairs, and variables without a compilation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.models import infogan, keras_dcgan, mlp, pacgan, resnet, unrolled

LATENTS = 100
SIZE = 16  # pixels, where the size does not matter


def shapes(module, inputs):
    """The shapes of the variables."""
    labels = jnp.zeros(inputs.shape[:1], jnp.int32)
    create = functools.partial(module.init, train=True)
    return jax.eval_shape(create, jax.random.key(0), inputs, labels)


def fill(module, inputs):
    """Variables of those shapes, drawn by numpy: compiling JAX's draws takes seconds.

    Biases and running means are 0, running variances 1, scales close to 1.
    """
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key.rpartition("/")[2]
        constant = {"bias": 0, "mean": 0, "var": 1, "sigma": 1, "scale": 1}.get(name, 0)
        spread = {"kernel": 0.1, "embedding": 1, "u": 1, "scale": 0.1}.get(name, 0)
        noise = spread * rng.normal(size=leaf.shape)
        return jnp.asarray(constant + noise, leaf.dtype)

    variables = dict(shapes(module, inputs))
    variables.pop("losses", None)
    return jax.tree_util.tree_map_with_path(draw, variables)


def init(module, inputs):
    """The variables that a run starts from."""
    create = functools.partial(module.init, train=True)
    return jax.jit(create)(jax.random.key(0), inputs)


def apply(module, variables, inputs, labels=None, **kwargs):
    run = jax.jit(lambda *args: module.apply(*args, train=False, **kwargs))
    return run(variables, inputs, labels)


def pair(family, size=SIZE, **options):
    """A small generator and discriminator; see test_convolution.py for the layers."""
    if family is mlp:
        small = {"features": (4, 5)}, {"features": (5, 4)}
    elif family is keras_dcgan:
        small = {"features": (4, 3, 2)}, {"features": (2, 3, 4, 5)}
    elif family in (pacgan, unrolled):
        small = {"features": 4}, {"features": 4}
    elif family is infogan:
        small = ({"features": 4, "hidden_dense": 5},) * 2
    elif family is resnet:
        small = {"features": (4, 3, 2)}, {"features": (2, 3, 3), "image_size": size}
    else:
        small = {"features": 4}, {"features": 4, "image_size": size}
    if family is not mlp:
        options = {"convolution": "lax"} | options
    return (
        family.Generator(image_size=size, **{**small[0], **options}),
        family.Discriminator(**{**small[1], **options}),
    )
