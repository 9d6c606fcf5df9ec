"""Optimisers by name: those of optax, and two as Keras and pylearn2 compute them."""

from collections.abc import Callable, Mapping
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax

from gan_jax import checks


def keras_rmsprop(
    learning_rate: float, *, decay: float = 0.0, rho: float = 0.9, epsilon: float = 1e-7
) -> optax.GradientTransformation:
    """RMSprop of Keras 2, with a decaying rate and epsilon outside the square root.

    Update t, from 0, is -rate_t * g / (sqrt(mean of squared gradients) + epsilon)
    with rate_t = learning_rate / (1 + decay * t).

    Args:
      learning_rate: learning rate of the first update.
      decay: decay of the learning rate in an update.
      rho: decay of the mean of squared gradients, which starts at 0.
      epsilon: small number that keeps the quotient finite.
    """
    return optax.rmsprop(
        lambda count: learning_rate / (1 + decay * count),
        decay=rho,
        eps=epsilon,
        eps_in_sqrt=False,
    )


class MomentumState(NamedTuple):
    """The number of updates done, and the last update."""

    step: jax.Array
    updates: Any


def momentum_sgd(
    learning_rate: float,
    *,
    decay_factor: float = 1.0,
    min_learning_rate: float = 0.0,
    momentum: float = 0.5,
    final_momentum: float = 0.5,
    momentum_steps: int = 1,
) -> optax.GradientTransformation:
    """SGD of pylearn2, with which Goodfellow et al. 2014 trained.

    Update t, from 0, is u_t = m_t * u_(t-1) - rate_t * g with
    rate_t = max(learning_rate / decay_factor^t, min_learning_rate). The momentum m_t
    goes linearly from `momentum` to `final_momentum` in `momentum_steps` updates, while
    pylearn2 changes it once an epoch. Unlike optax.sgd it scales gradients before it
    adds them up, so a falling rate does not reduce earlier gradients.

    Args:
      learning_rate: learning rate of the first update.
      decay_factor: number by which the learning rate is divided after each update.
      min_learning_rate: smallest learning rate.
      momentum: momentum of the first update.
      final_momentum: momentum from update `momentum_steps` on.
      momentum_steps: number of updates in which the momentum changes.
    """
    log_decay = math.log(decay_factor)  # float32 rounds 1.000004, but not its logarithm

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params))

    def update(
        grads: Any, state: MomentumState, params: Any = None
    ) -> tuple[Any, MomentumState]:
        del params
        rate = learning_rate * jnp.exp(-log_decay * state.step)
        rate = jnp.maximum(rate, min_learning_rate)
        share = jnp.minimum(state.step / momentum_steps, 1)
        kept = momentum + share * (final_momentum - momentum)
        updates = jax.tree.map(lambda u, g: kept * u - rate * g, state.updates, grads)
        return updates, MomentumState(optax.safe_increment(state.step), updates)

    return optax.GradientTransformation(init, update)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
    "keras_rmsprop": keras_rmsprop,
    "momentum_sgd": momentum_sgd,
}


SCHEDULES: dict[str, Callable[[int], optax.Schedule]] = {
    "constant": lambda steps: optax.constant_schedule(1.0),
    "linear": lambda steps: optax.linear_schedule(1.0, 0.0, steps),
    "cosine": lambda steps: optax.cosine_decay_schedule(1.0, steps),
}


RANGES = {  # allowed values in the section optimizer, outside of the networks' sections
    "schedule": checks.one_of(SCHEDULES),
    "warmup_steps": checks.integer(0, checks.MOST),
    "decay_share": checks.number("in (0, 1]", most=1, above=True),
}
_DTYPE = checks.one_of(("float32", "bfloat16"))
_RATE = {"learning_rate": checks.NOT_NEGATIVE}
ARGUMENTS: dict[str, dict[str, checks.Range]] = {  # allowed values, by optimiser
    "adam": {
        **_RATE,
        "b1": checks.share(),
        "b2": checks.share(),
        "eps": checks.POSITIVE,
        "eps_root": checks.NOT_NEGATIVE,
        "mu_dtype": _DTYPE,
        "nesterov": checks.FLAG,
    },
    "rmsprop": {
        **_RATE,
        "decay": checks.share(),
        "eps": checks.POSITIVE,
        "initial_scale": checks.NOT_NEGATIVE,
        "momentum": checks.share(),
        **dict.fromkeys(("eps_in_sqrt", "centered", "nesterov"), checks.FLAG),
        "bias_correction": checks.FLAG,
    },
    "sgd": {
        **_RATE,
        "momentum": checks.share(),
        "nesterov": checks.FLAG,
        "accumulator_dtype": _DTYPE,
    },
    "keras_rmsprop": {
        **_RATE,
        "decay": checks.NOT_NEGATIVE,
        "rho": checks.share(),
        "epsilon": checks.POSITIVE,
    },
    "momentum_sgd": {
        **_RATE,
        "decay_factor": checks.number("at least 1 and finite", least=1),
        "min_learning_rate": checks.NOT_NEGATIVE,
        "momentum": checks.share(),
        "final_momentum": checks.share(),
        "momentum_steps": checks.integer(1, checks.MOST),
    },
}


