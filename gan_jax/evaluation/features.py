"""Features of images: named extractors, and a cache for the features of real images."""

from collections.abc import Callable
import hashlib
from pathlib import Path
from typing import NamedTuple
import uuid
from zipfile import BadZipFile

from absl import logging
import numpy as np
import tqdm

from gan_jax import checks
from gan_jax.evaluation import classifier, inception

FORMAT = 2  # part of every cache key: raise it when an extractor computes otherwise
BATCH = 500  # number of images whose features are computed at once


class Features(NamedTuple):
    """What an extractor makes of N images.

    Attributes:
      values: (N, F) float32 features.
      probabilities: (N, K) float32 probabilities of the classes that the extractor
        knows; None if it knows no classes.
    """

    values: np.ndarray
    probabilities: np.ndarray | None


class Extractor(NamedTuple):
    """A named function from images to features.

    Attributes:
      name: name in EXTRACTORS.
      digest: SHA-256 of the weights file, "" without a file.
      extract: function from images (B, H, W, C) uint8 to Features.
    """

    name: str
    digest: str
    extract: Callable[[np.ndarray], Features]


def _pixels(images: np.ndarray) -> Features:
    flat = images.reshape(len(images), -1).astype(np.float32)
    return Features(flat / 255 if images.dtype == np.uint8 else flat, None)


def _classifier(name: str, path: Path) -> Extractor:
    weights = classifier.load(path)
    return Extractor(
        name,
        classifier.digest(path),
        lambda images: Features(*classifier.predict(weights, images)),
    )


def _shipped() -> Extractor:
    extractor = _classifier("mnist", classifier.MNIST_WEIGHTS)
    if extractor.digest != classifier.MNIST_SHA256:
        raise ValueError(
            f"{classifier.MNIST_WEIGHTS} has the sha256 {extractor.digest}, but the "
            f"shipped file has {classifier.MNIST_SHA256}: restore it, or name yours "
            "as --weights with --extractor=classifier."
        )
    return extractor


def _stacked(digits: Extractor) -> Extractor:
    """Reads three digits in an image: joins features and multiplies probabilities."""

    def extract(images: np.ndarray) -> Features:
        if images.shape[-1] != 3:
            raise ValueError(
                f"the extractor 'stacked_mnist' got images {images.shape}, but reads a "
                "digit in each of three channels: set --extractor=mnist, or data of "
                "--config.data.name=stacked_mnist."
            )
        each = [digits.extract(images[..., [channel]]) for channel in range(3)]
        values = np.concatenate([one.values for one in each], axis=1)
        a, b, c = (np.asarray(one.probabilities) for one in each)
        joint = a[:, :, None, None] * b[:, None, :, None] * c[:, None, None, :]
        return Features(values, joint.reshape(len(images), -1))

    return Extractor("stacked_mnist", digits.digest, extract)


def _inception(path: Path) -> Extractor:
    weights = inception.load_weights(path)
    if not weights.is_published:
        logging.warning(
            "%s is not the published file: if its weights are others, these are not "
            "the FID, KID and score of papers.",
            path,
        )
    return Extractor(
        "inception",
        weights.sha256,
        lambda images: Features(*inception.predict(weights, images)),
    )


EXTRACTORS = ("pixels", "mnist", "stacked_mnist", "classifier", "inception")


SHAPES = {"mnist": (28, 28, 1), "stacked_mnist": (28, 28, 3)}  # (H, W, C) of the images
CLASSES = {"mnist": 10, "stacked_mnist": 1_000}  # that the extractors know


def check(name: str, weights: str, shape: tuple[int, int, int]) -> None:
    """Refuses an extractor that cannot read images (H, W, C); opens no weights.

    Raises:
      ValueError: the name is unknown, the weights are missing or not needed, or the
        shipped classifier does not read images of this shape.
    """
    _check_weights(name, weights)
    if shape != SHAPES.get(name, shape):
        raise ValueError(
            f"the images are {shape}, but the extractor {name!r} was trained on "
            f"{SHAPES[name]} (height, width, channels): set "
            "--config.evaluation.extractor=pixels, or classifier with one trained by "
            "gan_jax.train_classifier."
        )


