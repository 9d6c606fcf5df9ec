"""Ends the processes of a job with one sentence when one of them dies.

JAX notices a death by missing heartbeats, a minute or more later, and aborts. Here each
process keeps a connection to the first one: the kernel closes it when a process dies,
however that happens, and keep-alive probes find out when a whole machine is gone.
"""

from collections.abc import Callable
import contextlib
import os
import secrets
import socket
import sys
import threading
from typing import Any

_FAREWELL = b"."  # sent by a process that is done; without it, the process has died
_PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # seconds, count
TOKEN_BYTES = 16
_ID_BYTES = 4


class Job:
    """The connections of one process to other processes of its job."""

    def __init__(self) -> None:
        """Starts without connections."""
        self._server: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._closing = False

    def listen(self, host: str = "") -> tuple[int, bytes]:
        """Accepts connections in the background; only the first process calls it.

        Returns:
          The port, and the token that tells a process of the job from a stranger.
        """
        server = socket.create_server((host, 0))
        self._server = server
        token = secrets.token_bytes(TOKEN_BYTES)
        _start(self._accept, server, token)
        return server.getsockname()[1], token

    def connect(self, address: tuple[str, int], token: bytes, process: int) -> None:
        """Connects process number `process` to the first one.

        Raises:
          OSError: the first process cannot be reached.
        """
        connection = socket.create_connection(address, timeout=10)
        connection.sendall(token + process.to_bytes(_ID_BYTES))
        self._watch(connection, 0)

    def leave(self) -> None:
        """Says that this process is done, so that its end does not count as a death."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # the other side has gone before
                connection.sendall(_FAREWELL)
        self.close()

    def close(self) -> None:
        """Closes the connections; without `leave`, the other processes end too."""
        self._closing = True
        server = [self._server] if self._server else []
        for one in (*server, *self._connections):
            with contextlib.suppress(OSError):  # the other side has gone before
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits
            one.close()

    def _accept(self, server: socket.socket, token: bytes) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # the job is closed
                return
            connection.settimeout(10)
            try:
                greeting = connection.recv(TOKEN_BYTES + _ID_BYTES, socket.MSG_WAITALL)
            except OSError:
                greeting = b""
            if secrets.compare_digest(greeting[:TOKEN_BYTES], token):
                self._watch(connection, int.from_bytes(greeting[TOKEN_BYTES:]))
            else:
                connection.close()

    def _watch(self, connection: socket.socket, process: int) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES.items():
            if hasattr(socket, name):  # Linux has all of them
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._connections.append(connection)
        _start(self._wait, connection, process)

    def _wait(self, connection: socket.socket, process: int) -> None:
        try:
            farewell = connection.recv(1)
        except OSError:
            farewell = b""
        if farewell != _FAREWELL and not self._closing:
            print(
                f"error: process {process} of the job has ended, and this one ends "
                "with it: start all of them again to go on from the newest checkpoint.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(1)  # the main thread may wait for the dead process for ever


def _start(target: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()
