"""A generator's arrays, without its program, in a file that needs no JAX to be read."""

from flax import traverse_util
import numpy as np

import gan_jax
from gan_jax.run import trained


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
    made_by = {"made_by": f"gan_jax {gan_jax.__version__}"}
    return bytes(safetensors.save(arrays, metadata=made_by))
