"""The raw files of MNIST and CelebA, and a check that they are complete."""

from collections.abc import Mapping
import hashlib
import pathlib
from typing import NamedTuple


class RawFile(NamedTuple):
    """Size in bytes and sha256 of a file, as TensorFlow Datasets registers them."""

    size: int
    sha256: str


RAW_FILES: Mapping[str, Mapping[str, RawFile]] = {
    "mnist": {
        "train-images-idx3-ubyte.gz": RawFile(
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        "train-labels-idx1-ubyte.gz": RawFile(
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        "t10k-images-idx3-ubyte.gz": RawFile(
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        "t10k-labels-idx1-ubyte.gz": RawFile(
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    },
    "celeb_a": {
        "img_align_celeba.zip": RawFile(
            1_443_490_838,
            "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
        ),
        "list_eval_partition.txt": RawFile(
            2_836_386,
            "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7",
        ),
        "list_attr_celeba.txt": RawFile(
            26_721_026,
            "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0",
        ),
        "list_landmarks_align_celeba.txt": RawFile(
            12_156_055,
            "6c02a87569907f6db2ba99019085697596730e8129f67a3d61659f198c48d43b",
        ),
        "identity_CelebA.txt": RawFile(
            3_424_458,
            "c6143857c3e2630ac2da9f782e9c1232e5e59be993a9d44e8a7916c78a6158c0",
        ),
    },
}

_PACKAGED_MNIST = pathlib.Path(__file__).parent / "mnist"

_ADVICE = {
    "mnist": (
        "Leave --config.data.manual_dir empty to use the files that come with gan_jax;"
        " if those are the wrong ones, restore them (git checkout gan_jax/data/mnist,"
        " or install again)."
    ),
    "celeb_a": (
        "Fetch them with a browser from"
        " https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (Google Drive often"
        " refuses programs, see tensorflow/datasets#1482), put all five into one"
        " folder and pass it as --config.data.manual_dir=FOLDER. If you have celeb_a"
        " prepared by TFDS, pass its folder as --config.data.data_dir."
    ),
}


def default_folder(name: str, data_dir: pathlib.Path) -> pathlib.Path:
    """The folder in which raw files are expected if config.data.manual_dir is empty."""
    return _PACKAGED_MNIST if name == "mnist" else data_dir / "downloads" / "manual"


def check(name: str, folder: pathlib.Path) -> None:
    """Checks presence, size and sha256 of the raw files of data set `name`.

    Raises:
      ValueError: files are missing or wrong; each is named, with both sizes.
    """
    problems = [
        problem
        for file_name, expected in RAW_FILES[name].items()
        if (problem := _problem(folder / file_name, expected))
    ]
    if problems:
        raise ValueError(
            f"{name} is not prepared yet, and of its raw files in {folder}"
            f" {'; '.join(problems)}. All {len(RAW_FILES[name])} files must be there,"
            " unchanged."
            f" {_ADVICE[name]}"
        )


def _problem(path: pathlib.Path, expected: RawFile) -> str:
    if not path.is_file():
        return f"{path.name} is missing ({expected.size:,} bytes)"
    size = path.stat().st_size
    if size != expected.size:
        kind = "truncated" if size < expected.size else "not the right file"
        return f"{path.name} is {kind} ({size:,} bytes, not {expected.size:,})"
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    if sha256 != expected.sha256:
        return f"{path.name} is damaged (sha256 {sha256}, not {expected.sha256})"
    return ""
