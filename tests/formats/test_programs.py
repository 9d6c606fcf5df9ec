"""Programs with a generator inside draw its images, for any number of latents."""

import jax
from jax import export
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import models
from gan_jax.formats import programs
from gan_jax.run import trained
from gan_jax.step import sampling
from tests import support
from tests.models.support import fill

pytestmark = pytest.mark.slow

CASES = [
    *(("dcgan", None), ("cgan", "embedding"), ("cgan", "projection")),
    *(("dcgan_keras", None), ("gan", "paper"), ("ring", None)),
    *(("cgan", "paper"), ("infogan", None), ("sngan", "mnist")),
]
NUM = 3


def make_run(name, preset, **model):
    """An untrained run, whose weights are large enough to draw something."""
    config = support.get_config(name, preset)
    config.model.update(model)
    generator, discriminator = models.build(config, axis_name=None)
    latents = jnp.zeros((2, config.model.latent_size))
    variables = {"batch_stats": {}, **fill(generator, latents)}
    return trained.Run(config, 0, generator, discriminator, variables, {}, {})


def draw(run):
    """The inputs of a program, and the images that the run draws from them."""
    latents, labels = run.draw_latents(NUM), np.arange(NUM, dtype=np.int32)
    arrays = run.variables, jnp.asarray(latents), jnp.asarray(labels)
    images = jax.jit(lambda *a: sampling.generate_images(run.generator, *a))(*arrays)
    assert np.std(images) > 0.01
    return (latents, labels)[: 2 if run.is_conditional else 1], np.asarray(images)


@pytest.mark.parametrize("name, preset", CASES)
def test_a_stablehlo_program_draws_the_images_of_the_run(name, preset):
    run = make_run(name, preset)
    inputs, images = draw(run)
    program = export.deserialize(bytearray(programs.to_stablehlo(run)))
    assert program.platforms == ("cpu", "cuda", "tpu")
    drawn = np.asarray(program.call(*inputs))
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, images, rtol=0, atol=1e-5)
    first = program.call(*(array[:1] for array in inputs))
    np.testing.assert_allclose(first, images[:1], rtol=0, atol=1e-5)


def test_each_platform_has_its_convolutions_and_all_share_the_weights():
    run = make_run("dcgan", None)
    content = programs.to_stablehlo(run)
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(run.variables))
    assert weights < len(content) < 1.2 * weights
    program = export.deserialize(bytearray(content))
    assert "stablehlo.convolution" in program.mlir_module()
    latents = jax.ShapeDtypeStruct((NUM, 100), jnp.float32)
    here = jax.jit(program.call).lower(latents).compile().as_text()
    assert " convolution(" not in here  # a CPU has matrix products instead


def test_an_implementation_that_the_config_names_is_exported():
    program = export.deserialize(
        bytearray(programs.to_stablehlo(make_run("dcgan", None, convolution="lax")))
    )
    latents = jax.ShapeDtypeStruct((NUM, 100), jnp.float32)
    text = jax.jit(program.call).lower(latents).compile().as_text()
    assert " convolution(" in text


@pytest.mark.parametrize("name, preset", CASES)
def test_an_onnx_model_draws_the_images_of_the_run(name, preset):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    run = make_run(name, preset)
    inputs, images = draw(run)
    session = onnxruntime.InferenceSession(programs.to_onnx(run))
    names = [one.name for one in session.get_inputs()]
    assert names == ["latents", "labels"][: len(inputs)]
    (drawn,) = session.run(["images"], dict(zip(names, inputs, strict=True)))
    np.testing.assert_allclose(drawn, images, rtol=0, atol=1e-4)
    (first,) = session.run(None, {n: x[:1] for n, x in zip(names, inputs, strict=True)})
    np.testing.assert_allclose(first, images[:1], rtol=0, atol=1e-4)
