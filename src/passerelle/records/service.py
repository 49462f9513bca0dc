"""Collections of versioned documents: read, wished for, told of."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import Rejected, Unavailable
from passerelle.records.facts import Facts, merged
from passerelle.records.home import Home
from passerelle.records.memory import Memory
from passerelle.records.model import CollectionKey, Fact, Outcome, Reading, Record
from passerelle.records.ports import FactBook, RecordStore, Shadow
from passerelle.records.wishes import Edit, Wishes
from passerelle.redis_link import RedisState, RedisStatus

LOOK_EVERY_S = 0.5
log = structlog.get_logger()


class Records:
    """Reads ask the home first; a wish may be refused, a fact may not."""

    def __init__(
        self, *, store: RecordStore, facts: FactBook, shadow: Shadow | None, database: Database, clock: Clock
    ) -> None:
        """`store` is the home; a `shadow` is kept where the home may go away while SQL stays. Needs a running loop."""
        self.memory = Memory(shadow=shadow, database=database)
        self.home = Home(store=store, memory=self.memory, clock=clock)
        self.facts = Facts(book=facts, home=self.home, database=database)
        self._wishes = Wishes(home=self.home, facts=self.facts)
        self._news = asyncio.Event()

    async def read(self, key: CollectionKey, ids: Collection[str] | None = None) -> Reading:
        """The collection, or these of it, from its home; what memory holds, marked, when that is away.

        Waiting facts are merged in; what was removed is left out.

        Raises:
            Unavailable, Rejected: the home is away, and nothing was ever seen of it.
        """
        facts = await self.facts.waiting(key)  # before the home: one that is applied meanwhile is merged twice
        reading = await self.home.read(key, ids)
        there = reading.records
        if facts:
            there = merged(there, facts if ids is None else [fact for fact in facts if fact.id in ids])
        gone = [one for one, record in there.items() if record.removed]
        if not gone and there is reading.records:
            return reading
        return replace(reading, records={one: record for one, record in there.items() if one not in gone})

    async def change(self, key: CollectionKey, record_id: str, edit: Edit) -> Record:
        """See `Wishes.change`."""
        return await self._wishes.change(key, record_id, edit)

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """Forget for good that these were removed; for marks so old that no change of before can arrive any more.

        Raises:
            Unavailable, Rejected: the home is away; may be asked again.
        """
        await self.memory.drop(key, {record.id for record in records})
        await self.home.prune(key, records)

    def outcome(self, operation: str) -> Outcome:
        """See `Wishes.outcome`."""
        return self._wishes.outcome(operation)

    async def add_fact(self, tx: Tx, fact: Fact) -> None:
        """Write down what has happened, in the transaction of what caused it; call `wake` after its commit."""
        await self.facts.add(tx, fact)

    def wake(self) -> None:
        """There may be facts to apply."""
        self.facts.wake()

    async def redis_changed(self, status: RedisStatus) -> None:
        """Say what the change means for records (MISSION D1), and go on where we stopped."""
        if status.state is RedisState.UP:
            if status.writable:
                log.info("✅ Redis cache connected successfully")
                log.info("✅ Redis session store ready")
            self.wake()
            self._news.set()
        elif status.state is RedisState.DOWN:
            log.warning(
                "⚠️ Redis connection failed, using memory cache", code=status.fault.code if status.fault else None
            )

    async def run(self) -> None:
        """Apply facts, keep the shadow, resolve what is in doubt, watch what is suspect, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.facts.apply_for_ever())
                group.create_task(self.memory.flush_for_ever())
                group.create_task(self._look_for_ever())
        finally:
            with suppress(Unavailable):
                await self.memory.flush()

    async def _look_for_ever(self) -> None:
        while True:
            news = self._news.is_set()
            self._news.clear()
            try:
                await self._wishes.resolve()
                await self._look(set(await self.memory.keys()) if news else set(self.home.suspicions))
            except Unavailable as away:
                log.debug("records cannot be looked after", code=away.code)
            except Exception:
                log.exception("❌ Records could not be looked after")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()

    async def _look(self, keys: set[CollectionKey]) -> None:
        """Read them, so that what is lost is noticed before somebody asks."""
        for key in keys:
            with suppress(Unavailable, Rejected):
                await self.home.load(key)
