"""The end of one process of a job is the end of all, unless it says farewell."""

from pathlib import Path
import signal
import socket
import subprocess
import sys

import pytest

from gan_jax import hosts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FIRST = """
from gan_jax import hosts
job = hosts.Job()
port, token = job.listen("localhost")
print(port, token.hex(), flush=True)
input()
job.{end}()
"""
OTHER = """
import sys
from gan_jax import hosts
job = hosts.Job()
job.connect(("localhost", {port}), bytes.fromhex("{token}"), 3)
print("connected", flush=True)
sys.stdin.read()
job.{end}()
"""


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def job():
    """Starts the first process of a job and another one, with their ways to end."""
    processes = []

    def start_both(first_end="leave", other_end="leave"):
        first = start(FIRST.format(end=first_end))
        processes.append(first)
        port, token = first.stdout.readline().split()
        other = start(OTHER.format(port=port, token=token, end=other_end))
        processes.append(other)
        assert other.stdout.readline() == "connected\n"
        return first, other

    yield start_both
    for process in processes:
        process.kill()
        with process:  # closes its pipes
            pass


def test_a_killed_process_ends_the_first_one(job):
    first, other = job()
    other.send_signal(signal.SIGKILL)
    assert first.wait() == 1
    message = first.stderr.read()
    assert message.startswith("error: process 3 of the job has ended, and this one")
    assert message.count("\n") == 1


def test_a_killed_first_process_ends_the_others(job):
    first, other = job()
    first.send_signal(signal.SIGKILL)
    assert other.wait() == 1
    assert other.stderr.read().startswith("error: process 0 of the job has ended")


def test_a_process_that_fails_by_itself_ends_the_others(job):
    first, other = job(other_end="close")
    other.stdin.close()
    assert other.wait() == 0 and first.wait() == 1


def test_a_process_that_leaves_ends_nobody(job):
    first, other = job()
    other.stdin.close()
    assert other.wait() == 0 and other.stderr.read() == ""
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.wait() == 0 and first.stderr.read() == ""


def test_a_stranger_is_not_of_the_job():
    job = hosts.Job()
    port, token = job.listen("localhost")
    with socket.create_connection(("localhost", port)) as stranger:
        stranger.sendall(bytes(hosts.TOKEN_BYTES + 4))
        assert stranger.recv(1) == b""  # sent away, and this process goes on
    assert token != bytes(hosts.TOKEN_BYTES)
    job.close()
