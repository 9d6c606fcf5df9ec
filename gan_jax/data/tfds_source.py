"""Image sets of TensorFlow Datasets (TFDS), mnist and celeb_a above all."""

import pathlib
import re
from typing import Any

from ml_collections import ConfigDict

from gan_jax import checks
from gan_jax.data import cache, raw_files, splits

# These versions are pinned, so that their cache is found without asking TFDS.
VERSIONS = {"mnist": "3.0.1", "celeb_a": "2.1.0"}
NUM_IMAGES = {  # by split, so that they are known before TFDS has prepared them
    "mnist": {"train": 60_000, "test": 10_000},
    "celeb_a": {"train": 162_770, "validation": 19_867, "test": 19_962},
}


def check(config: ConfigDict) -> None:
    """Refuses what can be told without asking TFDS.

    Raises:
      ValueError: a part of the split is empty; or MNIST or CelebA has no such split, or
        another number of classes.
    """
    splits.check(config.split)
    known = NUM_IMAGES.get(config.name)
    if not known:
        return
    unknown = sorted(splits.names(config.split).difference(known, ["all"]))
    if unknown:
        raise ValueError(
            f"config.data.split is {config.split!r}, but {config.name} has no split"
            f" {unknown[0]!r}{checks.nearest(unknown[0], known)}. Its splits are"
            f" {', '.join(known)}, whole or in parts such as 'train[:1000]'. Set"
            " --config.data.split to one."
        )
    if config.name == "mnist" and config.num_classes not in (0, 10):
        raise ValueError(
            f"config.data.num_classes is {config.num_classes}, but mnist has 10"
            " classes. Set --config.data.num_classes=10."
        )


def load(config: ConfigDict) -> cache.Dataset:
    """The arrays of a TFDS image set; TensorFlow is imported only to prepare them.

    Args:
      config: data section. `name` is the set's name in TFDS; `split` has TFDS's syntax
        ("train", "train[:1000]"); `label` names an attribute, a class label or a
        boolean feature. If it is empty, the feature "label" is used where there is one.

    Raises:
      ValueError: raw files are missing or damaged, the set has no images or TFDS cannot
        prepare it, the split or label is unknown, an image has no label, the prepared
        data are damaged, or the disk is full.
    """
    data_dir = cache.data_dir(config)
    full_name = _full_name(config.name, data_dir)
    key = _key(config, full_name)
    return cache.load_or_write(config, key, lambda: _read(config, full_name, data_dir))


def foresee(config: ConfigDict) -> cache.Outlook:
    """What `load` would have to prepare.

    Raises:
      ValueError: raw files are missing or damaged, or TFDS does not know the set.
    """
    data_dir = cache.data_dir(config)
    full_name = _full_name(config.name, data_dir)

    def look() -> tuple[int | None, str]:
        return count(config), _what_is_read(config, full_name, data_dir)

    return cache.foresee(config, _key(config, full_name), look)


def count(config: ConfigDict) -> int | None:
    """The most images that the split can have; None if that is not known here."""
    return NUM_IMAGES.get(config.name, {}).get(splits.whole(config.split))


def _key(config: ConfigDict, full_name: str) -> dict[str, str]:
    return {
        "source": full_name,
        "data_dir": str(cache.data_dir(config).resolve()),
        "split": config.split,
        "label": config.label,
    }


def _what_is_read(config: ConfigDict, full_name: str, data_dir: pathlib.Path) -> str:
    """What `_read` would read, in words.

    Raises:
      ValueError: raw files are missing or damaged.
    """
    name, version = full_name.split(":")
    if _is_prepared(data_dir, name, version):
        return f"images that TFDS has prepared in {data_dir / name / version}"
    first = f"images that TFDS prepares in {data_dir} first"
    if name not in raw_files.RAW_FILES:
        return f"{first}, from a download whose size is not known here"
    folder = _manual_dir(config) or raw_files.default_folder(name, data_dir)
    raw_files.check(name, folder)
    size = sum(file.size for file in raw_files.RAW_FILES[name].values())
    return f"{first}, from the raw files in {folder} ({size / 2**20:,.1f} MiB)"


def _is_prepared(data_dir: pathlib.Path, name: str, version: str) -> bool:
    return (data_dir / name / version / "dataset_info.json").exists()


def _manual_dir(config: ConfigDict) -> pathlib.Path | None:
    return pathlib.Path(config.manual_dir).expanduser() if config.manual_dir else None


def is_known(config: ConfigDict) -> bool:
    """Whether TFDS has a set of this name, or a prepared one lies in data_dir."""
    name = re.split("[:/]", config.name)[0]
    if not re.fullmatch(r"\w+", name):  # It may be a path, which is no name.
        return False
    if name in VERSIONS or (cache.data_dir(config) / name).is_dir():
        return True
    import tensorflow_datasets as tfds

    return name in tfds.list_builders(with_community_datasets=False)


def _full_name(name: str, data_dir: pathlib.Path) -> str:
    """`name:version`; a set that is not pinned has its newest prepared version."""
    if ":" in name:
        return name
    if name in VERSIONS:
        return f"{name}:{VERSIONS[name]}"
    prepared = [
        tuple(int(number) for number in folder.parent.name.split("."))
        for folder in (data_dir / name).glob("*/dataset_info.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", folder.parent.name)
    ]
    if prepared:
        return f"{name}:{'.'.join(str(number) for number in max(prepared))}"
    current = _reader().open_builder(name, data_dir).info.full_name
    return ":".join(current.rsplit("/", 1))


def _read(config: ConfigDict, full_name: str, data_dir: pathlib.Path) -> cache.Source:
    name, version = full_name.split(":")
    manual_dir = _manual_dir(config)
    download = name not in raw_files.RAW_FILES
    if not (_is_prepared(data_dir, name, version) or download):
        manual_dir = manual_dir or raw_files.default_folder(name, data_dir)
        raw_files.check(name, manual_dir)
    reader = _reader()
    builder = reader.open_builder(full_name, data_dir)
    source: cache.Source = reader.read(config, builder, manual_dir, download=download)
    return source


def _reader() -> Any:
    """The module tfds_reader, which imports TensorFlow: 5 s.

    Raises:
      ValueError: a package that it needs is not installed.
    """
    try:
        from gan_jax.data import tfds_reader
    except ModuleNotFoundError as error:
        raise ValueError(
            f"to prepare images of TFDS takes {error.name}, which is not installed: "
            "install the packages of requirements.txt, or copy the arrays, the folder "
            "gan_jax_cache, from a machine that has them to the same path here."
        ) from None
    return tfds_reader
