"""What a user of an exported generator must know, as JSON beside the file."""

import hashlib
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gan_jax import own_parts, version
from gan_jax.run import config_file, files, trained

# Name of the data in the config -> terms of use, as their authors state them.
LICENCES = {
    "mnist": "MNIST: LeCun and Cortes, CC BY-SA 3.0",
    "stacked_mnist": "MNIST: LeCun and Cortes, CC BY-SA 3.0",
    "celeb_a": "CelebA: Liu et al. 2015, for non-commercial research only",
    "ring": "drawn by gan_jax, no terms",
    "grid": "drawn by gan_jax, no terms",
}
# run.images.to_uint8, in words of numpy
TO_BYTES = "clip(rint((images + 1) * 127.5), 0, 255)"


def create(
    run: trained.Run, content: bytes, *, workdir: Path, name: str
) -> dict[str, Any]:
    """The model card of a file.

    Args:
      run: run whose generator in `variables` the file holds.
      content: content of the file.
      workdir: folder of the run, which has its scores.
      name: format of the file.

    Raises:
      ValueError: the run's scores cannot be read.
    """
    data = run.config.data
    return {
        "format": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "made_by": f"gan_jax {version.VERSION}",
        "run": workdir.resolve().name,
        "step": run.step,
        "generator": run.kind,
        "latents": _latents(run),
        "labels": _labels(run),
        "images": _images(run),
        "data": data.name,
        "licence_of_the_data": LICENCES.get(data.name, f"not known for {data.name}"),
        "scores": _scores(workdir, run.step, run.kind),
        "config": public_config(run.config),
    }


def _images(run: trained.Run) -> dict[str, Any]:
    """The images, whose range may exceed the [-1, 1] of the data.

    The range is None if it is unbounded, or not known since the networks are the
    user's own.
    """
    data, name = run.config.data, run.config.model.name
    is_bounded = getattr(run.generator, "output", "tanh") != "linear"
    bounds = [-3, 1] if name == "pacgan" else [-1, 1]
    return {
        "shape": [data.image_size, data.image_size, data.channels],
        "dtype": "float32",
        "range": bounds if is_bounded and not own_parts.is_named(name) else None,
        "to_bytes": None if data.channels == 2 else TO_BYTES,
    }


def _latents(run: trained.Run) -> dict[str, Any]:
    model = run.config.model
    normal = model.latent_distribution == "normal"
    return {
        "size": model.latent_size,
        "distribution": model.latent_distribution,
        "range": None if normal else [-1, 1],
        "truncation": "any largest magnitude above 0" if normal else "none",
    }


def _labels(run: trained.Run) -> dict[str, Any] | None:
    if not run.is_conditional:
        return None
    return {"dtype": "int32", "range": [0, run.config.data.num_classes - 1]}


def _scores(workdir: Path, step: int, kind: str) -> list[dict[str, Any]]:
    """The recorded scores of this generator, each with its protocol."""
    if workdir.is_file():  # a generator's file has none
        return []
    return [
        {"numbers": record["numbers"], "protocol": record["protocol"]}
        for name in (files.SCORES, files.LATER_SCORES)
        for record in files.read_scores(workdir / name)
        if record["step"] == step and record["generator"] == kind
    ]


def public_config(config: ConfigDict) -> dict[str, Any]:
    """A run's config, in which the paths of the machine that trained it are empty."""
    fields: dict[str, Any] = config.to_dict()
    for path in config_file.PATHS:
        section, _, field = path.rpartition(".")
        (fields.get(section, {}) if section else fields)[field] = ""
    return fields
