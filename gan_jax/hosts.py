"""Lets the processes of a job wait for each other, and ends them all when one dies.

JAX aborts without saying who is missing when a process does not arrive. It notices a
death by missing heartbeats, a minute or more later, and aborts too. Here each process
connects to the first one, which waits until all are there. Then they keep their
connections: the kernel closes them when a process dies, however that happens, and
keep-alive probes find out when a whole machine is gone.
"""

import contextlib
import os
import selectors
import socket
import struct
import sys
import threading
import time
from typing import NoReturn

_FAREWELL = b"."  # sent by a process that is done; without it, the process has died
_PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # seconds, count
_MAGIC = b"gan_jax\x01"  # tells a process of a job from whatever else uses a port
_GREETING = struct.Struct("!8sII")  # magic, process, number of processes
_ANSWER = struct.Struct("!8sI")  # magic, bytes of the sentence that follows
_GREETING_SECONDS = 2  # a stranger who says nothing is sent away after this time
_RETRY_SECONDS = 0.2
_SLACK_SECONDS = 10  # the first process answers at most this long after its time is up


class Job:
    """The connections of one process to other processes of its job."""

    def __init__(self, process: int, count: int) -> None:
        """Starts without connections.

        Args:
          process: this process's number, from 0 to count - 1.
          count: number of processes of the job.
        """
        self._process = process
        self._count = count
        self._server: socket.socket | None = None
        self._connections: dict[int, socket.socket] = {}
        self._closing = False

    def listen(self, port: int = 0) -> int:
        """Opens a port for the other processes; only the first process calls it.

        Args:
          port: number of the port; 0 stands for any that is free.

        Returns:
          The number of the port.

        Raises:
          ValueError: the port cannot be opened.
        """
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            self._server = socket.create_server(
                ("", port), family=family, dualstack_ipv6=both
            )
        except OSError as error:
            raise ValueError(
                f"port {port} of this machine cannot be opened for the other processes "
                f"of the job ({error}): choose another one in --coordinator_address."
            ) from error
        number: int = self._server.getsockname()[1]
        return number

    def meet(self, address: tuple[str, int], seconds: float) -> None:
        """Waits until all processes are there; from then on, a death ends all of them.

        Args:
          address: host and port of the first process, which has called `listen`.
          seconds: for how long this process waits.

        Raises:
          ValueError: a process has not arrived, which the message names, or was started
            with another number of processes, or this one cannot reach the first one.
        """
        if self._server:
            problem = self._wait_for_all(self._server, seconds)
        else:
            problem = self._join(address, seconds)
        if problem:
            self.close()
            raise ValueError(problem)
        for process, connection in self._connections.items():
            connection.settimeout(None)
            thread = threading.Thread(target=self._watch, args=(connection, process))
            thread.daemon = True
            thread.start()

    def leave(self) -> None:
        """Says that this process is done, so that its end does not count as a death."""
        for connection in self._connections.values():
            with contextlib.suppress(OSError):  # the other side has gone before
                connection.sendall(_FAREWELL)
        self.close()

    def close(self) -> None:
        """Closes the connections; without `leave`, the other processes end too."""
        self._closing = True
        if self._server:
            self._server.close()
        for connection in self._connections.values():
            with contextlib.suppress(OSError):  # the other side has gone before
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits
            connection.close()

    def _wait_for_all(self, server: socket.socket, seconds: float) -> str:
        """Lets the others arrive; returns what is wrong, which it tells them too."""
        end = time.monotonic() + seconds
        problem = ""
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            while len(self._connections) < self._count - 1 and not problem:
                left = end - time.monotonic()
                if left <= 0:
                    problem = self._say_who_is_missing(seconds)
                    break
                for key, _ in selector.select(left):
                    if key.fileobj is server:
                        problem = problem or self._admit(server.accept()[0], selector)
                    else:  # it has ended, and may be started again
                        selector.unregister(key.fileobj)
                        self._connections.pop(key.data).close()
        server.close()  # JAX listens at this port next
        text = problem.encode()
        for connection in self._connections.values():
            with contextlib.suppress(OSError):  # is noticed by the thread that watches
                connection.sendall(_ANSWER.pack(_MAGIC, len(text)) + text)
        return problem

    def _admit(
        self, connection: socket.socket, selector: selectors.BaseSelector
    ) -> str:
        """Adds a process that has come; returns what is wrong with it."""
        connection.settimeout(_GREETING_SECONDS)
        try:
            magic, process, count = _GREETING.unpack(_read(connection, _GREETING.size))
        except OSError:
            magic = b""
        if magic != _MAGIC:
            connection.close()
            return ""
        is_double = process == 0 or process in self._connections
        key = -1 if is_double else process  # which is told what is wrong too
        self._connections[key] = connection
        selector.register(connection, selectors.EVENT_READ, data=key)
        _probe(connection)
        if count != self._count:
            return (
                f"process {process} of the job was started with --num_processes="
                f"{count}, but process 0 with {self._count}: start all of them with "
                "the same number."
            )
        if is_double:
            return (
                f"two processes of the job were started with --process_id={process}, "
                f"but each needs its own from 0 to {self._count - 1}: change one."
            )
        return ""

    def _say_who_is_missing(self, seconds: float) -> str:
        missing = [x for x in range(1, self._count) if x not in self._connections]
        names = " and ".join(f"process {x}" for x in missing)
        return (
            f"{names} of the job's {self._count} processes did not arrive within "
            f"{seconds:g} s: start all of them with the same --coordinator_address and "
            "--num_processes, or let them wait longer with --join_timeout."
        )

    def _join(self, address: tuple[str, int], seconds: float) -> str:
        """Connects to the first process; returns what is wrong, if it says so."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            try:
                connection = socket.create_connection(address, timeout=max(left, 1))
                self._connections[0] = connection
                _probe(connection)
                connection.sendall(_GREETING.pack(_MAGIC, self._process, self._count))
                connection.settimeout(seconds + _SLACK_SECONDS)
                magic, size = _ANSWER.unpack(_read(connection, _ANSWER.size))
                if magic == _MAGIC:
                    return _read(connection, size).decode()
                raise OSError("another program answers there")
            except OSError as error:
                if self._connections:
                    self._connections.pop(0).close()
                if time.monotonic() + _RETRY_SECONDS > end:
                    host, port = address
                    return (
                        f"process 0 of the job could not be reached at {host}:{port} "
                        f"within {seconds:g} s ({error}): start it there, correct "
                        "--coordinator_address, or wait longer with --join_timeout."
                    )
            time.sleep(_RETRY_SECONDS)

    def _watch(self, connection: socket.socket, process: int) -> None:
        try:
            farewell = connection.recv(1)
        except OSError:
            farewell = b""
        if farewell != _FAREWELL and not self._closing:
            end(
                f"process {process} of the job has ended, and this one ends with it: "
                "start all of them again to go on from the newest checkpoint."
            )


def end(sentence: str) -> NoReturn:
    """Ends this process from any thread, even if the main one waits for ever."""
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    os._exit(1)


def _probe(connection: socket.socket) -> None:
    """Makes the kernel find out when the other machine is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if hasattr(socket, name):  # Linux has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _read(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes.

    Raises:
      OSError: the other side has closed the connection, or says nothing for too long.
    """
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the connection was closed")
        data += part
    return data
