"""TensorBoard events by clu, in a thread of their own."""

from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

from absl import logging
import numpy as np


def _open_writer(workdir: Path) -> Any:
    # TensorFlow takes seconds to import: here it does so beside the compilation.
    import tensorflow as tf

    for kind in ("GPU", "TPU"):  # or it would take the device's memory
        tf.config.set_visible_devices([], kind)
    from clu import metric_writers

    return metric_writers.SummaryWriter(str(workdir))


class EventWriter:
    """Writes scalars and images as TensorBoard events without holding up the steps."""

    def __init__(self, workdir: Path) -> None:
        """Starts to import TensorFlow and to open the event file."""
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="events")
        self._writer = self._thread.submit(_open_writer, workdir)

    def _submit(self, write: Callable[[Any], None]) -> None:
        def attempt() -> None:
            try:
                write(self._writer.result())
            except Exception as error:  # events are a view; the run goes on
                logging.warning("TensorBoard event not written: %s", error)

        self._thread.submit(attempt)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds scalars of one step."""
        self._submit(lambda writer: writer.write_scalars(step, scalars))

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds an (H, W, C) uint8 image of one step."""
        self._submit(lambda writer: writer.write_images(step, {name: image[None]}))

    def close(self) -> None:
        """Returns once everything is written."""
        self._submit(lambda writer: writer.close())
        self._thread.shutdown()
