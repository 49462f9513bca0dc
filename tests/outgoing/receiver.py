"""A receiver on loopback that speaks HTTP by hand: it takes what comes, and behaves as badly as it is told to."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from servers import HOST

DRIP_EVERY_S = 0.05


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """How a path answers.

    `hangs`: not at all; `resets`: by breaking off; `drips`: byte by byte, for ever; `dawdles`: so already before its
    headers have ended; `stops_short`: with less than was said.
    """

    status: int = 200
    body: bytes = b"ok"
    headers: tuple[tuple[str, str], ...] = ()
    hangs: bool = False
    resets: bool = False
    drips: bool = False
    dawdles: bool = False
    stops_short: bool = False
    after_s: float = 0.0


class Receiver:
    """Answers every path with `replies[path]`, else with `reply`."""

    def __init__(self, reply: Reply | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.reply = reply or Reply()
        self.replies: dict[str, Reply] = {}
        self.requests: list[Request] = []
        self.connections = 0
        self.busy = self.busiest = 0
        self.port = 0
        self._tls = tls
        self._held: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._held):
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def bodies(self, path: str = "/") -> list[bytes]:
        return [request.body for request in self.requests if request.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._held.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                request = await _read(reader)
                self.requests.append(request)
                self.busy += 1
                self.busiest = max(self.busy, self.busiest)
                try:
                    await self._answer(self.replies.get(request.path, self.reply), reader, writer)
                finally:
                    self.busy -= 1
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._held.discard(writer)
            self._serving.discard(task)

    async def _answer(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reply.hangs:
            await reader.read()  # until the other side leaves
            return
        if reply.after_s:
            await asyncio.sleep(reply.after_s)
        if reply.resets:
            writer.transport.abort()
            return
        size = len(reply.body) + 10 * reply.stops_short + 1_000_000 * reply.drips
        told = {"Content-Length": str(size), **dict(reply.headers)}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
        begun = f"HTTP/1.1 {reply.status} So\r\n{head}".encode()
        writer.write(begun + b"X-Slow: " if reply.dawdles else begun + b"\r\n" + reply.body)
        while reply.drips or reply.dawdles:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(DRIP_EVERY_S)
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
