"""Networks: parameter counts, shapes, ranges, initial values, what build refuses."""

import functools
import json

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from configs import cgan, gan, sngan
from configs import dcgan as dcgan_config
from configs import dcgan_keras as keras_config
from configs import infogan as infogan_config
from configs import stacked_mnist as stacked_config
from gan_jax import models
from gan_jax.models import (
    activations,
    convolution,
    dcgan,
    infogan,
    keras_dcgan,
    mlp,
    pacgan,
    resnet,
    unrolled,
)
from tests import support
from tests.models.support import LATENTS, SIZE, apply, fill, init, pair, shapes


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


FAMILIES = list(models.MODELS.values())

# By hand: kernels kh * kw * in * out, BatchNorm 2 * width, biases.
# dcgan 28, dense 512: G 100*512 + 1024 + 7*7*512*64 + 128 + 16*64*32 + 64 + 16*32
#     D 16*32 + 16*32*64 + 128 + 7*7*64*512 + 1024 + 512
# cgan, dense 256 without a condition, 862,400 and 836,992:
#     G 100*256 + 512 + 7*7*256*64 + 128 + 16*64*32 + 64 + 16*32
#     D 16*32 + 16*32*64 + 128 + 7*7*64*256 + 512 + 256
# dcgan 28, paper: G 7*7*100*128 + 256 + 16*128*64 + 128 + 16*64
#     D 16*64 + 16*64*128 + 256 + 7*7*128
# 64 RGB: the numbers of the PyTorch DCGAN example's summary, 3,576,704 and 2,765,568.
# cgan adds to these, with K = 10 classes and E = 50:
#   onehot: G 10*256; D (10 + 1)*28*28 + 16*32
#   embedding: G 10*50 + 50*256; D 10*50 + (50 + 1)*28*28 + 16*32
#   projection: G 9 more scales and offsets of 256 + 64 + 32 channels; D 10*256, no
#     BatchNorm but biases of 32 + 64 + 256 + 1
#   acgan: G 10*256; D 256*10
# keras: G 101*6272 + 256 + (25*128 + 1)*128 + 256 + (25*128 + 1)*64 + 128
#          + (25*64 + 1)*32 + 64 + 25*32 + 1
#     D 26*32 + (25*32 + 1)*64 + (25*64 + 1)*128 + (25*128 + 1)*256 + 4*4*256 + 1
# gan: G 101*256 + 257*512 + 513*1024 + 1025*784; D 785*1024 + 1025*512 + 513*256 + 257
#   paper: G 101*1200 + 1201*1200 + 1201*784; D 785*1200 + 241*1200 + 241
# stacked_mnist, by the layers of the authors' code:
#   G 101*2*2*512 + 1024 + 25*512*256 + 256 + 512 + 25*256*128 + 128 + 256
#     + 25*128*64 + 64 + 128 + 25*64*3 + 3
#   D 25*3*64 + 64 + 25*64*128 + 128 + 256 + 25*128*256 + 256 + 512 + 25*256*512 + 512
#     + 1024 + 2*2*512 + 1
#   quarter and half, by the same code, with f = 2 and 4 features in D:
#   G 257*4*4*64 + 128 + 9*64*32 + 32 + 64 + 9*32*16 + 16 + 32 + 9*16*8 + 8 + 16
#     + 9*8*3 + 3
#   D 9*3*f + 3f + 9*2ff + 6f + 9*8ff + 12f + 4*4*4f + 1
# cgan paper: G 101*200 + 11*1000 + 1201*1200 + 1201*784
#     D 785*240*5 + 11*50*5 + 291*240*4 + 241
# infogan, the layers of compare_gan's architectures/infogan.py, with 64 latents, biases
# everywhere, and p pixels in the smallest map: 49, 64 and 256; C channels: 1, 3 and 3
#     G 65*1024 + 2048 + 1025*128*p + 256*p + 16*128*64 + 64 + 128 + 16*64*C + C
#     D 16*C*64 + 64 + 16*64*128 + 128 + 256 + (128*p + 1)*1024 + 2048 + 1025
# sngan, the layers of Mimicry's nets/sngan/sngan_32.py and sngan_64.py, with 128
# latents. A block from n to m channels has two 3x3 convolutions, a 1x1 one, and in G
# two BatchNorms: G 2n + 9nm + m + 2m + 9mm + m + nm + m, D 9nn + n + 9nm + m + nm + m,
# the last two terms only where size or width change; D's first block 9*3m + m + 9mm
# + m + 3m + m.
#   32: G 129*16*256 + 3 * 1,246,976 + 2*256 + 9*256*3 + 3, where 1,246,976 is a block
#       from 256 to 256; D 151,680 + 311,680 + 2 * 295,168 + 129
#   projection, cgan_pd_32.py: G has 9 more scales and offsets in 6 BatchNorms of 256;
#       D 10*128
#   64: G 129*16*1024 + 7,606,784 + 1,902,848 + 476,288 + 119,360 + 2*64 + 9*64*3 + 3
#       D 38,976 + 119,104 + 475,776 + 1,901,824 + 7,604,736 + 1025
PARAMETERS = [
    (dcgan_config, None, 1_691_328, 1_640_576),
    (dcgan_config, "paper", 759_680, 138_624),
    (dcgan_config, "celeba", 3_576_704, 2_765_568),
    (cgan, "onehot", 862_400 + 2_560, 836_992 + 8_624 + 512),
    (cgan, "embedding", 862_400 + 500 + 12_800, 836_992 + 500 + 39_984 + 512),
    (cgan, "projection", 862_400 + 6_336, 836_992 + 2_560 - 640 + 353),
    (cgan, "acgan", 862_400 + 2_560, 836_992 + 2_560),
    (keras_config, None, 1_300_801, 1_080_577),
    (gan, None, 1_486_352, 1_460_225),
    (gan, "paper", 2_503_984, 1_231_441),
    (stacked_config, "authors", 4_514_819, 4_310_401),
    (stacked_config, "quarter", 287_875, 585),
    (stacked_config, "half", 287_875, 1_889),
    (cgan, "paper", 2_413_984, 1_224_351),
    (infogan_config, "mnist", 6_642_241, 6_559_169),
    (infogan_config, "cifar10", 8_616_131, 8_527_297),
    (infogan_config, "celeba", 33_855_683, 33_693_121),
    (sngan, "cifar10", 4_276_739, 1_053_825),
    (sngan, "projection", 4_276_739 + 27_648, 1_053_825 + 1_280),
    (sngan, "wgan_gp", 4_276_739, 1_053_825),
    (sngan, "dcgan", 4_276_739, 1_053_825),
    (sngan, "celeba64", 12_220_675, 10_141_441),
]


