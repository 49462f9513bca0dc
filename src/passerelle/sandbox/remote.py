"""The other side of the wire: a world that another process serves."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from passerelle.clock import Clock
from passerelle.sandbox.lines import read_fault
from passerelle.whatsapp.faults import ProviderUnavailable

_CONNECT_S = 2.0
_ANSWER_S = 10.0
# uvicorn hangs up idle connections after 5 s: stop using them before, or a request meets a closed socket.
_KEEPALIVE_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
# Linkings and the clock last as long as they last; the caller brings the limit.
_PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
_PROMPT = aiohttp.ClientTimeout(total=_ANSWER_S, sock_connect=_CONNECT_S)
_NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_AWAY = (aiohttp.ClientError, TimeoutError, OSError)


class Severed(ProviderUnavailable):
    """The connection broke after a request was begun on it: perhaps the world has heard it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the world's server said."""

    status: int
    content_type: str
    body: bytes


class Stream:
    """Lines that come as they come."""

    def __init__(self, response: aiohttp.ClientResponse, open_streams: "set[Stream]") -> None:
        """The lines of `response`; one of `open_streams` until closed."""
        self._response = response
        self._open = open_streams
        self._open.add(self)
        self._read = b""

    async def next_line(self) -> bytes:
        """The next line; nothing is lost when the caller stops waiting.

        Raises:
            ProviderUnavailable: the stream has ended.
        """
        while b"\n" not in self._read:
            try:
                # not `readline`, which drops the first half of a line when it is cancelled before the second
                more = await self._response.content.readany()
            except _AWAY as error:
                raise ProviderUnavailable from error
            if not more:
                raise ProviderUnavailable
            self._read += more
        text, _, self._read = self._read.partition(b"\n")
        return text

    def close(self) -> None:
        """End the stream; the server notices. May be repeated."""
        self._open.discard(self)
        self._response.close()


class Remote:
    """The server of a shared world; a context manager, whose end closes every stream."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        """`url` is ``http://host:port`` or ``unix:///path``; `headers` go with every request (a key, say)."""
        self._socket = url.removeprefix("unix://") if url.startswith("unix://") else None
        self._base = "http://sandbox" if self._socket else url.rstrip("/")
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None
        self._streams: set[Stream] = set()
        self.clock_known = asyncio.Event()

    async def __aenter__(self) -> Self:
        # no limit: every linking holds a connection of its own, as with WhatsApp
        connector: aiohttp.BaseConnector
        if self._socket:
            connector = aiohttp.UnixConnector(self._socket, limit=0, keepalive_timeout=_KEEPALIVE_S)
        else:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in tuple(self._streams):
            stream.close()
        if self._session is not None:
            await self._session.close()

    async def open(self, method: str, path: str, wish: Mapping[str, str] | None = None) -> Stream:
        """A stream of lines, to be closed by the caller.

        Raises:
            PasserelleError: the leaf that the server named; `ProviderUnavailable` when it is away.
        """
        try:
            response = await self._http.request(method, self._url(path), json=wish, timeout=_PATIENT)
            if response.ok:
                return Stream(response, self._streams)
            raise read_fault(await response.read())
        except _AWAY as error:
            raise ProviderUnavailable from error

    async def ask(self, method: str, path: str, *, wish: object = None, patient: bool = False) -> bytes:
        """The body of an answer; `patient`: however long it takes, the caller brings the limit.

        Raises:
            PasserelleError: the leaf that the server named; `ProviderUnavailable` when it is away, and its leaf
                `Severed` when it may have heard the request nevertheless.
        """
        limit = _PATIENT if patient else _PROMPT
        try:
            async with self._http.request(method, self._url(path), json=wish, timeout=limit) as response:
                body = await response.read()
        except _NOT_REACHED as error:
            raise ProviderUnavailable from error
        except _AWAY as error:
            raise Severed from error
        if not response.ok:
            raise read_fault(body)
        return body

    async def forward(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes, longer_s: float = 0
    ) -> Answer:
        """Hand a request on as it is; `path` is percent-encoded and carries the query.

        `longer_s` is how much longer than others the request may take.

        Raises:
            ProviderUnavailable: the server is away.
        """
        limit = aiohttp.ClientTimeout(total=_ANSWER_S + longer_s, sock_connect=_CONNECT_S)
        asked = self._http.request(
            *(method, self._url(path)), data=body or None, headers=headers, timeout=limit, allow_redirects=False
        )
        try:
            async with asked as response:
                kind = response.headers.get("content-type", "application/octet-stream")
                return Answer(status=response.status, content_type=kind, body=await response.read())
        except _AWAY as error:
            raise ProviderUnavailable from error

    async def follow_clock(self, clock: Clock) -> None:
        """Keep `clock` in step with the world's, for ever; `clock_known` is set once it is.

        While the server is away the clock goes on as it was; the next server is found by trying again.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            with suppress(ProviderUnavailable):
                stream = await self.open("GET", "/sandbox/wire/clock")
                pause_s = _FIRST_PAUSE_S
                await self._follow_clock(clock, stream)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _follow_clock(self, clock: Clock, stream: Stream) -> None:
        try:
            while True:
                offset = timedelta(seconds=json.loads(await stream.next_line())["offset_s"])
                if offset != clock.offset:
                    clock.set_offset(offset)
                self.clock_known.set()
        finally:
            stream.close()

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use Remote as a context manager")
        return self._session

    def _url(self, path: str) -> URL:
        return URL(self._base + path, encoded=True)
