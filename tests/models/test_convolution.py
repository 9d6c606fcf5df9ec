"""Tests of gan_jax.models.convolution: equality with Flax and lax, to third order."""

from functools import partial
import re

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import convolution

pytestmark = pytest.mark.slow

# (size, kernel, stride, padding, C, features); the layers of the models and odd ones.
CONVOLUTIONS = [
    (64, 4, 2, "SAME", 3, 64),
    (32, 4, 2, "SAME", 64, 128),
    (16, 4, 2, "SAME", 128, 256),
    (8, 4, 2, "SAME", 256, 512),
    (32, 4, 2, "SAME", 1, 64),
    (28, 4, 2, "SAME", 1, 64),
    (14, 4, 2, "SAME", 64, 128),
    (7, 4, 2, "SAME", 8, 16),
    (9, 4, 2, "SAME", 16, 8),
    (9, 4, 2, "VALID", 8, 16),
    (10, 4, 2, "VALID", 64, 64),
    (4, 4, 1, "VALID", 512, 1),
    (7, 7, 1, "VALID", 128, 1),
    (28, 5, 2, "SAME", 1, 64),
    (14, 5, 2, "SAME", 64, 128),
    (7, 5, 2, "SAME", 128, 64),
    (9, 5, 2, "VALID", 4, 6),
    (14, 5, 1, "SAME", 64, 3),
    (8, 5, 1, "VALID", 5, 7),
    (8, 3, 1, "SAME", 64, 64),
    (9, 3, 1, "VALID", 6, 5),
    (7, 3, 3, "SAME", 4, 8),
    (8, 3, 2, "SAME", 4, 8),
    (8, 1, 1, "SAME", 32, 16),
    (8, 1, 2, "SAME", 8, 16),
    (7, 1, 2, "VALID", 8, 16),
    (2, 4, 2, "SAME", 8, 16),
    (1, 4, 2, "SAME", 8, 16),
]
TRANSPOSED = [
    (1, 4, 1, "VALID", 100, 512),
    (1, 7, 1, "VALID", 100, 128),
    (4, 4, 2, "SAME", 512, 256),
    (8, 4, 2, "SAME", 256, 128),
    (16, 4, 2, "SAME", 128, 64),
    (32, 4, 2, "SAME", 64, 3),
    (16, 4, 2, "SAME", 64, 1),
    (7, 4, 2, "SAME", 128, 64),
    (14, 4, 2, "SAME", 64, 1),
    (5, 4, 2, "VALID", 16, 8),
    (7, 5, 1, "SAME", 32, 16),
    (7, 5, 2, "SAME", 128, 64),
    (14, 5, 2, "SAME", 64, 1),
    (4, 5, 2, "VALID", 6, 4),
    (8, 3, 1, "SAME", 64, 64),
    (5, 3, 3, "SAME", 4, 8),
    (5, 3, 2, "SAME", 4, 8),
    (8, 1, 1, "SAME", 32, 16),
    (5, 1, 2, "SAME", 4, 8),
    (5, 1, 2, "VALID", 4, 8),
    (1, 4, 2, "SAME", 8, 16),
]
CASES = [(convolution.convolve, *case) for case in CONVOLUTIONS] + [
    (convolution.transpose_convolve, *case) for case in TRANSPOSED
]


TIED = ["matmul", "adjoint"]  # implementations that bilinear.py ties

# Little optimization by LLVM: to compile takes longer here than to run.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def make_inputs(size, window, channels, features, batch=2, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, size, size, channels))
    kernel = rng.normal(size=(window, window, channels, features))
    kernel /= window * channels**0.5
    return jnp.asarray(images, dtype), jnp.asarray(kernel, dtype)


def assert_close(actual, expected, rtol=2e-5):
    """Compares with a tolerance relative to the largest number of the array."""
    actual, expected = (np.asarray(a, np.float32) for a in (actual, expected))
    atol = rtol * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def bind(function, stride, padding, implementation):
    def bound(images, kernel):
        return function(
            images,
            kernel,
            strides=(stride, stride),
            padding=padding,
            implementation=implementation,
        )

    return bound


@pytest.mark.parametrize("implementation", TIED)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].__name__}-{c[1:]}")
def test_values_and_gradients_equal_those_of_lax(case, implementation):
    function, size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features)

    def run(implementation):
        bound = bind(function, stride, padding, implementation)

        @jit
        def compute(images, kernel):
            outputs, pull = jax.vjp(bound, images, kernel)
            return outputs, *pull(jnp.sin(10.0 * outputs))

        return compute(images, kernel)

    for actual, expected in zip(run(implementation), run("lax"), strict=True):
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        assert_close(actual, expected)


