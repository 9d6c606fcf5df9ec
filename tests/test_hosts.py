"""Processes of a job wait for each other; the end of one is the end of all.

A process that says farewell ends nobody.
"""

from concurrent import futures
from pathlib import Path
import signal
import socket
import subprocess
import sys
from unittest import mock

import pytest

from gan_jax import hosts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FIRST = """
from gan_jax import hosts
job = hosts.Job(0, 2)
port = job.listen()
print(port, flush=True)
job.meet(("localhost", port), 60)
input()
job.{end}()
"""
OTHER = """
import sys
from gan_jax import hosts
job = hosts.Job(1, 2)
job.meet(("localhost", {port}), 60)
print("joined", flush=True)
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
        port = first.stdout.readline()
        other = start(OTHER.format(port=port, end=other_end))
        processes.append(other)
        assert other.stdout.readline() == "joined\n"
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
    assert message.startswith("error: process 1 of the job has ended, and this one")
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


def meet(*jobs, seconds=60.0, port=None):
    """Lets jobs of this process meet; returns what each one raised, or None."""
    if port is None:
        port = jobs[0].listen()
    with futures.ThreadPoolExecutor(len(jobs)) as pool:
        calls = [pool.submit(job.meet, ("localhost", port), seconds) for job in jobs]
        errors = [call.exception() for call in calls]
    for job in jobs:
        job.leave()
    return [error and str(error) for error in errors]


def test_all_processes_meet():
    assert meet(*(hosts.Job(process, 4) for process in range(4))) == [None] * 4


def test_a_thread_that_starts_after_the_job_was_left_ends_in_silence(monkeypatch):
    threads = mock.Mock()
    monkeypatch.setattr(hosts, "threading", threads)
    assert meet(hosts.Job(0, 2), hosts.Job(1, 2)) == [None, None]
    for call in threads.Thread.call_args_list:
        call.kwargs["target"](*call.kwargs["args"])
    assert threads.Thread.call_count == 2


def test_those_that_do_not_arrive_are_named_to_all_that_did():
    first, *others = meet(hosts.Job(0, 5), hosts.Job(3, 5), hosts.Job(1, 5), seconds=1)
    assert first.startswith(
        "process 2 and process 4 of the job's 5 processes did not arrive within 1 s: "
    )
    assert "--join_timeout" in first and others == [first, first]


def test_a_first_process_that_does_not_arrive_is_named_with_its_address():
    with socket.socket() as silent:  # a port that is taken, but at which nobody listens
        silent.bind(("localhost", 0))
        port = silent.getsockname()[1]
        (message,) = meet(hosts.Job(1, 2), seconds=0.5, port=port)
    assert f"process 0 of the job could not be reached at localhost:{port}" in message
    assert "within 0.5 s (" in message and "--coordinator_address" in message


def test_a_program_that_is_not_the_first_process_is_told_apart():
    with (
        socket.create_server(("localhost", 0)) as server,
        futures.ThreadPoolExecutor(1) as pool,
    ):
        port = server.getsockname()[1]
        call = pool.submit(meet, hosts.Job(1, 2), seconds=0.1, port=port)
        with server.accept()[0] as connection:
            connection.sendall(b"SSH-2.0-OpenSSH")
            (message,) = call.result()
    assert "within 0.1 s (another program answers there)" in message


def test_another_number_of_processes_is_refused():
    messages = meet(hosts.Job(0, 2), hosts.Job(2, 3))
    assert messages[0] == messages[1]
    assert "process 2 of the job was started with --num_processes=3, but" in messages[0]


def test_a_number_that_two_processes_have_is_refused():
    messages = meet(hosts.Job(0, 3), hosts.Job(1, 3), hosts.Job(1, 3))
    assert messages == [messages[0]] * 3
    assert "two processes of the job were started with --process_id=1" in messages[0]


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} of this .* be opened for"):
            hosts.Job(0, 2).listen(port)


def test_a_stranger_and_a_process_that_died_meanwhile_do_not_count():
    first, *others = (hosts.Job(process, 3) for process in range(3))
    port = first.listen()
    with socket.create_connection(("localhost", port)) as died:
        died.sendall(hosts._GREETING.pack(hosts._MAGIC, 1, 3))
    with (
        socket.create_connection(("localhost", port)) as stranger,
        futures.ThreadPoolExecutor(1) as pool,
    ):
        stranger.sendall(bytes(hosts._GREETING.size))
        call = pool.submit(meet, first, port=port)
        assert stranger.recv(1) == b""  # sent away, and the first process waits on
        assert meet(*others, port=port) == [None, None] and call.result() == [None]
