"""Writes the generator of a trained run into a file for use without this code.

This command writes a program for JAX on CPUs, GPUs and TPUs:
  python -m gan_jax.export --workdir=RUN --output=generator.stablehlo
This one writes a program for ONNX's runtimes:
  python -m gan_jax.export --workdir=RUN --output=generator.onnx
This one writes the weights alone:
  python -m gan_jax.export --workdir=RUN --output=generator.safetensors
The weights in half precision with the config, which stand for RUN in other commands:
  python -m gan_jax.export --workdir=RUN --output=generator.npz
"""

from pathlib import Path

from absl import flags, logging
import jax
import numpy as np

from gan_jax import command, formats, generator_flags
from gan_jax.formats import card
from gan_jax.run import bucket, files, trained
from gan_jax.run import images as images_lib

flags.adopt_module_key_flags(generator_flags)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The generator is written to this file, which must be given. Its model card is "
    "written beside it, with .json after the name.",
    required=True,
)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    list(formats.FORMATS),
    "The file has this format. By default the ending of --output says it.",
)


def main() -> None:
    """Reads the run and writes the file and its model card.

    Raises:
      ValueError: there is no such run, the format is not known or its library not
        installed, or the output cannot be written.
      OSError: the disk is full, or a bucket cannot be read.
    """
    name, output = _format(), Path(_OUTPUT.value)
    beside = output.with_name(output.name + ".json")
    for path in (output, beside):
        images_lib.check_output(path, "--output")
    formats.check_installed(name)
    folder = "best" if generator_flags.BEST.value else "checkpoints"
    choose = bucket.choose_checkpoints(folder, [generator_flags.STEP.value])
    with bucket.fetched(generator_flags.WORKDIR.value, choose) as workdir:
        run = generator_flags.load(workdir)
        _check_finite(run)
        content = formats.FORMATS[name].create(run)
        described = card.create(run, content, workdir=workdir, name=name)
    for path, whole in (
        (output, content),
        (beside, files.to_json(described, indent=2).encode()),
    ):
        with images_lib.writing_whole(path) as file:
            file.write(whole)
    logging.info(
        "Wrote %s of step %d as %s to %s (%s bytes) and its model card to %s.",
        "the averaged generator" if run.kind == "averaged" else "the generator",
        run.step,
        name,
        output,
        f"{len(content):,}",
        beside,
    )


def _format() -> str:
    """The format that --format or the ending of --output names.

    Raises:
      ValueError: neither names a format, or each names another.
    """
    ending = Path(_OUTPUT.value).suffix.removeprefix(".")
    known = ending if ending in formats.FORMATS else None
    if _FORMAT.value and known and _FORMAT.value != known:
        raise ValueError(
            f"--format is {_FORMAT.value}, but --output is {_OUTPUT.value}: leave "
            f"--format out, or end the file's name in .{_FORMAT.value}."
        )
    name = _FORMAT.value or known
    if name is None:
        endings = ", ".join(f".{one}" for one in formats.FORMATS)
        raise ValueError(
            f"output is {_OUTPUT.value}, but must end in one of {endings}: change "
            "--output, or give --format."
        )
    return name


def _check_finite(run: trained.Run) -> None:
    """Refuses a generator that has diverged."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.variables)):
        raise ValueError(
            f"the generator of step {run.step} holds values that are not finite: take "
            "an earlier --step."
        )


if __name__ == "__main__":
    command.run(main)
