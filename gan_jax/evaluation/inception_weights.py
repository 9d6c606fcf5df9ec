"""Reads the weights of Inception-v3 from the published file without PyTorch.

A PyTorch file is a pickle of tensors that point into raw storages. Since PyTorch 1.6
the file is a zip archive; before, it was a single stream. The pickle may name only what
a state dict needs, so a file cannot run code.
"""

from collections.abc import Callable, Mapping
import hashlib
import os
from pathlib import Path
import pickle
from typing import IO, Any, ClassVar, NamedTuple
import zipfile

from flax import traverse_util
import numpy as np

from gan_jax import npz

# First digits of the published file's hash, which are part of its name. torch-fidelity
# calls the file weights-inception-2015-12-05-6726825d.pth.
PUBLISHED_SHA256 = "6726825d"
PUBLISHED_NAME = f"pt_inception-2015-12-05-{PUBLISHED_SHA256}.pth"

# PyTorch's name of a layer's variable for each of Flax's names.
TORCH_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
DTYPES: dict[Any, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
}
# Files before PyTorch 1.6 begin with this number, pickled.
STREAM_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


class _OtherFileError(Exception):
    """A file is undamaged, but no weights file. The text says what it is."""


class Weights(NamedTuple):
    """Weights of the net, and where they come from.

    Attributes:
      variables: first argument of `InceptionV3().apply(variables, images)`.
      sha256: SHA-256 of the file, 64 hexadecimal digits.
      is_published: whether sha256 begins with the digits of the published file. If the
        same weights are saved again, the new file has another hash.
    """

    variables: dict[str, Any]
    sha256: str
    is_published: bool


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count elements."""

    storage: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: tuple[str, np.dtype[Any]],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> _Tensor:
    """The function that a pickle calls to make a tensor."""
    return _Tensor(*storage, offset, shape, strides)


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    """The function that a pickle calls to make a parameter."""
    return tensor


def _ordered_dict() -> dict[Any, Any]:
    """The function that a pickle calls to make a dict, which it fills afterwards.

    It copies no other dict, so that the pickle's objects are not larger than the file.
    """
    return {}


# Everything that a pickle may name besides the dtypes.
CALLABLES: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


def read(path: str | os.PathLike[str], shapes: Mapping[str, Any]) -> Weights:
    """Returns the weights in a file, in the layout of Flax.

    Args:
      path: a .pth file of a state dict, or an .npz file of its entries.
      shapes: variables that `InceptionV3().init` returns, or their shapes.

    Raises:
      ValueError: the file is missing, damaged or of another kind, or an entry is
        missing, unknown or of the wrong shape; the first such entry is named.
    """
    entries = read_entries(path)
    places = traverse_util.flatten_dict(dict(shapes))
    names = {place: _torch_name(place) for place in places}
    expected = {
        names[place]: _torch_shape(leaf.shape) for place, leaf in places.items()
    }
    _check(str(path), {name: entries[name].shape for name in entries}, expected)
    leaves = {
        place: np.ascontiguousarray(_to_flax(entries[name]), np.float32)
        for place, name in names.items()
    }
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    variables = traverse_util.unflatten_dict(leaves)
    return Weights(variables, sha256, sha256.startswith(PUBLISHED_SHA256))


def _torch_name(place: tuple[str, ...]) -> str:
    """Returns "fc.weight" for ("params", "fc", "kernel"), for example."""
    return ".".join((*place[1:-1], TORCH_NAMES[place[-1]]))


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """PyTorch's shape of a kernel of Flax: (out, in, kh, kw) for (kh, kw, in, out)."""
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _to_flax(values: np.ndarray) -> np.ndarray:
    """Converts a kernel from PyTorch's layout to Flax's; vectors stay unchanged."""
    return values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T


