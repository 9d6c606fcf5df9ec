"""Progress, metrics and sample grids: what a run shows and writes while it trains."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
import tqdm

from gan_jax.evaluation import scores
from gan_jax.run import files
from gan_jax.run import images as images_lib
from gan_jax.training import events


class Clock:
    """Measures how fast a run trains, in steps per second.

    Evaluations do not count, and neither does the first call of several steps, since it
    compiles and warms up. Until the second call has ended, the speed is that of the
    first call after its compilation.
    """

    def __init__(self, step: int, before: Mapping[str, float] | None = None) -> None:
        """Starts the clock.

        Args:
          step: step at which the run starts or goes on.
          before: result of `reading` at that step; None or empty for a new run.
        """
        before = before or {}
        self._seconds_before = before.get("seconds", 0.0)
        self._lap_steps_before = before.get("lap_steps", 0)
        self._lap_seconds_before = before.get("lap_seconds", 0.0)
        self._start_step = self._lap_step = step
        self._first_rate: float | None = None
        self.restart()

    def restart(self) -> None:
        """Forgets the seconds that passed before the first call was compiled."""
        self._zero = self._start = self._lap = time.perf_counter()

    def tick(self, step: int) -> None:
        """Records that a call has ended at `step`."""
        if self._first_rate is None:
            self._first_rate = self.rate(step)
            self._start_step = self._lap_step = step
            self._start = self._lap = time.perf_counter()

    def _rate(self, steps: float, seconds: float) -> float:
        if steps == 0 and self._first_rate is not None:
            return self._first_rate
        return steps / seconds

    def rate(self, step: int) -> float:
        """Steps per second from the start of this process up to `step`."""
        seconds = time.perf_counter() - self._start
        return self._rate(step - self._start_step, seconds)

    def lap(self, step: int) -> float:
        """Steps per second since the last lap; starts a new lap."""
        rate = self._rate(*self._since_lap(step))
        self._lap_step, self._lap = step, time.perf_counter()
        self._lap_steps_before, self._lap_seconds_before = 0, 0.0
        return rate

    def _since_lap(self, step: int) -> tuple[float, float]:
        """Steps and seconds of this lap, including those before an interruption."""
        return (
            self._lap_steps_before + step - self._lap_step,
            self._lap_seconds_before + time.perf_counter() - self._lap,
        )

    def seconds(self) -> float:
        """Seconds since the first call was compiled, without evaluations.

        Seconds of the run before an interruption count too.
        """
        return self._seconds_before + time.perf_counter() - self._zero

    def reading(self, step: int) -> dict[str, float]:
        """The state of the clock as a JSON object, for a run that goes on at `step`."""
        steps, seconds = self._since_lap(step)
        return {"seconds": self.seconds(), "lap_steps": steps, "lap_seconds": seconds}

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """A context in which seconds do not count."""
        before = time.perf_counter()
        try:
            yield
        finally:
            pause = time.perf_counter() - before
            self._zero += pause
            self._start += pause
            self._lap += pause


def progress_line(
    step: int,
    num_steps: int,
    *,
    scalars: Mapping[str, float],
    images_per_second: float,
    seconds_left: float,
) -> str:
    """A line of about 100 characters that shows the progress of the run."""
    left = tqdm.tqdm.format_interval(round(seconds_left))
    return (
        f"step {step}/{num_steps}"
        f"  d_loss {scalars['d_loss']:.3f}  g_loss {scalars['g_loss']:.3f}"
        f"  D(x) {scalars['d_real']:.2f}"
        f"  D(G(z)) {scalars['d_fake_before']:.2f} / {scalars['d_fake_after']:.2f}"
        f"  {images_per_second:.0f} images/s  {left} left"
    )


class Outputs:
    """The terminal's progress line, metrics.jsonl, sample grids and trackers."""

    def __init__(
        self,
        workdir: Path,
        *,
        first_step: int,
        num_steps: int,
        batch_size: int,
        trackers: Sequence[events.EventWriter],
        worker: files.Worker,
        real_images: np.ndarray,
        progress: Mapping[str, Any],
    ) -> None:
        """Opens the outputs of a run that goes on from `first_step`.

        Args:
          workdir: folder of the run.
          first_step: number of steps done before; later lines of metrics.jsonl are
            dropped.
          num_steps: number of steps of the whole run.
          batch_size: number of images in a step.
          trackers: writers of copies of the metrics, which `close` closes.
          worker: thread that writes the sample grids; is closed before.
          real_images: as many real images (N, H, W, C) as a sample grid has.
          progress: result of `progress` at `first_step`, empty for a new run.
        """
        self._workdir = workdir
        self._num_steps = num_steps
        self._batch_size = batch_size
        self._trackers = trackers
        self._worker = worker
        self._real_distance = images_lib.mean_distance(real_images)
        self._extent = 1.25 * float(np.abs(real_images).max())
        self._distances: dict[str, float] = progress.get("distances", {})
        # Since the last log, which may lie before the step that the run goes on from.
        self._totals: dict[str, float] = dict(progress.get("totals", {}))
        self._num_summed = progress.get("num_summed", 0)
        self._line_width = 0
        self._metrics = workdir / files.METRICS
        files.drop_lines_after(self._metrics, first_step)
        self.clock = Clock(first_step, progress.get("clock"))

    def progress(self, step: int) -> dict[str, Any]:
        """The state of the logs as a JSON object, for a run that goes on at `step`."""
        return {
            "clock": self.clock.reading(step),
            "num_summed": self._num_summed,
            "totals": dict(self._totals),  # later steps are added to it
            "distances": self._distances,
        }

    def add(self, step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Adds the metrics (T,) of the call that ended at `step`."""
        for name, values in metrics.items():  # in order: an interruption changes no sum
            total = self._totals.get(name, 0.0) + np.sum(values, dtype=np.float64)
            self._totals[name] = float(total)
        self._num_summed += len(next(iter(metrics.values())))
        self.clock.tick(step)
        if sys.stdout.isatty():
            means = {name: float(np.mean(values)) for name, values in metrics.items()}
            self._show(step, means, end="")

    def log(self, step: int) -> dict[str, float]:
        """Writes and returns the means since the last log, and the seconds."""
        scalars = {name: x / self._num_summed for name, x in self._totals.items()}
        scalars |= self._distances
        scalars["steps_per_second"] = self.clock.lap(step)
        scalars["seconds"] = self.clock.seconds()
        self._show(step, scalars, end="\n")
        files.append_line(self._metrics, {"step": step, **scalars})
        for tracker in self._trackers:
            tracker.write_scalars(step, scalars)
        self._totals, self._num_summed, self._distances = {}, 0, {}
        return scalars

    def save_samples(
        self,
        step: int,
        images: np.ndarray,
        columns: int,
        *,
        relabelled: np.ndarray | None = None,
    ) -> None:
        """Starts to write a picture of generated images (N, H, W, C) as samples/step_*.

        The next log has `sample_distance`, the mean distance of these images from each
        other divided by that of real images. It is near 1 as long as the generator has
        not collapsed. For a conditional run it also has `label_distance`, the mean
        change of an image by another label, divided by the mean distance of the images
        from each other. It is 0 if the generator ignores its labels. A grid of a single
        image has neither.

        Args:
          step: number of steps done.
          images: images of the grid.
          columns: number of images in a row.
          relabelled: images of the same latents and other labels; None for a run
            without labels.
        """
        images = images_lib.as_stored(images)
        self._distances = {}
        if len(images) > 1:
            distance = images_lib.mean_distance(images)
            real_distance = max(self._real_distance, 1e-9)
            self._distances["sample_distance"] = distance / real_distance
            if relabelled is not None:
                others = images_lib.as_stored(relabelled)
                change = images_lib.mean_change(images, others)
                self._distances["label_distance"] = change / max(distance, 1e-9)

        def write() -> None:
            grid = images_lib.make_picture(images, columns, extent=self._extent)
            images_lib.save_png(self._workdir / "samples" / f"step_{step:07}.png", grid)
            for tracker in self._trackers:
                tracker.write_image(step, "samples", grid)

        self._worker.submit(write)

    def log_scores(self, step: int, found: Mapping[str, scores.Scores]) -> None:
        """Shows and writes the scores of each named generator."""
        table = {f"step {step} {kind}": one for kind, one in found.items()}
        print(scores.format_table(table), flush=True)
        scalars = {
            f"evaluation/{kind}/{name}": number.value
            for kind, one in found.items()
            for name, number in one.numbers.items()
        }
        for tracker in self._trackers:
            tracker.write_scalars(step, scalars)

    def close(self) -> None:
        """Ends the progress line and the trackers."""
        if self._line_width:
            print(flush=True)
        for tracker in self._trackers:
            tracker.close()

    def _show(self, step: int, scalars: Mapping[str, float], *, end: str) -> None:
        steps_per_second = self.clock.rate(step)
        line = progress_line(
            step,
            self._num_steps,
            scalars=scalars,
            images_per_second=steps_per_second * self._batch_size,
            seconds_left=(self._num_steps - step) / steps_per_second,
        )
        # A shorter line must cover the line that it replaces.
        start = "\r" if self._line_width else ""
        print(start + line.ljust(self._line_width), end=end, flush=True)
        self._line_width = 0 if end else len(line)
