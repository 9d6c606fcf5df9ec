"""Ctrl-C: a command ends with one sentence and a status, whatever it is doing."""

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
