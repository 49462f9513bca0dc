"""What we saw of the records last: in this process at once, in SQL (the shadow) a moment later."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from passerelle.db import Database, Tx
from passerelle.db.units import EPOCH, from_us
from passerelle.errors import Unavailable
from passerelle.records.model import CollectionKey, Record
from passerelle.records.ports import Shadow

FLUSH_EVERY_S = 0.2
RETRY_S = 1.0
log = structlog.get_logger()


@dataclass(slots=True)
class Seen:
    """One collection as we know it: all of it as of `as_of`, some records as of `times`.

    `stamps` say when each record was learnt, in the order of `Memory.moment`; `recalled`: the shadow was read.
    """

    as_of: datetime = EPOCH
    records: dict[str, Record] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    stamps: dict[str, int] = field(default_factory=dict)
    recalled: bool = False

    def recall(self, kept: "Seen") -> None:
        """Know what the shadow holds too, where that is more than is known."""
        self.as_of, self.recalled = max(self.as_of, kept.as_of), True
        for one, record in kept.records.items():
            if one not in self.records or self.records[one].version < record.version:
                self.records[one], self.stamps[one] = record, 0

    def known_as_of(self, ids: Collection[str] | None) -> datetime:
        """As of when `ids`, or all, are known."""
        return min((max(self.as_of, self.times.get(one, EPOCH)) for one in ids or ()), default=self.as_of)

    def known(self, ids: Collection[str] | None) -> dict[str, Record]:
        """What is known of `ids`, or of all."""
        if ids is None:
            return dict(self.records)
        return {one: self.records[one] for one in ids if one in self.records}


class Memory:
    """A copy, never a home. Where a shadow is kept, a process that starts while the home is away knows it all."""

    def __init__(self, *, shadow: Shadow | None, database: Database) -> None:
        """Kept in `shadow` too, where there is one."""
        self._shadow = shadow
        self._database = database
        self._seen: dict[CollectionKey, Seen] = {}
        self._unkept: defaultdict[CollectionKey, dict[str, Record]] = defaultdict(dict)
        self._moment = 0
        self._news = asyncio.Event()

    async def of(self, key: CollectionKey) -> Seen:
        """What we know of a collection; the first time from the shadow."""
        seen = self._seen.get(key)
        if seen is None or not seen.recalled:
            kept = await self._from_shadow(key)
            seen = self._seen.setdefault(key, Seen())
            if kept is not None and not seen.recalled:
                seen.recall(kept)
        return seen

    def moment(self) -> int:
        """Now, to be told to `lost`."""
        return self._moment

    def lost(self, seen: Seen, loaded: dict[str, Record], *, ids: Collection[str] | None, since: int) -> set[str]:
        """What was known by the moment `since`, and what the home, asked after it, does not have or has older."""
        known = seen.records
        return {
            one
            for one in (known if ids is None else ids)
            if one in known
            and known[one] is not loaded.get(one)  # what did not change is mostly the very same object
            and seen.stamps[one] <= since
            and (loaded[one].version if one in loaded else 0) < known[one].version
        }

    def keep(self, key: CollectionKey, records: Iterable[Record], *, as_of: datetime, whole: bool) -> None:
        """Know these from now on, where they are newer than what is known; `whole`: there are no others."""
        seen = self._seen.setdefault(key, Seen())
        if whole:
            seen.as_of = max(seen.as_of, as_of)
            seen.times.clear()
        for record in records:
            if not whole:
                seen.times[record.id] = as_of
            known = seen.records.get(record.id)
            if known is record:
                continue
            if known is None or known.version < record.version or self._shadow is None:
                self._learn(key, seen, record)

    async def still_lost(self, key: CollectionKey, lost: set[str], loaded: dict[str, Record]) -> set[str]:
        """Which of `lost` the shadow holds too, newer than `loaded`: the others were given up (by another process).

        A lost mark is no loss, and is given up here: what was removed is there no more.
        """
        if self._shadow is None:
            return set()
        await self.flush()
        kept, _ = await self._database.read(partial(self._shadow.recall, key=key))
        newer = {one for one in lost & kept.keys() if one not in loaded or loaded[one].version < kept[one].version}
        marks = {one for one in newer if one not in loaded and kept[one].removed}
        await self.drop(key, marks)
        return newer - marks

    async def drop(self, key: CollectionKey, ids: set[str]) -> None:
        """Nobody knows these any more."""
        for one in ids if key in self._unkept else ():
            self._unkept[key].pop(one, None)
        if self._shadow is not None and ids:
            await self._database.run(partial(self._shadow.drop, key=key, ids=sorted(ids)))
        self.forget(key, ids)

    async def reset(self, key: CollectionKey) -> None:
        """Begin again with what the shadow has of this collection."""
        with suppress(Unavailable):
            await self.flush()
        self._seen.pop(key, None)

    def forget(self, key: CollectionKey, ids: set[str]) -> None:
        """This process knows these no more."""
        seen = self._seen.get(key, Seen())
        for one in ids:
            seen.records.pop(one, None)
            seen.stamps.pop(one, None)
            seen.times.pop(one, None)

    async def keys(self) -> set[CollectionKey]:
        """Every collection of which we know something."""
        kept = [] if self._shadow is None else await self._database.read(self._shadow.keys)
        return {key for key, seen in self._seen.items() if seen.records} | set(kept)

    async def flush_for_ever(self) -> None:
        """Bring what was learnt into the shadow, soon after; while SQL is away it waits here."""
        while self._shadow is not None:
            await self._news.wait()
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self.flush()
            except Unavailable as away:
                log.debug("the shadow falls behind", code=away.code)
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("❌ The shadow could not be kept")
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Bring what was learnt into the shadow now."""
        self._news.clear()
        if self._shadow is None or not self._unkept:
            return
        unkept, self._unkept = self._unkept, defaultdict(dict)
        try:
            await self._database.run(partial(_keep_all, shadow=self._shadow, unkept=unkept))
        except BaseException:
            for key, records in unkept.items():
                self._unkept[key] = {**records, **self._unkept[key]}
            self._news.set()
            raise

    def _learn(self, key: CollectionKey, seen: Seen, record: Record) -> None:
        self._moment += 1
        seen.records[record.id] = record
        seen.stamps[record.id] = self._moment
        if self._shadow is not None:
            self._unkept[key][record.id] = record
            self._news.set()

    async def _from_shadow(self, key: CollectionKey) -> Seen | None:
        if self._shadow is None:
            return Seen()
        with suppress(Unavailable):
            records, seen_us = await self._database.read(partial(self._shadow.recall, key=key))
            return Seen(as_of=from_us(seen_us), records=records, stamps=dict.fromkeys(records, 0))
        return None


async def _keep_all(tx: Tx, shadow: Shadow, unkept: dict[CollectionKey, dict[str, Record]]) -> None:
    for key, records in unkept.items():
        await shadow.keep(tx, key, [records[one] for one in sorted(records)])
