"""Adversarial losses on logits: label 1 is real, 0 is fake.

Every loss is a mean over the batch and is minimised. Logits that are not (B,) raise a
ValueError. At zero logits, non_saturating is 2 ln 2 for the discriminator and ln 2 for
the generator.
"""

from collections.abc import Callable, Mapping
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax import checks, own_parts


class Loss(NamedTuple):
    """The losses of both networks: functions from logits (B,) to a scalar."""

    # Takes (real_logits, fake_logits).
    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    # Takes (fake_logits, real_logits); real_logits may be None unless uses_real.
    generator: Callable[[jax.Array, jax.Array | None], jax.Array]
    uses_real: bool = False
    # The smallest value of the discriminator's loss; None: there is none, or unknown.
    lowest: float | None = None


def _check(*several_logits: jax.Array) -> None:
    for logits in several_logits:
        if logits.ndim != 1:
            raise ValueError(
                f"logits have shape {logits.shape}, but a loss takes (B,): a shape "
                "such as (B, 1) would broadcast against labels (B,) in silence; "
                "reshape the discriminator's output to (B,)."
            )


def _cross_entropy(logits: jax.Array, label: float) -> jax.Array:
    """Mean BCE of logits (B,) against the same label, in softplus form."""
    _check(logits)
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, label))


def cross_entropy_discriminator_loss(
    real_logits: jax.Array, fake_logits: jax.Array, *, real_label: float = 1.0
) -> jax.Array:
    """Mean BCE of real logits against real_label, plus that of fake logits against 0.

    Goodfellow et al. 2014 (arXiv 1406.2661), equation 1, as a loss to minimise. A
    real_label below 1 is the one-sided smoothing of Salimans et al. 2016 (arXiv
    1606.03498), section 3.4: the best logit of an image that is surely real is then
    log(real_label / (1 - real_label)) instead of infinity.
    """
    return _cross_entropy(real_logits, real_label) + _cross_entropy(fake_logits, 0.0)


def non_saturating_generator_loss(
    fake_logits: jax.Array, real_logits: jax.Array | None = None
) -> jax.Array:
    """Mean -log D(G(z)), BCE against 1: Goodfellow et al. 2014, section 3."""
    return _cross_entropy(fake_logits, 1.0)


def minimax_generator_loss(
    fake_logits: jax.Array, real_logits: jax.Array | None = None
) -> jax.Array:
    """Mean log(1 - D(G(z))), negative: Goodfellow et al. 2014, equation 1."""
    return -_cross_entropy(fake_logits, 0.0)


