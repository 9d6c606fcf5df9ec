"""How Ctrl-C and SIGTERM end a command, whatever it is doing."""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import sys
import threading
from types import TracebackType
from typing import Any, NoReturn

INTERRUPTED = 130  # exit status that shells give to a process that Ctrl-C ended
PAUSE = 0.1  # seconds until an interrupt that was lost is repeated


def leave() -> NoReturn:
    """Says that the command was interrupted, and ends the process at once.

    Python's own exit would wait for what JAX still computes, or crash in it. Contexts
    and `finally` have been left before.
    """
    print("error: interrupted.", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(INTERRUPTED)


def install() -> None:
    """Makes an interrupt end this process without a traceback, from now on.

    Python only prints an exception that is raised in a callback of the garbage
    collector, of which JAX has one, or in a destructor. An interrupt that is lost there
    is repeated.
    """
    sys.excepthook = _end
    sys.unraisablehook = _repeat


def _end(
    kind: type[BaseException], error: BaseException, frames: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        leave()
    sys.__excepthook__(kind, error, frames)


def _repeat(lost: Any) -> None:
    if issubclass(lost.exc_type, KeyboardInterrupt):
        main = threading.main_thread().ident
        timer = threading.Timer(PAUSE, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(lost)


@contextlib.contextmanager
def leaving_at_once(
    number: signal.Signals, sentence: str, *, status: int
) -> Iterator[Callable[[], None]]:
    """A context in which a signal ends the process at once.

    Python runs a handler between two of its own instructions only, so a handler would
    wait for what a library does, such as XLA while it compiles. Here a thread ends the
    process, which no context and no `finally` notices.

    Args:
      number: the signal, for which a handler is installed in this context.
      sentence: what is said to stderr.
      status: exit status.

    Yields:
      A function to call once another handler is installed. Until then the signal ends
      the process; afterwards only that handler runs.
    """
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    is_over = threading.Event()

    def wait() -> None:
        while caught := os.read(reads, 1):
            if caught[0] == number and not is_over.is_set():
                print(sentence, file=sys.stderr, flush=True)
                os._exit(status)

    handler = signal.signal(number, lambda *arguments: None)
    wakeup = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    threading.Thread(target=wait, daemon=True).start()
    try:
        yield is_over.set
    finally:
        is_over.set()
        signal.set_wakeup_fd(wakeup)
        signal.signal(number, handler)
        os.close(writes)  # which ends the thread
