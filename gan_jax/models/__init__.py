"""Pairs of networks by name."""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any, Literal, get_args, get_origin

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax.models import dcgan, keras_dcgan, mlp

MODELS: dict[str, Any] = {"dcgan": dcgan, "keras_dcgan": keras_dcgan, "mlp": mlp}
DTYPES = ("float32", "bfloat16")


def build(config: ConfigDict, *, axis_name: str | None) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator that a run's config describes.

    Args:
      config: the whole config; reads its sections data and model.
      axis_name: replicas over which BatchNorm averages, if config says so.

    Raises:
      ValueError: an unknown model, dtype, option or value of an option; an image size
        that the model cannot make; or conditions that do not go together.
    """
    model, data = config.model, config.data
    _check_choice("model", model.name, MODELS, field="name")
    _check_choice("dtype", model.dtype, DTYPES, field="dtype")
    family = MODELS[model.name]
    family.check_image_size(data.image_size)
    shared = {
        "image_size": data.image_size,
        "channels": data.channels,
        "num_classes": data.num_classes,
        "convolution": model.convolution,
        "axis_name": axis_name if model.sync_batch_norm else None,
        "dtype": jnp.dtype(model.dtype),
    }
    generator = _create(family.Generator, "generator", shared, model.generator)
    discriminator = _create(
        family.Discriminator, "discriminator", shared, model.discriminator
    )
    _check_conditions(generator, discriminator, data.num_classes)
    _check_layers("generator", model.generator)
    _check_layers("discriminator", model.discriminator)
    return generator, discriminator


def _check_choice(what: str, value: str, allowed: Iterable[str], *, field: str) -> None:
    if value not in allowed:
        raise ValueError(
            f"unknown {what} {value!r}; known are {', '.join(allowed)}: set "
            f"--config.model.{field} to one."
        )


def _create(
    module: Any, section: str, shared: Mapping[str, Any], options: ConfigDict
) -> nn.Module:
    """The module with what it takes of `shared`, and its own section of the config."""
    ours = ("parent", "name", *shared)
    fields = {field.name: field.type for field in dataclasses.fields(module)}
    arguments = {name: value for name, value in shared.items() if name in fields}
    for name, value in options.items():
        if name in ours or name not in fields:
            known = ", ".join(sorted(set(fields).difference(ours)))
            raise ValueError(
                f"config.model.{section} has the field {name!r}, but the model's "
                f"{section} takes {known}: give config.model.{section} these fields "
                "in a config file, or choose another --config.model.name."
            )
        if get_origin(fields[name]) is Literal:
            known_values = get_args(fields[name])
            field = f"{section}.{name}"
            _check_choice(f"{section} {name}", value, known_values, field=field)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    return module(**arguments)


def _check_conditions(
    generator: nn.Module, discriminator: nn.Module, num_classes: int
) -> None:
    pair = {"generator": generator.condition, "discriminator": discriminator.condition}
    given = [name for name, condition in pair.items() if condition != "none"]
    if len(given) == 1:
        (other,) = set(pair).difference(given)
        raise ValueError(
            f"config.model.{given[0]}.condition is {pair[given[0]]!r}, but that of the "
            f"{other} is 'none': a label tells nothing to one network alone. Give both "
            "a condition, as configs/cgan.py does, or neither."
        )
    if given and num_classes < 2:
        raise ValueError(
            f"config.model.generator.condition is {pair['generator']!r}, but "
            f"config.data.num_classes is {num_classes}, and it takes 2 or more: set "
            "--config.data.num_classes to the data's own number, or both conditions "
            "to none."
        )
    if pair["generator"] == "batch_norm" and generator.norm == "none":
        raise ValueError(
            "config.model.generator.condition is 'batch_norm', but its norm is 'none', "
            "and then there is no BatchNorm to condition: set "
            "--config.model.generator.norm=batch, or another condition."
        )


def _check_layers(section: str, options: ConfigDict) -> None:
    """Refuses layers of dcgan that would have no effect or no size."""
    if options.get("norm_ends", False) and options.norm in ("none", "spectral"):
        raise ValueError(
            f"config.model.{section}.norm_ends is True, but its norm is "
            f"{options.norm!r}, of which the first or last layer has none to add: set "
            f"--config.model.{section}.norm=batch, or .norm_ends=False."
        )
    if options.get("hidden_dense", 0) < 0:
        raise ValueError(
            f"config.model.{section}.hidden_dense is {options.hidden_dense}, but must "
            f"be a width, or 0 for no such layer: set --config.model.{section}."
            "hidden_dense."
        )
