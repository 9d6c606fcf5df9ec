"""The models by name: each is a generator and a discriminator."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import checks, own_parts
from gan_jax.models import (
    convolution,
    dcgan,
    infogan,
    keras_dcgan,
    mlp,
    own_pair,
    pacgan,
    resnet,
    unrolled,
)

MODELS: dict[str, Any] = {
    "dcgan": dcgan,
    "infogan": infogan,
    "keras_dcgan": keras_dcgan,
    "mlp": mlp,
    "pacgan": pacgan,
    "resnet": resnet,
    "unrolled": unrolled,
}
RANGES = {  # allowed values in the section model; sampling.py has those that it reads
    "name": own_parts.one_of(MODELS),
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
    "branch_pieces": checks.integer(1, 64),
    "input_branch": checks.integer(0, checks.WIDEST, ", 0 for no such layer"),
    "label_branch": checks.integer(0, checks.WIDEST, ", 0 for no such layer"),
    "halvings": checks.integer(1, 16),
    "norm_momentum": checks.share("the share that a step keeps"),
    "input_dropout": checks.share("0 for none"),
    "hidden_dropout": checks.share("0 for none"),
    "init_range": checks.NOT_NEGATIVE,
    "init_std": checks.NOT_NEGATIVE,
    "latent_scale": checks.POSITIVE,
}
_TYPES = {  # ranges of an own network's other attributes, by their annotations
    int: checks.integer(-checks.MOST, checks.MOST),
    float: checks.number("finite", least=-checks.LARGEST),
    str: checks.TEXT,
}


class Pair(NamedTuple):
    """A model that lies outside this package, see own_parts.py.

    Attributes:
      Generator: generator's class, with the attribute `condition` and the signature of
        dcgan.Generator.
      Discriminator: discriminator's class, with the attribute `condition` and the
        signature of dcgan.Discriminator.
      check_image_size: function that raises a ValueError for a size in pixels that the
        networks do not have; by default every size is allowed.
    """

    Generator: Any
    Discriminator: Any
    check_image_size: Callable[[int], None] = lambda image_size: None


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
    family = _family(model.name)
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
    if own_parts.is_named(model.name):
        own_pair.check_passes(
            model.name,
            generator,
            discriminator,
            latent_size=model.latent_size,
            image_shape=(data.image_size, data.image_size, data.channels),
        )
    return generator, discriminator


def attribute_ranges(module: Any) -> dict[str, checks.Range]:
    """The range of each field in a network's section, from the module's attributes.

    An attribute that has neither a range nor a type of _TYPES, such as a function, is
    no field and keeps its default.
    """
    ranges = {}
    types = get_type_hints(module)
    for field in dataclasses.fields(module):
        if field.name in ("parent", "name", *SHARED):
            continue
        kind = types[field.name]
        item = next(iter(get_args(kind)), None)
        if get_origin(kind) is Literal:
            ranges[field.name] = checks.one_of(get_args(kind))
        elif kind is bool:
            ranges[field.name] = checks.FLAG
        elif kind in _TYPES:
            ranges[field.name] = ATTRIBUTES.get(field.name, _TYPES[kind])
        elif get_origin(kind) in (Sequence, tuple, list) and item in _TYPES:
            allowed = ATTRIBUTES.get(field.name, _TYPES[item])
            ranges[field.name] = checks.each(allowed)
    return ranges


def default_options(name: str) -> dict[str, dict[str, Any]]:
    """The options of both networks of a model, with their defaults.

    Args:
      name: name in MODELS, or `module:name` of an own Pair.

    Raises:
      ValueError: an own model has another form.
    """
    family = _family(name)
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


def use_own(config: ConfigDict, overrides: Mapping[str, Any]) -> None:
    """Fills the networks' sections for an own model that the command line names.

    The sections of a config file have the fields of the file's model. If an override
    names an own model, they get the fields of its networks with their defaults, and the
    overrides of these fields.

    Args:
      config: whole config, which is changed in place.
      overrides: values of fields given on the command line, by the fields' paths.

    Raises:
      ValueError: the own model has another form.
    """
    name = overrides.get("model.name")
    if not own_parts.is_named(name):
        return
    for network, options in default_options(str(name)).items():
        start = f"model.{network}."
        given = {
            path.removeprefix(start): value
            for path, value in overrides.items()
            if path.startswith(start)
        }
        with config.unlocked():
            config.model[network] = ConfigDict({**options, **given})


def _family(name: str) -> Any:
    """The module of a shipped model, or the own Pair `module:name`."""
    if not own_parts.is_named(name):
        return MODELS[name]
    field, form = "model.name", "models.Pair(Generator, Discriminator)"
    pair = own_parts.load(name, field=field)
    own_parts.check_type(pair, Pair, name, field=field, form=form)
    own_pair.check_classes(pair, name, shared=SHARED)
    return pair


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
    if pair["generator"] == "batch_norm" and getattr(generator, "norm", "") == "none":
        raise ValueError(
            "config.model.generator.condition is 'batch_norm', but its norm is 'none', "
            "and then there is no BatchNorm to condition: set "
            "--config.model.generator.norm=batch, or another condition."
        )


def _check_layers(section: str, module: nn.Module) -> None:
    """Refuses layers that would have no effect."""
    if getattr(module, "label_branch", 0) and module.condition == "none":
        raise ValueError(
            f"config.model.{section}.label_branch is {module.label_branch}, but its "
            "condition is 'none', and then there is no label: set --config.model."
            f"{section}.condition=onehot or embedding, or .label_branch=0."
        )
    if getattr(module, "norm_ends", False) and module.norm in ("none", "spectral"):
        raise ValueError(
            f"config.model.{section}.norm_ends is True, but its norm is "
            f"{module.norm!r}, which adds no layer at the first or last map: set "
            f"--config.model.{section}.norm=batch, or .norm_ends=False."
        )
