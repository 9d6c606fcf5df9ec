"""The models by name: each is a generator and a discriminator."""

from collections.abc import Mapping
import dataclasses
from typing import Any, Literal, get_args, get_origin

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import checks
from gan_jax.models import convolution, dcgan, keras_dcgan, mlp

MODELS: dict[str, Any] = {"dcgan": dcgan, "keras_dcgan": keras_dcgan, "mlp": mlp}
RANGES = {  # allowed values in the section model; sampling.py has those that it reads
    "name": checks.one_of(MODELS),
    "convolution": checks.one_of(convolution.IMPLEMENTATIONS),
    "dtype": checks.one_of(("float32", "bfloat16")),
    "sync_batch_norm": checks.FLAG,
}
SHARED = (  # attributes that do not come from a network's own section
    *("image_size", "channels", "num_classes", "convolution", "axis_name", "dtype"),
)
_WIDTH = checks.integer(1, checks.WIDEST)
ATTRIBUTES = {  # ranges of attributes whose annotation does not say what is allowed
    "features": _WIDTH,
    "embedding_size": _WIDTH,
    "hidden_dense": checks.integer(0, checks.WIDEST, ", 0 for no such layer"),
    "auxiliary_weight": checks.NOT_NEGATIVE,
    "pieces": checks.integer(1, 64),
    "norm_momentum": checks.share("the share that a step keeps"),
    "input_dropout": checks.share("0 for none"),
    "hidden_dropout": checks.share("0 for none"),
    "init_range": checks.NOT_NEGATIVE,
    "init_std": checks.NOT_NEGATIVE,
    "latent_scale": checks.POSITIVE,
}


def build(
    config: ConfigDict, *, axis_name: str | None, advice: str = checks.ADVICE
) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator that a run's config describes.

    Args:
      config: whole config, of which the sections data and model are read.
      axis_name: axis of the replicas over which BatchNorm averages, if config says so.
      advice: what the user should do about a value out of its range, see checks.check.

    Raises:
      ValueError: the model, dtype, an option or its value is unknown, the model cannot
        make images of this size, or the conditions do not go together.
    """
    model, data = checks.section(config, "model"), checks.section(config, "data")
    checks.check_fields(model, RANGES, path="model", advice=advice)
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
    generator, discriminator = (
        _create(module, name, shared, checks.section(model, name), advice)
        for name, module in (
            ("generator", family.Generator),
            ("discriminator", family.Discriminator),
        )
    )
    _check_conditions(generator, discriminator, data.num_classes)
    _check_layers("generator", generator)
    _check_layers("discriminator", discriminator)
    return generator, discriminator


def attribute_ranges(module: Any) -> dict[str, checks.Range]:
    """The range of each field in a network's section, from the module's attributes."""
    ranges = {}
    for field in dataclasses.fields(module):
        if field.name in ("parent", "name", *SHARED):
            continue
        if get_origin(field.type) is Literal:
            ranges[field.name] = checks.one_of(get_args(field.type))
        elif field.type is bool:
            ranges[field.name] = checks.FLAG
        else:
            allowed = ATTRIBUTES[field.name]
            several = field.type not in (int, float)
            ranges[field.name] = checks.each(allowed) if several else allowed
    return ranges


def default_options(name: str) -> dict[str, dict[str, Any]]:
    """The options of both networks of a model, with their defaults.

    Args:
      name: name in MODELS.
    """
    family = MODELS[name]
    return {
        network: {
            field.name: field.default
            for field in dataclasses.fields(module)
            if field.name in attribute_ranges(module)
        }
        for network, module in (
            ("generator", family.Generator),
            ("discriminator", family.Discriminator),
        )
    }


def _create(
    module: Any,
    section: str,
    shared: Mapping[str, Any],
    options: ConfigDict,
    advice: str,
) -> nn.Module:
    """The module with its section of the config and those `shared` values it takes."""
    ranges, path = attribute_ranges(module), f"model.{section}"
    unknown = sorted(set(options).difference(ranges))
    if unknown:
        raise ValueError(
            f"{path} has the field {unknown[0]!r}, but the model's {section} takes "
            f"{', '.join(sorted(ranges))}{checks.nearest(unknown[0], ranges)}: give "
            f"{path} these fields in a config file, as default.use_networks does, or "
            "choose another --config.model.name."
        )
    given = {name: ranges[name] for name in options}
    checks.check_fields(options, given, path=path, advice=advice)
    attributes = {field.name for field in dataclasses.fields(module)}
    arguments = {name: shared[name] for name in attributes.intersection(shared)}
    for name, value in options.items():
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
            "--config.data.num_classes to the number of classes in the data, or both "
            "conditions to none."
        )
    if pair["generator"] == "batch_norm" and generator.norm == "none":
        raise ValueError(
            "config.model.generator.condition is 'batch_norm', but its norm is 'none', "
            "and then there is no BatchNorm to condition: set "
            "--config.model.generator.norm=batch, or another condition."
        )


def _check_layers(section: str, module: nn.Module) -> None:
    """Refuses layers of dcgan that would have no effect."""
    if getattr(module, "norm_ends", False) and module.norm in ("none", "spectral"):
        raise ValueError(
            f"config.model.{section}.norm_ends is True, but its norm is "
            f"{module.norm!r}, which adds no layer at the first or last map: set "
            f"--config.model.{section}.norm=batch, or .norm_ends=False."
        )
