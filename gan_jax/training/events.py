"""TensorBoard events, written by clu in a separate thread."""

from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

from absl import logging
import numpy as np


def _open_writer(workdir: Path) -> Any:
    # TensorFlow takes seconds to import, while the main thread compiles.
    import tensorflow as tf

    for kind in ("GPU", "TPU"):  # TensorFlow would take the device's memory
        tf.config.set_visible_devices([], kind)
    from clu import metric_writers

    return metric_writers.SummaryWriter(str(workdir))


class EventWriter:
    """Writes scalars and images as TensorBoard events without delaying the steps."""

    def __init__(self, workdir: Path) -> None:
        """Starts to import TensorFlow and to open the event file."""
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="events")
        self._writer = self._thread.submit(_open_writer, workdir)

    def _submit(self, write: Callable[[Any], None]) -> None:
        def attempt() -> None:
            try:
                write(self._writer.result())
            except Exception as error:  # the run does not need events
                logging.warning("TensorBoard event not written: %s", error)

        self._thread.submit(attempt)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the scalars of a step."""
        self._submit(lambda writer: writer.write_scalars(step, scalars))

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds an image (H, W, C) uint8 of a step."""
        self._submit(lambda writer: writer.write_images(step, {name: image[None]}))

    def close(self) -> None:
        """Returns when everything is written."""
        self._submit(lambda writer: writer.close())
        self._thread.shutdown()