SMALL = [
    (convolution.convolve, 8, 4, 2, "SAME", 5, 3),
    (convolution.convolve, 7, 5, 2, "SAME", 3, 4),
    (convolution.convolve, 4, 4, 1, "VALID", 6, 1),
    (convolution.convolve, 7, 4, 2, "SAME", 32, 33),
    (convolution.convolve, 5, 3, 1, "SAME", 32, 33),
    (convolution.transpose_convolve, 4, 4, 2, "SAME", 5, 3),
    (convolution.transpose_convolve, 3, 4, 2, "SAME", 33, 32),
    (convolution.transpose_convolve, 4, 5, 2, "SAME", 3, 4),
    (convolution.transpose_convolve, 1, 4, 1, "VALID", 6, 5),
]


@pytest.mark.parametrize("implementation", TIED)
@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c[0].__name__}-{c[1:]}")
def test_gradient_of_a_gradient_penalty_equals_that_of_lax(case, implementation):
    function, size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features)

    def penalty(implementation, images, kernel):
        bound = bind(function, stride, padding, implementation)
        slopes = jax.grad(lambda x: jnp.sum(jnp.tanh(bound(x, kernel)) ** 2))(images)
        return jnp.mean((jnp.sqrt(jnp.sum(slopes**2, axis=(1, 2, 3))) - 1.0) ** 2)

    slope = jit(jax.grad(penalty, argnums=(1, 2)), static_argnums=0)
    actual = slope(implementation, images, kernel)
    expected = slope("lax", images, kernel)
    assert_close(actual[0], expected[0])
    assert_close(actual[1], expected[1])


@pytest.mark.parametrize("implementation", TIED)
@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c[0].__name__}-{c[1:]}")
def test_third_derivatives_equal_those_of_lax(case, implementation):
    function, size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features)

    def third(implementation):
        bound = bind(function, stride, padding, implementation)
        value = lambda x, k: jnp.sum(jnp.sin(bound(x, k)))  # noqa: E731
        in_kernel = lambda x, k: jnp.sum(jax.grad(value, 1)(x, k) ** 2)  # noqa: E731
        in_images = lambda x, k: jnp.sum(jax.grad(in_kernel)(x, k) ** 2)  # noqa: E731
        return jit(jax.grad(in_images, (0, 1)))(images, kernel)

    for actual, expected in zip(third(implementation), third("lax"), strict=True):
        assert_close(actual, expected, rtol=2e-4)


@pytest.mark.parametrize("implementation", TIED)
@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c[0].__name__}-{c[1:]}")
def test_vmap_over_images_and_kernels_equals_a_loop(case, implementation):
    function, size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features, batch=6)
    images = images.reshape(3, 2, *images.shape[1:])
    kernels = jnp.stack([kernel, 2.0 * kernel, -kernel])
    bound = bind(function, stride, padding, implementation)
    gradient = jax.grad(lambda x, k: jnp.sum(bound(x, k) ** 2), argnums=(0, 1))
    actual = jit(jax.vmap(gradient))(images, kernels)
    gradient = jit(gradient)
    for seed in range(3):
        expected = gradient(images[seed], kernels[seed])
        assert_close(actual[0][seed], expected[0])
        assert_close(actual[1][seed], expected[1])


def test_pmap_with_averaged_gradients_equals_one_device():
    images, kernel = make_inputs(8, 4, 32, 32, batch=4)
    bound = bind(convolution.convolve, 2, "SAME", "matmul")
    slope = jax.grad(lambda k, x: jnp.mean(bound(x, k) ** 2))
    averaged = jax.pmap(
        lambda x: jax.lax.pmean(slope(kernel, x), "batch"), axis_name="batch"
    )
    actual = averaged(images.reshape(2, 2, *images.shape[1:]))
    assert_close(actual[1], slope(kernel, images))


@pytest.mark.parametrize("implementation", TIED)
@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c[0].__name__}-{c[1:]}")
def test_scan_of_gradient_steps_equals_a_loop(case, implementation):
    function, size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features)
    bound = bind(function, stride, padding, implementation)

    def descend(kernel, _):
        slope = jax.grad(lambda k: jnp.mean(bound(images, k) ** 2))(kernel)
        return kernel - 0.1 * slope, None

    actual, _ = jit(lambda k: jax.lax.scan(descend, k, length=3))(kernel)
    descend = jit(descend)
    for _ in range(3):
        kernel, _ = descend(kernel, None)
    assert_close(actual, kernel)


@pytest.mark.parametrize("implementation", TIED)
@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c[0].__name__}-{c[1:]}")
def test_bfloat16_stays_bfloat16_and_rounds_once(case, implementation):
    function, size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features, dtype=jnp.bfloat16)
    bound = bind(function, stride, padding, implementation)

    @jit
    def compute(images, kernel):
        outputs, pull = jax.vjp(bound, images, kernel)
        return outputs, *pull(jnp.ones_like(outputs))

    actual = compute(images, kernel)
    expected = compute(images.astype(jnp.float32), kernel.astype(jnp.float32))
    for ours, exact in zip(actual, expected, strict=True):
        assert ours.dtype == jnp.bfloat16
        assert_close(ours, exact, rtol=2.0**-8)