@pytest.mark.parametrize("file, preset, g_count, d_count", PARAMETERS)
def test_parameter_counts_at_the_published_sizes(file, preset, g_count, d_count):
    config = file.get_config(preset) if preset else file.get_config()
    size, channels = config.data.image_size, config.data.channels
    generator, discriminator = models.build(config, axis_name=None)
    g = shapes(generator, jnp.zeros((1, config.model.latent_size)))
    images = jnp.zeros((1, size, size, channels))
    d = shapes(discriminator, images)
    assert (count(g["params"]), count(d["params"])) == (g_count, d_count)


def test_every_model_is_in_the_table_above():
    configs = [
        file.get_config(preset) if preset else file.get_config()
        for file, preset, *_ in PARAMETERS
    ]
    names = {config.model.name for config in configs}
    assert names == set(models.MODELS)


# 32: G 16*100*256 + 512 + 16*256*128 + 256 + 16*128*64 + 128 + 16*64
#     D 16*64 + 16*64*128 + 256 + 16*128*256 + 512 + 16*256
def test_dcgan_parameter_counts_at_32_pixels():
    g = shapes(dcgan.Generator(32), jnp.zeros((1, LATENTS)))
    d = shapes(dcgan.Discriminator(32), jnp.zeros((1, 32, 32, 1)))
    assert (count(g["params"]), count(d["params"])) == (1_066_880, 661_248)


# Of the counts at 28 pixels above: norm_ends adds a scale and an offset for the image's
# channel and for each of the first map; a dense layer of 32 and its norm put 32 inputs
# in place of 100 latents and of the last map; kernels of stride 1 are as large.
OPTIONS = [
    ({"norm_ends": True}, {"norm_ends": True}, 759_680 + 2, 138_624 + 2 * 64),
    (
        {"hidden_dense": 32},
        {"hidden_dense": 32},
        759_680 - 7 * 7 * 68 * 128 + 100 * 32 + 64,
        138_624 + 7 * 7 * 128 * 31 + 64 + 32,
    ),
    (
        {"upsampling": "nearest", "activation": "leaky_relu"},
        {"downsampling": "max_pool"},
        759_680,
        138_624,
    ),
    (
        {"norm": "none"},  # biases for scales and offsets, and one of the image
        {"downsampling": "average_pool"},
        759_680 - 128 - 64 + 1,
        138_624,
    ),
]


