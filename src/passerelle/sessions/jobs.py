"""The worker's side of linked phones: it holds its share of them, and hears what happens to them."""

import asyncio
from contextlib import suppress

import structlog

from passerelle.db import Database
from passerelle.errors import Unavailable
from passerelle.sessions.holding import LOOK_EVERY_S, Holding
from passerelle.sessions.ports import CHANNEL, HolderBook
from passerelle.sessions.states import States
from passerelle.whatsapp.ports import EventSink, EventSource

FLUSH_EVERY_S = 30.0
log = structlog.get_logger()


class HoldingJobs:
    """Holds this worker's share of the linked phones."""

    def __init__(self, *, holding: Holding, states: States, book: HolderBook, database: Database) -> None:
        """Look at the rows of `database` every second, and whenever one changes."""
        self._holding = holding
        self._states = states
        self._book = book
        self._database = database
        self._wake = asyncio.Event()

    async def recover(self) -> None:
        """At the start of the only process: nobody else lives, so every phone is free."""
        if not self._database.shared:
            await self._database.run(self._book.free_all)

    async def run(self) -> None:
        """Work until cancelled."""
        self._database.listen(CHANNEL, lambda _: self._wake.set())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_for_ever())
            group.create_task(self._holding.connect_for_ever())
            group.create_task(self._flush_for_ever())

    async def stop(self) -> None:
        """Give every phone up: the last thing that a worker does."""
        await self._states.flush()
        await self._holding.stop()

    async def _look_for_ever(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._holding.look()
            except Unavailable as away:
                self._holding.blinded()
                log.debug("linked phones not looked at", code=away.code)
            except Exception:
                log.exception("❌ Linked phones could not be looked at")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self._states.flush()
            except Unavailable as away:
                log.debug("signs of life not written", code=away.code)


class EventJobs:
    """Brings what the provider tells to whoever keeps it."""

    def __init__(self, source: EventSource, sink: EventSink) -> None:
        """From `source` to `sink`."""
        self._source = source
        self._sink = sink

    async def recover(self) -> None:
        """Nothing is in hand: what was not kept is told again."""

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._source.tell_for_ever(self._sink)

    async def stop(self) -> None:
        """Nothing to give back."""
