"""Normalisations, activations and dropout against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import activations, dcgan, mlp
from tests.test_models import LATENTS, SIZE, apply, fill, init, pair

IMAGES = jax.random.uniform(jax.random.key(2), (4, SIZE, SIZE, 1), minval=-1)
LABELS = jnp.array([0, 2, 1, 2])


def discriminator(**options):
    return pair(dcgan)[1].clone(num_classes=3, **options)


@pytest.mark.parametrize("condition", ["none", "projection", "auxiliary"])
def test_spectral_norm_divides_each_kernel_by_its_largest_singular_value(condition):
    # Power iterations until sigma stands, then against numpy's SVD.
    module = discriminator(norm="spectral", condition=condition)
    variables = fill(module, IMAGES)
    params, stats = variables["params"], variables["batch_stats"]

    @jax.jit
    def step(stats):
        variables = {"params": params, "batch_stats": stats}
        return module.apply(
            variables, IMAGES, LABELS, train=True, mutable=["batch_stats"]
        )[1]["batch_stats"]

    for _ in range(200):
        stats = step(stats)
    sigmas = {name: leaf for tree in stats.values() for name, leaf in tree.items()}
    kernels = {
        "/".join(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if leaf.ndim > 1
    }
    assert {f"{name}/sigma" for name in kernels} < set(sigmas)
    for name, kernel in kernels.items():
        matrix = np.asarray(kernel).reshape(-1, kernel.shape[-1])
        largest = np.linalg.svd(matrix, compute_uv=False)[0]
        np.testing.assert_allclose(sigmas[f"{name}/sigma"], largest, rtol=1e-3)


def test_spectral_norm_makes_logits_blind_to_the_scale_of_kernels():
    # Biases start at 0, so without the division seven times the kernels are seen.
    module = discriminator(norm="spectral")
    variables = fill(module, IMAGES)
    scaled = variables | {"params": jax.tree.map(lambda p: 7 * p, variables["params"])}
    logits = apply(module, variables, IMAGES)
    np.testing.assert_allclose(apply(module, scaled, IMAGES), logits, rtol=1e-4)
    assert np.abs(logits).max() > 0


def test_layer_norm_normalises_each_image_alone():
    module = discriminator(norm="layer")
    variables = fill(module, IMAGES)
    logits = apply(module, variables, IMAGES)
    np.testing.assert_allclose(apply(module, variables, IMAGES[:1]), logits[:1], 1e-5)
    assert "batch_stats" not in variables


@pytest.mark.parametrize(
    "module, inputs",
    [
        (pair(dcgan)[0].clone(norm="none"), jnp.ones((2, LATENTS))),
        (discriminator(norm="none"), IMAGES),
    ],
)
def test_networks_without_norm_have_biases_and_no_statistics(module, inputs):
    variables = fill(module, inputs)
    assert "batch_stats" not in variables
    assert all("bias" in layer for layer in variables["params"].values())


def test_activation_and_output_are_those_that_the_names_say():
    module = discriminator(norm="none")
    variables = fill(module, IMAGES)
    leaky = apply(module, variables, IMAGES)
    assert np.abs(
        leaky - apply(module.clone(activation="relu"), variables, IMAGES)
    ).max()
    generator = pair(dcgan)[0]
    latents = jax.random.normal(jax.random.key(1), (2, LATENTS))
    variables = fill(generator, latents)
    tanh = apply(generator, variables, latents)
    sigmoid = apply(generator.clone(output="sigmoid"), variables, latents)
    np.testing.assert_allclose(sigmoid, np.tanh(np.arctanh(tanh) / 2), atol=1e-5)


def test_maxout_takes_the_largest_piece_of_each_unit():
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    expected = [[max(row[4 * u : 4 * u + 4]) for u in range(2)] for row in x]
    np.testing.assert_array_equal(activations.maxout(jnp.asarray(x), 4), expected)


def test_maxout_discriminator_is_the_maximum_of_affine_maps():
    module = mlp.Discriminator(features=(2,), activation="maxout", pieces=3)
    variables = fill(module, IMAGES)
    params = jax.tree.map(np.asarray, variables["params"])
    pixels = np.asarray(IMAGES).reshape(4, -1)
    z = pixels @ params["hidden0"]["kernel"] + params["hidden0"]["bias"]
    hidden = np.stack([z[:, :3].max(axis=1), z[:, 3:].max(axis=1)], axis=1)
    expected = hidden @ params["to_logit"]["kernel"][:, 0]
    logits = apply(module, variables, IMAGES)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_dropout_is_on_in_training_and_off_in_evaluation():
    module = mlp.Discriminator(features=(50,), hidden_dropout=0.5)
    variables = fill(module, IMAGES)
    first, second = (
        module.apply(
            variables, IMAGES, train=True, rngs={"dropout": jax.random.key(seed)}
        )
        for seed in (0, 1)
    )
    assert np.abs(first - second).min() > 0
    evaluated = apply(module, variables, IMAGES)
    without = apply(module.clone(hidden_dropout=0.0), variables, IMAGES)
    np.testing.assert_array_equal(evaluated, without)


def test_input_dropout_drops_its_share_and_scales_up_the_rest():
    # White images and a kernel of ones: the logit is the number of kept pixels over
    # 0.8. Of 784 * 100 pixels 80 % are kept, to 4 sqrt(0.8 * 0.2 / 78400) = 0.6 %.
    module = mlp.Discriminator(features=(), input_dropout=0.2)
    images = jnp.ones((100, 28, 28, 1))
    params = {"to_logit": {"kernel": jnp.ones((784, 1)), "bias": jnp.zeros(1)}}
    logits = module.apply(
        {"params": params}, images, train=True, rngs={"dropout": jax.random.key(0)}
    )
    np.testing.assert_allclose(np.mean(logits) / 784, 1, rtol=0, atol=0.0075)
    np.testing.assert_allclose(logits * 0.8, np.round(logits * 0.8), atol=1e-3)


def test_unit_range_maps_images_to_zero_and_one():
    module = mlp.Discriminator(features=(5,))
    variables = fill(module, IMAGES)
    expected = apply(module, variables, (IMAGES + 1) / 2)
    logits = apply(module.clone(unit_range=True), variables, IMAGES)
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=0)


def test_latent_scale_multiplies_latents():
    module = mlp.Generator(SIZE, features=(5,), latent_scale=2.0)
    latents = jax.random.normal(jax.random.key(1), (2, LATENTS))
    variables = fill(module, latents)
    expected = apply(module.clone(latent_scale=1.0), variables, 2 * latents)
    np.testing.assert_array_equal(apply(module, variables, latents), expected)


def test_init_range_bounds_uniform_kernels():
    module = mlp.Generator(features=(200,), init_range=0.05)
    kernel = init(module, jnp.zeros((1, LATENTS)))["params"]["hidden0"]["kernel"]
    assert 0.0499 < np.abs(kernel).max() <= 0.05  # of 20,000 draws
    np.testing.assert_allclose(np.std(kernel), 0.05 / np.sqrt(3), rtol=0.02, atol=0)
