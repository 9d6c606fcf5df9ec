"""Principal directions of the latents, against closed forms."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from configs import gan
from gan_jax.run import directions, trained

SCALES = (1.0, 4.0, 2.0, 0.5)


class Scaled(nn.Module):
    """Pixel i of an image (2, 2, 1) is coordinate i times SCALES[i], to a power."""

    power: int = 1

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        del labels, train
        scaled = jnp.asarray(SCALES)[None] * latents**self.power
        return scaled.reshape(-1, 2, 2, 1)


@pytest.fixture
def run():
    config = gan.get_config()
    config.model.latent_size = 4
    variables = {"params": {}, "batch_stats": {}}
    return trained.Run(config, 0, Scaled(), None, variables, {}, {})


def test_directions_of_a_linear_generator_are_ordered_by_its_singular_values(run):
    found = directions.principal(run, 4)
    expected = np.eye(4)[np.argsort(SCALES)[::-1]]
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_the_change_is_averaged_over_latents(run):
    # The derivative of z^2 is 2 z, so the weights are the means of (2 scale z)^2.
    run = run._replace(generator=Scaled(power=2))
    latents = run.draw_latents(directions.POINTS)
    weights = np.mean((2 * np.asarray(SCALES) * latents) ** 2, axis=0)
    found = directions.principal(run, 2)
    np.testing.assert_allclose(
        found, np.eye(4)[np.argsort(weights)[::-1][:2]], atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("num", [0, 5])
def test_more_directions_than_coordinates_are_refused(num, run):
    with pytest.raises(ValueError, match="of 4 coordinates have 1 to 4: ask for fewer"):
        directions.principal(run, num)