TAKE_SCHEDULES = ("adam", "rmsprop", "sgd")  # other optimisers have a decay built in


def rate_factor(
    schedule: str, *, num_steps: int, warmup_steps: int, decay_share: float
) -> optax.Schedule | None:
    """The factor in [0, 1] of the learning rates as a function of the run's step.

    Args:
      schedule: name in SCHEDULES: the factor stays 1, or falls to 0 at the end of the
        run, linearly or as half a cosine.
      num_steps: number of steps of the whole run.
      warmup_steps: number of first steps in which the factor rises linearly from 0.
      decay_share: last share of the run, in (0, 1], in which the factor falls;
        "constant" does not read it.

    Returns:
      A schedule of optax, or None if the factor is always 1.

    Raises:
      ValueError: the warm-up ends after the fall begins, or after the run.
    """
    falling = 0 if schedule == "constant" else max(1, round(decay_share * num_steps))
    if not falling and warmup_steps > num_steps:
        raise ValueError(
            f"optimizer.warmup_steps is {warmup_steps}, but the run has {num_steps} "
            f"steps: set --config.optimizer.warmup_steps to at most {num_steps}."
        )
    if warmup_steps > num_steps - falling:
        raise ValueError(
            f"optimizer.warmup_steps is {warmup_steps}, but of {num_steps} steps the "
            f"rate falls during the last {falling}: set "
            f"--config.optimizer.warmup_steps to at most {num_steps - falling}, or a "
            "smaller --config.optimizer.decay_share."
        )
    if schedule == "constant" and warmup_steps == 0:
        return None
    rising = optax.linear_schedule(0.0, 1.0, warmup_steps)
    return optax.join_schedules(
        [
            rising if warmup_steps else optax.constant_schedule(1.0),
            optax.constant_schedule(1.0),
            SCHEDULES[schedule](falling),
        ],
        [warmup_steps, num_steps - falling],
    )


def _scheduled_rate(config: ConfigDict, network: str, rate: Any) -> Any:
    """The network's learning rate, as a number or a schedule for its optimiser."""
    optimizer = config.optimizer
    checks.check_fields(optimizer, RANGES, path="optimizer")
    factor = rate_factor(
        optimizer.schedule,
        num_steps=config.num_train_steps,
        warmup_steps=optimizer.warmup_steps,
        decay_share=optimizer.decay_share,
    )
    if factor is None:
        return rate
    if optimizer[network].name not in TAKE_SCHEDULES:
        raise ValueError(
            f"optimizer.schedule is {optimizer.schedule!r} with "
            f"{optimizer.warmup_steps} warm-up steps, but the optimizer "
            f"{optimizer[network].name!r} has a schedule built in: choose one of "
            f"{', '.join(TAKE_SCHEDULES)}, or set --config.optimizer.schedule=constant "
            "and --config.optimizer.warmup_steps=0."
        )
    updates_a_step = config.recipe[f"{network}_steps"]
    return lambda count: rate * factor(count // updates_a_step)


def create(
    config: ConfigDict,
    network: str,
    *,
    values: Mapping[str, jax.Array] | None = None,
) -> optax.GradientTransformation:
    """The optimiser of a network, with the run's schedule of the learning rate.

    Args:
      config: whole config, of which the section optimizer and the number of steps are
        read. config.optimizer[network] has `name`, a name in OPTIMIZERS, and the
        arguments of that optimiser.
      network: "generator" or "discriminator".
      values: arguments that replace those of the config; they may be traced.

    Raises:
      ValueError: the name is unknown, an argument is unknown, out of range or without
        effect, or the optimiser or the run cannot have the schedule.
    """
    path = f"optimizer.{network}"
    section = checks.section(checks.section(config, "optimizer"), network)
    names = {"name": checks.one_of(OPTIMIZERS)}
    checks.check_fields(section, {**names, **_RATE}, path=path)
    arguments = section.to_dict()
    name = arguments.pop("name")
    known = ARGUMENTS[name]
    unknown = sorted(set(arguments).difference(known))
    if unknown:
        raise ValueError(
            f"the optimizer {name!r} does not take {', '.join(unknown)}, but "
            f"{', '.join(known)}{checks.nearest(unknown[0], known)}: give {path} these "
            "fields in a config file, or choose another optimizer."
        )
    ranges = {argument: known[argument] for argument in arguments}
    checks.check_fields(section, ranges, path=path)
    if name != "adam" and arguments.get("nesterov") and not arguments.get("momentum"):
        raise ValueError(
            f"{path}.nesterov is True, but its momentum is 0, and then there is none "
            f"that Nesterov's form could change: give {path} a momentum, or set "
            "nesterov to False, in the config file."
        )
    arguments |= dict(values or {})
    rate = _scheduled_rate(config, network, arguments.pop("learning_rate"))
    return OPTIMIZERS[name](learning_rate=rate, **arguments)
