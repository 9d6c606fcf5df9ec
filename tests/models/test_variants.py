"""Normalisations, activations and dropout against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import activations, dcgan, mlp
from tests.models.support import LATENTS, SIZE, apply, fill, init, pair

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


# Networks of 8 pixels have one convolution beside the 4x4 ends. Its kernel here is a
# one among zeros: at row and column 1 of 4 that picks pixel p for window p of stride 1,
# and pixel 2p for window p of stride 2.
def single_tap(variables, name):
    kernel = np.zeros_like(variables["params"][name]["kernel"])
    kernel[1, 1, 0, 0] = 1
    params = variables["params"] | {name: {"kernel": jnp.asarray(kernel)}}
    return variables | {"params": params}


def generator_of_one_tap(**options):
    module = dcgan.Generator(8, features=2, convolution="lax", **options)
    latents = jax.random.normal(jax.random.key(1), (3, LATENTS))
    variables = single_tap(fill(module, latents), "to_image")
    return np.asarray(apply(module, variables, latents))[..., 0]


def test_nearest_upsampling_repeats_pixels_and_transposed_puts_zeros_between():
    repeated = generator_of_one_tap(upsampling="nearest")
    blocks = repeated.reshape(3, 4, 2, 4, 2)
    expected = np.broadcast_to(blocks[:, :, :1, :, :1], blocks.shape)
    np.testing.assert_array_equal(blocks, expected)
    spread = generator_of_one_tap().reshape(3, 4, 2, 4, 2)
    assert np.count_nonzero(spread) == np.count_nonzero(repeated) / 4 > 0
    np.testing.assert_array_equal(spread.max((2, 4)), blocks.max((2, 4)))


def test_generator_activation_passes_a_fifth_of_what_relu_cuts():
    options = {"upsampling": "nearest"}
    relu = generator_of_one_tap(**options)
    leaky = generator_of_one_tap(activation="leaky_relu", **options)
    np.testing.assert_array_equal(np.maximum(leaky, 0), relu)
    assert leaky.min() < 0 and relu.min() == 0


@pytest.mark.parametrize(
    "downsampling, reduce",
    [
        ("strided", lambda blocks: blocks[:, :, 0, :, 0]),
        ("max_pool", lambda blocks: blocks.max((2, 4))),
        ("average_pool", lambda blocks: blocks.mean((2, 4))),
    ],
)
def test_discriminator_takes_one_the_largest_or_the_mean_of_four_pixels(
    downsampling, reduce
):
    module = dcgan.Discriminator(
        8, features=1, downsampling=downsampling, convolution="lax"
    )
    images = jax.random.uniform(jax.random.key(2), (3, 8, 8, 1), minval=-1)
    variables = single_tap(fill(module, images), "from_image")
    hidden = np.where(images > 0, images, 0.2 * images).reshape(3, 4, 2, 4, 2)
    kernel = np.asarray(variables["params"]["to_logit"]["kernel"])[None, :, :, 0, 0]
    expected = np.sum(reduce(hidden) * kernel, axis=(1, 2))
    logits = apply(module, variables, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("condition", ["none", "batch_norm"])
def test_norm_at_the_generators_end_gives_images_mean_zero_before_tanh(condition):
    module = pair(dcgan)[0].clone(norm_ends=True, condition=condition, num_classes=3)
    latents = jax.random.normal(jax.random.key(1), (64, LATENTS))
    labels = jnp.arange(64) % 3
    variables = fill(module, latents)
    scale = variables["params"]["to_image_norm"]["scale"]
    end = variables["params"]["to_image_norm"] | {"scale": jnp.full_like(scale, 0.5)}
    variables["params"] = variables["params"] | {"to_image_norm": end}
    images, _ = module.apply(
        variables, latents, labels, train=True, mutable=["batch_stats"]
    )
    before = np.arctanh(np.asarray(images, np.float64))
    np.testing.assert_allclose(before.mean(), 0, rtol=0, atol=1e-5)
    np.testing.assert_allclose(before.std(), 0.5, rtol=1e-3, atol=0)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norm_at_the_discriminators_start_makes_it_blind_to_contrast(norm):
    # Twice the images are the same after the norm of a layer without bias.
    images = jax.random.uniform(jax.random.key(2), (16, SIZE, SIZE, 1), minval=-1)
    differences = {}
    for ends in (False, True):
        module = discriminator(norm=norm, norm_ends=ends)
        variables = fill(module, images)
        first, second = (
            module.apply(variables, x, train=True, mutable=["batch_stats"])[0]
            for x in (images, 2 * images)
        )
        differences[ends] = np.abs(first - second).max()
    assert differences[True] < 1e-3 * np.abs(first).max()
    assert norm == "batch" or differences[False] > 0


def test_norm_at_the_ends_adds_these_layers_and_no_others():
    generator, inputs = pair(dcgan)[0], jnp.ones((2, LATENTS))
    for module, data, added in (
        (generator, inputs, "to_image_norm"),
        (discriminator(), IMAGES, "from_image_norm"),
    ):
        default, ends = (fill(m, data) for m in (module, module.clone(norm_ends=True)))
        for collection in ("params", "batch_stats"):
            assert set(ends[collection]) == {*default[collection], added}


@pytest.mark.parametrize(
    "module, inputs",
    [
        (
            pair(dcgan)[0].clone(hidden_dense=3),
            jax.random.normal(jax.random.key(1), (4, 5)),
        ),
        (discriminator(hidden_dense=3), IMAGES),
        (discriminator(hidden_dense=3, norm="spectral"), IMAGES),
    ],
)
def test_everything_goes_through_the_hidden_dense_layer(module, inputs):
    variables = fill(module, inputs)
    outputs = apply(module, variables, inputs)
    assert np.abs(outputs - outputs[:1]).max() > 0
    hidden = jax.tree.map(jnp.zeros_like, variables["params"]["hidden"])
    variables["params"] = variables["params"] | {"hidden": hidden}
    outputs = np.asarray(apply(module, variables, inputs))
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:1], outputs.shape))


def test_maxout_takes_the_largest_piece_of_each_unit():
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    expected = [[max(row[u::2]) for u in range(2)] for row in x]
    np.testing.assert_array_equal(activations.maxout(jnp.asarray(x), 4), expected)


def test_maxout_discriminator_is_the_maximum_of_affine_maps():
    module = mlp.Discriminator(features=(2,), activation="maxout", pieces=3)
    variables = fill(module, IMAGES)
    params = jax.tree.map(np.asarray, variables["params"])
    pixels = np.asarray(IMAGES).reshape(4, -1)
    z = pixels @ params["hidden0"]["kernel"] + params["hidden0"]["bias"]
    hidden = np.stack([z[:, 0::2].max(axis=1), z[:, 1::2].max(axis=1)], axis=1)
    expected = hidden @ params["to_logit"]["kernel"][:, 0]
    logits = apply(module, variables, IMAGES)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


# Mirza and Osindero 2014 (arXiv 1411.1784), section 4.1, at other widths.
def test_branches_are_layers_of_the_input_and_of_the_label_alone():
    options = {"condition": "onehot", "num_classes": 3}
    options |= {"input_branch": 2, "label_branch": 4, "features": (3,)}
    module = mlp.Discriminator(
        activation="maxout", pieces=2, branch_pieces=3, **options
    )
    variables = fill(module, IMAGES)
    params = jax.tree.map(np.asarray, variables["params"])

    def layer(x, name, units):
        z = x @ params[name]["kernel"] + params[name]["bias"]
        return np.stack([z[:, u::units].max(axis=1) for u in range(units)], axis=1)

    pixels = layer(np.asarray(IMAGES).reshape(4, -1), "input_branch", 2)
    codes = layer(np.eye(3)[LABELS], "label_branch", 4)
    hidden = layer(np.concatenate([pixels, codes], axis=1), "hidden0", 3)
    expected = hidden @ params["to_logit"]["kernel"][:, 0]
    logits = apply(module, variables, IMAGES, LABELS)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    shapes = {name: tree["kernel"].shape for name, tree in params.items()}
    pixels = SIZE * SIZE
    assert shapes["input_branch"] == (pixels, 2 * 3)
    assert shapes["label_branch"] == (3, 4 * 3)
    assert shapes["hidden0"] == (2 + 4, 3 * 2)


def test_a_generator_drops_in_training_with_a_key_and_never_without_one():
    # An evaluation with the statistics of its batch is a training pass without a key.
    module = mlp.Generator(SIZE, features=(50,), hidden_dropout=0.5)
    latents = jax.random.normal(jax.random.key(1), (2, LATENTS))
    variables = fill(module, latents)
    first, second = (
        module.apply(
            variables, latents, train=True, rngs={"dropout": jax.random.key(seed)}
        )
        for seed in (0, 1)
    )
    assert np.abs(first - second).max() > 0
    kept = module.apply(variables, latents, train=True)
    np.testing.assert_allclose(kept, apply(module, variables, latents), atol=1e-6)


def test_a_latent_vector_decides_what_is_dropped_when_images_are_drawn():
    # Hidden units are 1 and the second kernel is the identity: a pixel is 4 times the
    # share of units that both layers keep, a quarter if their masks are independent.
    units = 2_000
    module = mlp.Generator(
        1,
        features=(units, units),
        activation="relu",
        output="linear",
        hidden_dropout=0.5,
        test_dropout=True,
    )
    latents = jax.random.normal(jax.random.key(1), (20, LATENTS))
    params = {
        "hidden0": {"kernel": jnp.zeros((LATENTS, units)), "bias": jnp.ones(units)},
        "hidden1": {"kernel": jnp.eye(units), "bias": jnp.zeros(units)},
        "to_image": {"kernel": jnp.ones((units, 1)) / units, "bias": jnp.zeros(1)},
    }
    pixels = apply(module, {"params": params}, latents)[:, 0, 0, 0]
    error = np.sqrt((1 - 0.25) / 0.25 / units)
    np.testing.assert_allclose(pixels, 1, atol=5 * error)
    assert len(np.unique(pixels)) > 10
    np.testing.assert_allclose(np.std(pixels), error, rtol=0.6)
    again = apply(module, {"params": params}, latents[::-1])[::-1, 0, 0, 0]
    np.testing.assert_allclose(again, pixels, rtol=1e-6)
    without = apply(module.clone(test_dropout=False), {"params": params}, latents)
    np.testing.assert_allclose(without, 1, rtol=1e-5)


def test_dropout_of_a_training_step_ignores_test_dropout():
    module = mlp.Generator(SIZE, features=(50,), hidden_dropout=0.5)
    latents = jax.random.normal(jax.random.key(1), (2, LATENTS))
    variables = fill(module, latents)
    first, second = (
        one.apply(variables, latents, train=True, rngs={"dropout": jax.random.key(0)})
        for one in (module, module.clone(test_dropout=True))
    )
    np.testing.assert_array_equal(first, second)


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
