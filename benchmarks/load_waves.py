"""Bounded load over loopback: turns of requests, waves of connections, readers who do not read, one who floods."""

import asyncio
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from messages_load import HOST, Line, lines

PATIENCE_S = 60.0  # for one wave, on a machine where others work too
TICKS_PER_S = 100  # of /proc/<pid>/stat


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process that serves HTTP."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """The processor time it has used."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS_PER_S

    def rss_mb(self) -> float:
        """The memory it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """So many requests in a row over the same lines."""

    cpu_us: float
    """Processor time of the server for one request."""
    per_s: float


@dataclass(slots=True)
class Answers:
    """What one side of a flood was answered, and after how long."""

    statuses: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)


def request(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    """The bytes of one request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {key}\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{head}{kind}\r\n".encode() + body


async def turn(server: Server, sent: bytes, *, count: int, connections: int, wanted: str) -> Turn:
    """The same request `count` times, each line sending its next one as soon as it has an answer."""
    async with lines(server.port, connections) as opened, asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(line.ask(sent) for line in opened))
        left, statuses = iter(range(count)), Counter[str]()
        cpu_s, began_s = server.cpu_s(), time.perf_counter()

        async def work(line: Line) -> None:
            for _ in left:
                statuses[await line.ask(sent)] += 1

        await asyncio.gather(*(work(line) for line in opened))
        wall_s, cpu_s = time.perf_counter() - began_s, server.cpu_s() - cpu_s
    if set(statuses) != {wanted}:
        raise SystemExit(f"expected {wanted} only: {dict(statuses)}")
    return Turn(cpu_us=cpu_s / count * 1e6, per_s=count / wall_s)


async def wave(server: Server, sent: list[bytes], *, connections: int, slow: int, large: bytes) -> Counter[str]:
    """Many lines at once, each asking all of `sent`, beside readers who ask for much and read nothing."""
    statuses = Counter[str]()
    async with AsyncExitStack() as stack:
        readers = [_unread(server.port, large) for _ in range(slow)]
        for reader in readers:
            stack.callback(reader.close)
        opened = await stack.enter_async_context(lines(server.port, connections))

        async def work(line: Line, place: int) -> None:
            for step in range(len(sent)):
                statuses[await line.ask(sent[(place + step) % len(sent)])] += 1

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(work(line, place) for place, line in enumerate(opened)))
    return statuses


def _unread(port: int, sent: bytes) -> socket.socket:
    """A reader who asks, and does not read."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(PATIENCE_S)
    reader.connect((HOST, port))
    reader.sendall(sent)
    return reader


async def until_calm(server: Server, before: int, *, within_s: float = 30.0) -> int:
    """The descriptors of the server, once they are `before` again or that time is over."""
    stop_s = time.monotonic() + within_s
    while (now := server.descriptors()) > before and time.monotonic() < stop_s:  # noqa: ASYNC110 -- another process
        await asyncio.sleep(0.05)
    return now


async def beside_a_flood(
    server: Server, *, calm: bytes, flood: bytes, calm_lines: int, flood_lines: int, seconds: float
) -> tuple[Answers, Answers]:
    """What a calm client and one who floods are answered; the calm one's lines rest 100 ms after each answer."""
    quiet, loud = Answers(), Answers()
    async with lines(server.port, calm_lines) as ours, AsyncExitStack() as stack:
        theirs = await stack.enter_async_context(lines(server.port, flood_lines)) if flood_lines else []
        stop_s = time.monotonic() + seconds

        async def work(line: Line, sent: bytes, answers: Answers, rest_s: float) -> None:
            while time.monotonic() < stop_s:
                began_s = time.perf_counter()
                answers.statuses[await line.ask(sent)] += 1
                answers.waits_s.append(time.perf_counter() - began_s)
                if rest_s:
                    await asyncio.sleep(rest_s)

        async with asyncio.timeout(seconds + PATIENCE_S):
            await asyncio.gather(
                *(work(line, calm, quiet, 0.1) for line in ours), *(work(line, flood, loud, 0.0) for line in theirs)
            )
    return quiet, loud
