"""Losses: closed forms, slow references, finite differences, optimal discriminators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.step import losses

LN2 = np.log(2)
FAR = 1e4
REAL = np.array([-3.0, -0.5, 0.0, 0.7, 4.0])
FAKE = np.array([2.1, 1.11, 0.9, 0.75, 0.0])
STEP = 1e-6  # of finite differences in float64
ALL = sorted(losses.LOSSES)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(real, fake):
    return -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake)))


# As the papers write them, in float64: (discriminator of (real, fake), generator of
# (fake, real)).
REFERENCES = {
    "non_saturating": (
        cross_entropy,
        lambda fake, real: -np.mean(np.log(sigmoid(fake))),
    ),
    "minimax": (
        cross_entropy,
        lambda fake, real: np.mean(np.log(1 - sigmoid(fake))),
    ),
    "least_squares": (
        lambda real, fake: np.mean((real - 1) ** 2) / 2 + np.mean(fake**2) / 2,
        lambda fake, real: np.mean((fake - 1) ** 2) / 2,
    ),
    "wasserstein": (
        lambda real, fake: np.mean(fake) - np.mean(real),
        lambda fake, real: -np.mean(fake),
    ),
    "hinge": (
        lambda real, fake: (
            -np.mean(np.minimum(0, -1 + real)) - np.mean(np.minimum(0, -1 - fake))
        ),
        lambda fake, real: -np.mean(fake),
    ),
    "relativistic": (
        lambda real, fake: -np.mean(np.log(sigmoid(real - fake))),
        lambda fake, real: -np.mean(np.log(sigmoid(fake - real))),
    ),
}

# Real logits at the first place, fake at the second: (d_loss, g_loss) by hand, where
# softplus(x) is ln 2 at 0, x far above it and 0 far below.
CLOSED_FORMS = {
    "non_saturating": {
        (0, 0): (2 * LN2, LN2),
        (FAR, -FAR): (0, FAR),
        (-FAR, FAR): (2 * FAR, 0),
    },
    "minimax": {
        (0, 0): (2 * LN2, -LN2),
        (FAR, -FAR): (0, 0),
        (-FAR, FAR): (2 * FAR, -FAR),
    },
    "least_squares": {
        (0, 0): (0.5, 0.5),
        (FAR, -FAR): ((9999.0**2 + FAR**2) / 2, 10001.0**2 / 2),
        (-FAR, FAR): ((10001.0**2 + FAR**2) / 2, 9999.0**2 / 2),
    },
    "wasserstein": {
        (0, 0): (0, 0),
        (FAR, -FAR): (-2 * FAR, FAR),
        (-FAR, FAR): (2 * FAR, -FAR),
    },
    "hinge": {
        (0, 0): (2, 0),
        (FAR, -FAR): (0, FAR),
        (-FAR, FAR): (2 * FAR + 2, -FAR),
    },
    "relativistic": {
        (0, 0): (LN2, LN2),
        (FAR, -FAR): (0, 2 * FAR),
        (-FAR, FAR): (2 * FAR, 0),
    },
}


def finite_differences(function, *arrays):
    """Gradients of a float64 function with respect to each of its arrays."""
    gradients = []
    for which, array in enumerate(arrays):
        bumps = np.eye(len(array)) * STEP

        def shifted(bump, which=which):
            return function(*(a + bump * (i == which) for i, a in enumerate(arrays)))

        gradients.append([(shifted(b) - shifted(-b)) / (2 * STEP) for b in bumps])
    return gradients


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("logits", [(0, 0), (FAR, -FAR), (-FAR, FAR)])
def test_losses_have_their_closed_forms_at_zero_and_far_out(name, logits):
    loss = losses.create(name)
    real, fake = (jnp.full(3, value, jnp.float32) for value in logits)
    d_loss, g_loss = CLOSED_FORMS[name][logits]
    np.testing.assert_allclose(loss.discriminator(real, fake), d_loss, 1e-6, 1e-12)
    np.testing.assert_allclose(loss.generator(fake, real), g_loss, 1e-6, 1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [-FAR, 0.0, FAR])
def test_gradients_are_finite_everywhere(name, value):
    loss = losses.create(name)
    logits = jnp.full(3, value, jnp.float32)
    for function in loss.discriminator, loss.generator:
        for other in logits, -logits:
            gradients = jax.grad(function, (0, 1))(logits, other)
            assert np.all(np.isfinite(gradients))


@pytest.mark.parametrize("name", ALL)
def test_losses_and_gradients_equal_the_papers_formulas(name):
    loss = losses.create(name)
    real, fake = jnp.float32(REAL), jnp.float32(FAKE)
    for function, reference, arrays, logits in (
        (loss.discriminator, REFERENCES[name][0], (REAL, FAKE), (real, fake)),
        (loss.generator, REFERENCES[name][1], (FAKE, REAL), (fake, real)),
    ):
        np.testing.assert_allclose(function(*logits), reference(*arrays), 1e-6, 1e-7)
        np.testing.assert_allclose(
            jax.grad(function, (0, 1))(*logits),
            finite_differences(reference, *arrays),
            rtol=1e-4,
            atol=1e-6,
        )


@pytest.mark.parametrize("name", ALL)
def test_generator_loss_pushes_every_fake_logit_up(name):
    # Below 1, where the least squares' target lies.
    fake = jnp.linspace(-4, 0.9, 9)
    gradient = jax.grad(losses.create(name).generator)(fake, jnp.zeros(9))
    assert np.all(gradient < 0)


def test_generator_of_minimax_saturates_where_the_default_does_not():
    # Slopes are -D(G(z)) and D(G(z)) - 1, over a batch of one.
    fake = jnp.full(1, -20.0)
    minimax = jax.grad(losses.create("minimax").generator)(fake, None)
    default = jax.grad(losses.create("non_saturating").generator)(fake, None)
    np.testing.assert_allclose(minimax, [-np.exp(-20)], rtol=1e-5, atol=0)
    np.testing.assert_allclose(default, [-1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_generator_loss_needs_real_logits_only_where_it_says_so(name):
    loss = losses.create(name)
    fake, real = jnp.float32(FAKE), jnp.float32(REAL)
    slope = jax.grad(loss.generator, 1)(fake, real)
    assert np.any(slope != 0) == loss.uses_real
    if loss.uses_real:
        with pytest.raises(ValueError, match="no real logits.*give real_logits"):
            loss.generator(fake, None)
    else:
        assert loss.generator(fake, None) == loss.generator(fake, real)


def test_relativistic_loss_sees_differences_of_pairs_alone():
    loss = losses.create("relativistic")
    real, fake = jnp.float32(REAL), jnp.float32(FAKE)
    d_loss = loss.discriminator(real, fake)
    np.testing.assert_allclose(loss.discriminator(real + 3, fake + 3), d_loss, 1e-6)
    np.testing.assert_allclose(loss.generator(real, fake), d_loss, 1e-6)
    assert abs(loss.discriminator(real, fake[::-1]) - d_loss) > 0.01


# Two distributions on three points, in eighths, and the optimal discriminator's outputs
# there: Goodfellow et al. 2014, proposition 1 (with one-sided smoothing the real share
# is multiplied by the label), Mao et al. 2017 likewise, and for the hinge the sign.
P, Q = np.array([1, 2, 5]), np.array([4, 3, 1])


def optimal_loss(name, real_label=1.0):
    """The loss as a function of three points' logits, its best logits and its value."""
    p, q = P / 8, Q / 8
    share = real_label * p / (p + q)
    if name in losses.SMOOTHED:
        logits = np.log(share / (1 - share))
        value = -np.sum((p + q) * (share * np.log(share)))
        value -= np.sum((p + q) * ((1 - share) * np.log(1 - share)))
    elif name == "least_squares":
        logits, value = share, np.sum(p * q / (p + q)) / 2
    else:
        logits, value = np.sign(p - q), 2 * np.sum(np.minimum(p, q))
    loss = losses.create(name, real_label=real_label)

    def function(logits):
        points = np.arange(3)
        real, fake = np.repeat(points, P), np.repeat(points, Q)
        return loss.discriminator(logits[real], logits[fake])

    return function, jnp.float32(logits), value


