"""Connections of strangers: how long a head may take, how slowly an answer may be read, how many there may be."""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may take of us. How many there may be is the server's own ``limit_concurrency``."""

    head_s: float = 15.0
    """Seconds for the first line and the headers of a request; a connection that says nothing is closed then too."""
    head_bytes: int = 32_768
    headers: int = 100
    rest_s: float = 30.0
    """Seconds in which the rest of a body may come that was answered already."""
    look_s: float = 30.0
    """Seconds in which a reader of an answer has to take `look_bytes` of what waits, or all of it."""
    look_bytes: int = 30_000


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, which waits for ever for heads and readers; this one does not."""

    limits = Limits()

    _in_head = _in_body = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _rest_timer: asyncio.TimerHandle | None = None
    _look_timer: asyncio.TimerHandle | None = None
    _unread_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a head, or say that there is no room."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._close_with(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        for timer in (self._head_timer, self._rest_timer, self._look_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._head_timer is None and not self._in_body and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.head_bytes and not self.transport.is_closing():
            self._close_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; what follows a body is no head, and one too many tells enough."""
        if self._in_head and len(self.headers) <= self.limits.headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; one that is too large is answered without reading on."""
        self._in_head, self._in_body = False, True
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.limits.head_bytes or len(self.headers) > self.limits.headers:
            self._close_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of a body; nobody waits for that of a request that was refused."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there."""
        self._in_body = False
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None
        if self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is on its way: the rest of a body may come, and the reader may take his time, within limits."""
        super().on_response_complete()
        if self._in_body and self._rest_timer is None:
            self._rest_timer = self.loop.call_later(self.limits.rest_s, self.transport.close)
        if self.transport.get_write_buffer_size():
            self._look_later()

    def pause_writing(self) -> None:
        """What was answered waits for its reader."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """He reads."""
        super().resume_writing()
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_s, self._too_slow)

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._close_with(HTTPStatus.REQUEST_TIMEOUT, "head_too_slow")
        else:
            self.transport.close()

    def _look_later(self) -> None:
        if self._look_timer is None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._look_timer = self.loop.call_later(self.limits.look_s, self._look)

    def _look(self) -> None:
        self._look_timer = None
        unread = self.transport.get_write_buffer_size()
        if unread and unread > self._unread_bytes - self.limits.look_bytes:
            self.transport.abort()
        elif unread:
            self._look_later()

    def _close_with(self, status: HTTPStatus, code: str) -> None:
        """Say why, in the shape of every problem, and close; the app hears nothing of it."""
        told = {
            "type": f"urn:passerelle:problem:{code}",
            "title": status.phrase,
            "status": int(status),
            "detail": f"{status.phrase}.",
            "code": code,
            "hint": "See docs/settings.md for the limits of a connection.",
        }
        body = json.dumps(told).encode()
        head = [
            f"HTTP/1.1 {int(status)} {status.phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "connection: close",
            *(["retry-after: 5"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()


def patient(limits: Limits) -> type[PatientProtocol]:
    """Connections within `limits`."""

    class Within(PatientProtocol):
        """These."""

    Within.limits = limits
    return Within
