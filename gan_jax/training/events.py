"""Copies of a run's metrics for TensorBoard and for a tracker of the user's own.

They are written in a separate thread, so that no step waits for them. A run does not
need them: what cannot be written is said once in a warning.
"""

from collections.abc import Callable, Mapping
from concurrent import futures
import functools
from pathlib import Path
from typing import Any, Protocol

from absl import logging
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, own_parts


class Tracker(Protocol):
    """Shows a run elsewhere. Every MetricWriter of clu has these methods."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the scalars of a step."""

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Adds images (1, H, W, C) uint8 of a step."""

    def close(self) -> None:
        """Returns when everything is written."""


Open = Callable[[Path, Mapping[str, Any]], Tracker]
_ALLOWED = "empty, or module:name, which is imported from the working directory"
TRACKER = checks.Range(
    _ALLOWED, lambda name: not name or own_parts.is_named(name), (str,), _ALLOWED
)


def load(name: str) -> Open:
    """The function `module:name`, which opens a tracker.

    It is called with the folder of the run and with its config, once in each process
    that trains the run.

    Raises:
      ValueError: there is no such function, or it takes other arguments.
    """
    opener: Open = own_parts.load(name, field="tracker")
    arguments = ("workdir", "config")
    own_parts.check_call(opener, name, field="tracker", positional=arguments)
    return opener


def _open_tensorboard(workdir: Path, config: Mapping[str, Any]) -> Tracker:
    """A writer of TensorBoard's event files, which is clu's."""
    del config
    # TensorFlow takes seconds to import, while the main thread compiles.
    import tensorflow as tf

    for kind in ("GPU", "TPU"):  # TensorFlow would take the device's memory
        tf.config.set_visible_devices([], kind)
    from clu import metric_writers

    writer: Tracker = metric_writers.SummaryWriter(str(workdir))
    return writer


class EventWriter:
    """Writes scalars and images to a tracker without delaying the steps."""

    def __init__(self, name: str, opener: Callable[[], Tracker]) -> None:
        """Starts to open the tracker.

        Args:
          name: name of the tracker, for warnings.
          opener: function that opens the tracker.
        """
        self._name = name
        self._has_failed = False
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="events")
        self._tracker = self._thread.submit(opener)

    def _submit(self, write: Callable[[Tracker], None]) -> None:
        def attempt() -> None:
            try:
                write(self._tracker.result())
            except Exception as error:  # the run does not need events
                if not self._has_failed:
                    logging.warning("%s: not written: %s", self._name, error)
                self._has_failed = True

        self._thread.submit(attempt)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the scalars of a step."""
        self._submit(lambda tracker: tracker.write_scalars(step, scalars))

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds an image (H, W, C) uint8 of a step."""
        self._submit(lambda tracker: tracker.write_images(step, {name: image[None]}))

    def close(self) -> None:
        """Returns when everything is written."""
        self._submit(lambda tracker: tracker.close())
        self._thread.shutdown()


def open_writers(config: ConfigDict, workdir: Path) -> list[EventWriter]:
    """A writer for TensorBoard and one for the tracker, as the config asks for them."""
    openers: dict[str, Open] = {}
    if config.tensorboard:
        openers["TensorBoard"] = _open_tensorboard
    if config.tracker:
        openers[config.tracker] = load(config.tracker)
    fields = config.to_dict()
    return [
        EventWriter(name, functools.partial(opener, workdir, fields))
        for name, opener in openers.items()
    ]