@pytest.mark.parametrize(
    "name, real_label",
    [(name, 1.0) for name in ("non_saturating", "minimax", "least_squares", "hinge")]
    + [("non_saturating", 0.9), ("minimax", 0.7)],
)
def test_optimal_discriminator_is_that_of_theory(name, real_label):
    function, logits, value = optimal_loss(name, real_label)
    np.testing.assert_allclose(function(logits), value, rtol=1e-6, atol=0)
    # The losses are convex in the logits, so no better neighbour means the optimum.
    for bump in np.float32(0.1) * np.concatenate([np.eye(3), -np.eye(3)]):
        assert function(logits + jnp.float32(bump)) > value


def test_minimax_at_the_optimum_measures_the_jensen_shannon_divergence():
    # Goodfellow et al. 2014, theorem 1: the value is 2 JSD - ln 4; the loss negates it.
    p, q = P / 8, Q / 8
    middle = (p + q) / 2
    divergence = np.sum(p * np.log(p / middle) + q * np.log(q / middle)) / 2
    function, logits, _ = optimal_loss("minimax")
    np.testing.assert_allclose(function(logits), 2 * LN2 - 2 * divergence, 1e-6)


@pytest.mark.parametrize("name", losses.SMOOTHED)
@pytest.mark.parametrize("real_label", [0.6, 0.9])
def test_smoothing_puts_the_best_real_logit_at_logit_of_the_label(name, real_label):
    # Alone, BCE against t is least at logit(t), where it is the entropy of t.
    loss = losses.create(name, real_label=real_label)
    none = jnp.full(4, -FAR)  # fake logits that add no loss
    best = jnp.full(4, np.log(real_label / (1 - real_label)))
    entropy = -real_label * np.log(real_label)
    entropy -= (1 - real_label) * np.log(1 - real_label)
    np.testing.assert_allclose(loss.discriminator(best, none), entropy, 1e-6)
    slope = jax.grad(loss.discriminator)(best, none)
    np.testing.assert_allclose(slope, np.zeros(4), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", losses.SMOOTHED)
def test_smoothing_adds_its_share_of_the_real_logits_and_touches_nothing_else(name):
    # t softplus(-x) + (1 - t) softplus(x) = softplus(-x) + (1 - t) x.
    plain, smoothed = losses.create(name), losses.create(name, real_label=0.9)
    real, fake = jnp.float32(REAL), jnp.float32(FAKE)
    np.testing.assert_allclose(
        smoothed.discriminator(real, fake),
        plain.discriminator(real, fake) + 0.1 * np.mean(REAL),
        rtol=1e-6,
        atol=0,
    )
    assert smoothed.generator is plain.generator


@pytest.mark.parametrize("name", sorted(set(ALL) - set(losses.SMOOTHED)))
def test_smoothing_without_a_cross_entropy_is_refused(name):
    assert losses.create(name, real_label=1.0) is losses.LOSSES[name]
    with pytest.raises(ValueError, match=f"0.9.*{name}.*no cross-entropy.*set"):
        losses.create(name, real_label=0.9)


@pytest.mark.parametrize("real_label", [0.5, 0.1, -1.0, 1.01, float("nan")])
def test_labels_outside_their_range_are_refused(real_label):
    with pytest.raises(ValueError, match=f"{real_label}.*above 0.5 up to 1.*set"):
        losses.create("non_saturating", real_label=real_label)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="'hing', .*one of non_sat.*mean 'hinge'"):
        losses.create("hing")
    with pytest.raises(ValueError, match="loss is 'zzz', but must be one of non_sat"):
        losses.create("zzz")


