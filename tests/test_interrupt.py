"""Ctrl-C ends a command with one sentence, also where Python would lose it."""

from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from gan_jax.run import images

ROOT = Path(__file__).parent.parent


def run(code):
    start = (
        "import gc, signal, time\n"
        "from gan_jax import interrupt\n"
        "interrupt.install()\n"
        # A shell makes what it starts in the background ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, cwd=ROOT
    )
    return done.returncode, done.stderr


def test_an_interrupt_outside_of_a_command_is_one_sentence():
    assert run("raise KeyboardInterrupt") == (130, "error: interrupted.\n")


def test_an_interrupt_that_a_callback_loses_is_repeated():
    code = (
        "def lose(*args):\n"
        "    gc.callbacks.clear()\n"
        "    raise KeyboardInterrupt\n"
        "gc.callbacks.append(lose)\n"
        "gc.collect()\n"
        "time.sleep(9)\n"
    )
    assert run(code) == (130, "error: interrupted.\n")


def test_another_error_keeps_its_traceback():
    status, shown = run("1 / 0")
    assert status == 1 and "Traceback" in shown and "ZeroDivisionError" in shown


def test_only_a_command_of_the_package_has_the_hooks():
    code = "import sys, gan_jax; print(sys.excepthook is sys.__excepthook__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "True\n"


def test_an_interrupt_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), images.writing_whole(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"


def test_an_interrupt_leaves_no_half_written_folder(tmp_path, monkeypatch):
    def interrupted(path, image):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "save_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        images.save_folder(tmp_path / "all", np.zeros((2, 3, 3, 1), np.uint8))
    assert not list(tmp_path.iterdir())


LEAVING = (
    "import os, signal\n"
    "leaving = interrupt.leaving_at_once(signal.SIGTERM, 'left', status=75)\n"
)


def test_a_signal_ends_a_process_that_is_busy_in_a_library():
    # The decomposition takes minutes, in which Python runs no handler.
    code = (
        "import threading\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "with leaving:\n"
        "    np.linalg.svd(np.ones((5_000, 5_000)))\n"
    )
    assert run("import numpy as np\n" + LEAVING + code) == (75, "left\n")


def test_a_signal_is_left_to_the_handlers_once_there_is_something_to_save():
    code = (
        "caught = []\n"
        "with leaving as stay:\n"
        "    signal.signal(signal.SIGTERM, lambda *_: caught.append(1))\n"
        "    stay()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.2)\n"
        "assert caught == [1]\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    )
    assert run(LEAVING + code) == (0, "")
