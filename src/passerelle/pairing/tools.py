"""What the runs of attempts work with, and how they write down what has become of each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import TypeVar

from passerelle.clock import Clock
from passerelle.coalesce import Coalesced
from passerelle.coordination.news import News
from passerelle.db import Database, DatabaseAway, StorageFull, Tx, Unit
from passerelle.pairing.model import Attempt
from passerelle.pairing.ports import AttemptBook, CooldownBook, QrBook
from passerelle.pairing.service import Pairing
from passerelle.pairing.telling import events_of
from passerelle.sessions.service import Sessions
from passerelle.webhooks.service import Webhooks
from passerelle.whatsapp.ports import Linker

T = TypeVar("T")
DATABASE_RETRY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What every run works with."""

    worker_id: str
    provider: str
    book: AttemptBook
    qrs: QrBook
    cooldowns: CooldownBook
    pairing: Pairing
    sessions: Sessions
    linker: Linker
    news: News[Attempt]
    webhooks: Webhooks
    database: Database
    clock: Clock
    call_limit: timedelta
    probation: timedelta

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit`, conditional as all of ours are, until the database takes it: an outcome waits in memory."""
        return await _persist(partial(self.database.run, unit))

    async def save(self, attempt: Attempt) -> bool:
        """Save `attempt`, together with those of other runs; whether its row was still ours."""
        return await _persist(partial(self._saves, attempt))

    @cached_property
    def _saves(self) -> Coalesced[Attempt, bool]:
        return Coalesced(self._save_together)

    async def _save_together(self, attempts: list[Attempt]) -> list[bool]:
        async def save(tx: Tx) -> set[str]:
            saved = await self.book.save(tx, attempts, worker_id=self.worker_id)
            await self.tell(tx, [attempt for attempt in attempts if attempt.id in saved])
            return saved

        saved = await self.database.run(save)
        return [attempt.id in saved for attempt in attempts]

    async def tell(self, tx: Tx, attempts: Sequence[Attempt]) -> None:
        """The clients' systems hear of these, as they were just saved."""
        await self.webhooks.record(tx, events_of(attempts, self.clock.now()))


async def _persist(write: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await write()
        except (DatabaseAway, StorageFull):
            await asyncio.sleep(DATABASE_RETRY_S)
