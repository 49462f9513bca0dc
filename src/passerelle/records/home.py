"""The home of records with the memory beside it: who may believe what."""

from collections.abc import Collection, Sequence
from datetime import datetime

import structlog

from passerelle.clock import Clock
from passerelle.errors import PasserelleError, Rejected, Unavailable
from passerelle.records.memory import Memory
from passerelle.records.model import Change, CollectionKey, Reading, Record, RecordsSuspect, Source
from passerelle.records.ports import RecordStore

HOMES = {Source.REDIS: "Redis", Source.SQL: "SQL", Source.FILE: "the files"}
log = structlog.get_logger()


class Home:
    """Asks the home first, and knows when to doubt it.

    What it lost (Redis came back emptier than we know) is suspect: nothing is written to it, nothing we know is
    dropped, until a person decides.
    """

    def __init__(self, *, store: RecordStore, memory: Memory, clock: Clock) -> None:
        """Ask `store`, remember in `memory`."""
        self._store = store
        self._memory = memory
        self._clock = clock
        self._told: dict[str, str] = {}
        self.suspicions: dict[CollectionKey, set[str]] = {}

    @property
    def source(self) -> Source:
        """What the home is."""
        return self._store.source

    def takes_writes(self) -> bool:
        """Whether it makes sense to try."""
        return self._store.takes_writes()

    async def read(self, key: CollectionKey, ids: Collection[str] | None = None) -> Reading:
        """The collection, or these of it, from the home; from memory, marked, while it is away or suspect.

        Raises:
            Unavailable, Rejected: the home is away, and nothing was ever seen of it.
        """
        try:
            reading = await self.ask(key, ids)
        except (Unavailable, Rejected) as away:
            self._tell(key, away)
            return await self._recall(key, ids, away)
        self._told.pop(key.name, None)
        return reading

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        """The same from the home alone: what a change may be built on.

        Raises:
            RecordsSuspect: the home lacks what we saw there.
            Unavailable, Rejected: the home is away.
        """
        return (await self.ask(key, ids)).records

    async def ask(self, key: CollectionKey, ids: Collection[str] | None = None) -> Reading:
        """As `load`, with the time at which it was asked."""
        seen, since, as_of = await self._memory.of(key), self._memory.moment(), self._clock.now()
        loaded = await self._store.load(key, ids)
        lost = self._memory.lost(seen, loaded, ids=ids, since=since)
        if lost and self.source is Source.REDIS and (still := await self._still_lost(key, lost, loaded)):
            self._suspect(key, still, whole=ids is None)
        elif ids is None:
            self.suspicions.pop(key, None)
        if key in self.suspicions:
            raise RecordsSuspect
        self._memory.keep(key, loaded.values(), as_of=as_of, whole=ids is None)
        return Reading(source=self.source, as_of=as_of, records=loaded)

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """See `RecordStore.save`; never raises `RecordsSuspect`: load first."""
        return await self._store.save(key, changes)

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """See `RecordStore.prune`."""
        await self._store.prune(key, records)

    def saved(self, key: CollectionKey, records: Sequence[Record], *, as_of: datetime) -> None:
        """These were saved as they are, built on what was read `as_of`: perhaps others saved since."""
        self._memory.keep(key, records, as_of=as_of, whole=False)

    async def flush(self) -> None:
        """What was seen so far survives a restart from now on."""
        await self._memory.flush()

    async def _still_lost(self, key: CollectionKey, lost: set[str], loaded: dict[str, Record]) -> set[str]:
        try:
            still = await self._memory.still_lost(key, lost, loaded)
        except Unavailable:
            return lost
        self._memory.forget(key, lost - still)
        return still

    def _suspect(self, key: CollectionKey, lost: set[str], *, whole: bool) -> None:
        if key not in self.suspicions:
            log.error(
                f"⚠️ CRITICAL: {HOMES[self.source]} lost {key.name}: nothing is written until a person decides",
                client=key.client_id,
                lost=len(lost),
                fix="passerelle records restore, or passerelle records accept",
            )
        self.suspicions[key] = lost if whole else lost | self.suspicions.get(key, set())

    async def _recall(self, key: CollectionKey, ids: Collection[str] | None, away: PasserelleError) -> Reading:
        seen = await self._memory.of(key)
        if self.source is not Source.REDIS and not seen.records:
            raise away  # nothing is made up
        return Reading(source=Source.MEMORY, as_of=seen.known_as_of(ids), records=seen.known(ids))

    def _tell(self, key: CollectionKey, away: PasserelleError) -> None:
        """Once per reason: while Redis is away thousands may read."""
        if self._told.get(key.name) != away.code:
            self._told[key.name] = away.code
            log.error(f"❌ Error reading {key.name} from {HOMES[self.source]}: {away.code}")
