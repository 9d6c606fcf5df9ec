"""BatchNorm statistics recomputed at fixed parameters, against NumPy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import dcgan, infogan, keras_dcgan, mlp, resnet
from gan_jax.step import sampling

pytestmark = pytest.mark.slow

LATENTS, BATCH, BATCHES = 5, 6, 7
DRAWS = {"latent_size": LATENTS, "distribution": "normal", "num_classes": 3}
GENERATORS = {
    "dcgan": dcgan.Generator(image_size=8, features=4, condition="batch_norm"),
    "keras_dcgan": keras_dcgan.Generator(image_size=8, features=(4, 4)),
    "mlp": mlp.Generator(image_size=4, features=(6, 6), norm="batch"),
    "infogan": infogan.Generator(image_size=8, features=2, hidden_dense=3),
    "resnet": resnet.Generator(
        image_size=4, features=(4, 3), condition="batch_norm", convolution="lax"
    ),
}


class OneLayer(nn.Module):
    """A dense layer and a BatchNorm, whose input NumPy can compute."""

    norm_momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        x = nn.Dense(4, name="dense")(latents) + 3.0
        return nn.BatchNorm(
            use_running_average=not train, momentum=self.norm_momentum, name="norm"
        )(x)


def recompute(generator, variables, batches=BATCHES):
    total = sampling.add_batch_stats(
        jax.tree.map(jnp.zeros_like, variables["batch_stats"]),
        jnp.arange(batches),
        generator=generator,
        variables=variables,
        key=jax.random.key(1),
        batch_size=BATCH,
        **DRAWS,
    )
    return jax.tree.map(lambda leaf: leaf / batches, total)


def make_variables(generator):
    latents, labels = jnp.zeros((2, LATENTS)), jnp.zeros(2, jnp.int32)
    return generator.init(jax.random.key(0), latents, labels, train=True)


def test_recomputed_statistics_are_the_means_over_batches():
    generator = OneLayer()
    variables = make_variables(generator)
    latent_key, _ = jax.random.split(jax.random.key(1))
    latents = sampling.draw_latents(
        latent_key, jnp.arange(BATCH * BATCHES), latent_size=LATENTS
    )
    dense = variables["params"]["dense"]
    x = (
        np.float64(latents) @ np.float64(dense["kernel"])
        + np.float64(dense["bias"])
        + 3
    )
    x = x.reshape(BATCHES, BATCH, 4)
    found = recompute(generator, variables)["norm"]
    np.testing.assert_allclose(found["mean"], x.mean((0, 1)), rtol=1e-5, atol=1e-6)
    expected = x.var(axis=1).mean(axis=0)
    np.testing.assert_allclose(found["var"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_statistics_before_do_not_matter(name):
    generator = GENERATORS[name]
    variables = make_variables(generator)
    shifted = jax.tree.map(lambda leaf: leaf + 5, variables["batch_stats"])
    one = recompute(generator, variables)
    other = recompute(generator, {**variables, "batch_stats": shifted})
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_training_pass_moves_the_running_statistics_towards_them(name):
    """The share 1 - norm_momentum of the way: so the batch's own are where it ends."""
    generator = GENERATORS[name]
    variables = make_variables(generator)
    latent_key, label_key = jax.random.split(jax.random.key(1))
    indices = jnp.arange(BATCH)
    _, updates = generator.apply(
        variables,
        sampling.draw_latents(latent_key, indices, latent_size=LATENTS),
        sampling.draw_labels(label_key, indices, num_classes=3),
        train=True,
        mutable=["batch_stats"],
    )
    kept = generator.norm_momentum

    def check(found, before, after):
        expected = kept * before + (1 - kept) * found
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)

    found = recompute(generator, variables, batches=1)
    jax.tree.map(check, found, variables["batch_stats"], updates["batch_stats"])
