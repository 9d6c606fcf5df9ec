"""Networks: parameter counts, shapes, ranges, statistics of the initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import models
from gan_jax.models import dcgan

LATENTS = 100


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def init(module, inputs):
    create = jax.jit(lambda key, inputs: module.init(key, inputs, train=True))
    return create(jax.random.key(0), inputs)


def apply(module, variables, inputs):
    return jax.jit(lambda *args: module.apply(*args, train=False))(variables, inputs)


# By hand: kernels kh * kw * in * out, BatchNorm 2 * width.
# 28: G 7*7*100*128 + 256 + 16*128*64 + 128 + 16*64
#     D 16*64 + 16*64*128 + 256 + 7*7*128
# 32: G 16*100*256 + 512 + 16*256*128 + 256 + 16*128*64 + 128 + 16*64
#     D 16*64 + 16*64*128 + 256 + 16*128*256 + 512 + 16*256
# 64 RGB: the numbers of the PyTorch DCGAN example's summary, 3,576,704 and 2,765,568.
PARAMETERS = {
    (28, 1): (759_680, 138_624),
    (32, 1): (1_066_880, 661_248),
    (64, 3): (3_576_704, 2_765_568),
}


@pytest.mark.parametrize("size, channels", PARAMETERS)
def test_dcgan_parameter_counts(size, channels):
    generator = dcgan.Generator(image_size=size, channels=channels)
    discriminator = dcgan.Discriminator(image_size=size)
    g = jax.eval_shape(lambda: init(generator, jnp.zeros((1, LATENTS))))
    d = jax.eval_shape(
        lambda: init(discriminator, jnp.zeros((1, size, size, channels)))
    )
    assert (count(g["params"]), count(d["params"])) == PARAMETERS[size, channels]


def test_every_model_is_in_the_tables_above():
    assert set(models.MODELS) == {"dcgan"}


@pytest.mark.parametrize("size, channels", [(28, 1), (32, 1), (64, 3), (48, 3)])
def test_dcgan_shapes_dtypes_and_ranges(size, channels):
    generator = dcgan.Generator(image_size=size, channels=channels, features=4)
    discriminator = dcgan.Discriminator(image_size=size, features=4)
    latents = 10 * jax.random.normal(jax.random.key(1), (3, LATENTS))
    g_variables = init(generator, latents)
    images = apply(generator, g_variables, latents)
    assert images.shape == (3, size, size, channels) and images.dtype == jnp.float32
    assert np.abs(images).max() <= 1 and np.std(images) > 0
    d_variables = init(discriminator, images)
    logits = apply(discriminator, d_variables, images)
    assert logits.shape == (3,) and logits.dtype == jnp.float32


def test_bfloat16_computes_with_float32_parameters_and_logits():
    generator = dcgan.Generator(features=4, dtype=jnp.bfloat16)
    discriminator = dcgan.Discriminator(features=4, dtype=jnp.bfloat16)
    latents = jax.random.normal(jax.random.key(1), (3, LATENTS))
    g_variables = init(generator, latents)
    images = apply(generator, g_variables, latents)
    d_variables = init(discriminator, images)
    logits = apply(discriminator, d_variables, images)
    assert images.dtype == jnp.bfloat16 and logits.dtype == jnp.float32
    leaves = jax.tree.leaves((g_variables, d_variables))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


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


def test_batch_norm_keeps_nine_tenths_of_its_running_mean():
    # One training pass from mean 0: what is left is a tenth of the batch's mean, so
    # two equal passes leave 0.1 m and then 0.19 m.
    generator = dcgan.Generator(features=4)
    latents = jax.random.normal(jax.random.key(1), (16, LATENTS))
    variables = init(generator, latents)
    means = []
    for _ in range(2):
        _, update = generator.apply(
            variables, latents, train=True, mutable=["batch_stats"]
        )
        variables = {**variables, **update}
        means.append(np.asarray(update["batch_stats"]["project_norm"]["mean"]))
    np.testing.assert_allclose(means[1], 1.9 * means[0], rtol=1e-4, atol=1e-7)


def test_no_batch_norm_at_generators_end_and_discriminators_start():
    g = init(dcgan.Generator(), jnp.zeros((1, LATENTS)))["params"]
    d = init(dcgan.Discriminator(), jnp.zeros((1, 28, 28, 1)))["params"]
    assert set(g) == {"project", "project_norm", "up1", "up1_norm", "to_image"}
    assert set(d) == {"from_image", "down1", "down1_norm", "to_logit"}


@pytest.mark.parametrize("size", [4, 7, 30, 36, 100])
def test_sizes_that_do_not_double_are_refused(size):
    with pytest.raises(ValueError, match=f"images of {size} pixels.*image_size"):
        dcgan.pyramid(size)


def test_build_refuses_unknown_names(tiny_config):
    with tiny_config.unlocked():
        tiny_config.model.name = "dcgn"
    with pytest.raises(ValueError, match="unknown model 'dcgn'; known are dcgan"):
        models.build(tiny_config, axis_name=None)
    tiny_config.model.name = "dcgan"
    tiny_config.model.dtype = "float16"
    with pytest.raises(ValueError, match="unknown dtype 'float16'; allowed are"):
        models.build(tiny_config, axis_name=None)
