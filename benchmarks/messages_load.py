"""HTTP/1.1 lines that are kept open: one POST after the other on each, at little cost to the machine they measure."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from caller import HEAD_END, LAST_CHUNK, length_of

HOST = "127.0.0.1"
Ask = Callable[[bytes], Coroutine[Any, Any, str]]


class Line(asyncio.Protocol):
    """One connection; whoever asks waits for the answer before the next one asks."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer = bytearray()
        self._waiting: asyncio.Future[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to ask."""
        self._transport = transport  # type: ignore[assignment]

    async def ask(self, request: bytes) -> str:
        """The status of the answer, once the whole of it is here."""
        if self._transport is None or self._transport.is_closing():
            return "no connection"
        self._answer.clear()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        """Collects one answer."""
        self._answer += data
        need = length_of(self._answer) if HEAD_END in self._answer else -1
        whole = len(self._answer) >= need > 0 or (need == 0 and self._answer.endswith(LAST_CHUNK))
        if whole and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer[9:12].decode("ascii", "replace"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Whoever waits hears of it."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result("no answer")

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


@dataclass(slots=True, kw_only=True)
class Load:
    """When the load began and its last answer was here (microseconds since 1970), and what was answered."""

    began_us: int
    ended_us: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def lines(port: int, count: int) -> Any:
    """`count` open lines."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Line, HOST, port))[1] for _ in range(count)]
    try:
        yield opened
    finally:
        for line in opened:
            line.close()


def post(path: str, body: dict[str, Any]) -> bytes:
    """The bytes of one request."""
    content = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n".encode() + content


async def as_fast_as_it_goes(port: int, requests: list[bytes], *, connections: int, limit_s: float) -> Load:
    """Every line sends its next request as soon as it has an answer."""
    left = iter(requests)
    async with lines(port, connections) as opened, asyncio.timeout(limit_s):
        load = Load(began_us=time.time_ns() // 1000)

        async def work(line: Line) -> None:
            for request in left:
                load.statuses[await line.ask(request)] += 1

        await asyncio.gather(*(work(line) for line in opened))
        load.ended_us = time.time_ns() // 1000
    return load


async def at_a_rate(port: int, requests: list[bytes], *, per_s: float, connections: int, limit_s: float) -> list[float]:
    """When each request was sent (seconds, CLOCK_MONOTONIC), `per_s` of them in a second whatever the answers do.

    Raises:
        RuntimeError: a request was refused.
    """
    sent_s = [0.0] * len(requests)
    async with lines(port, connections) as opened, asyncio.timeout(limit_s):
        start_s = time.monotonic()

        async def work(line: Line, mine: range) -> None:
            for place in mine:
                await asyncio.sleep(start_s + place / per_s - time.monotonic())
                sent_s[place] = time.monotonic()
                if (status := await line.ask(requests[place])) != "202":
                    raise RuntimeError(f"POST was answered {status}")

        every = range(len(requests))
        await asyncio.gather(*(work(line, every[place::connections]) for place, line in enumerate(opened)))
    return sent_s
