"""Convolution layers: the numbers of Flax's, at the speed of matrix products on a CPU.

XLA's CPU backend runs the gradients of convolutions in naive loops wherever Eigen has
no kernel for them: in `lax.scan`, and for transposed convolutions. Here a convolution,
its gradient in the images and its gradient in the kernel are three functions made of
matrix products, and each is the derivative of the other two, to any order (reverse
mode; forward mode needs the implementation "lax").
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

IMPLEMENTATIONS = ("auto", "lax", "matmul")
PADDINGS = ("SAME", "VALID")
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
        ValueError: an implementation or a padding that does not exist; images and
            kernel of unfit shapes or dtypes; images smaller than the window.
    """
    implementation = _resolve(implementation, padding, images, kernel)
    size, window = images.shape[1:3], kernel.shape[:2]
    if padding == "VALID" and (size[0] < window[0] or size[1] < window[1]):
        raise ValueError(
            f"images of {size} pixels, window of {window}: with padding 'VALID' the "
            "window must fit into the image; use 'SAME' or larger images."
        )
    if implementation == "lax":
        return lax.conv_general_dilated(
            images, kernel, strides, padding, dimension_numbers=DIMENSION_NUMBERS
        )
    pads = lax.padtype_to_pads(size, window, strides, padding)
    lows = tuple(low for low, _ in pads)
    sizes = zip(size, window, strides, pads, strict=True)
    outputs = tuple((h + sum(pad) - k) // s + 1 for h, k, s, pad in sizes)
    channels = min(kernel.shape[2:])
    geometry = _Geometry(size, window, strides, lows, outputs, channels)
    return _forward(geometry, images, kernel)


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
        padding: "SAME": H' = H * stride; "VALID": max(kh - stride, 0) more.
        implementation: "lax", "matmul", or "auto": "matmul" on a CPU, "lax" elsewhere.

    Returns:
        (B, H', W', features).

    Raises:
        ValueError: an implementation or a padding that does not exist; images and
            kernel of unfit shapes or dtypes.
    """
    if _resolve(implementation, padding, images, kernel) == "lax":
        return lax.conv_transpose(
            images, kernel, strides, padding, dimension_numbers=DIMENSION_NUMBERS
        )
    outputs, window = images.shape[1:3], kernel.shape[:2]
    sizes = list(zip(outputs, window, strides, strict=True))
    if padding == "SAME":
        size = tuple(n * s for n, _, s in sizes)
        lows = tuple(max(k - s, 0) // 2 for _, k, s in sizes)
    else:
        size = tuple(n * s + max(k - s, 0) for n, k, s in sizes)
        lows = (0, 0)
    channels = min(kernel.shape[2:])
    geometry = _Geometry(size, window, strides, lows, outputs, channels)
    kernel = kernel[::-1, ::-1].swapaxes(2, 3)
    return _input_gradient(geometry, images, kernel)


def _resolve(
    implementation: str, padding: str, images: jax.Array, kernel: jax.Array
) -> str:
    """Checks a convolution's arguments and returns "lax" or "matmul"."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation is {implementation!r}; allowed are "
            f"{', '.join(IMPLEMENTATIONS)}: set one of them ('auto' picks by backend)."
        )
    if padding not in PADDINGS:
        raise ValueError(
            f"padding is {padding!r}; allowed are {', '.join(PADDINGS)}: set one."
        )
    if images.ndim != 4 or images.shape[3:] != kernel.shape[2:3]:
        raise ValueError(
            f"images are {images.shape}, kernel {kernel.shape}; allowed are (B, H, W, "
            "C) and (kh, kw, C, features) with the same C: reshape one of them."
        )
    if images.dtype != kernel.dtype:
        raise ValueError(
            f"images are {images.dtype}, kernel {kernel.dtype}; allowed is one dtype "
            "for both: cast one of them (the layers do: set their dtype)."
        )
    if implementation == "auto":
        return "matmul" if jax.default_backend() == "cpu" else "lax"
    return implementation