@pytest.mark.parametrize("name", ALL)
def test_column_logits_are_refused(name):
    loss, row, column = losses.create(name), jnp.zeros(5), jnp.zeros((5, 1))
    for function, arguments in (
        (loss.discriminator, (column, row)),
        (loss.discriminator, (row, column)),
        (loss.generator, (column, row)),
    ):
        with pytest.raises(ValueError, match=r"\(5, 1\).*takes \(B,\)"):
            function(*arguments)


def test_lecam_draws_each_kind_of_logit_to_the_mean_of_the_other():
    # ((1 - 4)^2 + (3 - 4)^2) / 2 + ((0 - 10)^2 + (6 - 10)^2) / 2 = 5 + 58
    real, fake = jnp.array([1.0, 3.0]), jnp.array([0.0, 6.0])
    means = {"real": jnp.float32(10), "fake": jnp.float32(4)}
    value, slopes = jax.value_and_grad(losses.lecam, (0, 1))(real, fake, means)
    np.testing.assert_allclose(value, 63, rtol=1e-6, atol=0)
    np.testing.assert_allclose(slopes, [[-3, -1], [-10, -4]], rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="but a loss takes"):
        losses.lecam(real[None], fake, means)


def test_relativistic_loss_refuses_unpaired_logits():
    with pytest.raises(ValueError, match="4 real and 1 fake.*in pairs.*as many"):
        losses.create("relativistic").discriminator(jnp.zeros(4), jnp.zeros(1))
