"""Convolution layers: the numbers of Flax's, at the speed of matrix products on a CPU.

Three implementations give the same numbers to rounding:

- "matmul", which "auto" takes on a CPU: XLA's CPU backend runs the gradients of
  convolutions in naive loops wherever Eigen has no kernel for them, in `lax.scan` and
  for transposed convolutions. See matmul.py.
- "adjoint", which "auto" takes elsewhere: convolutions in the forms for which XLA calls
  the GPU library's own kernels. See adjoint.py.
- "lax": `lax.conv_general_dilated` and `lax.conv_transpose` as they are, which the
  others are tested against, and which alone has derivatives in forward mode.
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from gan_jax.models import adjoint, matmul

IMPLEMENTATIONS = ("auto", "adjoint", "matmul", "lax")
AUTO = {"cpu": "matmul", "default": "adjoint"}  # platform -> what "auto" takes there
PADDINGS = ("SAME", "VALID")


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
        implementation: one of IMPLEMENTATIONS, see the module.
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
        implementation: one of IMPLEMENTATIONS, see the module.

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
            images,
            kernel,
            strides,
            padding,
            dimension_numbers=adjoint.DIMENSION_NUMBERS,
        )
    pads = tuple(lax.padtype_to_pads(size, window, strides, padding))
    if implementation == "adjoint":
        return adjoint.forward(
            adjoint.Geometry(size, window, strides, pads), images, kernel
        )
    sizes = zip(size, window, strides, pads, strict=True)
    outputs = tuple((h + sum(pad) - k) // s + 1 for h, k, s, pad in sizes)
    lows = tuple(low for low, _ in pads)
    channels = min(kernel.shape[2:])
    geometry = matmul.Geometry(size, window, strides, lows, outputs, channels)
    return matmul.forward(geometry, images, kernel)


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
        implementation: one of IMPLEMENTATIONS, see the module.

    Returns:
        (B, H', W', features).

    Raises:
        ValueError: an implementation or a padding that does not exist; images and
            kernel of unfit shapes or dtypes.
    """
    implementation = _resolve(implementation, padding, images, kernel)
    if implementation == "lax":
        return lax.conv_transpose(
            images,
            kernel,
            strides,
            padding,
            dimension_numbers=adjoint.DIMENSION_NUMBERS,
        )
    outputs, window = images.shape[1:3], kernel.shape[:2]
    sizes = list(zip(outputs, window, strides, strict=True))
    if padding == "SAME":
        size = tuple(n * s for n, _, s in sizes)
        lows = tuple(max(k - s, 0) // 2 for _, k, s in sizes)
    else:
        size = tuple(n * s + max(k - s, 0) for n, k, s in sizes)
        lows = (0, 0)
    if implementation == "adjoint":
        ends = ((n - 1) * s + k for n, k, s in sizes)  # of the last window
        highs = (end - h - low for end, h, low in zip(ends, size, lows, strict=True))
        pads = tuple(zip(lows, highs, strict=True))
        plain = adjoint.Geometry(size, window, strides, pads)
        return adjoint.input_gradient(plain, images, adjoint.flip(kernel))
    channels = min(kernel.shape[2:])
    geometry = matmul.Geometry(size, window, strides, lows, outputs, channels)
    kernel = kernel[::-1, ::-1].swapaxes(2, 3)
    return matmul.input_gradient(geometry, images, kernel)


def _resolve(
    implementation: str, padding: str, images: jax.Array, kernel: jax.Array
) -> str:
    """Checks a convolution's arguments and returns an implementation but "auto"."""
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
        return AUTO.get(jax.default_backend(), AUTO["default"])
    return implementation
