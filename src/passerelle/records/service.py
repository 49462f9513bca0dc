"""Reads that ask the home first, and facts that reach it sooner or later."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, DatabaseAway, Tx
from passerelle.db.units import from_us
from passerelle.errors import PasserelleError, Rejected, Text, Unavailable
from passerelle.records.model import Change, CollectionKey, Fact, Reading, Record, Source
from passerelle.records.ports import FactBook, RecordStore, Shadow
from passerelle.redis_link import RedisState, RedisStatus

HOMES = {Source.REDIS: "Redis", Source.SQL: "SQL", Source.FILE: "the files"}
TRIES = 3
FIRST_DELAY_S = 0.1
log = structlog.get_logger()


class RecordsBusy(Unavailable):
    """Others kept changing the same records while we tried."""

    code = "records_busy"
    text = Text("Others are changing the same data.", "D'autres modifient les mêmes données.")
    hint = Text("Try again in a moment.", "Réessayez dans un instant.")


class Records:
    """Collections of versioned documents."""

    def __init__(
        self, *, store: RecordStore, facts: FactBook, shadow: Shadow | None, database: Database, clock: Clock
    ) -> None:
        """`store` is the home; a `shadow` is kept where the home may go away while SQL stays."""
        self._store = store
        self._facts = facts
        self._shadow = shadow
        self._database = database
        self._clock = clock
        self._memory: dict[CollectionKey, Reading] = {}
        self._kept: dict[CollectionKey, dict[str, int]] = {}
        self._news = asyncio.Event()

    async def read(self, key: CollectionKey) -> Reading:
        """The collection from its home, or what memory holds, marked, when that is away; waiting facts merged in."""
        facts = await self._waiting(key)  # before the home: one that is applied meanwhile is merged twice, not missed
        try:
            reading = Reading(source=self._store.source, as_of=self._clock.now(), records=await self._store.load(key))
            await self._remember(key, reading)
        except (Unavailable, Rejected) as away:
            log.warning(f"❌ Error reading {key.name} from {HOMES[self._store.source]}: {away.code}")
            reading = await self._recall(key, away)
        return replace(reading, records=reading.records | _merged(reading.records, facts))

    async def _waiting(self, key: CollectionKey) -> list[Fact]:
        try:
            return await self._database.read(partial(self._facts.waiting, key=key))
        except DatabaseAway:
            return []

    async def add_fact(self, tx: Tx, fact: Fact) -> None:
        """Write down what has happened, in the transaction of what caused it; call `wake` after its commit."""
        await self._facts.add(tx, fact)

    def wake(self) -> None:
        """There may be facts to apply."""
        self._news.set()

    async def redis_changed(self, status: RedisStatus) -> None:
        """Say what the change means for records (MISSION D1), and go on where we stopped."""
        if status.state is RedisState.UP:
            log.info("✅ Redis cache connected successfully")
            log.info("✅ Redis session store ready")
            self.wake()
        elif status.state is RedisState.DOWN:
            log.warning(
                "⚠️ Redis connection failed, using memory cache", code=status.fault.code if status.fault else None
            )

    async def apply_facts_for_ever(self, *, every_s: float = 1.0) -> None:
        """Bring facts into their records as soon as the home takes them."""
        while True:
            self._news.clear()
            try:
                await self.apply_facts()
            except (Unavailable, Rejected) as away:
                log.debug("facts wait for their home", code=away.code)
            except Exception:
                log.exception("❌ Facts could not be applied")
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._news.wait()

    async def apply_facts(self) -> int:
        """Apply every waiting fact, then forget it; how many. A collection that cannot be saved holds up no other.

        Raises:
            Unavailable, Rejected: why one could not be saved; its facts stay written down.
        """
        waiting: defaultdict[CollectionKey, list[Fact]] = defaultdict(list)
        for fact in await self._database.read(self._facts.waiting):
            waiting[fact.key].append(fact)
        refused: PasserelleError | None = None
        for key, facts in waiting.items():
            try:
                await self._apply(key, facts)
            except (Unavailable, Rejected) as away:
                refused = away
            else:
                await self._database.run(partial(self._facts.forget, seqs=[fact.seq for fact in facts]))
        if refused is not None:
            raise refused
        return sum(map(len, waiting.values()))

    async def _apply(self, key: CollectionKey, facts: list[Fact]) -> None:
        for tried in range(TRIES):
            current = await self._store.load(key)
            changes = _changes(current, facts)
            if all(await self._store.save(key, changes)):
                await self._remember(
                    key, Reading(source=self._store.source, as_of=self._clock.now(), records=_after(current, changes))
                )
                return
            await asyncio.sleep(FIRST_DELAY_S * 2**tried)  # somebody else saved in between: merge into the newer one
        raise RecordsBusy

    async def _remember(self, key: CollectionKey, reading: Reading) -> None:
        self._memory[key] = reading
        if self._shadow is None:
            return
        kept = self._kept.setdefault(key, {})
        fresh = [record for record in reading.records.values() if kept.get(record.id) != record.version]
        if fresh:
            with suppress(DatabaseAway):  # the shadow falls behind until the next reading; the home does not
                await self._database.run(partial(self._shadow.keep, key=key, records=fresh))
                kept.update((record.id, record.version) for record in fresh)

    async def _recall(self, key: CollectionKey, away: PasserelleError) -> Reading:
        """What we saw last; where nothing was ever seen, nothing is made up."""
        known = self._memory.get(key)
        if known is not None:
            return Reading(source=Source.MEMORY, as_of=known.as_of, records=dict(known.records))
        if self._shadow is None:
            raise away
        records, seen_us = await self._database.read(partial(self._shadow.recall, key=key))
        return Reading(source=Source.MEMORY, as_of=from_us(seen_us), records=records)


def _changes(current: dict[str, Record], facts: list[Fact]) -> list[Change]:
    last = {fact.id: f"fact:{fact.fence}:{fact.seq}" for fact in facts}
    return [
        Change(id=record.id, expected=record.version, operation=last[record.id], data=record.data)
        for record in _merged(current, facts).values()
        if record is not current.get(record.id)
    ]


def _merged(current: dict[str, Record], facts: list[Fact]) -> dict[str, Record]:
    merged: dict[str, Record] = {}
    for fact in facts:
        before = merged.get(fact.id) or current.get(fact.id) or Record(id=fact.id, version=0, data={})
        merged[fact.id] = before.merged(fact)
    return merged


def _after(current: dict[str, Record], changes: list[Change]) -> dict[str, Record]:
    return current | {c.id: Record(id=c.id, version=c.expected + 1, data=c.data) for c in changes}
