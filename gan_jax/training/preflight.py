"""Checks of a run, most of which are made before anything is prepared."""

import hashlib
from pathlib import Path
from typing import Any

from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, data, models, parallel, version
from gan_jax.evaluation import scores
from gan_jax.run import config_file, reader
from gan_jax.step import optimizers, recipes, sampling
from gan_jax.training import events, watchdog, writer

SOME = 256  # images at each end of the data that hosts compare
RANGES = {  # allowed values of the fields that are in no section
    **reader.RANGES,
    "num_train_steps": checks.integer(1, checks.MOST),
    "steps_per_call": checks.integer(0, checks.MOST),
    **dict.fromkeys(writer.INTERVALS, checks.integer(0, checks.MOST)),
    "checkpoints_to_keep": checks.integer(1, checks.MOST),
    "sample_rows": checks.integer(1, 10_000),
    "sample_columns": checks.integer(1, 10_000),
    "tensorboard": checks.FLAG,
    "tracker": events.TRACKER,
    "compilation_cache_dir": checks.LOCAL,
    "deterministic": checks.FLAG,
}
SECTIONS = {
    "": RANGES,
    "data": data.RANGES,
    "model": {**models.RANGES, **sampling.RANGES},
    "recipe": recipes.RANGES,
    "optimizer": optimizers.RANGES,
    "evaluation": scores.RANGES,
    "watchdog": watchdog.RANGES,
}


def check_values(config: ConfigDict) -> None:
    """Refuses values out of range and values that exclude each other; opens no file.

    Raises:
      ValueError: a value is refused; the message is about the first such value.
    """
    for path, ranges in SECTIONS.items():
        section = checks.section(config, path) if path else config
        checks.check_fields(section, ranges, path=path)
    recipes.create(config, axis_name=None)
    _, discriminator = models.build(config, axis_name=None)
    if config.recipe.penalty != "none":
        _check_penalised(config, discriminator)
    for network in ("generator", "discriminator"):
        optimizers.create(config, network)


def _check_penalised(config: ConfigDict, discriminator: nn.Module) -> None:
    """Refuses a gradient penalty on a discriminator that has BatchNorm."""
    size = config.data.image_size
    images = jnp.zeros((2, size, size, config.data.channels * config.recipe.packing))

    def statistics(key: jax.Array) -> Any:
        keys = {"params": key, "dropout": key}
        labels = jnp.zeros(2, jnp.int32)
        variables = discriminator.init(keys, images, labels, train=True)
        return variables.get("batch_stats", {})

    names = traverse_util.flatten_dict(
        jax.eval_shape(statistics, jax.random.key(config.seed)), sep="/"
    )
    if any(name.rpartition("/")[2] == "mean" for name in names):
        changes = "set --config.recipe.penalty=none"
        if "norm" in config.model.discriminator:
            changes += ", or --config.model.discriminator.norm to one without a batch"
        raise ValueError(
            f"recipe.penalty is {config.recipe.penalty!r} and the discriminator has "
            "BatchNorm, which makes each logit depend on the whole batch, while a "
            f"gradient penalty is a norm for each image: {changes}."
        )


def check(config: ConfigDict) -> None:
    """Checks the values, the files that the config names, metrics and tracker.

    Raises:
      ValueError: a value is refused, a file is missing, a metric cannot be computed, or
        there is no such tracker; the message is about the first such mistake.
    """
    check_values(config)
    data.check(config.data)
    scores.check(config)
    if config.tracker:
        events.load(config.tracker)


def _digest_code(folder: Path) -> str:
    """A short digest of the names and contents of all Python files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_hosts(config: ConfigDict, dataset: data.Dataset) -> None:
    """Refuses a job whose processes differ in the config, the data or the code.

    Every process of the job calls it before the first step. The data are told apart by
    their number, labels and some of the images, the code by gan_jax's own files.

    Raises:
      ValueError: something differs; the message names it with each process's value.
    """
    digest = hashlib.sha256(np.asarray(dataset.labels).tobytes())
    for images in (dataset.images[:SOME], dataset.images[-SOME:]):
        digest.update(np.asarray(images).tobytes())
    fields = config_file.flatten(config_file.as_json(config).to_dict())
    facts = {
        **{name: x for name, x in fields.items() if name not in config_file.PATHS},
        "the version of gan_jax": version.VERSION,
        "the SHA-256 of gan_jax's code": _digest_code(Path(version.__file__).parent),
        "the version of jax": jax.__version__,
        "the number of local devices": jax.local_device_count(),
        "the number of images": len(dataset.images),
        "the data's SHA-256": digest.hexdigest()[:16],
    }
    gathered = parallel.gather(facts)
    for name in dict.fromkeys(name for one in gathered for name in one):
        values = [one.get(name, config_file.MISSING) for one in gathered]
        if any(value != values[0] for value in values):
            listed = ", ".join(f"{x!r} in process {i}" for i, x in enumerate(values))
            raise ValueError(
                f"the processes of the job differ in {name}, which is {listed}: start "
                "all of them with the same command, code and data."
            )
