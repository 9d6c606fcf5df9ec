"""The model card of a generator says in which range its images lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import models
from gan_jax.formats import card
from gan_jax.run import trained
from tests import support

pytestmark = pytest.mark.slow


def make_run(name, preset, scale=1.0, **generator):
    """An untrained run, whose parameters are multiplied by `scale`."""
    config = support.get_config(name, preset)
    config.model.generator.update(generator)
    network, discriminator = models.build(config, axis_name=None)
    latents = jnp.zeros((2, config.model.latent_size))
    variables = network.init(jax.random.key(0), latents, train=False)
    params = jax.tree.map(lambda x: scale * x, variables["params"])
    whole = {"batch_stats": {}, **variables, "params": params}
    return trained.Run(config, 0, network, discriminator, whole, {}, {})


def described(run, folder):
    found = card.create(run, b"", workdir=folder, name="npz")
    return found["images"]


@pytest.mark.parametrize(
    "name, preset, generator, expected",
    [
        ("dcgan", None, {}, [-1, 1]),
        ("gan", None, {"output": "sigmoid"}, [-1, 1]),
        ("gan", None, {"output": "linear"}, None),
        ("ring", None, {}, None),
        ("ring", None, {"output": "tanh"}, [-1, 1]),
        ("stacked_mnist", "authors", {"features": 8}, [-3, 1]),
    ],
)
def test_the_range_is_that_of_the_images_of_large_weights(
    name, preset, generator, expected, tmp_path
):
    run = make_run(name, preset, scale=100.0, **generator)
    found = described(run, tmp_path)["range"]
    assert found == expected
    images = np.asarray(
        run.generator.apply(run.variables, run.draw_latents(8), train=False)
    )
    low, high = images.min(), images.max()
    if expected is None:
        assert low < -3 and high > 3
    else:
        np.testing.assert_allclose([low, high], expected, rtol=0, atol=1e-3)


def test_the_range_of_own_networks_is_not_known(tmp_path):
    run = make_run("dcgan", None)
    run.config.model.name = "mine:NETWORKS"
    assert described(run, tmp_path)["range"] is None


def test_bytes_are_those_of_images_and_points_have_none(tmp_path):
    assert "clip(" in described(make_run("dcgan", None), tmp_path)["to_bytes"]
    assert described(make_run("ring", None), tmp_path)["to_bytes"] is None
