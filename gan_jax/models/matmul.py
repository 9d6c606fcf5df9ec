"""Convolutions as matrix products, which is what a CPU is fast at.

A convolution, its gradient in the images and its gradient in the kernel are three
functions made of matrix products, tied by bilinear.py.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from gan_jax.models import bilinear, winograd


class Geometry(NamedTuple):
    """One convolution's sizes; each a pair for height and width, in pixels.

    The images are cut into cells as high and wide as the strides: then the window moves
    by one cell, and covers few of them.
    """

    size: tuple[int, ...]  # of the images
    window: tuple[int, ...]
    strides: tuple[int, ...]
    lows: tuple[int, ...]  # padding before the first row and column
    outputs: tuple[int, ...]  # windows along each axis
    channels: int  # the images' or the outputs', whichever are fewer

    @property
    def cells(self) -> tuple[int, ...]:
        """Height and width of a cell in pixels."""
        # A lone window does not move: it is one cell, whatever its stride.
        sizes = zip(self.window, self.strides, self.outputs, strict=True)
        return tuple(k if n == 1 else s for k, s, n in sizes)

    @property
    def taps(self) -> tuple[int, ...]:
        """Cells that a window covers along each axis."""
        sizes = zip(self.window, self.cells, strict=True)
        return tuple(-(-k // c) for k, c in sizes)

    @property
    def tiled(self) -> bool:
        """Whether Winograd's smaller products repay its sums."""
        square = self.taps[0] == self.taps[1]
        return square and self.taps[0] in winograd.MATRICES and self.channels >= 32

    @property
    def num_cells(self) -> tuple[int, ...]:
        """Cells along each axis, that all windows cover, paired where tiled."""
        outputs = self.outputs
        if self.tiled:
            outputs = tuple(n + n % 2 for n in outputs)
        return tuple(n + t - 1 for n, t in zip(outputs, self.taps, strict=True))


