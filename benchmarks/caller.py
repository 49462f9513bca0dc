"""One connection of the load generator: sends one HTTP/1.1 request and reads one answer, at little cost."""

import asyncio
import time
from dataclasses import dataclass, field

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
NO_ANSWER = "no answer"


@dataclass(slots=True, kw_only=True)
class Gate:
    """Counts the answers down, so that nobody has to await thousands of futures."""

    left: int
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def one_less(self) -> None:
        """One answer is here, or will never be."""
        self.left -= 1
        if self.left == 0:
            self.done.set()


class Caller(asyncio.Protocol):
    """One connection, one request, one answer."""

    __slots__ = ("answer", "finished_s", "gate", "need", "request", "sent_s", "transport")

    def __init__(self, request: bytes, gate: Gate) -> None:
        self.request = request
        self.gate = gate
        self.answer = bytearray()
        self.need = -1  # bytes of the whole answer; -1: the head is not here yet, 0: chunked
        self.sent_s = 0.0
        self.finished_s = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport: the request is sent later, with everybody else's."""
        self.transport = transport  # type: ignore[assignment]

    def fire(self) -> None:
        """Sends the request; the latency counts from here."""
        self.sent_s = time.perf_counter()
        if self.transport is None or self.transport.is_closing():
            self.gate.one_less()
        else:
            self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Collects the answer and notes the moment it is whole."""
        self.answer += data
        if self.need < 0:
            self.need = length_of(self.answer)
        if self.finished_s or self.need < 0:
            return
        if (self.need > 0 and len(self.answer) >= self.need) or (self.need == 0 and self.answer.endswith(LAST_CHUNK)):
            self.finished_s = time.perf_counter()
            self.gate.one_less()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """A connection that ends without an answer is counted too."""
        if self.sent_s and not self.finished_s:
            self.gate.one_less()

    @property
    def status(self) -> str:
        """The HTTP status, or that there was no answer."""
        return self.answer[9:12].decode("ascii", "replace") if self.finished_s else NO_ANSWER

    @property
    def body(self) -> bytes:
        """The answer without its head and chunk sizes."""
        body = bytes(self.answer.partition(HEAD_END)[2])
        return unchunked(body) if self.need == 0 else body


def length_of(answer: bytearray) -> int:
    """Bytes of the whole answer, 0 for a chunked one, -1 while its head is not complete."""
    end = answer.find(HEAD_END)
    if end < 0:
        return -1
    for line in bytes(answer[:end]).lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return end + len(HEAD_END) + int(line[15:])
    return 0


def unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        parts.append(rest[:length])
        body = rest[length + 2 :] if length else b""
    return b"".join(parts)