@pytest.mark.parametrize("g_options, d_options, g_count, d_count", OPTIONS)
def test_parameter_counts_of_dcgan_options(g_options, d_options, g_count, d_count):
    g = shapes(dcgan.Generator(**g_options), jnp.zeros((1, LATENTS)))
    d = shapes(dcgan.Discriminator(**d_options), jnp.zeros((1, 28, 28, 1)))
    assert (count(g["params"]), count(d["params"])) == (g_count, d_count)


CASES = [(dcgan, 28, 1), (dcgan, 32, 1), (dcgan, 64, 3), (dcgan, 48, 3)]
CASES += [(pacgan, 28, 3), (pacgan, 25, 1), (unrolled, 28, 3), (unrolled, 25, 1)]
CASES += [(keras_dcgan, 28, 1), (keras_dcgan, 20, 3), (mlp, 28, 1), (mlp, 9, 3)]
CASES += [(infogan, 28, 1), (infogan, 20, 3), (resnet, 32, 3), (resnet, 28, 1)]
CONDITIONS = [(family, "none", "none") for family in FAMILIES]
CONDITIONS += [(f, "embedding", "embedding") for f in (dcgan, keras_dcgan, mlp)]
CONDITIONS += [(resnet, "batch_norm", "projection")]


@pytest.mark.parametrize("family, size, channels", CASES)
def test_shapes_dtypes_and_ranges(family, size, channels):
    generator, discriminator = pair(family, size)
    generator = generator.clone(channels=channels)
    latents = 10 * jax.random.normal(jax.random.key(1), (3, LATENTS))
    images = apply(generator, fill(generator, latents), latents)
    assert images.shape == (3, size, size, channels) and images.dtype == jnp.float32
    least = -3 if family is pacgan else -1  # 2 tanh - 1
    assert least <= images.min() and images.max() <= 1 and np.std(images) > 0
    logits = apply(discriminator, fill(discriminator, images), images)
    assert logits.shape == (3,) and logits.dtype == jnp.float32


@pytest.mark.parametrize("family, g_condition, d_condition", CONDITIONS)
def test_bfloat16_computes_with_float32_parameters_and_logits(
    family, g_condition, d_condition
):
    generator, discriminator = pair(family, dtype=jnp.bfloat16)
    generator = generator.clone(condition=g_condition)
    discriminator = discriminator.clone(condition=d_condition)
    labels = jnp.array([0, 1, 2])
    latents = jax.random.normal(jax.random.key(1), (3, LATENTS))
    g_variables = fill(generator, latents)
    images = apply(generator, g_variables, latents, labels)
    d_variables = fill(discriminator, images)
    logits = apply(discriminator, d_variables, images, labels)
    assert images.dtype == jnp.bfloat16 and logits.dtype == jnp.float32
    leaves = jax.tree.leaves((g_variables, d_variables))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


@pytest.mark.parametrize("family", FAMILIES)
def test_discriminators_take_the_channels_of_packed_images(family):
    _, discriminator = pair(family)
    images = jnp.ones((2, SIZE, SIZE, 3 * 2))
    assert apply(discriminator, fill(discriminator, images), images).shape == (2,)


def test_initial_values_have_the_papers_moments():
    variables = init(dcgan.Generator(), jnp.zeros((1, LATENTS)))
    kernel = variables["params"]["project"]["kernel"]  # 627,200 draws
    scales = np.concatenate(
        [variables["params"][f"{name}_norm"]["scale"] for name in ("project", "up1")]
    )  # 192 draws: mean to 4 * 0.02 / sqrt(192) = 0.006
    np.testing.assert_allclose(np.mean(kernel), 0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.std(kernel), 0.02, rtol=0.01, atol=0)
    np.testing.assert_allclose(np.mean(scales), 1, rtol=0, atol=0.006)
    np.testing.assert_allclose(np.std(scales), 0.02, rtol=0.3, atol=0)