def _forward(geometry: Geometry, images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the outputs (B, *outputs, F)."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    weights = _kernel_to_cells(geometry, kernel)
    if geometry.tiled:
        n, m = geometry.outputs
        outputs = winograd.correlate(cells, weights)[:, :n, :m]
    else:
        outputs = _correlate(_merge(cells), weights)
    return lax.optimization_barrier(outputs).astype(images.dtype)


def _input_gradient(
    geometry: Geometry, gradient: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Returns the gradient (B, *size, C) in the images, given that in the outputs."""
    weights = _kernel_to_cells(geometry, kernel)
    wide = gradient.astype(_wide(gradient))
    if geometry.tiled:
        cells = winograd.spread(_even(wide), weights, geometry.cells[0])
    else:
        cells = _spread(wide, weights)
        cells = cells.reshape(*cells.shape[:3], geometry.cells[0], -1)
    return lax.optimization_barrier(_from_cells(geometry, cells)).astype(gradient.dtype)


def _kernel_gradient(
    geometry: Geometry, images: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Returns the gradient (kh, kw, C, F) in the kernel, given that in the outputs."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    wide = gradient.astype(cells.dtype)
    if geometry.tiled:
        weights = winograd.contract(geometry.taps[0], cells, _even(wide))
    else:
        weights = _contract(geometry.taps, _merge(cells), wide)
    return _kernel_from_cells(geometry, weights).astype(images.dtype)


forward, input_gradient, kernel_gradient = bilinear.tie(
    _forward, _input_gradient, _kernel_gradient
)


# Between images and cells. D = cell height * cell width * C numbers make a cell.


def _wide(array: jax.Array) -> Any:
    """At least float32: sums of half-precision products would lose digits."""
    return jnp.promote_types(array.dtype, jnp.float32)


def _to_cells(geometry: Geometry, images: jax.Array) -> jax.Array:
    """Images as (B, rows, columns, cell height, cell width * C), zeros around."""
    (p, q), (rows, columns) = geometry.cells, geometry.num_cells
    images = _pad(images, geometry.lows, (rows * p, columns * q))
    images = images.reshape(images.shape[0], rows, p, columns, q * images.shape[-1])
    return images.transpose(0, 1, 3, 2, 4)


def _from_cells(geometry: Geometry, cells: jax.Array) -> jax.Array:
    """Images (B, H, W, C) of their cells, without the zeros around."""
    b, rows, columns, p, width = cells.shape
    q = geometry.cells[1]
    images = cells.transpose(0, 1, 3, 2, 4)
    images = images.reshape(b, rows * p, columns * q, width // q)
    return _pad(images, tuple(-low for low in geometry.lows), geometry.size)


def _kernel_to_cells(geometry: Geometry, kernel: jax.Array) -> jax.Array:
    """Kernel as (*taps, D, F), zeros at its end."""
    (r, t), (p, q) = geometry.taps, geometry.cells
    kernel = kernel.astype(_wide(kernel))
    high, right = r * p - kernel.shape[0], t * q - kernel.shape[1]
    kernel = jnp.pad(kernel, [(0, high), (0, right), (0, 0), (0, 0)])
    kernel = kernel.reshape(r, p, t, q, *kernel.shape[2:])
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(r, t, -1, kernel.shape[-1])


def _kernel_from_cells(geometry: Geometry, weights: jax.Array) -> jax.Array:
    """Kernel (kh, kw, C, F) of its cells (*taps, D, F)."""
    (r, t), (p, q), (height, width) = geometry.taps, geometry.cells, geometry.window
    kernel = weights.reshape(r, t, p, q, -1, weights.shape[-1])
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(r * p, t * q, *kernel.shape[4:])[:height, :width]


def _pad(images: jax.Array, lows: Sequence[int], size: Sequence[int]) -> jax.Array:
    """Images of another size: zeros added, or rows cut where a low is negative."""
    sizes = zip(lows, size, images.shape[1:3], strict=True)
    pads = [(low, new - old - low, 0) for low, new, old in sizes]
    zero = jnp.zeros((), images.dtype)
    return lax.pad(images, zero, [(0, 0, 0), *pads, (0, 0, 0)])


def _even(outputs: jax.Array) -> jax.Array:
    """Outputs with a row and a column of zeros where their number is odd."""
    _, n, m, _ = outputs.shape
    return _pad(outputs, (0, 0), (n + n % 2, m + m % 2))


def _merge(cells: jax.Array) -> jax.Array:
    return cells.reshape(*cells.shape[:3], -1)  # (B, rows, columns, D)


def _flat(array: jax.Array) -> jax.Array:
    return array.reshape(-1, array.shape[-1])


# One product. The side with fewer channels, D or F, is copied once per tap.


def _correlate(cells: jax.Array, weights: jax.Array) -> jax.Array:
    """Outputs (B, *outputs, F) of cells (B, rows, columns, D)."""
    r, t, d, f = weights.shape
    b, rows, columns, _ = cells.shape
    n, m = rows - r + 1, columns - t + 1
    if d <= f:
        patches = _patches(cells, (r, t))
        return (_flat(patches) @ _flat(weights)).reshape(b, n, m, f)
    parts = _flat(cells) @ weights.transpose(2, 0, 1, 3).reshape(d, -1)
    parts = parts.reshape(b, rows, columns, r, t, f)
    taps = product(range(r), range(t))
    return winograd.add_up([parts[:, i : i + n, j : j + m, i, j] for i, j in taps])


def _spread(gradient: jax.Array, weights: jax.Array) -> jax.Array:
    """Cells (B, rows, columns, D) that outputs (B, *outputs, F) came from."""
    r, t, d, f = weights.shape
    b, n, m, _ = gradient.shape
    size = (n + r - 1, m + t - 1)
    if f < d:
        patches = _patches(_frame(gradient, (r, t)), (r, t))
        flipped = weights[::-1, ::-1].swapaxes(2, 3)
        return (_flat(patches) @ _flat(flipped)).reshape(b, *size, d)
    parts = (_flat(gradient) @ _flat(weights).T).reshape(b, n, m, r, t, d)
    taps = product(range(r), range(t))
    return winograd.add_up([_pad(parts[:, :, :, i, j], (i, j), size) for i, j in taps])


def _contract(
    taps: tuple[int, ...], cells: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Gradient (*taps, D, F) in the weights."""
    d, f = cells.shape[-1], gradient.shape[-1]
    if d <= f:
        weights = _flat(_patches(cells, taps)).T @ _flat(gradient)
        return weights.reshape(*taps, d, f)
    patches = _patches(_frame(gradient, taps), taps)
    weights = (_flat(patches).T @ _flat(cells)).reshape(*taps, f, d)
    return weights[::-1, ::-1].swapaxes(2, 3)


def _patches(array: jax.Array, taps: tuple[int, ...]) -> jax.Array:
    """All windows of taps cells, joined along the channels."""
    n, m = (size - t + 1 for size, t in zip(array.shape[1:3], taps, strict=True))
    slices = product(range(taps[0]), range(taps[1]))
    return jnp.concatenate([array[:, i : i + n, j : j + m] for i, j in slices], -1)


def _frame(array: jax.Array, taps: tuple[int, ...]) -> jax.Array:
    """Array with taps - 1 zeros on each side."""
    lows = [t - 1 for t in taps]
    sizes = zip(array.shape[1:3], lows, strict=True)
    return _pad(array, lows, [size + 2 * low for size, low in sizes])
