"""The formats in which a trained generator leaves gan_jax, by name."""

from collections.abc import Callable, Mapping
import importlib.util
from typing import NamedTuple

from gan_jax.formats import programs, weights
from gan_jax.run import trained


class Format(NamedTuple):
    """A file format.

    Attributes:
      create: returns the content of the file for a run's generator in `variables`.
      library: module that writes the format.
      extra: name in setup.cfg of the optional requirements with this library.
    """

    create: Callable[[trained.Run], bytes]
    library: str
    extra: str


FORMATS: Mapping[str, Format] = {
    "stablehlo": Format(programs.to_stablehlo, "flatbuffers", "export"),
    "onnx": Format(programs.to_onnx, "jax2onnx", "onnx"),
    "safetensors": Format(weights.to_safetensors, "safetensors", "export"),
    "npz": Format(weights.to_npz, "numpy", ""),
}


def check_installed(name: str) -> None:
    """Refuses a format whose library is not installed.

    Raises:
      ValueError: the library is missing.
    """
    _, library, extra = FORMATS[name]
    if importlib.util.find_spec(library) is None:
        raise ValueError(
            f"the format {name} needs the library {library}, which is not installed: "
            f'install it with python -m pip install ".[{extra}]".'
        )
