"""The training loop: call after call of a run's program, until the end or a signal."""

import collections
from collections.abc import Callable, Iterator
import contextlib
import signal
import time
from typing import Any

from absl import logging
import jax
from ml_collections import ConfigDict
import numpy as np

from gan_jax import parallel
from gan_jax.data import feed
from gan_jax.training import programs
from gan_jax.training import writer as writer_lib


@contextlib.contextmanager
def catching_signals() -> Iterator[Callable[[], list[str]]]:
    """A context with a function that starts to catch SIGTERM and SIGINT.

    From its first call to the end of the context they are caught; a second one kills.
    Each call gives the list to which the names of the signals are added as they come.
    """
    caught: list[str] = []
    previous: dict[signal.Signals, Any] = {}
    second: dict[signal.Signals, Any] = {
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGINT: signal.default_int_handler,
    }

    def handle(number: Any, frame: Any) -> None:
        del frame
        caught.append(signal.Signals(number).name)
        signal.signal(number, second[number])

    def catch() -> list[str]:
        if not previous:
            previous.update({x: signal.signal(x, handle) for x in second})
        return caught

    try:
        yield catch
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_steps(
    config: ConfigDict,
    state: Any,
    inputs: feed.Feed,
    *,
    call: Callable[..., Any],
    key: Any,
    first_step: int,
    writer: Any,
    on_first_call: Callable[[], None],
    catch: Callable[[], list[str]],
) -> int:
    """Runs the remaining steps and returns the last one that was done.

    While a call runs, the metrics of the one before are fetched and what was due after
    it is written, so that the device never waits for the host. Only an evaluation is
    waited for: it takes the cores or the device that the next call needs. A signal that
    reached any host reaches all of them with the metrics, so that they leave after the
    same step, the last of which is saved. In the same way all hosts leave once all runs
    of the program have failed.

    Args:
      config: the whole config.
      state: the replicated GANState after first_step steps; donated.
      inputs: the batches of the steps from first_step on.
      call: several compiled steps, see programs.make_call.
      key: the run's train key, the last argument of the compiled step.
      first_step: steps done before.
      writer: host 0's writer_lib.Writer, or sweep.Writers; None on the others.
      on_first_call: is called once, when steps have been done that are not saved.
      catch: starts to catch signals, see catching_signals.
    """
    # Not parallel.replicate, whose second copy is for what is donated.
    resident = parallel.place(jax.tree.map(parallel.on_each_device, inputs.resident))
    calls = inputs.calls
    del inputs  # the host's copy of the data
    last, step, leaving = config.num_train_steps, first_step, False
    in_flight: collections.deque[tuple[int, Any, Any]] = collections.deque()

    def settle() -> bool:
        done, outcome, kept = in_flight.popleft()
        metrics, stop = jax.tree.map(np.asarray, outcome)
        if writer:
            writer.settle(done, metrics)
            if kept:
                writer.write(done, kept)
        return bool(stop)

    logging.info(
        "Compiling the step: up to a minute, less the next time. Then there is a line "
        "every %d steps.",
        config.log_every_steps or last,
    )
    caught = catch()
    with contextlib.closing(calls):
        for one in calls:
            start = time.perf_counter()
            is_over = bool(caught) or bool(writer and writer.has_failed)
            stop = parallel.on_each_device(np.int32(is_over))
            state, *outcome = call(state, resident, one, key, stop)
            if step == first_step:
                on_first_call()
                logging.info("Compiled in %.1f s.", time.perf_counter() - start)
                if writer:
                    writer.start_clock()
            step += programs.steps_per_call(config, first_step)
            outcome = parallel.start_fetch(parallel.copy_first_replica(outcome))
            boundary = writer and writer_lib.is_boundary(config, step)
            kept = writer.keep(step, state) if boundary else None
            in_flight.append((step, outcome, kept))
            waits = step == last or writer_lib.is_evaluated(config, step)
            while len(in_flight) > (0 if waits or leaving else 1):
                leaving = settle() or leaving
            if writer and leaving:
                writer.save(step, state)
            if leaving:
                break
    if caught and step < last:
        logging.info(
            "Left after step %d because of %s: the same command goes on from there.",
            step,
            caught[0],
        )
    return step
