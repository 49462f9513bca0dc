"""Facts: written down with what caused them, brought into their records by whoever has the home."""

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from functools import partial

import structlog

from passerelle.db import Database, DatabaseAway, Tx
from passerelle.errors import PasserelleError, Rejected, Unavailable
from passerelle.records.home import Home
from passerelle.records.model import Change, CollectionKey, Fact, Record, RecordsBusy
from passerelle.records.ports import FactBook

CHANNEL = "passerelle_facts"
TRIES = 5
FIRST_DELAY_S = 0.05
log = structlog.get_logger()


class Facts:
    """Never refused, whatever is away: they wait in SQL."""

    def __init__(self, *, book: FactBook, home: Home, database: Database) -> None:
        """Facts wait in `book`."""
        self._book = book
        self._home = home
        self._database = database
        self._news = asyncio.Event()
        self._quiet = False  # none waits, for sure
        self._heard_of_one = False
        database.listen(CHANNEL, lambda _: self._heard())

    async def add(self, tx: Tx, fact: Fact) -> None:
        """Write down what has happened, in the transaction of what caused it; call `wake` after its commit."""
        self._heard()  # who reads right after the commit may be quicker than the notice of it
        await self._book.add(tx, fact)
        await tx.notify(CHANNEL, fact.key.client_id)

    def wake(self) -> None:
        """There may be facts to apply."""
        self._quiet = False
        self._news.set()

    def _heard(self) -> None:
        """Somebody has written one: who reads must know, and whoever wrote it applies it; else we, at our next look."""
        self._quiet, self._heard_of_one = False, True

    async def waiting(self, key: CollectionKey) -> list[Fact]:
        """Those of one collection that are not applied yet; none while SQL is away."""
        if self._quiet:
            return []
        with suppress(DatabaseAway):
            return await self._database.read(partial(self._book.waiting, key=key))
        return []

    async def apply_for_ever(self, *, every_s: float = 1.0) -> None:
        """Bring facts into their records as soon as the home takes them."""
        while True:
            self._news.clear()
            self._heard_of_one = False
            try:
                applied = await self.apply()
                self._quiet = applied == 0 and not self._news.is_set() and not self._heard_of_one
            except (Unavailable, Rejected) as away:
                log.debug("facts wait for their home", code=away.code)
            except Exception:
                log.exception("❌ Facts could not be applied")
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._news.wait()

    async def apply(self) -> int:
        """Apply every waiting fact, then forget it; how many. A collection that cannot be saved holds up no other.

        Raises:
            Unavailable, Rejected: why one could not be saved; its facts stay written down.
        """
        refused: dict[CollectionKey, PasserelleError] = {}
        while True:
            waiting: defaultdict[CollectionKey, list[Fact]] = defaultdict(list)
            for fact in await self._database.read(partial(self._book.waiting, but=[*refused])):
                waiting[fact.key].append(fact)
            held_up = await self._apply_all(waiting)
            refused |= held_up
            if not held_up or not self._home.takes_writes():
                break
        for away in refused.values():
            raise away
        return sum(map(len, waiting.values()))

    async def _apply_all(self, waiting: dict[CollectionKey, list[Fact]]) -> dict[CollectionKey, PasserelleError]:
        """Apply and forget them; the collections that could not be saved, and why."""
        refused: dict[CollectionKey, PasserelleError] = {}
        for key, facts in random.sample([*waiting.items()], len(waiting)):  # not all processes at the same one
            try:
                await self._apply(key, facts)
            except (Unavailable, Rejected) as away:
                refused[key] = away
            else:
                await self._home.flush()  # first: a crash between the two must not make us forget what they told
                await self._database.run(partial(self._book.forget, seqs=[fact.seq for fact in facts]))
        return refused

    async def _apply(self, key: CollectionKey, facts: list[Fact]) -> None:
        for tried in range(TRIES):
            reading = await self._home.ask(key, {fact.id for fact in facts})
            after, changes = _changes(reading.records, facts)
            if not changes or all(await self._home.save(key, changes)):
                self._home.saved(key, after, as_of=reading.as_of)
                return
            # somebody else saved in between: merge into the newer one
            await pause(FIRST_DELAY_S * 2**tried)
        raise RecordsBusy


async def pause(most_s: float) -> None:
    """Wait for a random while, so that two who met do not meet again."""
    await asyncio.sleep(random.uniform(0, most_s))  # noqa: S311 -- nothing secret


def merged(current: dict[str, Record], facts: list[Fact]) -> dict[str, Record]:
    """`current` with `facts` applied."""
    after = dict(current)
    for fact in facts:
        record = after.get(fact.id, Record(id=fact.id)).merged(fact)
        if record.version or record.data:
            after[fact.id] = record
    return after


def _changes(current: dict[str, Record], facts: list[Fact]) -> tuple[list[Record], list[Change]]:
    """The records that `facts` change, as they will be, and the changes that make them so."""
    last = {fact.id: f"fact:{fact.fence}:{fact.seq}" for fact in facts}
    changes = [
        Change(id=record.id, expected=record.version, operation=last[record.id], data=record.data)
        for record in merged(current, facts).values()
        if record is not current.get(record.id)
    ]
    return [current.get(change.id, Record(id=change.id)).changed(change) for change in changes], changes
