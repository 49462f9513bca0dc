"""The home of records with the memory beside it: who may believe what."""

from collections.abc import Collection, Sequence

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
            reading = await self._load(key, ids)
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
        return (await self._load(key, ids)).records

    async def _load(self, key: CollectionKey, ids: Collection[str] | None) -> Reading:
        seen, since, as_of = await self._memory.of(key), self._memory.moment(), self._clock.now()
        loaded = await self._store.load(key, ids)
        lost = self._memory.lost(seen, loaded, ids=ids, since=since)
        if lost and self.source is Source.REDIS:
            await self._suspect(key, lost)
        elif ids is None:
            self.suspicions.pop(key, None)
        self._memory.keep(key, loaded.values(), as_of=as_of, whole=ids is None)
        return Reading(source=self.source, as_of=as_of, records=loaded)

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """See `RecordStore.save`; never raises `RecordsSuspect`: load first."""
        return await self._store.save(key, changes)

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """See `RecordStore.prune`."""
        await self._store.prune(key, records)

    def saved(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """These were saved as they are."""
        self._memory.keep(key, records, as_of=self._clock.now(), whole=False)

    async def flush(self) -> None:
        """What was seen so far survives a restart from now on."""
        await self._memory.flush()

    async def _suspect(self, key: CollectionKey, lost: set[str]) -> None:
        try:
            still = await self._memory.still_kept(key, lost)
        except Unavailable:
            still = lost
        self._memory.forget(key, lost - still)
        if not still:
            return
        if key not in self.suspicions:
            log.error(
                f"⚠️ CRITICAL: {HOMES[self.source]} lost {key.name}: nothing is written until a person decides",
                client=key.client_id,
                lost=len(still),
                fix="passerelle records restore, or passerelle records accept",
            )
        self.suspicions[key] = still
        raise RecordsSuspect

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
