"""Ties a convolution and its two gradients, so that each is derived by the others."""

from collections.abc import Callable
import functools
from typing import Any

import jax

# (geometry, array, array) -> array; the geometry is static.
Bilinear = Callable[[Any, jax.Array, jax.Array], jax.Array]
_Arrays = tuple[jax.Array, jax.Array]


def tie(
    forward: Bilinear, input_gradient: Bilinear, kernel_gradient: Bilinear
) -> tuple[Bilinear, Bilinear, Bilinear]:
    """The three functions, differentiable in reverse mode to any order.

    A convolution is linear in its images and in its kernel, so the derivatives of each
    of the three functions are the other two, and no derivative is left to XLA.

    Args:
      forward: outputs of a geometry, images and a kernel.
      input_gradient: the images' gradient, of a geometry, the outputs' gradient and a
        kernel.
      kernel_gradient: the kernel's gradient, of a geometry, images and the outputs'
        gradient.
    """
    tied = functools.partial(jax.custom_vjp, nondiff_argnums=(0,))

    @tied
    def to_outputs(geometry: Any, images: jax.Array, kernel: jax.Array) -> jax.Array:
        return forward(geometry, images, kernel)

    @tied
    def to_images(geometry: Any, gradient: jax.Array, kernel: jax.Array) -> jax.Array:
        return input_gradient(geometry, gradient, kernel)

    @tied
    def to_kernel(geometry: Any, images: jax.Array, gradient: jax.Array) -> jax.Array:
        return kernel_gradient(geometry, images, gradient)

    def keep(function: Bilinear) -> Callable[..., tuple[jax.Array, _Arrays]]:
        return lambda geometry, one, other: (
            function(geometry, one, other),
            (one, other),
        )

    def outputs_back(geometry: Any, kept: _Arrays, gradient: jax.Array) -> _Arrays:
        images, kernel = kept
        in_images = to_images(geometry, gradient, kernel)
        return in_images, to_kernel(geometry, images, gradient)

    def images_back(geometry: Any, kept: _Arrays, images: jax.Array) -> _Arrays:
        gradient, kernel = kept
        in_gradient = to_outputs(geometry, images, kernel)
        return in_gradient, to_kernel(geometry, images, gradient)

    def kernel_back(geometry: Any, kept: _Arrays, kernel: jax.Array) -> _Arrays:
        images, gradient = kept
        in_images = to_images(geometry, gradient, kernel)
        return in_images, to_outputs(geometry, images, kernel)

    to_outputs.defvjp(keep(to_outputs), outputs_back)
    to_images.defvjp(keep(to_images), images_back)
    to_kernel.defvjp(keep(to_kernel), kernel_back)
    return to_outputs, to_images, to_kernel
