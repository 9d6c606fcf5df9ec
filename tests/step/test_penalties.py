"""Penalties: closed forms, float64 references, draws, one batch on any replicas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.step import penalties

pytestmark = pytest.mark.slow

B, SHAPE, SIZE, HIDDEN = 6, (2, 3, 1), 6, 5
KEY = jax.random.key(0)
SLOTS = jnp.arange(B) + 3
ALL = sorted(penalties.PENALTIES.keys() - {"r1_r2"})  # r1_r2 has two sets of points
DRAWN = ("dragan", "wgan_gp")


def batch():
    rng = np.random.default_rng(0)
    return tuple(rng.uniform(-1, 1, (2, B, *SHAPE)).astype(np.float32))


def mlp_params():
    rng = np.random.default_rng(1)
    shapes = {"kernel": (SIZE, HIDDEN), "bias": (HIDDEN,), "out": (HIDDEN,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def mlp(params, images):
    """Logits of a net with one tanh layer, in numpy or jax as the images are."""
    tanh = np.tanh if isinstance(images, np.ndarray) else jnp.tanh
    hidden = images.reshape(-1, SIZE) @ params["kernel"]
    return tanh(hidden + params["bias"].reshape(1, -1)) @ params["out"]


def penalty_of(name, params, real, fake, **kwargs):
    params = jax.tree.map(jnp.float32, params)
    kwargs = {"key": KEY, "slots": SLOTS} | kwargs
    return penalties.PENALTIES[name](lambda x: mlp(params, x), real, fake, **kwargs)


def points_of(name, real, fake, key=KEY, slots=SLOTS):
    """Where a penalty takes its gradients."""
    seen = []

    def discriminate(images):
        jax.debug.callback(lambda x: seen.append(np.array(x)), images)
        return images.sum((1, 2, 3))

    penalties.PENALTIES[name](discriminate, real, fake, key=key, slots=slots)
    jax.effects_barrier()
    (points,) = seen
    return points


def reference(name, params, points):
    """The penalty in float64 from the gradient written out by hand."""
    points = np.float64(points)
    hidden = np.tanh(points.reshape(-1, SIZE) @ params["kernel"] + params["bias"])
    gradients = ((1 - hidden**2) * params["out"]) @ params["kernel"].T
    return penalty_of_gradients(name, gradients)


def penalty_of_gradients(name, gradients):
    norms = np.linalg.norm(gradients, axis=1)
    return np.mean((norms - 1) ** 2 if name in DRAWN else norms**2 / 2)


@pytest.mark.parametrize("name", ALL)
def test_value_equals_finite_differences_of_the_discriminator(name):
    real, fake = batch()
    params = mlp_params()
    points = np.float64(points_of(name, real, fake))
    gradients = np.zeros((B, SIZE))
    for i, bump in enumerate(np.eye(SIZE).reshape(SIZE, *SHAPE) * 1e-5):
        gradients[:, i] = (
            mlp(params, points + bump) - mlp(params, points - bump)
        ) / 2e-5
    value = penalty_of_gradients(name, gradients)
    np.testing.assert_allclose(reference(name, params, points), value, rtol=1e-8)
    np.testing.assert_allclose(
        penalty_of(name, params, real, fake), value, rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("name", ALL)
def test_gradient_in_the_parameters_equals_finite_differences(name):
    real, fake = batch()
    params = mlp_params()
    points = points_of(name, real, fake)
    gradients = jax.jit(jax.grad(lambda p: penalty_of(name, p, real, fake)))(
        jax.tree.map(jnp.float32, params)
    )
    for leaf, values in params.items():
        expected = np.zeros(values.shape)
        for index in np.ndindex(values.shape):
            bump = np.zeros(values.shape)
            bump[index] = 1e-5
            above = reference(name, params | {leaf: values + bump}, points)
            below = reference(name, params | {leaf: values - bump}, points)
            expected[index] = (above - below) / 2e-5
        np.testing.assert_allclose(gradients[leaf], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("length", [0.25, 1.0, 3.0])
def test_linear_discriminator_has_the_closed_form(name, length):
    # Its gradient is w everywhere: (||w|| - 1)^2, or half of ||w||^2.
    weights = np.random.default_rng(2).normal(size=SHAPE)
    weights = jnp.float32(weights / np.linalg.norm(weights) * length)

    def discriminate(images):
        return jnp.sum(images * weights[None], axis=(1, 2, 3)) + 7

    penalty = penalties.PENALTIES[name](discriminate, *batch(), key=KEY, slots=SLOTS)
    expected = (length - 1) ** 2 if name in DRAWN else length**2 / 2
    np.testing.assert_allclose(penalty, expected, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_flat_discriminator_has_a_finite_gradient(name):
    real, fake = batch()
    params = mlp_params() | {"out": np.zeros(HIDDEN)}
    value, gradients = jax.value_and_grad(lambda p: penalty_of(name, p, real, fake))(
        jax.tree.map(jnp.float32, params)
    )
    np.testing.assert_allclose(value, float(name in DRAWN), rtol=1e-5, atol=0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def test_r1_looks_at_real_and_r2_at_fake_images():
    real, fake = batch()
    np.testing.assert_array_equal(points_of("r1", real, fake), real)
    np.testing.assert_array_equal(points_of("r2", real, fake), fake)


def test_r1_r2_is_the_sum_of_both_and_has_the_closed_form():
    real, fake = batch()
    r1, r2, both = (
        penalty_of(name, mlp_params(), real, fake) for name in ("r1", "r2", "r1_r2")
    )
    np.testing.assert_allclose(both, r1 + r2, rtol=1e-6, atol=0)
    assert abs(r1 - r2) > 1e-3  # so that neither stands for the other
    # Of w x the gradient is w everywhere: half of ||w||^2 for real and for fake images.
    weights = jnp.full(SHAPE, 0.5)  # ||w||^2 = 6 / 4

    def discriminate(images):
        return jnp.sum(images * weights[None], axis=(1, 2, 3))

    linear = penalties.r1_r2(discriminate, real, fake, key=KEY, slots=SLOTS)
    np.testing.assert_allclose(linear, 1.5, rtol=1e-6, atol=0)


def test_wgan_gp_looks_between_each_real_and_its_fake_image():
    # 2,000 pairs: the mean share is within 5 standard errors (1 / sqrt(12 n)) of 1/2.
    real = np.full((2000, *SHAPE), 2, np.float32)
    fake = np.full((2000, *SHAPE), 5, np.float32)
    points = points_of("wgan_gp", real, fake, slots=jnp.arange(2000))
    shares = (points - fake) / (real - fake)
    shares = shares.reshape(2000, SIZE)
    np.testing.assert_array_equal(shares, shares[:, :1].repeat(SIZE, 1))
    assert np.all((shares >= 0) & (shares <= 1))
    assert len(np.unique(shares[:, 0])) > 1990
    np.testing.assert_allclose(np.mean(shares[:, 0]), 1 / 2, rtol=0, atol=0.033)
    np.testing.assert_allclose(np.var(shares[:, 0]), 1 / 12, rtol=0, atol=0.01)


def test_dragan_adds_noise_by_the_deviation_of_the_whole_batch():
    # alpha u std / 2 with both uniform: mean std / 8, mean square std^2 / 36.
    real = np.random.default_rng(3).normal(3, 2, (2000, *SHAPE)).astype(np.float32)
    points = points_of("dragan", real, real * 0, slots=jnp.arange(2000))
    noise = ((points - real) / np.std(real)).reshape(2000, SIZE)
    assert np.all((noise >= -1e-6) & (noise < 0.5 + 1e-6))
    np.testing.assert_allclose(np.mean(noise), 1 / 8, rtol=0, atol=0.01)
    np.testing.assert_allclose(np.mean(noise**2), 1 / 36, rtol=0, atol=0.003)
    # One alpha an example: values of one example go together, (E[a^2] - E[a]^2) / 16
    # = 1 / 192 for the covariance of two of them.
    covariance = np.cov(noise[:, 0], noise[:, 1])[0, 1]
    np.testing.assert_allclose(covariance, 1 / 192, rtol=0, atol=0.0015)
    assert len(np.unique(noise[0])) == SIZE


@pytest.mark.parametrize("name", ALL)
def test_halves_of_a_batch_on_two_replicas_average_to_the_whole(name):
    real, fake = batch()
    params = jax.tree.map(jnp.float32, mlp_params())

    def penalise(params, real, fake, slots):
        return penalty_of(name, params, real, fake, slots=slots, axis_name="batch")

    step = jax.value_and_grad(penalise)
    halves = [x.reshape(2, B // 2, *x.shape[1:]) for x in (real, fake, SLOTS)]
    halved = jax.pmap(step, "batch", in_axes=(None, 0, 0, 0))(params, *halves)
    vmapped = jax.vmap(step, (None, 0, 0, 0), axis_name="batch")(params, *halves)
    whole = jax.value_and_grad(lambda p: penalty_of(name, p, real, fake))(params)
    for parts in halved, vmapped:
        jax.tree.map(
            lambda part, one: np.testing.assert_allclose(
                np.mean(part, axis=0), one, rtol=1e-5, atol=1e-6
            ),
            parts,
            whole,
        )


@pytest.mark.parametrize("name", DRAWN)
def test_draws_follow_slots_and_key_alone(name):
    real, fake = batch()
    points = points_of(name, real, fake)
    order = np.array([4, 0, 5, 2, 1, 3])
    shuffled = points_of(name, real[order], fake[order], slots=SLOTS[order])
    np.testing.assert_allclose(shuffled, points[order], rtol=0, atol=1e-6)
    assert np.all(points_of(name, real, fake, slots=SLOTS + B) != points)
    assert np.all(points_of(name, real, fake, key=jax.random.key(1)) != points)


@pytest.mark.parametrize("name", ALL)
def test_images_in_half_precision_are_measured_in_float32(name):
    real, fake = (jnp.bfloat16(images) for images in batch())
    penalty = penalty_of(name, mlp_params(), real, fake)
    assert penalty.dtype == jnp.float32


def test_unpaired_images_are_refused():
    real, fake = batch()
    with pytest.raises(ValueError, match=r"\(6, .*\(1, .*as many of the same shape"):
        penalty_of("wgan_gp", mlp_params(), real, fake[:1])


@pytest.mark.parametrize("name", DRAWN)
def test_slots_of_other_images_are_refused(name):
    real, fake = batch()
    with pytest.raises(ValueError, match=r"\(6,\) and images \(1, .*give \(B,\) slots"):
        penalty_of(name, mlp_params(), real[:1], fake[:1])
