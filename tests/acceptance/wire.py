"""A wire between a process and its server that holds back, or breaks, when a test says so."""

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from servers import HOST


class Wire:
    """Forwards byte for byte, each way in a thread, until it is told otherwise; a context manager."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._guard = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._happened = threading.Event()
        self._awaited: bytes | None = None
        self._commit_of: bytes | None = None
        self._loses = False
        self._connections: list[_Connection] = []
        self._threads: list[threading.Thread] = []
        self._socket = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]

    def hold(self) -> None:
        """Nothing passes any more and nobody is told: a black hole."""
        self._flows.clear()

    def flow(self) -> None:
        """What was held passes, and all that follows."""
        self._flows.set()
        with self._guard:
            for connection in self._connections:
                connection.flows.set()

    def sever(self) -> None:
        """Every connection breaks, with what is held in it; new ones work."""
        with self._guard:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.end()
        self.flow()

    def await_words(self, words: bytes) -> None:
        """Let `happens` tell when these words are asked."""
        self._arm(awaited=words)

    def hold_commit_of(self, words: bytes) -> None:
        """The connection that asks these words next is held at its COMMIT; others are not."""
        self._arm(commit_of=words)

    def lose_commit_of(self, words: bytes) -> None:
        """The COMMIT of the connection that asks these words next reaches the server, and its answer gets lost."""
        self._arm(commit_of=words, loses=True)

    def happens(self, limit: float = 10.0) -> bool:
        """Whether what was asked for last comes about within `limit` seconds."""
        return self._happened.wait(limit)

    def _arm(self, *, awaited: bytes | None = None, commit_of: bytes | None = None, loses: bool = False) -> None:
        with self._guard:
            self._happened.clear()
            self._awaited, self._commit_of, self._loses = awaited, commit_of, loses

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                try:
                    far = socket.create_connection((HOST, self._server_port), timeout=5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                connection = _Connection(near, far)
                with self._guard:
                    self._connections.append(connection)
                self._start(partial(self._ask, connection))
                self._start(partial(self._answer, connection))

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _ask(self, connection: "_Connection") -> None:
        with contextlib.suppress(OSError):
            while data := connection.near.recv(65536):
                self._look_at(connection, data)
                self._flows.wait()
                connection.flows.wait()
                connection.far.sendall(data)
        connection.end()

    def _answer(self, connection: "_Connection") -> None:
        with contextlib.suppress(OSError):
            while data := connection.far.recv(65536):
                self._flows.wait()
                if connection.loses:
                    self._happened.set()
                    break
                connection.near.sendall(data)
        connection.end()

    def _look_at(self, connection: "_Connection", data: bytes) -> None:
        with self._guard:
            if self._awaited is not None and self._awaited in data:
                self._awaited = None
                self._happened.set()
            if self._commit_of is not None and self._commit_of in data:
                self._commit_of = None
                connection.is_meant = True
            if connection.is_meant and b"COMMIT" in data:
                connection.is_meant = False
                if self._loses:
                    connection.loses = True
                else:
                    connection.flows.clear()
                    self._happened.set()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._socket)
        self._threads[0].join(5)
        self.sever()
        for thread in self._threads:
            thread.join(5)


class _Connection:
    """One client's connection, `near`, and its continuation to the server, `far`."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows = threading.Event()
        self.flows.set()
        self.is_meant = False
        self.loses = False

    def end(self) -> None:
        for end in (self.near, self.far):
            _end(end)
        self.flows.set()


def _end(end: socket.socket) -> None:
    # A shutdown wakes the thread that waits in it; close alone does not.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
