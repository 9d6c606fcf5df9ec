"""Raw files of MNIST and CelebA: each that is missing or damaged is named."""

import os
import pathlib
import shutil

import pytest

from configs import default
from gan_jax import data
from gan_jax.data import raw_files, tfds_source

MNIST = pathlib.Path(data.__file__).parent / "mnist"


def make_config(folder: pathlib.Path, **fields):
    """The data section of a config that writes below `folder` only."""
    config = default.get_config().data
    config.update({"data_dir": str(folder), "cache_dir": str(folder / "cache")})
    config.update(fields)
    return config


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), r"is missing \(28,881 bytes\)"),
        (lambda path: os.truncate(path, 99), r"truncated \(99 bytes, not 28,881\)"),
        (
            lambda path: path.write_bytes(bytes(28_881)),
            "damaged .sha256 [0-9a-f]{64}, not 3552534a0a558bbed6aed32b30c495cca23",
        ),
        (lambda path: path.write_bytes(bytes(30_000)), "not the right file .30,000"),
    ],
    ids=["missing", "truncated", "damaged", "other"],
)
def test_damaged_mnist_file_is_named(tmp_path, damage, message):
    manual_dir = tmp_path / "mnist"
    shutil.copytree(MNIST, manual_dir)
    damage(manual_dir / "train-labels-idx1-ubyte.gz")
    config = make_config(tmp_path, manual_dir=str(manual_dir))
    with pytest.raises(ValueError, match=f"train-labels-idx1-ubyte.gz.*{message}"):
        data.create(config)
    assert not list(tmp_path.glob("cache/[!.]*"))


@pytest.mark.parametrize("name", ["mnist", "celeb_a"])
def test_raw_files_are_those_that_tfds_registers(tmp_path, name):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums

    builder = tfds.builder(name, data_dir=tmp_path)
    registered = checksums.get_all_url_infos() | (builder.url_infos or {})
    expected = {
        (info.filename, info.size, info.checksum) for info in registered.values()
    }
    ours = {(name, *file) for name, file in raw_files.RAW_FILES[name].items()}
    assert ours <= expected
    assert str(builder.version) == tfds_source.VERSIONS[name]


def test_missing_celeb_a_names_the_five_files_with_their_sizes(tmp_path):
    config = make_config(tmp_path, name="celeb_a")
    with pytest.raises(ValueError, match="manual_dir=FOLDER") as error:
        data.create(config)
    assert "tensorflow/datasets#1482" in str(error.value)
    assert "img_align_celeba.zip is missing (1,443,490,838 bytes)" in str(error.value)
    for name in raw_files.RAW_FILES["celeb_a"]:
        assert name in str(error.value)


def test_truncated_celeb_a_file_is_named_with_both_sizes(tmp_path):
    config = make_config(tmp_path, name="celeb_a", manual_dir=str(tmp_path))
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    message = r"list_eval_partition.txt is truncated \(13 bytes, not 2,836,386\)"
    with pytest.raises(ValueError, match=message):
        data.create(config)
