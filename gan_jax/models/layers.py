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
    return _forward(_Geometry(size, window, strides, lows, outputs), images, kernel)


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
    geometry = _Geometry(size, window, strides, lows, outputs)
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


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(geometry: _Geometry, images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the convolution (B, *outputs, F)."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    return _correlate(cells, _kernel_to_cells(geometry, kernel)).astype(images.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _input_gradient(
    geometry: _Geometry, gradient: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Returns the gradient (B, *size, C) in the images, given that in the outputs."""
    weights = _kernel_to_cells(geometry, kernel)
    cells = _spread(gradient.astype(_wide(gradient)), weights)
    return _from_cells(geometry, cells).astype(gradient.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(
    geometry: _Geometry, images: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Returns the gradient (kh, kw, C, F) in the kernel, given that in the outputs."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    weights = _contract(geometry.taps, cells, gradient.astype(cells.dtype))
    return _kernel_from_cells(geometry, weights).astype(images.dtype)


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
    """Images as (B, rows, columns, cell height * cell width * C), padded as needed."""
    (h, w), (p, q), (i, j) = geometry.size, geometry.cells, geometry.lows
    rows, columns = _num_cells(geometry)
    high, right = rows * p - h - i, columns * q - w - j
    zero = jnp.zeros((), images.dtype)
    images = lax.pad(images, zero, [(0, 0, 0), (i, high, 0), (j, right, 0), (0, 0, 0)])
    images = images.reshape(-1, rows, p, columns, q, images.shape[-1])
    return images.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), rows, columns, -1)


def _from_cells(geometry: _Geometry, cells: jax.Array) -> jax.Array:
    """Images (B, H, W, C) of their cells, without the padding."""
    (h, w), (p, q), (i, j) = geometry.size, geometry.cells, geometry.lows
    rows, columns = cells.shape[1:3]
    high, right = h + i - rows * p, w + j - columns * q
    zero = jnp.zeros((), cells.dtype)
    images = cells.reshape(-1, rows, columns, p, q, cells.shape[-1] // (p * q))
    images = images.transpose(0, 1, 3, 2, 4, 5)
    images = images.reshape(-1, rows * p, columns * q, images.shape[-1])
    return lax.pad(images, zero, [(0, 0, 0), (-i, high, 0), (-j, right, 0), (0, 0, 0)])


def _num_cells(geometry: _Geometry) -> tuple[int, ...]:
    return tuple(
        n + t - 1 for n, t in zip(geometry.outputs, geometry.taps, strict=True)
    )


def _kernel_to_cells(geometry: _Geometry, kernel: jax.Array) -> jax.Array:
    """Kernel as (taps, taps, cell height * cell width * C, F), zeros at the end."""
    (r, t), (p, q) = geometry.taps, geometry.cells
    high, right = r * p - kernel.shape[0], t * q - kernel.shape[1]
    kernel = kernel.astype(_wide(kernel))
    kernel = jnp.pad(kernel, [(0, high), (0, right), (0, 0), (0, 0)])
    kernel = kernel.reshape(r, p, t, q, *kernel.shape[2:])
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(r, t, -1, kernel.shape[-1])


def _kernel_from_cells(geometry: _Geometry, weights: jax.Array) -> jax.Array:
    """Kernel (kh, kw, C, F) of its cells."""
    (r, t), (p, q), (k, l) = geometry.taps, geometry.cells, geometry.window
    kernel = weights.reshape(r, t, p, q, -1, weights.shape[-1])
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(r * p, t * q, *kernel.shape[4:])[:k, :l]


def _patches(cells: jax.Array, taps: tuple[int, ...]) -> jax.Array:
    """All windows of the cells (B, rows, columns, D), as (B, *outputs, taps * D)."""
    rows, columns = cells.shape[1] - taps[0] + 1, cells.shape[2] - taps[1] + 1
    windows = product(range(taps[0]), range(taps[1]))
    slices = [cells[:, i : i + rows, j : j + columns] for i, j in windows]
    return jnp.concatenate(slices, axis=-1)


def _frame(array: jax.Array, taps: tuple[int, ...]) -> jax.Array:
    """The array with taps - 1 zeros around each of its images."""
    r, t = (tap - 1 for tap in taps)
    return jnp.pad(array, [(0, 0), (r, r), (t, t), (0, 0)])


def _correlate(cells: jax.Array, weights: jax.Array) -> jax.Array:
    """Outputs (B, *outputs, F) of cells (B, rows, columns, D)."""
    taps = weights.shape[:2]
    patches = _patches(cells, taps)
    outputs = patches.reshape(-1, patches.shape[-1]) @ weights.reshape(
        -1, weights.shape[-1]
    )
    return outputs.reshape(*patches.shape[:3], -1)


def _spread(gradient: jax.Array, weights: jax.Array) -> jax.Array:
    """Cells (B, rows, columns, D) that outputs (B, *outputs, F) came from."""
    r, t, d, f = weights.shape
    if d >= f:
        flipped = weights[::-1, ::-1].swapaxes(2, 3)
        return _correlate(_frame(gradient, (r, t)), flipped)
    b, n, m, _ = gradient.shape
    parts = gradient.reshape(-1, f) @ weights.reshape(-1, f).T
    parts = parts.reshape(b, n, m, r, t, d)
    shifted = [
        jnp.pad(parts[:, :, :, i, j], [(0, 0), (i, r - 1 - i), (j, t - 1 - j), (0, 0)])
        for i, j in product(range(r), range(t))
    ]
    return sum(shifted[1:], shifted[0])


def _contract(
    taps: tuple[int, ...], cells: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Gradient (*taps, D, F) in the weights."""
    d, f = cells.shape[-1], gradient.shape[-1]
    patches = _patches(cells, taps).reshape(-1, taps[0] * taps[1] * d)
    return (patches.T @ gradient.reshape(-1, f)).reshape(*taps, d, f)