# One training pass from mean 0: what is left is 1 - kept of the batch's mean m, so two
# equal passes leave (1 - kept) m and then (1 - kept^2) m, 1 + kept times as much.
@pytest.mark.parametrize(
    "family, norm, kept", [(dcgan, "project_norm", 0.9), (keras_dcgan, "norm1", 0.99)]
)
def test_batch_norm_keeps_its_share_of_the_running_mean(family, norm, kept):
    generator, _ = pair(family)
    latents = jax.random.normal(jax.random.key(1), (16, LATENTS))
    variables = fill(generator, latents)
    train = functools.partial(generator.apply, train=True, mutable=["batch_stats"])
    train = jax.jit(train)
    means = []
    for _ in range(2):
        _, update = train(variables, latents)
        variables = {**variables, **update}
        means.append(np.asarray(update["batch_stats"][norm]["mean"]))
    np.testing.assert_allclose(means[1], (1 + kept) * means[0], rtol=1e-3, atol=1e-6)


def test_no_batch_norm_at_generators_end_and_discriminators_start():
    g = shapes(dcgan.Generator(), jnp.zeros((1, LATENTS)))["params"]
    d = shapes(dcgan.Discriminator(), jnp.zeros((1, 28, 28, 1)))["params"]
    assert set(g) == {"project", "project_norm", "up1", "up1_norm", "to_image"}
    assert set(d) == {"from_image", "down1", "down1_norm", "to_logit"}


@pytest.mark.parametrize("size", [4, 7, 30, 36, 100])
def test_sizes_that_do_not_double_are_refused(size):
    with pytest.raises(ValueError, match=f"images of {size} pixels.*image_size"):
        dcgan.check_image_size(size)


@pytest.mark.parametrize("family", [infogan, keras_dcgan])
@pytest.mark.parametrize("size", [0, 2, 30])
def test_networks_of_two_doublings_refuse_sizes_not_divided_by_four(family, size):
    with pytest.raises(ValueError, match=f"images of {size} pixels.*multiple of 4"):
        family.check_image_size(size)


@pytest.mark.parametrize(
    "network, options, message",
    [
        (
            resnet.Generator,
            {"image_size": 28},
            "generator doubles a map 3 times.* of 28 pixels: .*multiple of 2.3 = 8",
        ),
        (resnet.Generator, {"features": (4,)}, "0 times with 0 blocks.*features"),
        (resnet.Discriminator, {"image_size": 30}, "halves a map 2 times.*30 pixels"),
        (resnet.Discriminator, {"halvings": 5}, "5 times with 4 blocks.*halvings"),
    ],
)
def test_residual_networks_refuse_sizes_that_their_blocks_do_not_give(
    network, options, message
):
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_a_scaled_sigmoid_is_the_tanh_of_half():
    x = jnp.linspace(-20, 20, 101)
    expected = np.tanh(np.asarray(x, np.float64) / 2)
    np.testing.assert_allclose(activations.scaled_sigmoid(x), expected, atol=2e-7)


@pytest.mark.parametrize("family", [keras_dcgan, pacgan])
def test_discriminators_of_data_from_zero_to_one_see_black_as_zero(family):
    # Black is -1 for us and 0 for the code: zeros pass kernels, biases start at 0.
    _, discriminator = pair(family)
    black = jnp.full((1, SIZE, SIZE, 1), -1.0)
    logits = apply(discriminator, fill(discriminator, black), black)
    np.testing.assert_array_equal(logits, [0])


