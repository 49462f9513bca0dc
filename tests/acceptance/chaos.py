"""A proxy between clients and a real server that does to them what networks do, by a seed."""

import asyncio
import contextlib
import random
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from servers import HOST

FLAP_S = 0.1
QUESTIONS = (b"", b"", b"EVAL", b"EVAL", b"HMGET", b"PING")  # what an unlucky question must hold; empty: any


class Kind(StrEnum):
    """What can happen to those who talk to a server."""

    REPLY_LOST = "reply lost"  # the server has done it, nobody hears of it
    REPLY_CUT = "reply cut"  # the same, with half of the answer
    QUESTION_CUT = "question cut"  # half of the question arrives
    QUESTION_LATE = "question late"  # the client is cut off, and its question arrives later all the same
    GONE = "gone"  # the reply is lost, and then nobody listens for a while
    ASTRAY = "astray"  # the same, with a question that arrives when all is well again, or nearly
    SWALLOWED = "swallowed"  # one connection becomes a black hole at this question
    REFUSED = "refused"  # all are cut off, nobody listens
    SILENT = "silent"  # a black hole for everybody
    FLAPPING = "flapping"  # refused and back, every 100 ms
    SLOW = "slow"  # everything takes a while
    SLICED = "sliced"  # one byte at a time


OUTAGES = frozenset({Kind.GONE, Kind.ASTRAY})
TRAPS = OUTAGES | {Kind.REPLY_LOST, Kind.REPLY_CUT, Kind.QUESTION_CUT, Kind.QUESTION_LATE, Kind.SWALLOWED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misfortune. A trap waits at most `lasts_s` for a question with `words` in it; the others last as long."""

    kind: Kind
    lasts_s: float
    words: bytes = b""


def misfortunes(seed: int, *, longest_s: float) -> Iterator[Fault]:
    """Faults for ever: the same ones for the same seed, each kind about as often, traps more often."""
    dice = random.Random(seed)
    while True:
        round_ = [*Kind, *sorted(TRAPS)]
        dice.shuffle(round_)
        for kind in round_:
            yield Fault(kind=kind, lasts_s=dice.uniform(0.1, 1) * longest_s, words=dice.choice(QUESTIONS))


class ChaosProxy:
    """Forwards byte for byte to the server on `server_port`, but for what `suffer` brings about."""

    def __init__(self, server_port: int, *, seed: int = 0) -> None:
        self.port = 0
        self.suffered: Counter[Kind] = Counter()  # what really hit somebody
        self._server_port = server_port
        self.dice = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._closed_door: socket.socket | None = None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._traps: dict[Fault, asyncio.Event] = {}
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay_s = 0.0
        self._sliced = False

    async def suffer(self, fault: Fault) -> None:
        """Bring `fault` about; it is over when this returns."""
        if fault.kind in TRAPS:
            await self._trap(fault)
            return
        self.suffered[fault.kind] += 1
        try:
            await self._weather(fault)
        finally:
            await self.heal()

    async def heal(self) -> None:
        """All is well from now on; connections that broke stay broken."""
        self._traps.clear()
        self._delay_s, self._sliced = 0.0, False
        self._flows.set()
        await self.open()

    def hold(self) -> None:
        """A black hole for everybody, until healed."""
        self._flows.clear()

    async def open(self) -> None:
        """Listen again."""
        if self._closed_door is not None:
            door, self._closed_door = self._closed_door, None
            self._server = await asyncio.start_server(self._accept, sock=door)

    def shut(self) -> None:
        """Cut everybody off and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._closed_door = self._bound()
        for connection in self._connections:
            if not connection.is_astray:
                connection.end()

    async def __aenter__(self) -> Self:
        self._closed_door = self._bound()
        self.port = self._closed_door.getsockname()[1]
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        if self._closed_door is not None:
            self._closed_door.close()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # those who were just let in are turned away

    async def _trap(self, fault: Fault) -> None:
        sprung = self._traps[fault] = asyncio.Event()
        try:
            async with asyncio.timeout(fault.lasts_s):
                await sprung.wait()
        except TimeoutError:
            self._traps.pop(fault, None)
            return
        if fault.kind in OUTAGES:
            await asyncio.sleep(fault.lasts_s)
            await self.open()

    async def _weather(self, fault: Fault) -> None:
        if fault.kind is Kind.FLAPPING:
            for _ in range(max(1, round(fault.lasts_s / FLAP_S / 2))):
                self.shut()
                await asyncio.sleep(FLAP_S)
                await self.open()
                await asyncio.sleep(FLAP_S)
            return
        if fault.kind is Kind.REFUSED:
            self.shut()
        elif fault.kind is Kind.SILENT:
            self.hold()
        elif fault.kind is Kind.SLOW:
            self._delay_s = self.dice.uniform(0.01, 0.3)
        elif fault.kind is Kind.SLICED:
            self._sliced = True
        await asyncio.sleep(fault.lasts_s)

    def sprung(self, question: bytes) -> Fault | None:
        """The trap into which `question` falls."""
        for fault, event in self._traps.items():
            if fault.words in question:
                del self._traps[fault]
                self.suffered[fault.kind] += 1
                event.set()
                return fault
        return None

    async def carry(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """To the other side, as the weather is."""
        await self._flows.wait()
        await asyncio.sleep(self._delay_s)
        size = 1 if self._sliced else len(data)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            if self._sliced:
                await asyncio.sleep(0)
        await writer.drain()

    def _bound(self) -> socket.socket:
        """A socket that holds our port; while nobody listens on it the kernel refuses."""
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, self.port))
        return door

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer)
        task = self._connections[connection] = asyncio.create_task(connection.last(self._server_port))
        task.add_done_callback(lambda _: self._connections.pop(connection))


