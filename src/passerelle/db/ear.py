"""A connection of its own that hears what other processes notify (PostgreSQL's LISTEN)."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

RETRY_S = 1.0
PROBE_EVERY_S = 10.0  # a connection that died silently is noticed; until then whoever listens looks by himself
log = structlog.get_logger()


class Ear:
    """Listens from the first `listen` until `close`; a connection that is lost is opened anew."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Connect through `engine`, which keeps no connections."""
        self._engine = engine
        self._listeners: defaultdict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """See `Database.listen`."""
        self._listeners[channel].append(heard)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._listen_for_ever())

    async def close(self) -> None:
        """Hear nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._engine.dispose()

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen_once()
            except Exception as error:  # whatever the driver meets: a lost ear delays, it loses nothing
                log.debug("cannot listen to the database", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _listen_once(self) -> None:
        async with self._engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(lambda _: self._changed.set())
            try:
                while not driver.is_closed():
                    self._changed.clear()
                    for channel in tuple(self._listeners):  # more may be listened to while it waits
                        await driver.add_listener(channel, self._hear)  # asyncpg: the same one twice is one
                        self._tell(channel, "")
                    await self._pause(driver)
            finally:
                driver.terminate()

    async def _pause(self, driver: Any) -> None:
        """Return when there is something new to listen to; every few seconds see whether the connection lives."""
        while not driver.is_closed():
            try:
                async with asyncio.timeout(PROBE_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                await driver.execute("SELECT 1")
            else:
                return

    def _hear(self, _driver: Any, _pid: int, channel: str, text: str) -> None:
        self._tell(channel, text)

    def _tell(self, channel: str, text: str) -> None:
        for heard in self._listeners[channel]:
            heard(text)
