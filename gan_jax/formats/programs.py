"""A generator as a program with its weights inside, for use without this code.

The program takes latents (B, Z) float32 and, if the run is conditional, labels (B,)
int32. It returns images (B, H, W, C) float32, or points (B, 1, 1, 2). B is free. Black
is -1 and white is 1. Most generators end in a tanh and stay in this range, but not all
do: the model card has the range of each. Floats leave the clipping and the rounding to
bytes to the user: `gan_jax.run.images.to_uint8` is
`clip(rint((images + 1) * 127.5), 0, 255)`.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
from jax import export, lax
import jax.numpy as jnp

from gan_jax.models import convolution
from gan_jax.run import trained

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(run: trained.Run) -> bytes:
    """A program for all PLATFORMS, which `jax.export.deserialize` reads.

    Where the config leaves the implementation of the convolutions to the backend, the
    program has that of each platform and takes its choice where it runs. The weights
    are stored once.
    """

    def generate(latents: jax.Array, *labels: jax.Array) -> jax.Array:
        arguments = run.variables, latents, *labels
        if getattr(run.generator, "convolution", None) != "auto":
            return _generator(run)(*arguments)
        choices = {
            platform: _generator(run, convolution=implementation)
            for platform, implementation in convolution.AUTO.items()
        }
        images: jax.Array = lax.platform_dependent(*arguments, **choices)
        return images

    (batch,) = export.symbolic_shape("batch")
    exported = export.export(jax.jit(generate), platforms=PLATFORMS)
    return bytes(exported(*_inputs(run, batch)).serialize())


def to_onnx(run: trained.Run) -> bytes:
    """An ONNX model with the inputs `latents` and `labels` and the output `images`.

    The convolutions are those of ONNX, and the computation is float32 also where the
    config has another dtype, since ONNX's runtimes on a CPU have no bfloat16.

    Raises:
      ValueError: the generator draws random masks.
    """
    if getattr(run.generator, "test_dropout", False):
        raise ValueError(
            "the generator draws with dropout (model.generator.test_dropout), whose "
            "random masks the format onnx cannot hold: export it as stablehlo."
        )
    import jax2onnx  # an optional requirement, and slow to import

    generate = _generator(run, convolution="lax", dtype=jnp.dtype("float32"))
    inputs = _inputs(run, "batch")
    model: Any = jax2onnx.to_onnx(
        lambda *arrays: generate(run.variables, *arrays),
        inputs=inputs,
        model_name="generator",
        input_names=["latents", "labels"][: len(inputs)],
        output_names=["images"],
    )
    # The converter's notes on inner shapes contradict its own transpositions, of which
    # ONNX's runtime warns. It derives the shapes from the operations.
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content


def _generator(run: trained.Run, **attributes: Any) -> Callable[..., jax.Array]:
    """A function of variables, latents and labels.

    Args:
      run: run whose generator is taken.
      **attributes: new values of those attributes that the generator has.
    """
    known = {field.name for field in dataclasses.fields(run.generator)}
    given = {name: value for name, value in attributes.items() if name in known}
    generator = run.generator.clone(**given)

    def generate(variables: Any, latents: jax.Array, *labels: jax.Array) -> jax.Array:
        with jax.default_matmul_precision(run.config.matmul_precision):
            images = generator.apply(variables, latents, *labels, train=False)
        return jnp.asarray(images, jnp.float32)

    return generate


def _inputs(run: trained.Run, batch: Any) -> list[jax.ShapeDtypeStruct]:
    """The shapes of the program's inputs, for a symbolic batch size."""
    latents = jax.ShapeDtypeStruct((batch, run.config.model.latent_size), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    return [latents, labels] if run.is_conditional else [latents]
