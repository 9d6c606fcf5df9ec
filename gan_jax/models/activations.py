"""Activations by name: those of hidden layers, and those that end a generator."""

from collections.abc import Callable, Mapping
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

HIDDEN: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "leaky_relu": functools.partial(nn.leaky_relu, negative_slope=0.2),
    "relu": nn.relu,
}


def scaled_sigmoid(x: jax.Array) -> jax.Array:
    """2 sigmoid(x) - 1: a sigmoid whose range [0, 1] is mapped to [-1, 1].

    It equals tanh(x / 2), so it differs from a tanh in the slope at 0.
    """
    return 2 * nn.sigmoid(x) - 1


OUTPUT: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": scaled_sigmoid,
    "linear": lambda x: x,  # for points, which have no range
}


def maxout(x: jax.Array, pieces: int) -> jax.Array:
    """The largest of each unit's pieces: (B, U) from (B, pieces * U).

    Goodfellow et al. 2013 (arXiv 1302.4389), section 3: h_i = max_j z_ij. The pieces of
    a unit lie U columns apart, so that vector instructions compare whole rows.
    Neighbouring pieces would be compared one by one.
    """
    return functools.reduce(jnp.maximum, jnp.split(x, pieces, axis=-1))