def _check(
    path: str,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises ValueError for the first entry whose name or shape is wrong."""
    unused = ("fc.bias", *(n for n in found if n.endswith(".num_batches_tracked")))
    advice = f"give {PUBLISHED_NAME} of torch-fidelity or pytorch-fid."
    for name, shape in sorted(expected.items()):
        if found.get(name) != shape:
            state = f"of shape {found[name]}" if name in found else "missing"
            raise ValueError(
                f"weights file {path}: entry {name!r} is {state}, but Inception-v3 "
                f"for FID has it of shape {shape}: {advice}"
            )
    for name in found:
        if name not in expected and name not in unused:
            raise ValueError(
                f"weights file {path}: entry {name!r} of shape {found[name]}, but "
                f"Inception-v3 for FID has none of that name: {advice}"
            )


def read_entries(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the arrays in a file by name: .npz, or a state dict of PyTorch.

    Raises:
      ValueError: the file is missing, damaged or of another kind.
    """
    try:
        if zipfile.is_zipfile(path):
            arrays = _read_archive(Path(path))
        else:
            with open(path, "rb") as file:
                arrays = _read_stream(file, os.fstat(file.fileno()).st_size)
        for name, array in arrays.items():
            if array.dtype.kind not in "fiu":
                raise _OtherFileError(f"its array {name!r} is {array.dtype}, no number")
        return arrays
    except Exception as error:  # A damaged pickle raises nearly every type.
        found = npz.cause(error)
        if not isinstance(error, _OtherFileError):
            found = f"it cannot be read ({found})"
        raise ValueError(
            f"weights file {path}: {found}, but it must be a state dict that PyTorch "
            f"saved or an .npz file of its arrays: give {PUBLISHED_NAME}, or with "
            "PyTorch save the state dict again: "
            "torch.save(torch.load(f, map_location='cpu'), g)."
        ) from error


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    """Reads an .npz file, or PyTorch's archive of a pickle and a file per storage."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if all(name.endswith(".npy") for name in names):
            return {
                name: npz.read(path, name) for name in npz.headers(path, packed=False)
            }
        npz.check_entries(archive, packed=False)
        pickles = [name for name in names if name.endswith("data.pkl")]
        if not pickles:
            raise _OtherFileError("it is a zip archive of something else")
        folder = pickles[0].removesuffix("data.pkl")
        with archive.open(pickles[0]) as file:
            tensors = _read_tensors(file)
        keys = {tensor.storage for tensor in tensors.values()}
        storages = {key: archive.read(f"{folder}data/{key}") for key in keys}
    return _arrays(tensors, storages)


def _read_stream(file: IO[bytes], whole: int) -> dict[str, np.ndarray]:
    """Reads a file from before PyTorch 1.6: five pickles, then counts and storages."""
    if file.read(len(STREAM_START)) != STREAM_START:
        raise _OtherFileError("it is no file of PyTorch, or not whole")
    for _ in ("version of the format", "sizes of integers"):
        _Unpickler(file).load()
    tensors = _read_tensors(file)
    dtypes = {tensor.storage: tensor.dtype for tensor in tensors.values()}
    storages = {}
    for key in _Unpickler(file).load():
        size = int.from_bytes(file.read(8), "little") * dtypes[key].itemsize
        left = whole - file.tell()
        if size > left:
            raise ValueError(f"storage {key}: {left} bytes of {size}")
        storages[key] = file.read(size)
    return _arrays(tensors, storages)


def _read_tensors(file: IO[bytes]) -> dict[str, _Tensor]:
    """The tensors of a state dict by name, without their values."""
    tensors = _Unpickler(file).load()
    if not isinstance(tensors, dict) or not all(
        isinstance(tensor, _Tensor) for tensor in tensors.values()
    ):
        raise _OtherFileError("its pickle holds something else than named tensors")
    return tensors


def _arrays(
    tensors: Mapping[str, _Tensor], storages: Mapping[str, bytes]
) -> dict[str, np.ndarray]:
    """Read-only views of the storages; NumPy refuses a view that exceeds its bytes."""
    arrays = {}
    for name, (key, dtype, offset, shape, strides) in tensors.items():
        size = dtype.itemsize
        steps = tuple(step * size for step in strides)
        arrays[name] = np.ndarray(shape, dtype, storages[key], offset * size, steps)
    return arrays


class _Unpickler(pickle._Unpickler):
    """Reads tensors as _Tensor, and runs no other code.

    It is the pickle module's version in Python, since the one in C takes as much memory
    as the number of an object in the pickle says.
    """

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Returns the object of a name, if a state dict needs that name."""
        if module == "torch" and name in DTYPES:
            return name
        if (module, name) in CALLABLES:
            return CALLABLES[module, name]
        raise _OtherFileError(f"its pickle asks for {module}.{name}")

    def persistent_load(self, pid: tuple[Any, ...]) -> tuple[Any, np.dtype[Any]]:
        """Returns the key and dtype of a storage: ("storage", type, key, ...)."""
        _, kind, key = pid[:3]
        return key, DTYPES[kind]

    def load_build(self: Any) -> None:
        """Sets no attributes of an object: those of a state dict are for PyTorch."""
        self.stack.pop()

    dispatch[pickle.BUILD[0]] = load_build
    # PyTorch's protocol 2 lacks these, whose sizes of eight bytes would be allocated.
    for _code in (b"\x8d", b"\x8e", b"\x96"):
        del dispatch[_code[0]]
