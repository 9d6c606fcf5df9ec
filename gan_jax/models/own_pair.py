"""What a model outside this package must be: its networks are checked here."""

from collections.abc import Collection
import dataclasses
from typing import Any

from flax import errors
import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import own_parts

_FIELD = "model.name"
_OTHER = f"set --config.{_FIELD} to another name"
_LABELS = jax.ShapeDtypeStruct((2,), jnp.int32)


def check_classes(pair: Any, name: str, *, shared: Collection[str]) -> None:
    """Refuses a Pair whose networks could not be made from a config, or not be called.

    Args:
      pair: the models.Pair.
      name: its name, `module:name`.
      shared: attributes that need no default, since they do not come from a network's
        own section.

    Raises:
      ValueError: a network is no Flax module, or has other parameters; its attribute
        `condition` or a default is missing; or check_image_size cannot be called.
    """
    for network, inputs in (("Generator", "latents"), ("Discriminator", "images")):
        what, module = f"{name}.{network}", getattr(pair, network)
        if not (isinstance(module, type) and issubclass(module, nn.Module)):
            raise ValueError(
                f"{what} is {module!r}, but must be a class derived from flax.linen."
                f"Module: change it, or {_OTHER}."
            )
        own_parts.check_call(
            module.__call__,
            f"{what}.__call__",
            field=_FIELD,
            positional=("self", inputs, "labels"),
            keywords=("train",),
        )
        _check_attributes(module, what, shared)
    what = f"{name}.check_image_size"
    size = ("image_size",)
    own_parts.check_call(pair.check_image_size, what, field=_FIELD, positional=size)


def _check_attributes(module: Any, what: str, shared: Collection[str]) -> None:
    """Refuses a network without `condition` or without all defaults."""
    fields = dataclasses.fields(module)
    if "condition" not in {field.name for field in fields}:
        raise ValueError(
            f"{what} has no attribute condition, but must say how it uses labels: give "
            f"it the line `condition: Literal['none'] = 'none'` if it uses none, or "
            f"{_OTHER}."
        )
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in shared:
            raise ValueError(
                f"{what} has the attribute {field.name} without a default, but a "
                "config is made from the defaults: give it a default that is a plain "
                f"value, or {_OTHER}."
            )


def check_passes(
    name: str,
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_size: int,
    image_shape: tuple[int, int, int],
) -> None:
    """Refuses networks whose passes do not give what a step needs; computes nothing.

    Args:
      name: name of the Pair, `module:name`.
      generator: its generator.
      discriminator: its discriminator.
      latent_size: size Z of the latents.
      image_shape: shape (H, W, C) of the images.

    Raises:
      ValueError: an output has another shape than (B, H, W, C) or (B,), or BatchNorm's
        statistics cannot be measured for the generator.
    """
    latents = jax.ShapeDtypeStruct((2, latent_size), jnp.float32)
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    _check_output(f"{name}.Generator", generator, latents, images.shape)
    _check_output(f"{name}.Discriminator", discriminator, images, (2,))
    _check_statistics(f"{name}.Generator", generator, latents)


def _check_output(
    what: str, module: nn.Module, inputs: jax.ShapeDtypeStruct, shape: tuple[int, ...]
) -> None:
    def run(inputs: Any, labels: Any) -> Any:
        return module.init_with_output(_init_keys(), inputs, labels, train=True)[0]

    result = jax.eval_shape(run, inputs, _LABELS)
    if getattr(result, "shape", None) != shape:
        raise ValueError(
            f"{what} makes {result} of {inputs.shape}, but must make an array "
            f"{shape}: change it, or {_OTHER}."
        )


def _check_statistics(
    what: str, generator: nn.Module, latents: jax.ShapeDtypeStruct
) -> None:
    """Refuses a generator whose BatchNorm's statistics cannot be measured."""

    def measure(latents: Any, labels: Any) -> Any:
        variables = generator.init(_init_keys(), latents, labels, train=True)
        generator.apply(variables, latents, labels, train=True, mutable=["batch_stats"])
        return variables.get("batch_stats", {})

    try:
        statistics = jax.eval_shape(measure, latents, _LABELS)
    except errors.InvalidRngError:
        raise ValueError(
            f"{what} needs a key for dropout in a training pass without one, which "
            "measures BatchNorm's statistics: let its dropout be deterministic unless "
            f"`train and self.has_rng('dropout')`, or {_OTHER}."
        ) from None
    attributes = {field.name for field in dataclasses.fields(generator)}
    missing = sorted({"norm_momentum", "axis_name"}.difference(attributes))
    if statistics and missing:
        raise ValueError(
            f"{what} has BatchNorm but no attribute {missing[0]}: give it the lines "
            "`norm_momentum: float = 0.9` and `axis_name: str | None = None` and hand "
            f"them to its BatchNorm, or {_OTHER}."
        )


def _init_keys() -> dict[str, jax.Array]:
    """Keys of parameters and dropout whose values do not matter: only shapes do."""
    key = jax.random.key(0)
    return {"params": key, "dropout": key}
