"""Convolution layers: the numbers of Flax's, at the speed of matrix products on a CPU.

XLA's CPU backend runs the gradients of convolutions in naive loops wherever Eigen has
no kernel for them: in `lax.scan`, and for transposed convolutions. Here a convolution,
its gradient in the images and its gradient in the kernel are three functions made of
matrix products, and each is the derivative of the other two, to any order.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

IMPLEMENTATIONS = ("auto", "lax", "matmul")
DIMENSION_NUMBERS = ("NHWC", "HWIO", "NHWC")


class Conv(nn.Module):
    """Convolves images; parameters and results are those of `nn.Conv`.

    Attributes:
        features: channels of the output.
        kernel_size: height and width of the window in pixels.
        strides: steps of the window in pixels.
        padding: "SAME" or "VALID".
        use_bias: adds one number per output channel.
        dtype: of the computation; None promotes images and parameters.
        param_dtype: of the parameters.
        kernel_init: draws the kernel (kh, kw, input channels, features).
        bias_init: draws the bias (features,).
        implementation: "lax", "matmul", or "auto": "matmul" on a CPU, "lax" elsewhere.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Any] = nn.initializers.zeros_init()
    implementation: str = "auto"

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns (B, H', W', features) of images (B, H, W, C)."""
        return _apply(self, convolve, images)


class ConvTranspose(nn.Module):
    """Transposes a convolution; parameters and results are `nn.ConvTranspose`'s.

    Attributes: as in `Conv`; strides widen the output instead.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Any] = nn.initializers.zeros_init()
    implementation: str = "auto"

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns (B, H', W', features) of images (B, H, W, C)."""
        return _apply(self, transpose_convolve, images)


def _apply(
    layer: Conv | ConvTranspose, function: Callable[..., jax.Array], images: jax.Array
) -> jax.Array:
    """Declares the layer's parameters and applies the function and the bias."""
    shape = (*layer.kernel_size, images.shape[-1], layer.features)
    kernel = layer.param("kernel", layer.kernel_init, shape, layer.param_dtype)
    bias = None
    if layer.use_bias:
        bias = layer.param("bias", layer.bias_init, shape[-1:], layer.param_dtype)
    images, kernel, bias = nn.dtypes.promote_dtype(
        images, kernel, bias, dtype=layer.dtype
    )
    outputs = function(
        images,
        kernel,
        strides=layer.strides,
        padding=layer.padding,
        implementation=layer.implementation,
    )
    return outputs if bias is None else outputs + bias.reshape(1, 1, 1, -1)


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    implementation: str = "auto",
) -> jax.Array:
    """Convolution without flip of the kernel, as `lax.conv_general_dilated`.

    Args:
        images: (B, H, W, C).
        kernel: (kh, kw, C, features), of the images' dtype.
        strides: steps of the window in pixels.
        padding: "SAME" or "VALID".
        implementation: "lax", "matmul", or "auto": "matmul" on a CPU, "lax" elsewhere.

    Returns:
        (B, H', W', features).

    Raises:
        ValueError: an implementation or a padding that does not exist.
    """
    _check_padding(padding)
    if _resolve(implementation) == "lax":
        return lax.conv_general_dilated(
            images, kernel, strides, padding, dimension_numbers=DIMENSION_NUMBERS
        )
    size = images.shape[1:3]
    window = kernel.shape[:2]
    pads = lax.padtype_to_pads(size, window, strides, padding)
    lows = tuple(low for low, _ in pads)
    sizes = zip(size, window, strides, pads, strict=True)
    outputs = tuple((h + sum(pad) - k) // s + 1 for h, k, s, pad in sizes)
    return _forward(
        _Geometry(size, window, strides, lows, outputs, min(kernel.shape[2:])),
        images,
        kernel,
    )


def transpose_convolve(
    images: jax.Array,
    kernel: jax.Array,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    implementation: str = "auto",
) -> jax.Array:
    """Convolution of dilated images, as `lax.conv_transpose`.

    It is the gradient in the images of the convolution with the kernel flipped and its
    channels exchanged.

    Args:
        images: (B, H, W, C).
        kernel: (kh, kw, C, features), of the images' dtype.
        strides: pixels of output per pixel of input.
        padding: "SAME": H' = H * stride; or "VALID".
        implementation: "lax", "matmul", or "auto": "matmul" on a CPU, "lax" elsewhere.

    Returns:
        (B, H', W', features).

    Raises:
        ValueError: an implementation or a padding that does not exist.
    """
    _check_padding(padding)
    if _resolve(implementation) == "lax":
        return lax.conv_transpose(
            images, kernel, strides, padding, dimension_numbers=DIMENSION_NUMBERS
        )
    window = kernel.shape[:2]
    outputs = images.shape[1:3]
    sizes = list(zip(outputs, window, strides, strict=True))
    if padding == "SAME":
        size = tuple(n * s for n, _, s in sizes)
        lows = tuple(0 if s >= k else (k - s) // 2 for _, k, s in sizes)
    else:
        size = tuple(n * s + max(k - s, 0) for n, k, s in sizes)
        lows = (0, 0)
    kernel = kernel[::-1, ::-1].swapaxes(2, 3)
    geometry = _Geometry(size, window, strides, lows, outputs, min(kernel.shape[2:]))
    return _input_gradient(geometry, images, kernel)


def _check_padding(padding: str) -> None:
    if padding not in ("SAME", "VALID"):
        raise ValueError(
            f"padding is {padding!r}; allowed are 'SAME' and 'VALID': set one of them."
        )


def _resolve(implementation: str) -> str:
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation is {implementation!r}; allowed are "
            f"{', '.join(IMPLEMENTATIONS)}: set one of them ('auto' picks by backend)."
        )
    if implementation == "auto":
        return "matmul" if jax.default_backend() == "cpu" else "lax"
    return implementation


class _Geometry(NamedTuple):
    """One convolution's sizes; each a pair for height and width, in pixels."""

    size: tuple[int, ...]  # of the images
    window: tuple[int, ...]
    strides: tuple[int, ...]
    lows: tuple[int, ...]  # padding before the first row and column
    outputs: tuple[int, ...]  # windows along each axis
    channels: int  # the smaller of the images' and the outputs'

    @property
    def cells(self) -> tuple[int, ...]:
        """Size of a cell: what one output does not share with the next."""
        # A lone window shares nothing: it is one cell, whatever its stride.
        sizes = zip(self.window, self.strides, self.outputs, strict=True)
        return tuple(k if n == 1 else s for k, s, n in sizes)

    @property
    def taps(self) -> tuple[int, ...]:
        """Cells that a window covers."""
        sizes = zip(self.window, self.cells, strict=True)
        return tuple(-(-k // c) for k, c in sizes)

    @property
    def tiled(self) -> bool:
        """Whether Winograd's products are worth their sums."""
        return self.taps == (2, 2) and self.channels >= 32

    @property
    def num_cells(self) -> tuple[int, ...]:
        """Rows and columns of cells that the windows cover."""
        outputs = self.outputs
        if self.tiled:
            outputs = tuple(n + n % 2 for n in outputs)
        return tuple(n + t - 1 for n, t in zip(outputs, self.taps, strict=True))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(geometry: _Geometry, images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the convolution (B, *outputs, F)."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    weights = _kernel_to_cells(geometry, kernel)
    if geometry.tiled:
        n, m = geometry.outputs
        outputs = _winograd_forward(cells, weights)[:, :n, :m]
    else:
        outputs = _correlate(cells, weights)
    return outputs.astype(images.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _input_gradient(
    geometry: _Geometry, gradient: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Returns the gradient (B, *size, C) in the images, given that in the outputs."""
    weights = _kernel_to_cells(geometry, kernel)
    wide = gradient.astype(_wide(gradient))
    if geometry.tiled:
        cells = _winograd_spread(_even(wide), weights, geometry.cells[0])
    else:
        cells = _spread(wide, weights)
        cells = cells.reshape(*cells.shape[:3], geometry.cells[0], -1)
    return _from_cells(geometry, cells).astype(gradient.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(
    geometry: _Geometry, images: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Returns the gradient (kh, kw, C, F) in the kernel, given that in the outputs."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    wide = gradient.astype(cells.dtype)
    if geometry.tiled:
        weights = _winograd_contract(cells, _even(wide))
    else:
        weights = _contract(geometry.taps, cells, wide)
    return _kernel_from_cells(geometry, weights).astype(images.dtype)


def _even(gradient: jax.Array) -> jax.Array:
    _, n, m, _ = gradient.shape
    return _pad(gradient, (0, 0), (n + n % 2, m + m % 2))


def _forward_fwd(geometry, images, kernel):
    return _forward(geometry, images, kernel), (images, kernel)


def _forward_bwd(geometry, residuals, gradient):
    images, kernel = residuals
    images_bar = _input_gradient(geometry, gradient, kernel)
    return images_bar, _kernel_gradient(geometry, images, gradient)


def _input_gradient_fwd(geometry, gradient, kernel):
    return _input_gradient(geometry, gradient, kernel), (gradient, kernel)


def _input_gradient_bwd(geometry, residuals, images):
    gradient, kernel = residuals
    gradient_bar = _forward(geometry, images, kernel)
    return gradient_bar, _kernel_gradient(geometry, images, gradient)


def _kernel_gradient_fwd(geometry, images, gradient):
    return _kernel_gradient(geometry, images, gradient), (images, gradient)


def _kernel_gradient_bwd(geometry, residuals, kernel):
    images, gradient = residuals
    images_bar = _input_gradient(geometry, gradient, kernel)
    return images_bar, _forward(geometry, images, kernel)


_forward.defvjp(_forward_fwd, _forward_bwd)
_input_gradient.defvjp(_input_gradient_fwd, _input_gradient_bwd)
_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)


def _wide(array: jax.Array) -> Any:
    """At least float32: sums of half-precision products would lose digits."""
    return jnp.promote_types(array.dtype, jnp.float32)


def _to_cells(geometry: _Geometry, images: jax.Array) -> jax.Array:
    """Images as (B, rows, columns, cell height, cell width * C), zeros around."""
    (p, q), (rows, columns) = geometry.cells, geometry.num_cells
    images = _pad(images, geometry.lows, (rows * p, columns * q))
    images = images.reshape(len(images), rows, p, columns, -1)
    return images.transpose(0, 1, 3, 2, 4)


def _from_cells(geometry: _Geometry, cells: jax.Array) -> jax.Array:
    """Images (B, H, W, C) of their cells, without the zeros around."""
    b, rows, columns, p, width = cells.shape
    q = geometry.cells[1]
    images = cells.transpose(0, 1, 3, 2, 4)
    images = images.reshape(b, rows * p, columns * q, width // q)
    return _pad(images, tuple(-low for low in geometry.lows), geometry.size)


def _pad(images: jax.Array, lows: tuple[int, ...], size: tuple[int, ...]) -> jax.Array:
    """Images of the given size, with zeros added (or rows cut, if low is negative)."""
    sizes = zip(lows, size, images.shape[1:3], strict=True)
    pads = [(low, new - old - low, 0) for low, new, old in sizes]
    zero = jnp.zeros((), images.dtype)
    return lax.pad(images, zero, [(0, 0, 0), *pads, (0, 0, 0)])


def _kernel_to_cells(geometry: _Geometry, kernel: jax.Array) -> jax.Array:
    """Kernel as (taps, taps, cell height * cell width * C, F), zeros at the end."""
    (r, t), (p, q), (k, l) = geometry.taps, geometry.cells, geometry.window
    kernel = kernel.astype(_wide(kernel))
    kernel = jnp.pad(kernel, [(0, r * p - k), (0, t * q - l), (0, 0), (0, 0)])
    kernel = kernel.reshape(r, p, t, q, *kernel.shape[2:])
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(r, t, -1, kernel.shape[-1])


def _kernel_from_cells(geometry: _Geometry, weights: jax.Array) -> jax.Array:
    """Kernel (kh, kw, C, F) of its cells."""
    (r, t), (p, q), (k, l) = geometry.taps, geometry.cells, geometry.window
    kernel = weights.reshape(r, t, p, q, -1, weights.shape[-1])
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(r * p, t * q, *kernel.shape[4:])[:k, :l]


# Direct products: all windows of the cells times the kernel.


def _patches(cells: jax.Array, taps: tuple[int, ...]) -> jax.Array:
    """All windows of the cells, as (B, *outputs, taps * D)."""
    cells = cells.reshape(*cells.shape[:3], -1)
    rows, columns = (n - t + 1 for n, t in zip(cells.shape[1:3], taps, strict=True))
    windows = product(range(taps[0]), range(taps[1]))
    slices = [cells[:, i : i + rows, j : j + columns] for i, j in windows]
    return jnp.concatenate(slices, axis=-1)


def _correlate(cells: jax.Array, weights: jax.Array) -> jax.Array:
    """Outputs (B, *outputs, F) of cells."""
    patches = _patches(cells, weights.shape[:2])
    outputs = _flat(patches) @ _flat(weights)
    return outputs.reshape(*patches.shape[:3], -1)


def _spread(gradient: jax.Array, weights: jax.Array) -> jax.Array:
    """Cells (B, rows, columns, D) that outputs (B, *outputs, F) came from."""
    r, t, d, f = weights.shape
    b, n, m, _ = gradient.shape
    if d >= f:
        gradient = _pad(gradient, (r - 1, t - 1), (n + 2 * r - 2, m + 2 * t - 2))
        return _correlate(gradient, weights[::-1, ::-1].swapaxes(2, 3))
    parts = (_flat(gradient) @ _flat(weights).T).reshape(b, n, m, r, t, d)
    size = (n + r - 1, m + t - 1)
    shifts = product(range(r), range(t))
    shifted = [_pad(parts[:, :, :, i, j], (i, j), size) for i, j in shifts]
    return sum(shifted[1:], shifted[0])


def _contract(
    taps: tuple[int, ...], cells: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Gradient (taps * taps * D, F) in the weights."""
    return _flat(_patches(cells, taps)).T @ _flat(gradient)


def _flat(array: jax.Array) -> jax.Array:
    return array.reshape(-1, array.shape[-1])


# Winograd's F(2x2, 2x2), in 9 products where the direct ones are 16. Along one axis
# y0 = d0 g0 + d1 g1 and y1 = d1 g0 + d2 g1 are sums of three products:
# (d0 - d1) g0,  d1 (g0 + g1),  (d2 - d1) g1.


def _split_cells(cells: jax.Array, axis: int) -> list[jax.Array]:
    """The three combinations of the three cells under each pair of outputs."""
    length = cells.shape[axis]
    first, second, third = (
        lax.slice_in_dim(cells, i, length - 2 + i, 2, axis) for i in range(3)
    )
    return [first - second, second, third - second]


def _join_cells(parts: list[jax.Array], axis: int) -> jax.Array:
    """The transpose of `_split_cells`."""
    first, second, third = parts
    pads = [(0, 0)] * first.ndim
    before, after = list(pads), list(pads)
    before[axis], after[axis] = (1, 0), (0, 1)
    even = jnp.pad(first, after) + jnp.pad(third, before)
    odd = jnp.pad(second - first - third, after)
    return _interleave(even, odd, axis)


def _split_outputs(outputs: jax.Array, axis: int) -> list[jax.Array]:
    """The transpose of `_join_outputs`."""
    length = outputs.shape[axis]
    even = lax.slice_in_dim(outputs, 0, length, 2, axis)
    odd = lax.slice_in_dim(outputs, 1, length, 2, axis)
    return [even, even + odd, odd]


def _join_outputs(parts: list[jax.Array], axis: int) -> jax.Array:
    """Pairs of outputs of their three products."""
    first, second, third = parts
    return _interleave(first + second, second + third, axis)


def _interleave(even: jax.Array, odd: jax.Array, axis: int) -> jax.Array:
    shape = (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])
    # A choice by index, not a stack: XLA computes it in the pass that reads the sums.
    index = lax.broadcasted_iota(jnp.int32, (2, *even.shape[axis + 1 :]), 0)
    even, odd = (jnp.expand_dims(part, axis + 1) for part in (even, odd))
    return jnp.where(index == 0, even, odd).reshape(shape)


def _split_weights(weights: jax.Array) -> list[jax.Array]:
    """The three combinations of two taps along the first axis."""
    return [weights[0], weights[0] + weights[1], weights[1]]


def _join_weights(parts: list[jax.Array]) -> jax.Array:
    """The transpose of `_split_weights`."""
    return jnp.stack([parts[0] + parts[1], parts[1] + parts[2]])


def _split2(split, array, axes):
    return [p for part in split(array, axes[0]) for p in split(part, axes[1])]


def _join2(join, parts, axes):
    rows = [join(parts[i : i + 3], axes[1]) for i in (0, 3, 6)]
    return join(rows, axes[0])


def _winograd_forward(cells: jax.Array, weights: jax.Array) -> jax.Array:
    factors = [v for row in _split_weights(weights) for v in _split_weights(row)]
    parts = _split2(_split_cells, cells, (1, 2))
    products = [_dot(u, v) for u, v in zip(parts, factors, strict=True)]
    return _join2(_join_outputs, products, (1, 2))


def _dot(u, v):
    return (u.reshape(-1, v.shape[0]) @ v).reshape(*u.shape[:3], -1)


def _winograd_spread(gradient, weights, p):
    factors = [v for row in _split_weights(weights) for v in _split_weights(row)]
    parts = _split2(_split_outputs, gradient, (1, 2))
    products = [_dot(u, v.T) for u, v in zip(parts, factors, strict=True)]
    products = [m.reshape(*m.shape[:3], p, -1) for m in products]
    return _join2(_join_cells, products, (1, 2))


def _winograd_contract(cells, gradient):
    us = _split2(_split_cells, cells, (1, 2))
    ms = _split2(_split_outputs, gradient, (1, 2))
    d = cells.shape[3] * cells.shape[4]
    vs = [u.reshape(-1, d).T @ _flat(m) for u, m in zip(us, ms, strict=True)]
    rows = [_join_weights(vs[i : i + 3]) for i in (0, 3, 6)]
    return _join_weights(rows)
