"""The flags that name a trained generator, which several commands share.

A command has them once it calls flags.adopt_module_key_flags with this module.
"""

import os

from absl import flags

import gan_jax
from gan_jax.run import trained

WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The run in this folder, or at this address in a bucket, such as gs://BUCKET/RUN, "
    "is read, or the generator in this .npz file, which gan_jax.export has written. It "
    "must be given.",
    required=True,
)
STEP = flags.DEFINE_integer(
    "step",
    None,
    "The checkpoint of this step is read; the newest one by default.",
)
AVERAGED = flags.DEFINE_bool(
    "averaged",
    True,
    "The generator's averaged parameters are used where the run has them.",
)
BEST = flags.DEFINE_bool(
    "best",
    False,
    "The best checkpoint is read, which training keeps if the config sets "
    "evaluation.best_metric.",
)
ALLOW_CODE = flags.DEFINE_bool(
    "allow_code",
    False,
    "A model that the run names as module:name may be imported, which executes code "
    "from the working directory.",
)


def load(workdir: str | os.PathLike[str] | None = None) -> trained.Run:
    """The run that the flags name, or the one in another folder, read alike.

    Raises:
      ValueError: there is no such run or no such checkpoint, or its model is code that
        was not allowed.
      OSError: a bucket cannot be read.
    """
    return gan_jax.load(
        workdir or WORKDIR.value,
        STEP.value,
        best=BEST.value,
        raw=not AVERAGED.value,
        allow_code=ALLOW_CODE.value,
    )
