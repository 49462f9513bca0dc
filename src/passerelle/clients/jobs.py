"""The worker's side of clients: logins that have expired go, and the data of clients that were removed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from passerelle.clients.logins import Logins
from passerelle.clients.ports import ClientEraser, Removal, RemovalBook
from passerelle.clients.service import REMOVALS
from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.errors import Rejected, Unavailable

SWEEP_EVERY = timedelta(hours=1)
LOOK_EVERY_S = 60.0
# What was under way when the keys ended (a pairing takes 5 minutes, an upload perhaps longer) may still write: we look
# again for so long.
LINGER = timedelta(minutes=15)
log = structlog.get_logger()


class LoginJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(self, logins: Logins, clock: Clock) -> None:
        """Sweep `logins` by `clock`."""
        self._logins = logins
        self._clock = clock

    async def recover(self) -> None:
        """Nothing is in hand."""

    async def run(self) -> None:
        """Sweep each hour until cancelled."""
        while True:
            try:
                await self._logins.sweep()
            except (Unavailable, Rejected) as away:
                log.debug("logins cannot be swept", code=away.code)
            except Exception:
                log.exception("❌ Logins could not be swept")
            await self._clock.sleep_until(self._clock.now() + SWEEP_EVERY)

    async def stop(self) -> None:
        """Nothing to give back."""


class RemovalJobs:
    """See `coordination.ports.Jobs`: what removed clients leave behind, room by room, in steps that may be repeated."""

    def __init__(
        self, *, book: RemovalBook, erasers: Sequence[ClientEraser], database: Database, linger: timedelta = LINGER
    ) -> None:
        """One eraser for each room, in this order; a client is looked at again until `linger` after its removal."""
        self._book = book
        self._erasers = erasers
        self._database = database
        self._linger = linger
        self._news = asyncio.Event()
        database.listen(REMOVALS, lambda _: self._news.set())

    async def recover(self) -> None:
        """Nothing is in hand: what is under way stands in the book."""

    async def run(self) -> None:
        """Work at every removal, and each minute at those under way, until cancelled."""
        while True:
            self._news.clear()
            try:
                await self.work()
            except Unavailable as away:
                log.debug("the data of removed clients waits", code=away.code)
            except Exception:
                log.exception("❌ The data of a removed client could not be erased")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()

    async def work(self) -> None:
        """Erase what is left of each removed client; one that cannot be erased just now holds up no other.

        Raises:
            Unavailable: SQL is away.
        """
        for removal in await self._database.read(self._book.open):
            try:
                await self._erase(removal)
            except (Unavailable, Rejected) as away:
                log.warning("⚠️ The data of a removed client waits", client=removal.client_id, code=away.code)

    async def stop(self) -> None:
        """Nothing to give back."""

    async def _erase(self, removal: Removal) -> None:
        erased = 0
        for eraser in self._erasers:
            erased += await eraser.erase(removal.client_id)
        if erased:
            log.info("🔄 Data of a removed client erased", client=removal.client_id, things=erased)
        elif removal.age > self._linger:
            await self._database.run(partial(self._book.end, client_id=removal.client_id))
            log.info("✅ Nothing is left of a removed client", client=removal.client_id)
