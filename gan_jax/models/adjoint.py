"""XLA's convolutions, a transposed one as the adjoint of a plain one, for accelerators.

XLA's GPU compiler calls cuDNN's kernel for a gradient in the images only where it sees
that gradient's pattern: a reversed kernel on dilated images. `lax.conv_transpose` gives
it an unreversed one, and so the zeros between the pixels are convolved too, and the
kernel's gradient becomes a convolution whose window is as large as the image. Here the
outputs and both gradients of every convolution have the patterns of cuDNN's kernels.
"""

from typing import NamedTuple

import jax
from jax import lax

from gan_jax.models import bilinear

DIMENSION_NUMBERS = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
    """The sizes of a convolution, each a pair for height and width, in pixels."""

    size: tuple[int, ...]  # of the images
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]  # before the first row or column, after the last


def _forward(geometry: Geometry, images: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        images,
        kernel,
        geometry.strides,
        geometry.pads,
        dimension_numbers=DIMENSION_NUMBERS,
    )


def _input_gradient(
    geometry: Geometry, gradient: jax.Array, kernel: jax.Array
) -> jax.Array:
    shape = (gradient.shape[0], *geometry.size, kernel.shape[2])
    images = jax.ShapeDtypeStruct(shape, gradient.dtype)
    pull = jax.linear_transpose(lambda x: _forward(geometry, x, kernel), images)
    (images_bar,) = pull(gradient)
    return images_bar


def _kernel_gradient(
    geometry: Geometry, images: jax.Array, gradient: jax.Array
) -> jax.Array:
    shape = (*geometry.window, images.shape[-1], gradient.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, images.dtype)
    pull = jax.linear_transpose(lambda k: _forward(geometry, images, k), kernel)
    (kernel_bar,) = pull(gradient)
    return kernel_bar


forward, input_gradient, kernel_gradient = bilinear.tie(
    _forward, _input_gradient, _kernel_gradient
)


def flip(kernel: jax.Array) -> jax.Array:
    """The kernel (kh, kw, F, C) of the convolution whose adjoint has `kernel`.

    Without the barrier XLA cancels this reversal against that of the adjoint, and with
    it the pattern that it looks for.
    """
    return lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))
