"""The readers of strangers' files, and the hostile files that each of them is given."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any, NamedTuple

from flax import traverse_util
from hypothesis import strategies as st
import jax
from ml_collections import ConfigDict
import numpy as np
from PIL import Image

from configs import default
from experiments.faults.hostile import (
    array_files,
    edits,
    image_files,
    run_folders,
    weight_files,
)
import gan_jax
from gan_jax import data, runs
from gan_jax.data import array
from gan_jax.evaluation import classifier, inception_weights
from gan_jax.page import history, render

SLOW = ("generator .npz", "run: load", "run: lines, page")  # build networks or pages
NAMES = (
    *("folder of images", "array .npz", "array .npy", "evaluate --images"),
    *("classifier's weights", "Inception's weights", *SLOW),
)


class Target(NamedTuple):
    """A reader, and the files that it is given.

    Attributes:
      files: strategy of the files; the first of them is the one that is read.
      read: function of the path of that file, or of its folder.
    """

    files: st.SearchStrategy[edits.Files]
    read: Callable[[Path], Any]


def targets(run: Path, generator: bytes) -> dict[str, Target]:
    """All readers by name.

    Args:
      run: folder of a good run with a checkpoint of step 4 and scores.
      generator: its generator as an .npz file.
    """
    arrays = array_files.npz_contents(array_files.images_with_labels())
    npz = st.builds(
        lambda folder, content: {f"{folder}/images.npz": content},
        st.sampled_from(["labels", "smiling"]),
        arrays,
    )
    either = st.one_of(arrays, array_files.npy_contents())
    folders = run_folders.changed(run).map(
        lambda files: {f"run/{name}": content for name, content in files.items()}
    )
    return {
        "folder of images": Target(image_files.folders(), read_folder),
        "array .npz": Target(npz, read_array),
        "array .npy": Target(
            array_files.npy_contents().map(lambda x: {"a/images.npy": x}), read_array
        ),
        "evaluate --images": Target(either.map(lambda x: {"a.npz": x}), read_images),
        "classifier's weights": Target(weight_files.classifiers(), read_classifier),
        "Inception's weights": Target(weight_files.inceptions(), read_inception),
        "generator .npz": Target(weight_files.generators(generator), read_generator),
        "run: load": Target(folders, lambda path: read_run(_run_of(path))),
        "run: lines, page": Target(folders, lambda path: read_lines(_run_of(path))),
    }


def _run_of(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "run")


def read_folder(path: Path) -> bool:
    """Reads the image together with a good one; whether it was used."""
    Image.new("RGB", (8, 8), "red").save(path.with_name("good.png"))
    dataset = data.create(_data_config("folder", path.parent))
    assert dataset.images.shape[1:] == (8, 8, 3), dataset.images.shape
    assert (dataset.images[-1] == (255, 0, 0)).all()
    return len(dataset.images) == 2


def read_array(path: Path) -> bool:
    """Reads an array file by its labels, or by an attribute, as its name says."""
    config = _data_config("array", path)
    config.label = "smiling" if path.parent.name == "smiling" else ""
    dataset = data.create(config)
    assert dataset.images.shape[1:] == (8, 8, 3) and dataset.images.dtype == np.uint8
    return True


def _data_config(name: str, path: Path) -> ConfigDict:
    config = default.get_config().data
    config.update(name=name, manual_dir=str(path), image_size=8, channels=3)
    config.update(cache_dir=str(path.parent / "cache"), num_classes=0)
    return config


def read_images(path: Path) -> bool:
    """Reads images that gan_jax.evaluate is to score."""
    try:
        images, labels = array.read_whole(path, most=2**28)
    except ValueError as error:  # the command names the file
        raise ValueError(f"{path}: {error}") from error
    assert isinstance(images, np.ndarray)
    assert labels is None or isinstance(labels, np.ndarray)
    return True


def read_classifier(path: Path) -> bool:
    """Reads a classifier."""
    weights = classifier.load(path)
    json.dumps(weights.facts)
    return True


def read_inception(path: Path) -> bool:
    """Reads weights for a small net as those of Inception-v3."""
    shapes = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, np.float32),
        weight_files.SMALL,
        is_leaf=lambda node: isinstance(node, tuple),
    )
    weights = inception_weights.read(path, shapes)
    for name, leaf in traverse_util.flatten_dict(weights.variables, sep="/").items():
        assert leaf.dtype == np.float32, name
    return True


def read_generator(path: Path) -> bool:
    """Reads a generator and draws an image."""
    run = gan_jax.load(path)
    images = run.sample(1, label=0 if run.is_conditional else None)
    assert images.shape[0] == 1
    return True


def read_run(workdir: Path) -> bool:
    """Reads a run and draws an image."""
    run = gan_jax.load(workdir)
    run.sample(1, label=0 if run.is_conditional else None)
    return True


def read_lines(workdir: Path) -> bool:
    """Lists a run and makes its page."""
    shipped = {"default": default.get_config()}
    row = runs.describe(workdir, "run")
    runs.format_table([row]).encode()
    page = render.page(history.read_all([workdir]), shipped, grids=4)
    page.encode(errors="replace")
    return row.state != "damaged"
