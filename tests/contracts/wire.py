"""A wire between a client and a real server that loses what a test wants lost."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from servers import HOST


class Wire:
    """Forwards byte for byte, until it is told to lose something."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.lost = 0  # answers
        self.flows = asyncio.Event()
        self.flows.set()
        self._server_port = server_port
        self._loses: bytes | None = None
        self._reaches = True
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def lose_answer_to(self, words: bytes, *, reaches: bool = True) -> None:
        """When these words pass next, the connection breaks before their answer; `reaches`: the server has done it."""
        self._loses, self._reaches = words, reaches

    def hold(self) -> None:
        """Nothing passes any more and nobody is told: a black hole."""
        self.flows.clear()

    def flow(self) -> None:
        """What was held passes, and all that follows."""
        self.flows.set()

    def takes_away(self, data: bytes) -> tuple[bool, bool]:
        """Whether the answer to `data` gets lost, and whether the server sees `data` before."""
        if self._loses is None or self._loses not in data:
            return False, True
        self._loses = None
        self.lost += 1
        return True, self._reaches

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._server_port)
            await _Connection(self, reader, writer, far_reader, far_writer).last()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    end.transport.abort()
            self._tasks.discard(task)


class _Connection:
    def __init__(
        self,
        wire: Wire,
        asked: asyncio.StreamReader,
        answering: asyncio.StreamWriter,
        answered: asyncio.StreamReader,
        asking: asyncio.StreamWriter,
    ) -> None:
        self._wire = wire
        self._asked, self._answering = asked, answering
        self._answered, self._asking = answered, asking
        self._losing = False
        self._lost = asyncio.Event()

    async def last(self) -> None:
        """Forward until one end is gone or the wire breaks."""
        ways = [asyncio.create_task(self._ask()), asyncio.create_task(self._answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(self) -> None:
        while data := await self._asked.read(65536):
            await self._wire.flows.wait()
            self._losing, passes = self._wire.takes_away(data)
            if passes:
                self._asking.write(data)
            if self._losing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(3 if passes else 0):
                        await self._lost.wait()
                return

    async def _answer(self) -> None:
        while data := await self._answered.read(65536):
            await self._wire.flows.wait()
            if self._losing:
                self._lost.set()
            else:
                self._answering.write(data)
