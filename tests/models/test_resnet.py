"""Residual networks against NumPy, written as the published code computes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import resnet
from tests.models.support import apply, fill, init

LABELS = np.array([0, 2, 1])


def make_variables(module, inputs):
    """Variables with biases, large enough that images are no single grey."""
    variables = fill(module, jnp.asarray(inputs, jnp.float32))
    params = jax.tree.map(lambda p: 3 * p + 0.1, variables["params"])
    return variables | {"params": params}


def convolve(x, layer):
    """A convolution of stride 1 that keeps the size, as a sum over the window."""
    kernel = np.asarray(layer["kernel"], np.float64)
    reach = kernel.shape[0] // 2
    h, w = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    total = np.zeros((*x.shape[:3], kernel.shape[3]))
    for row, column in np.ndindex(kernel.shape[:2]):
        total += padded[:, row : row + h, column : column + w] @ kernel[row, column]
    return total + np.asarray(layer["bias"], np.float64)


def relu(x):
    return np.maximum(x, 0)


def nearest(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def bilinear(x):
    """PyTorch's F.interpolate with align_corners=False, pixel by pixel."""

    def along(x, axis):
        n = x.shape[axis]
        places = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, None)
        low = places.astype(int)
        high = np.minimum(low + 1, n - 1)
        shape = [-1 if a == axis else 1 for a in range(x.ndim)]
        share = (places - low).reshape(shape)
        return x.take(low, axis) * (1 - share) + x.take(high, axis) * share

    return along(along(x, 1), 2)


def mean_pool(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def normalize(x, params, stats):
    mean, var = (np.asarray(stats[name]) for name in ("mean", "var"))
    scale, bias = (np.asarray(params[name]) for name in ("scale", "bias"))
    if scale.ndim == 2:  # of a class
        scale, bias = (p[LABELS][:, None, None] for p in (scale, bias))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def generate(variables, latents, upsample, conditional):
    """Mimicry's generator: the shortcut is upsampled before its convolution."""
    params, stats = variables["params"], variables["batch_stats"]

    def norm(x, name):
        own = stats[name]["norm"] if conditional else stats[name]
        return normalize(x, params[name], own)

    project = params["project"]
    x = latents @ np.asarray(project["kernel"]) + np.asarray(project["bias"])
    x = x.reshape(len(x), 2, 2, -1)
    for name in ("block1", "block2"):
        shortcut = convolve(upsample(x), params[f"{name}_shortcut"])
        x = upsample(relu(norm(x, f"{name}_norm1")))
        x = relu(norm(convolve(x, params[f"{name}_conv1"]), f"{name}_norm2"))
        x = convolve(x, params[f"{name}_conv2"]) + shortcut
    last = normalize(x, params["to_image_norm"], stats["to_image_norm"])
    return np.tanh(convolve(relu(last), params["to_image"]))


@pytest.mark.parametrize(
    "upsampling, upsample", [("nearest", nearest), ("bilinear", bilinear)]
)
@pytest.mark.parametrize("condition", ["none", "batch_norm"])
def test_generator_is_that_of_the_published_code(upsampling, upsample, condition):
    module = resnet.Generator(
        image_size=8,
        channels=3,
        features=(4, 3, 3),
        condition=condition,
        num_classes=3,
        upsampling=upsampling,
        convolution="lax",
    )
    latents = np.random.default_rng(1).normal(size=(3, 5))
    variables = make_variables(module, latents)
    images = apply(module, variables, jnp.asarray(latents, jnp.float32), LABELS)
    expected = generate(variables, latents, upsample, condition == "batch_norm")
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-5)
    assert np.std(expected) > 0.01