class _Geometry(NamedTuple):
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
        return square and self.taps[0] in WINOGRAD and self.channels >= 32

    @property
    def num_cells(self) -> tuple[int, ...]:
        """Cells along each axis, that all windows cover, paired where tiled."""
        outputs = self.outputs
        if self.tiled:
            outputs = tuple(n + n % 2 for n in outputs)
        return tuple(n + t - 1 for n, t in zip(outputs, self.taps, strict=True))


# One convolution: images and kernel to outputs, outputs' gradient and kernel to images'
# gradient, images and outputs' gradient to kernel's gradient. It is bilinear, so the
# derivatives of each of the three are the other two.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(geometry: _Geometry, images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the outputs (B, *outputs, F)."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    weights = _kernel_to_cells(geometry, kernel)
    if geometry.tiled:
        n, m = geometry.outputs
        outputs = _tiled_correlate(cells, weights)[:, :n, :m]
    else:
        outputs = _correlate(_merge(cells), weights)
    return lax.optimization_barrier(outputs).astype(images.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _input_gradient(
    geometry: _Geometry, gradient: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Returns the gradient (B, *size, C) in the images, given that in the outputs."""
    weights = _kernel_to_cells(geometry, kernel)
    wide = gradient.astype(_wide(gradient))
    if geometry.tiled:
        cells = _tiled_spread(_even(wide), weights, geometry.cells[0])
    else:
        cells = _spread(wide, weights)
        cells = cells.reshape(*cells.shape[:3], geometry.cells[0], -1)
    return lax.optimization_barrier(_from_cells(geometry, cells)).astype(gradient.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(
    geometry: _Geometry, images: jax.Array, gradient: jax.Array
) -> jax.Array:
    """Returns the gradient (kh, kw, C, F) in the kernel, given that in the outputs."""
    cells = _to_cells(geometry, images.astype(_wide(images)))
    wide = gradient.astype(cells.dtype)
    if geometry.tiled:
        weights = _tiled_contract(geometry.taps[0], cells, _even(wide))
    else:
        weights = _contract(geometry.taps, _merge(cells), wide)
    return _kernel_from_cells(geometry, weights).astype(images.dtype)


_Arrays = tuple[jax.Array, jax.Array]


def _forward_fwd(
    geometry: _Geometry, images: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, _Arrays]:
    return _forward(geometry, images, kernel), (images, kernel)


def _forward_bwd(
    geometry: _Geometry, residuals: _Arrays, gradient: jax.Array
) -> _Arrays:
    images, kernel = residuals
    images_bar = _input_gradient(geometry, gradient, kernel)
    return images_bar, _kernel_gradient(geometry, images, gradient)


def _input_gradient_fwd(
    geometry: _Geometry, gradient: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, _Arrays]:
    return _input_gradient(geometry, gradient, kernel), (gradient, kernel)


def _input_gradient_bwd(
    geometry: _Geometry, residuals: _Arrays, images: jax.Array
) -> _Arrays:
    gradient, kernel = residuals
    gradient_bar = _forward(geometry, images, kernel)
    return gradient_bar, _kernel_gradient(geometry, images, gradient)


def _kernel_gradient_fwd(
    geometry: _Geometry, images: jax.Array, gradient: jax.Array
) -> tuple[jax.Array, _Arrays]:
    return _kernel_gradient(geometry, images, gradient), (images, gradient)


def _kernel_gradient_bwd(
    geometry: _Geometry, residuals: _Arrays, kernel: jax.Array
) -> _Arrays:
    images, gradient = residuals
    images_bar = _input_gradient(geometry, gradient, kernel)
    return images_bar, _forward(geometry, images, kernel)


_forward.defvjp(_forward_fwd, _forward_bwd)
_input_gradient.defvjp(_input_gradient_fwd, _input_gradient_bwd)
_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)


# Between images and cells. D = cell height * cell width * C numbers make a cell.


def _wide(array: jax.Array) -> Any:
    """At least float32: sums of half-precision products would lose digits."""
    return jnp.promote_types(array.dtype, jnp.float32)


def _to_cells(geometry: _Geometry, images: jax.Array) -> jax.Array:
    """Images as (B, rows, columns, cell height, cell width * C), zeros around."""
    (p, q), (rows, columns) = geometry.cells, geometry.num_cells
    images = _pad(images, geometry.lows, (rows * p, columns * q))
    images = images.reshape(len(images), rows, p, columns, q * images.shape[-1])
    return images.transpose(0, 1, 3, 2, 4)


def _from_cells(geometry: _Geometry, cells: jax.Array) -> jax.Array:
    """Images (B, H, W, C) of their cells, without the zeros around."""
    b, rows, columns, p, width = cells.shape
    q = geometry.cells[1]
    images = cells.transpose(0, 1, 3, 2, 4)
    images = images.reshape(b, rows * p, columns * q, width // q)
    return _pad(images, tuple(-low for low in geometry.lows), geometry.size)


def _kernel_to_cells(geometry: _Geometry, kernel: jax.Array) -> jax.Array:
    """Kernel as (*taps, D, F), zeros at its end."""
    (r, t), (p, q) = geometry.taps, geometry.cells
    kernel = kernel.astype(_wide(kernel))
    high, right = r * p - kernel.shape[0], t * q - kernel.shape[1]
    kernel = jnp.pad(kernel, [(0, high), (0, right), (0, 0), (0, 0)])
    kernel = kernel.reshape(r, p, t, q, *kernel.shape[2:])
    return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(r, t, -1, kernel.shape[-1])


def _kernel_from_cells(geometry: _Geometry, weights: jax.Array) -> jax.Array:
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
    return _sum([parts[:, i : i + n, j : j + m, i, j] for i, j in taps])


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
    return _sum([_pad(parts[:, :, :, i, j], (i, j), size) for i, j in taps])


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


def _sum(arrays: list[jax.Array]) -> jax.Array:
    return sum(arrays[1:], arrays[0])


# Winograd's F(2x2, rxr) (Lavin and Gray 2015, arXiv 1509.09308, section 4) makes 2x2
# outputs of rxr taps from (r + 1)^2 products instead of 4 r^2. On one axis, outputs y0
# and y1 of cells d0 ... dr and weights g0 ... g(r-1) are y = A' [(B d) * (G g)].

_Matrix = tuple[tuple[float, ...], ...]


class _Winograd(NamedTuple):
    """The matrices of one axis, a row for each of the r + 1 products."""

    cells: _Matrix  # B
    weights: _Matrix  # G
    outputs: _Matrix  # A


WINOGRAD = {  # by taps
    2: _Winograd(
        cells=((1, -1, 0), (0, 1, 0), (0, -1, 1)),
        weights=((1, 0), (1, 1), (0, 1)),
        outputs=((1, 0), (1, 1), (0, 1)),
    ),
    3: _Winograd(
        cells=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
        weights=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        outputs=((1, 0), (1, 1), (1, -1), (0, 1)),
    ),
}


def _tiled_correlate(cells: jax.Array, weights: jax.Array) -> jax.Array:
    """Outputs (B, *outputs, F) of cells (B, rows, columns, cell height, -1)."""
    winograd = WINOGRAD[len(weights)]
    parts = _split(winograd.cells, cells)
    factors = _split_weights(winograd.weights, weights)
    products = []
    for part, factor in zip(parts, factors, strict=True):
        products.append((_rows(part) @ factor).reshape(*part.shape[:3], -1))
    return _join(winograd.outputs, products)


def _tiled_spread(gradient: jax.Array, weights: jax.Array, height: int) -> jax.Array:
    """Cells (B, rows, columns, cell height, -1) that the outputs came from."""
    winograd = WINOGRAD[len(weights)]
    parts = _split(winograd.outputs, gradient)
    factors = _split_weights(winograd.weights, weights)
    products = []
    for part, factor in zip(parts, factors, strict=True):
        shape = (*part.shape[:3], height, -1)
        products.append((_rows(part) @ factor.T).reshape(shape))
    return _join(winograd.cells, products)


def _tiled_contract(taps: int, cells: jax.Array, gradient: jax.Array) -> jax.Array:
    """Gradient (r, r, D, F) in the weights, for r taps."""
    winograd = WINOGRAD[taps]
    parts = _split(winograd.cells, cells)
    gradients = _split(winograd.outputs, gradient)
    products = [
        _rows(part).T @ _rows(slope)
        for part, slope in zip(parts, gradients, strict=True)
    ]
    return _join_weights(winograd.weights, products)


def _rows(part: jax.Array) -> jax.Array:
    """One row a tile, for a product; (B, rows, columns, ...) to two axes."""
    # Behind the barrier XLA writes the part in its own shape, in whole vectors: 1.4
    # times as fast (measured) as in the shape of the rows, each index divided.
    part = lax.optimization_barrier(part)
    return part.reshape(part.shape[0] * part.shape[1] * part.shape[2], -1)


def _mix(matrix: _Matrix, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """The product of a matrix and a vector of arrays."""
    mixed = []
    for row in matrix:
        terms = zip(row, parts, strict=True)
        mixed.append(_sum([factor * part for factor, part in terms if factor]))
    return mixed


def _mix_back(matrix: _Matrix, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """The transpose of `_mix`."""
    return _mix(tuple(zip(*matrix, strict=True)), parts)


def _split(matrix: _Matrix, array: jax.Array) -> list[jax.Array]:
    """The matrix times each tile of an array, along its rows, then its columns."""
    width = len(matrix[0])
    rows = _mix(matrix, _tiles(array, 1, width))
    return [part for row in rows for part in _mix(matrix, _tiles(row, 2, width))]


def _join(matrix: _Matrix, parts: list[jax.Array]) -> jax.Array:
    """The transpose of `_split`."""
    n = len(matrix)
    rows = [parts[i : i + n] for i in range(0, n * n, n)]
    return _overlap(
        _mix_back(matrix, [_overlap(_mix_back(matrix, row), 2) for row in rows]), 1
    )


def _split_weights(matrix: _Matrix, weights: jax.Array) -> list[jax.Array]:
    """The (r + 1)^2 factors (D, F) made of weights (r, r, D, F)."""
    rows = _mix(matrix, list(weights))
    return [part for row in rows for part in _mix(matrix, list(row))]


def _join_weights(matrix: _Matrix, parts: list[jax.Array]) -> jax.Array:
    """The transpose of `_split_weights`."""
    n = len(matrix)
    rows = [parts[i : i + n] for i in range(0, n * n, n)]
    joined = [jnp.stack(_mix_back(matrix, row)) for row in rows]
    return jnp.stack(_mix_back(matrix, joined))


def _tiles(array: jax.Array, axis: int, width: int) -> list[jax.Array]:
    """First to last entries of all tiles; a tile begins at every second entry."""
    end = array.shape[axis] - width + 1
    return [lax.slice_in_dim(array, i, end + i, 2, axis) for i in range(width)]


def _overlap(entries: list[jax.Array], axis: int) -> jax.Array:
    """The transpose of `_tiles`: the sum of the tiles where they overlap."""
    count, width = entries[0].shape[axis], len(entries)
    more = (width - 1) // 2  # pairs of entries by which a tile reaches into later tiles
    pads = [(0, 0)] * entries[0].ndim
    moved = []
    for i, entry in enumerate(entries):
        pads[axis] = (i // 2, more - i // 2)
        moved.append(jnp.pad(entry, pads))
    array = _interleave(_sum(moved[::2]), _sum(moved[1::2]), axis)
    return lax.slice_in_dim(array, 0, 2 * count + width - 2, 1, axis)


def _interleave(even: jax.Array, odd: jax.Array, axis: int) -> jax.Array:
    """Takes turns along the axis."""
    shape = (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])
    # A choice by index is up to 1.4 times as fast as a stack (measured).
    even, odd = (jnp.expand_dims(part, axis + 1) for part in (even, odd))
    index = [1] * even.ndim
    index[axis + 1] = 2
    is_even = lax.broadcasted_iota(jnp.int32, index, axis + 1) == 0
    return jnp.where(is_even, even, odd).reshape(shape)