def least_squares_discriminator_loss(
    real_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
    """Half the mean square of (real - 1) plus half the mean square of fake.

    Mao et al. 2017 (arXiv 1611.04076), equation 2 with a = 0 and b = 1, on the logits
    themselves: there is no sigmoid.
    """
    _check(real_logits, fake_logits)
    return (jnp.mean(jnp.square(real_logits - 1)) + jnp.mean(fake_logits**2)) / 2


def least_squares_generator_loss(
    fake_logits: jax.Array, real_logits: jax.Array | None = None
) -> jax.Array:
    """Half the mean square of (fake - 1): Mao et al., equation 2 with c = 1."""
    _check(fake_logits)
    return jnp.mean(jnp.square(fake_logits - 1)) / 2


def wasserstein_discriminator_loss(
    real_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
    """Mean fake minus mean real logit; the discriminator must be kept Lipschitz.

    Arjovsky et al. 2017 (arXiv 1701.07875), algorithm 1, with the opposite sign.
    """
    _check(real_logits, fake_logits)
    return jnp.mean(fake_logits) - jnp.mean(real_logits)


def linear_generator_loss(
    fake_logits: jax.Array, real_logits: jax.Array | None = None
) -> jax.Array:
    """Minus the mean fake logit: Arjovsky et al., algorithm 1; Miyato, equation 17."""
    _check(fake_logits)
    return -jnp.mean(fake_logits)


def hinge_discriminator_loss(
    real_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
    """Mean max(0, 1 - real) plus mean max(0, 1 + fake).

    Lim and Ye 2017 (arXiv 1705.02894); Miyato et al. 2018 (arXiv 1802.05957),
    equation 16, with the opposite sign.
    """
    _check(real_logits, fake_logits)
    real, fake = jax.nn.relu(1 - real_logits), jax.nn.relu(1 + fake_logits)
    return jnp.mean(real) + jnp.mean(fake)


def relativistic_discriminator_loss(
    real_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
    """Mean -log sigmoid(real - fake) over pairs of real and fake logits.

    Jolicoeur-Martineau 2018 (arXiv 1807.00734), RSGAN; Huang et al. 2024 (R3GAN, arXiv
    2501.05441), equation 2. It is not the average form (RaGAN).
    """
    _check(real_logits, fake_logits)
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            f"{len(real_logits)} real and {len(fake_logits)} fake logits, but the "
            "relativistic loss compares them in pairs: give it as many of each."
        )
    return jnp.mean(jax.nn.softplus(fake_logits - real_logits))


def relativistic_generator_loss(
    fake_logits: jax.Array, real_logits: jax.Array | None
) -> jax.Array:
    """Mean -log sigmoid(fake - real): the discriminator's loss with exchanged roles."""
    if real_logits is None:
        raise ValueError(
            "no real logits, but the relativistic loss compares the fake ones with "
            "them: give real_logits where Loss.uses_real."
        )
    return relativistic_discriminator_loss(fake_logits, real_logits)


def lecam(
    real_logits: jax.Array, fake_logits: jax.Array, means: Mapping[str, jax.Array]
) -> jax.Array:
    """Mean square of (real - mean of fake) plus that of (fake - mean of real).

    Tseng et al. 2021, LeCam (arXiv 2104.03310), equations 6 and 7, a regulariser of
    the discriminator. The authors' code leaves out the logits that have crossed the
    other mean, and begins after some steps; the equations have neither.

    Args:
      real_logits: (B,).
      fake_logits: (B,).
      means: scalars `real` and `fake`, exponential moving averages of the mean logits
        of earlier updates, which are constants here.
    """
    _check(real_logits, fake_logits)
    real = jnp.square(real_logits - means["fake"])
    return jnp.mean(real) + jnp.mean(jnp.square(fake_logits - means["real"]))


LOSSES: dict[str, Loss] = {
    "non_saturating": Loss(
        cross_entropy_discriminator_loss, non_saturating_generator_loss, lowest=0.0
    ),
    "minimax": Loss(
        cross_entropy_discriminator_loss, minimax_generator_loss, lowest=0.0
    ),
    "least_squares": Loss(
        least_squares_discriminator_loss, least_squares_generator_loss, lowest=0.0
    ),
    "wasserstein": Loss(wasserstein_discriminator_loss, linear_generator_loss),
    "hinge": Loss(hinge_discriminator_loss, linear_generator_loss, lowest=0.0),
    "relativistic": Loss(
        relativistic_discriminator_loss,
        relativistic_generator_loss,
        uses_real=True,
        lowest=0.0,
    ),
}
SMOOTHED = ("non_saturating", "minimax")
REAL_LABEL = checks.number(
    "above 0.5 up to 1: at 0.5 or below a real image is not called real",
    least=0.5,
    most=1,
    above=True,
)


def create(name: str, *, real_label: float = 1.0) -> Loss:
    """The loss of that name, with real_label as the label of real images.

    Args:
      name: name in LOSSES, or `module:name` of an own Loss.
      real_label: target of the real logits in (0.5, 1]; 1 does not smooth. Smoothing is
        one-sided: the target of fake logits stays 0 and that of the generator 1.

    Raises:
      ValueError: the name is unknown, an own loss has another form, the label is out of
        range, or the loss has no label to smooth.
    """
    checks.check("loss", name, own_parts.one_of(LOSSES), advice="name one of them")
    advice = "set it to 1, or to 0.9 to smooth"
    checks.check("real_label", real_label, REAL_LABEL, advice=advice)
    if real_label == 1:
        return LOSSES[name] if name in LOSSES else _load(name)
    if name not in SMOOTHED:
        raise ValueError(
            f"real_label is {real_label}, but the loss {name!r} has no cross-entropy "
            "of real logits whose label could be smoothed: set real_label to 1, or "
            f"the loss to {' or '.join(SMOOTHED)}."
        )
    smooth = functools.partial(cross_entropy_discriminator_loss, real_label=real_label)
    # A smoothed cross-entropy is smallest where sigmoid(logit) is the label.
    lowest = -sum(x * math.log(x) for x in (real_label, 1 - real_label))
    return LOSSES[name]._replace(discriminator=smooth, lowest=lowest)


def _load(name: str) -> Loss:
    """The own loss `module:name`, whose functions give scalars."""
    field = "recipe.loss"
    loss = own_parts.load(name, field=field)
    form = "losses.Loss(discriminator_loss, generator_loss)"
    own_parts.check_type(loss, Loss, name, field=field, form=form)
    logits = jax.ShapeDtypeStruct((2,), jnp.float32)
    for network, inputs in (
        ("discriminator", ("real_logits", "fake_logits")),
        ("generator", ("fake_logits", "real_logits")),
    ):
        what, function = f"{name}.{network}", getattr(loss, network)
        own_parts.check_call(function, what, field=field, positional=inputs)
        other = logits if network == "discriminator" or loss.uses_real else None
        result = jax.eval_shape(function, logits, other)
        if getattr(result, "shape", None) != ():
            raise ValueError(
                f"{what} makes {result} of logits (2,), but a loss is a scalar: take "
                f"the mean over the batch, or set --config.{field} to another name."
            )
    return loss
