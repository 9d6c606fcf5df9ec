"""Prepares and reads data with TFDS; no other file of this folder needs TensorFlow."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import io
import pathlib
import re
import sys
import tempfile
from typing import Any

from absl import logging
from ml_collections import ConfigDict
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from gan_jax import checks
from gan_jax.data import cache, resize

_BATCH_SIZE = 128  # Images decoded at once; 64 to 1024 are equally fast.


def open_builder(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """The builder of a set, prepared or not.

    Args:
      name: name of the set in TFDS, with "/config" and ":version" where wanted.
      data_dir: folder of the prepared data.

    Raises:
      ValueError: TFDS does not know the name.
    """
    for kind in ("GPU", "TPU"):  # TensorFlow would take the memory that JAX needs.
        tf.config.set_visible_devices([], kind)
    try:
        with _quiet():
            return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # TFDS raises many types.
        raise ValueError(
            f"TFDS cannot open the set {name!r}: {_first_line(error)}. Its name may"
            " have a config and a version that TFDS knows, as in"
            " emnist/letters:3.1.0. Change --config.data.name."
        ) from error


def read(
    config: ConfigDict,
    builder: tfds.core.DatasetBuilder,
    manual_dir: pathlib.Path | None,
    *,
    download: bool,
) -> cache.Source:
    """The examples of config.split, cropped and resized.

    The set is prepared first if it is not prepared yet.

    Args:
      config: data section.
      builder: TFDS's builder of the set.
      manual_dir: folder of raw files, or None.
      download: False if manual_dir holds every raw file.

    Raises:
      ValueError: the set has no 8-bit images, the label or split is unknown, or TFDS
        cannot prepare the set.
    """
    features = dict(builder.info.features or {})
    image = features.get("image")
    if image is None or image.np_dtype != np.uint8 or len(image.shape) != 3:
        raise ValueError(
            f"The TFDS set {builder.info.full_name} has no 8-bit feature 'image'; its"
            f" features are {', '.join(features)}. gan_jax reads sets of single 8-bit"
            " images. Choose such a set by --config.data.name."
        )
    read_labels, num_classes = _find_label(features, config.label)
    if not builder.data_path.exists():
        _prepare(builder, manual_dir, download=download)
    num_examples = _count(builder, config.split)
    batch_size = 1 if None in image.shape else _BATCH_SIZE
    examples = _examples(config, builder, read_labels, batch_size)
    return cache.Source(examples, num_examples, num_classes)


def _prepare(
    builder: tfds.core.DatasetBuilder,
    manual_dir: pathlib.Path | None,
    *,
    download: bool,
) -> None:
    data_dir = pathlib.Path(builder.data_dir_root)
    logging.info(
        "Preparing %s in %s from %s. This is done once and takes half a minute for "
        "MNIST, more for larger sets.",
        builder.info.full_name,
        data_dir,
        "the network" if download else f"{manual_dir}: nothing is downloaded",
    )
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    download_config = tfds.download.DownloadConfig(
        manual_dir=manual_dir, try_download_gcs=False
    )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_quiet())
            download_dir = None  # None is data_dir / "downloads", where files stay.
            if not download:  # Only unpacked files come here, which nothing uses later.
                download_dir = stack.enter_context(tempfile.TemporaryDirectory())
            builder.download_and_prepare(
                download_dir=download_dir, download_config=download_config
            )
    except Exception as error:  # TFDS and TensorFlow raise nearly every type.
        if builder.data_path.exists():
            return  # Another process was first.
        raise ValueError(
            f"TFDS could not prepare {builder.info.full_name} in {data_dir}:"
            f" {_first_line(error)}. It needs the raw files, from a network or from"
            " --config.data.manual_dir, and a folder that can be written, on a disk"
            " with space. Mend that, or set --config.data.data_dir to another folder."
            " Data that are prepared only in part are never used."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TFDS, which reports downloads even where nothing is downloaded."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".:")


def _count(builder: tfds.core.DatasetBuilder, split: str) -> int:
    try:
        count = builder.info.splits[split].num_examples
    except Exception as error:  # KeyError, ValueError or AssertionError.
        raise ValueError(
            f"The split {split!r} of {builder.info.full_name} cannot be read:"
            f" {_first_line(error)}. Its splits are {', '.join(builder.info.splits)},"
            " whole or in parts such as 'train[:1000]'. Set --config.data.split to one."
        ) from error
    if count < 1:  # TFDS counts a part that ends before it starts below 0.
        raise ValueError(
            f"The split {split!r} of {builder.info.full_name} has 0 images. At least 1"
            " is needed. Set --config.data.split to a larger part."
        )
    return count


def _find_label(
    features: Mapping[str, Any], label: str
) -> tuple[Callable[[Mapping[str, Any]], np.ndarray], int]:
    """A function from a batch of examples to its labels, and the number of classes."""
    attributes = dict(features.get("attributes", {}))
    classes = {
        name: getattr(feature, "num_classes", None) or 2
        for name, feature in sorted({**attributes, **features}.items())
        if getattr(feature, "num_classes", None)
        or (feature.shape == () and feature.np_dtype == np.bool_)
    }
    if not label and "label" not in classes:
        return lambda batch: np.zeros(len(batch["image"]), np.int32), 1
    label = label or "label"
    if label not in classes:
        raise ValueError(
            f"The data have no label {label!r}{checks.nearest(label, classes)}. Known"
            f" labels: {', '.join(classes) or 'none'}. Set --config.data.label to one,"
            " or leave it empty."
        )
    if label in attributes:
        return lambda batch: batch["attributes"][label], classes[label]
    return lambda batch: batch[label], classes[label]


def _examples(
    config: ConfigDict,
    builder: tfds.core.DatasetBuilder,
    read_labels: Callable[[Mapping[str, Any]], np.ndarray],
    batch_size: int,
) -> Iterator[tuple[np.ndarray, int]]:
    # Files are read one after the other: their number does not change the order.
    read_config = tfds.ReadConfig(interleave_cycle_length=1)
    crop = {"crop": config.crop, "size": config.image_size, "channels": config.channels}
    try:
        with _quiet():
            examples = builder.as_dataset(
                split=config.split, shuffle_files=False, read_config=read_config
            )
        for batch in tfds.as_numpy(examples.batch(batch_size).prefetch(1)):
            for image, label in zip(batch["image"], read_labels(batch), strict=True):
                yield resize.crop_and_resize(image, **crop), int(label)
    except tf.errors.OpError as error:
        message = re.sub(r"\{\{.*?\}\} ?| \[Op:.*", "", error.message)
        raise ValueError(
            f"The prepared data in {builder.data_path} are damaged or not readable:"
            f" {message}. They should be as TFDS wrote them. Delete that folder,"
            " and the next run prepares it again."
        ) from error