def test_pacgans_maps_are_halved_by_rounding_up():
    assert pacgan.sides(28) == [28, 14, 7, 4, 2]
    assert pacgan.sides(1) == [1, 1, 1, 1, 1]
    assert pacgan.sides(28, unrolled.LEVELS) == [28, 14, 7, 4]


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("window", [3, 5])
def test_pacgans_odd_maps_are_the_gradient_of_the_convolution_that_halves(side, window):
    # tf.nn.conv2d_transpose is defined as that gradient, with the padding SAME.
    rng = np.random.default_rng(0)
    maps = jnp.asarray(rng.normal(size=(2, 4, 4, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(window, window, 3, 2)), jnp.float32)
    doubled = convolution.transpose_convolve(maps, kernel, strides=(2, 2))
    assert doubled.shape == (2, 8, 8, 2)

    def halve(images):
        flipped = kernel[::-1, ::-1].swapaxes(2, 3)
        return convolution.convolve(
            images, flipped, strides=(2, 2), implementation="lax"
        )

    _, pull_back = jax.vjp(halve, jnp.zeros((2, side, side, 2)))
    (expected,) = pull_back(maps)
    np.testing.assert_allclose(
        doubled[:, -side:, -side:], expected, rtol=1e-4, atol=1e-4
    )


def test_pacgans_initial_values_are_those_of_its_code():
    generator, discriminator = pair(pacgan, features=16)
    g = init(generator, jnp.zeros((1, LATENTS)))["params"]
    d = init(discriminator, jnp.zeros((1, SIZE, SIZE, 3)))["params"]
    np.testing.assert_array_equal(g["norm0"]["scale"], np.ones(128))
    np.testing.assert_allclose(np.std(g["up0"]["kernel"]), 0.02, rtol=0.02, atol=0)
    kernel = d["down3"]["kernel"]
    assert np.abs(kernel).max() <= 0.04
    # A standard normal without what lies beyond 2 has a deviation of 0.8796.
    np.testing.assert_allclose(np.std(kernel), 0.02 * 0.8796, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("name", "dcgn", "model.name is 'dcgn', .*one of dcgan, .*mean 'dcgan'"),
        ("dtype", "float16", "dtype is 'float16', .*one of float32, bfloat16"),
        ("generator.norm", "layer", "generator.norm is 'layer', .*one of batch, none"),
        ("discriminator.condition", "onehott", "'onehott', .*one of none, onehot,"),
        ("convolution", "fft", "model.convolution is 'fft', .*one of auto, adjoint, "),
        (
            "name",
            "mlp",
            "has the field 'hidden_dense', but the model's generator takes activation",
        ),
        ("generator.condition", "onehot", "discriminator is 'none'.*Give both"),
        ("discriminator.condition", "projection", "of the generator is 'none'"),
    ],
)
def test_build_refuses_what_it_does_not_know(tiny_config, field, value, message):
    *sections, name = field.split(".")
    section = tiny_config.model
    for part in sections:
        section = section[part]
    section[name] = value
    with pytest.raises(ValueError, match=message):
        models.build(tiny_config, axis_name=None)


@pytest.mark.parametrize(
    "section, options, message",
    [
        (
            "generator",
            {"norm_ends": True, "norm": "none"},
            "norm is 'none'.*norm=batch",
        ),
        (
            "discriminator",
            {"norm_ends": True, "norm": "spectral"},
            "norm is 'spectral'.*norm_ends=False",
        ),
        ("generator", {"hidden_dense": -1}, "dense is -1, .* 0 for no such layer: set"),
        ("discriminator", {"downsampling": "pool"}, "'pool', .*one of strided, max_"),
        ("generator", {"upsampling": "bilinear"}, "one of transposed, nearest"),
    ],
)
def test_build_refuses_layers_without_effect(tiny_config, section, options, message):
    tiny_config.model[section].update(options)
    with pytest.raises(ValueError, match=message):
        models.build(tiny_config, axis_name=None)


def test_build_refuses_conditions_without_classes(tiny_config):
    tiny_config.model.generator.condition = "onehot"
    tiny_config.model.discriminator.condition = "projection"
    tiny_config.data.num_classes = 1
    with pytest.raises(ValueError, match=r"num_classes is 1, and it takes 2 or more"):
        models.build(tiny_config, axis_name=None)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_build_refuses_a_layer_for_labels_without_labels(shared_folder, network):
    config = support.make_dense_config(shared_folder)
    config.model[network].label_branch = 3
    message = f"{network}.label_branch is 3.*condition is 'none'.*label_branch=0"
    with pytest.raises(ValueError, match=message):
        models.build(config, axis_name=None)


def test_build_refuses_conditional_batch_norm_without_batch_norm(tiny_config):
    tiny_config.model.generator.condition = "batch_norm"
    tiny_config.model.generator.norm = "none"
    tiny_config.model.discriminator.condition = "projection"
    with pytest.raises(ValueError, match="no BatchNorm to condition"):
        models.build(tiny_config, axis_name=None)


@pytest.mark.parametrize("config", [gan.get_config("paper"), keras_config.get_config()])
def test_a_config_read_from_json_builds_the_same_hashable_modules(config):
    read = ConfigDict(json.loads(json.dumps(config.to_dict())))
    built = models.build(config, axis_name="batch")
    again = models.build(read, axis_name="batch")
    assert built == again and hash(built) == hash(again)