def _check_weights(name: str, weights: str) -> None:
    advice = "set --extractor or --config.evaluation.extractor"
    checks.check("extractor", name, checks.one_of(EXTRACTORS), advice=advice)
    wanted = name in ("classifier", "inception")
    if wanted != bool(weights):
        raise ValueError(
            f"extractor {name!r} "
            + ("needs a weights file" if wanted else f"takes no weights, not {weights}")
            + f": {'give' if wanted else 'leave out'} --weights or "
            "--config.evaluation.weights"
            + ("; README says where to get the file." if name == "inception" else ".")
        )
    path = Path(weights).expanduser()
    if wanted and not path.is_file():
        raise ValueError(
            f"the weights file {path} of the extractor {name!r} does not exist: give "
            "one as --weights or --config.evaluation.weights."
        )


def create(name: str, weights: str = "") -> Extractor:
    """The extractor of a name.

    Args:
      name: "pixels", whose features are pixels in [0, 1] or the coordinates of points;
        "mnist", the shipped classifier of 28x28 grey digits; "stacked_mnist", the same
        classifier on each of three channels, with 1,000 classes; "classifier", a
        classifier made by gan_jax.train_classifier; "inception", the Inception-v3 of
        FID.
      weights: weights file of "classifier" or "inception"; "" for the others.

    Raises:
      ValueError: the name is unknown, the weights are missing or not needed, or the
        file does not hold them.
    """
    _check_weights(name, weights)
    if name == "pixels":
        return Extractor(name, "", _pixels)
    if name == "mnist":
        return _shipped()
    if name == "stacked_mnist":
        return _stacked(_shipped())
    path = Path(weights).expanduser()
    return _inception(path) if name == "inception" else _classifier(name, path)


def extract(extractor: Extractor, images: np.ndarray) -> Features:
    """Features of images (N, H, W, C) uint8, in batches and with a progress bar."""
    starts = range(0, len(images), BATCH)
    parts = [
        extractor.extract(np.asarray(images[first : first + BATCH]))
        for first in tqdm.tqdm(
            starts,
            extractor.name,
            unit_scale=BATCH,
            unit=" images",
            delay=5,
            disable=None,
            leave=False,
        )
    ]
    probabilities = [part.probabilities for part in parts]
    return Features(
        np.concatenate([part.values for part in parts]),
        None
        if any(part is None for part in probabilities)
        else np.concatenate([part for part in probabilities if part is not None]),
    )


def extract_once(extractor: Extractor, images: np.ndarray, folder: Path) -> Features:
    """Does what `extract` does, and keeps the features in a file of `folder`.

    The file is named by a hash of the images and the extractor.
    """
    key = hashlib.sha256(f"{FORMAT} {extractor.name} {extractor.digest}".encode())
    key.update(f"{images.shape}".encode())
    for first in range(0, len(images), BATCH):
        key.update(images[first : first + BATCH].tobytes())
    path = folder / f"features-{extractor.name}-{key.hexdigest()[:16]}.npz"
    if path.exists():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return Features(arrays["values"], arrays.get("probabilities"))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            logging.warning(
                "%s cannot be read (%s): the features are computed again.", path, error
            )
    features = extract(extractor, images)
    arrays = {name: x for name, x in features._asdict().items() if x is not None}
    unfinished = path.with_name(f".{uuid.uuid4().hex}.npz")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(unfinished, allow_pickle=False, **arrays)
        unfinished.replace(path)
    except OSError as error:  # only the next run must compute them again
        logging.warning("%s could not be written: %s.", path, error.strerror)
    finally:  # after Ctrl-C too
        unfinished.unlink(missing_ok=True)
    return features