def judge(variables, images, pool, projection):
    """Mimicry's discriminator without norm: pooling comes after the shortcut."""
    params = variables["params"]

    def block(x, name, downsample, hidden_first):
        shortcut = x
        if f"{name}_shortcut" in params:
            shortcut = convolve(x, params[f"{name}_shortcut"])
        x = convolve(x if hidden_first else relu(x), params[f"{name}_conv1"])
        x = convolve(relu(x), params[f"{name}_conv2"])
        return downsample(x) + downsample(shortcut)

    x = block(images, "block1", mean_pool, True)
    x = block(x, "block2", mean_pool, False)
    x = block(x, "block3", lambda x: x, False)
    x = block(x, "block4", lambda x: x, False)
    features = pool(relu(x), axis=(1, 2))
    logits = features @ np.asarray(params["to_logit"]["kernel"], np.float64)
    logits = logits[:, 0] + np.asarray(params["to_logit"]["bias"])
    if projection:
        rows = np.asarray(params["project"]["embed"]["embedding"])[LABELS]
        logits += np.sum(features * rows, axis=1)
    return logits


@pytest.mark.parametrize("pooling, pool", [("sum", np.sum), ("mean", np.mean)])
@pytest.mark.parametrize("condition", ["none", "projection"])
def test_discriminator_is_that_of_the_published_code(pooling, pool, condition):
    module = resnet.Discriminator(
        image_size=8,
        features=(3, 3, 3, 4),  # the third block has no shortcut, the fourth has one
        condition=condition,
        num_classes=3,
        norm="none",
        pooling=pooling,
        convolution="lax",
    )
    images = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 3))
    variables = make_variables(module, images)
    assert "block3_shortcut" not in variables["params"]
    logits = apply(module, variables, jnp.asarray(images, jnp.float32), LABELS)
    expected = judge(variables, images, pool, condition == "projection")
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_spectral_norm_is_on_every_kernel_and_on_the_classes_vectors():
    module = resnet.Discriminator(image_size=8, features=(2, 2), condition="projection")
    variables = fill(module, jnp.zeros((2, 8, 8, 3)))
    kernels = {
        "/".join(key.key for key in path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"])
        if leaf.ndim > 1
    }
    stats = {name for tree in variables["batch_stats"].values() for name in tree}
    assert {f"{name}/sigma" for name in kernels} < stats
    assert "project/embed/embedding" in kernels and len(kernels) == 3 + 3 + 2


def test_layer_norm_comes_before_both_relus_of_all_blocks_but_the_first():
    module = resnet.Discriminator(features=(2, 2, 2), norm="layer")
    params = fill(module, jnp.zeros((2, 32, 32, 3)))["params"]
    norms = {name for name in params if "norm" in name}
    assert norms == {f"block{n}_norm{m}" for n in (2, 3) for m in (1, 2)}


def test_unit_range_maps_images_to_zero_and_one():
    module = resnet.Discriminator(image_size=8, features=(2, 2), convolution="lax")
    images = jax.random.uniform(jax.random.key(2), (3, 8, 8, 1), minval=-1)
    variables = fill(module, images)
    expected = apply(module, variables, (images + 1) / 2)
    logits = apply(module.clone(unit_range=True), variables, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=0)


# Xavier's uniform draw has the bound gain * sqrt(6 / (fan_in + fan_out)) and the
# standard deviation bound / sqrt(3); fans are kh * kw * channels.
@pytest.mark.parametrize(
    "name, fans, gain",
    [
        ("project", 100 + 16 * 64, 1),
        ("block1_conv1", 9 * 64 + 9 * 64, 2**0.5),
        ("block1_shortcut", 64 + 64, 1),
        ("to_image", 9 * 64 + 9 * 3, 1),
    ],
)
def test_kernels_start_at_xaviers_uniform_draw(name, fans, gain):
    module = resnet.Generator(image_size=8, channels=3, features=(64, 64))
    kernel = init(module, jnp.zeros((1, 100)))["params"][name]["kernel"]
    bound = gain * np.sqrt(6 / fans)
    assert 0.99 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)
    np.testing.assert_allclose(np.std(kernel), bound / 3**0.5, rtol=0.05, atol=0)