class _Connection:
    def __init__(self, proxy: ChaosProxy, asked: asyncio.StreamReader, answering: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._asked, self._answering = asked, answering
        self._asking: asyncio.StreamWriter | None = None
        self._doom: Kind | None = None
        self.is_astray = False  # what it carries arrives, whatever happens to the others

    def end(self) -> None:
        """Break both ways now."""
        for writer in (self._answering, self._asking):
            if writer is not None:
                writer.transport.abort()

    async def last(self, server_port: int) -> None:
        """Forward until one end is gone or a fault breaks it."""
        try:
            with contextlib.suppress(OSError):
                answered, self._asking = await asyncio.open_connection(HOST, server_port)
                ways = [
                    asyncio.create_task(way)
                    for way in (self._ask(self._asking), self._answer(answered, self._answering))
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self.end()

    async def _ask(self, asking: asyncio.StreamWriter) -> None:
        while data := await self._asked.read(65536):
            trap = self._proxy.sprung(data)
            if trap is None:
                await self._proxy.carry(data, asking)
            elif trap.kind is Kind.QUESTION_CUT:
                await self._proxy.carry(data[: len(data) // 2], asking)
                return
            elif trap.kind in {Kind.QUESTION_LATE, Kind.ASTRAY}:
                await self._go_astray(data, asking, trap)
                return
            elif trap.kind is Kind.SWALLOWED:
                while await self._asked.read(65536):
                    pass
                return
            else:
                self._doom = trap.kind
                await self._proxy.carry(data, asking)

    async def _go_astray(self, data: bytes, asking: asyncio.StreamWriter, trap: Fault) -> None:
        self.is_astray = True
        self._answering.transport.abort()
        if trap.kind is Kind.ASTRAY:
            self._proxy.shut()
        await asyncio.sleep(trap.lasts_s * self._proxy.dice.uniform(0.5, 2))
        asking.write(data)
        await asyncio.sleep(0.3)  # until the server has read it

    async def _answer(self, answered: asyncio.StreamReader, answering: asyncio.StreamWriter) -> None:
        while data := await answered.read(65536):
            if self._doom is Kind.GONE:
                self._proxy.shut()
            if self._doom in {Kind.REPLY_LOST, Kind.GONE}:
                return
            if self._doom is Kind.REPLY_CUT:
                await self._proxy.carry(data[: len(data) // 2], answering)
                return
            if not answering.transport.is_closing():
                await self._proxy.carry(data, answering)
