"""A proxy between clients and a real server that does to them what networks do, by a seed."""

import asyncio
import contextlib
import random
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
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
    DEAF = "deaf"  # the same for everybody who asks it; other questions are answered
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
        self._door: socket.socket | None = None  # holds our port; while nobody listens the kernel refuses
        self._listens = False
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._traps: dict[Fault, asyncio.Event] = {}
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay_s = 0.0
        self._sliced = False
        self._unheard: bytes | None = None

    @property
    def open_connections(self) -> int:
        """How many pass through just now."""
        return len(self._connections)

    async def suffer(self, fault: Fault) -> None:
        """Bring `fault` about; it is over when this returns."""
        if fault.kind in TRAPS:
            await self._trap(fault)
            return
        self.suffered[fault.kind] += 1
        try:
            await self._weather(fault)
        finally:
            self.heal()

    def heal(self) -> None:
        """All is well from now on; connections that broke stay broken."""
        self._traps.clear()
        self._delay_s, self._sliced, self._unheard = 0.0, False, None
        self._flows.set()
        self.open()

    def hold(self) -> None:
        """A black hole for everybody, until healed."""
        self._flows.clear()

    def open(self) -> None:
        """Listen again."""
        if self._door is not None and not self._listens:
            self._listens = True
            self._door.listen(128)
            asyncio.get_running_loop().add_reader(self._door, self._accept)

    def shut(self) -> None:
        """Cut everybody off and refuse new ones."""
        if self._door is not None and self._listens:
            self._listens = False
            asyncio.get_running_loop().remove_reader(self._door)
            self._door.close()
            self._door = self._bound()
        for connection in self._connections:
            if not connection.is_astray:
                connection.end()

    async def __aenter__(self) -> Self:
        self._door = self._bound()
        self.port = self._door.getsockname()[1]
        self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        if self._door is not None:
            self._door.close()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            self.open()

    async def _weather(self, fault: Fault) -> None:
        if fault.kind is Kind.FLAPPING:
            for _ in range(max(1, round(fault.lasts_s / FLAP_S / 2))):
                self.shut()
                await asyncio.sleep(FLAP_S)
                self.open()
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
        elif fault.kind is Kind.DEAF:
            self._unheard = fault.words or b"EVAL"
        await asyncio.sleep(fault.lasts_s)

    def sprung(self, question: bytes) -> Fault | None:
        """What happens to `question`."""
        if self._unheard is not None and self._unheard in question:
            return Fault(kind=Kind.SWALLOWED, lasts_s=0)
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
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setblocking(False)  # noqa: FBT003 -- its signature
        door.bind((HOST, self.port))
        return door

    def _accept(self) -> None:
        """By hand: `asyncio.start_server` forgets to close what it accepts while it is closed (Python 3.11)."""
        assert self._door is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                near, _ = self._door.accept()
                near.setblocking(False)  # noqa: FBT003 -- its signature
                connection = _Connection(self, near)
                task = asyncio.create_task(connection.last(self._server_port))
                self._connections[connection] = task
                task.add_done_callback(partial(self._ended, connection))

    def _ended(self, connection: "_Connection", _: asyncio.Task[None]) -> None:
        del self._connections[connection]
        connection.end()


class _Connection:
    def __init__(self, proxy: ChaosProxy, near: socket.socket) -> None:
        self._proxy = proxy
        self._near = near
        self._answering: asyncio.StreamWriter | None = None
        self._asking: asyncio.StreamWriter | None = None
        self._doom: Kind | None = None
        self._begun = False
        self._over = asyncio.Event()
        self.is_astray = False  # what it carries arrives, whatever happens to the others

    def end(self) -> None:
        """Break both ways now."""
        self._over.set()
        if not self._begun:
            self._near.close()
        for writer in (self._answering, self._asking):
            if writer is not None:
                writer.transport.abort()

    async def last(self, server_port: int) -> None:
        """Forward until one end is gone or a fault breaks it."""
        if self._over.is_set():
            return
        self._begun = True
        with contextlib.suppress(OSError):
            asked, self._answering = await asyncio.open_connection(sock=self._near)
            answered, self._asking = await asyncio.open_connection(HOST, server_port)
            if self._over.is_set():
                return
            ways = [
                asyncio.create_task(way)
                for way in (
                    self._ask(asked, self._answering, self._asking),
                    self._answer(answered, self._answering),
                )
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(
        self, asked: asyncio.StreamReader, answering: asyncio.StreamWriter, asking: asyncio.StreamWriter
    ) -> None:
        while data := await asked.read(65536):
            trap = self._proxy.sprung(data)
            if trap is None:
                await self._proxy.carry(data, asking)
            elif trap.kind is Kind.QUESTION_CUT:
                await self._proxy.carry(data[: len(data) // 2], asking)
                return
            elif trap.kind in {Kind.QUESTION_LATE, Kind.ASTRAY}:
                answering.transport.abort()
                await self._go_astray(data, asking, trap)
                return
            elif trap.kind is Kind.SWALLOWED:
                while await asked.read(65536):
                    pass
                return
            else:
                self._doom = trap.kind
                await self._proxy.carry(data, asking)

    async def _go_astray(self, data: bytes, asking: asyncio.StreamWriter, trap: Fault) -> None:
        self.is_astray = True
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