@pytest.mark.parametrize("implementation", ["lax", *TIED])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_parameters_and_outputs_are_those_of_flax(
    name, dtype, use_bias, implementation
):
    settings = {"features": 6, "kernel_size": (4, 4), "strides": (2, 2)}
    settings |= {"padding": "SAME", "use_bias": use_bias, "dtype": dtype}
    settings |= {"bias_init": nn.initializers.ones}
    images, _ = make_inputs(6, 4, 3, 6)
    theirs = getattr(nn, name)(**settings)
    ours = getattr(convolution, name)(**settings, implementation=implementation)
    variables = theirs.init(jax.random.key(1), images)
    found = ours.init(jax.random.key(1), images)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    actual, expected = (layer.apply(variables, images) for layer in (ours, theirs))
    assert actual.dtype == expected.dtype
    rtol = 2e-5 if dtype is None else 2.0**-7
    assert_close(actual, expected, rtol)


def test_unneeded_kernel_gradients_leave_the_program():
    images, kernel = make_inputs(8, 4, 5, 3)
    bound = bind(convolution.convolve, 2, "SAME", "matmul")

    def count_products(gradient):
        text = jax.jit(gradient).lower(images, kernel).compile().as_text()
        return text.count(" dot(")

    loss = lambda x, k: jnp.sum(bound(x, k) ** 2)  # noqa: E731
    both = count_products(jax.grad(loss, argnums=(0, 1)))
    assert 0 < count_products(jax.grad(loss)) < both


def test_auto_picks_matmul_on_a_cpu():
    images, kernel = make_inputs(8, 4, 5, 3)
    text = jax.jit(convolution.convolve).lower(images, kernel).as_text()
    assert "stablehlo.convolution" not in text


def windows(text):
    """Height and width of the window of each convolution of a StableHLO program."""
    found = re.findall(
        r"stablehlo\.convolution\(.*x\[([^]]*)\]->.*, tensor<([\dx]*)x\w+>\)", text
    )
    for layout, shape in found:
        sizes = dict(zip(layout.split(", "), shape.split("x"), strict=True))
        yield int(sizes["0"]), int(sizes["1"])


def lower_for_cuda(function, *arguments):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",))


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_transposed_convolutions_have_the_pattern_of_cudnns_kernels(case):
    size, window, stride, padding, channels, features = case
    images, kernel = make_inputs(size, window, channels, features)
    bound = bind(convolution.transpose_convolve, stride, padding, "adjoint")

    def run(images, kernel):
        outputs, pull = jax.vjp(bound, images, kernel)
        return outputs, pull(jnp.sin(outputs))

    text = lower_for_cuda(run, images, kernel).as_text()
    forward, *_ = re.findall(r".*stablehlo.convolution.*", text)
    # The kernel is reversed behind a barrier, and again right before it is used on
    # dilated images: the gradient of a plain convolution in its images.
    before, _, after = text.partition("stablehlo.optimization_barrier")
    assert "stablehlo.reverse" in before and "stablehlo.reverse" in after
    assert stride == 1 or f"lhs_dilate = [{stride}, {stride}]" in forward
    assert text.count("stablehlo.convolution") == 3
    # No window is as large as the larger map: that of the kernel's gradient is the
    # smaller one.
    assert max(max(pair) for pair in windows(text)) <= max(size, window)
    assert len(list(windows(text))) == 3


FUNCTIONS = [convolution.convolve, convolution.transpose_convolve]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_unknown_choices_are_refused(function):
    images, kernel = make_inputs(8, 4, 5, 3)
    with pytest.raises(ValueError, match="implementation is 'fast'; allowed are auto"):
        function(images, kernel, implementation="fast")
    with pytest.raises(ValueError, match="padding is 'CIRCULAR'; allowed are SAME"):
        function(images, kernel, padding="CIRCULAR")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_unfit_inputs_are_refused(function):
    images, kernel = make_inputs(8, 4, 5, 3)
    with pytest.raises(ValueError, match="with the same C"):
        function(images, kernel[:, :, :4])
    with pytest.raises(ValueError, match="with the same C"):
        function(images[0], kernel)
    with pytest.raises(ValueError, match="allowed is one dtype"):
        function(images, kernel.astype(jnp.bfloat16))


def test_a_window_larger_than_the_image_is_refused():
    images, kernel = make_inputs(3, 4, 5, 3)
    with pytest.raises(ValueError, match="window must fit"):
        convolution.convolve(images, kernel, padding="VALID")
