"""A generator's arrays, without its program."""

import io
import json
from typing import Any

from flax import traverse_util
import numpy as np

from gan_jax import own_parts, version
from gan_jax.formats import card
from gan_jax.run import reader, trained


def to_safetensors(run: trained.Run) -> bytes:
    """The generator's arrays by names such as `params.project.kernel`.

    A name has the path of an array in the generator's `variables`. So
    `flax.traverse_util.unflatten_dict(arrays, sep=".")` gives the variables back, and
    an empty `batch_stats` has to be added where there is no BatchNorm.
    """
    from safetensors import numpy as safetensors  # an optional requirement

    arrays = {
        name: np.ascontiguousarray(array)
        for name, array in traverse_util.flatten_dict(run.variables, sep=".").items()
    }
    made_by = {"made_by": f"gan_jax {version.VERSION}"}
    return bytes(safetensors.save(arrays, metadata=made_by))


def to_npz(run: trained.Run) -> bytes:
    """The generator with its config, which gan_jax.load reads like a run's folder.

    The parameters are stored in half precision, the BatchNorm statistics, which may be
    large, in single precision.

    Raises:
      ValueError: the model lies in a file of the user's own, or a parameter is too
        large for half precision.
    """
    if own_parts.names(run.config, ["model.name"]):
        raise ValueError(
            f"the model {run.config.model.name} lies in a file of your own, without "
            "which an .npz file cannot be read: give the run's folder away with that "
            "file, or take another --format."
        )
    arrays: dict[str, Any] = {}
    for path, array in traverse_util.flatten_dict(run.variables, sep="/").items():
        is_parameter = path.startswith("params/")
        arrays[path] = np.asarray(array, np.float16 if is_parameter else np.float32)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError(
            "a parameter is too large for half precision: take another --format."
        )
    facts = {
        "version": version.VERSION,
        "step": run.step,
        "generator": run.kind,
        "config": card.public_config(run.config),
    }
    arrays[reader.FACTS] = np.array(json.dumps(facts, sort_keys=True))
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
