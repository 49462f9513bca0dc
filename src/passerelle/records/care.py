"""What an operator does with records: verify, compare, reload, restore or accept what was lost, import."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from passerelle.db import Database
from passerelle.errors import PasserelleError, Rejected, Unavailable
from passerelle.records.home import HOMES
from passerelle.records.model import Change, CollectionKey, Record, Source
from passerelle.records.ports import FactBook, LossListener, RecordStore
from passerelle.records.service import Records

AT_ONCE = 100  # changes of one save
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One sort of collection over all clients: how many records, and whether all that we know of lies at its home."""

    name: str
    count: int
    at_home: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """One collection at its home and in this process' memory."""

    key: CollectionKey
    home: dict[str, Record]
    memory: dict[str, Record]


@dataclass(slots=True, kw_only=True)
class Import:
    """What became of records that were brought: saved, there already, or there with other data (left as it is)."""

    saved: int = 0
    same: int = 0
    different: list[str] = field(default_factory=list)


class Care:
    """Verbs over the collections of every client."""

    def __init__(
        self,
        *,
        records: Records,
        store: RecordStore,
        facts: FactBook,
        database: Database,
        names: Sequence[str],
        production: bool,
    ) -> None:
        """Collections called `names` exist; in `production` what cannot be loaded is told as critical."""
        self._names = names
        self._store = store
        self._home = records.home
        self._memory = records.memory
        self._facts = facts
        self._database = database
        self._production = production
        self._listener: LossListener | None = None

    def listen(self, listener: LossListener) -> None:
        """Tell `listener` what is given up."""
        self._listener = listener

    @property
    def source(self) -> Source:
        """What the home is."""
        return self._home.source

    async def verify(self) -> tuple[Source, list[Standing]]:
        """How many records of each sort there are, and whether they are all at their home; from memory if need be."""
        waiting = await self._waiting()
        counts: Counter[str] = Counter()
        elsewhere = {fact.name for fact in waiting}
        source = self._home.source
        for key in sorted(await self._keys(), key=str):
            reading = await self._home.read(key)
            counts[key.name] += sum(not record.removed for record in reading.records.values())
            if reading.source is Source.MEMORY:
                source = Source.MEMORY
                elsewhere.add(key.name)
        away = await self._away()
        source = Source.MEMORY if away else source
        return source, [
            Standing(name=name, count=counts[name], at_home=not away and name not in elsewhere) for name in self._names
        ]

    async def compare(self, name: str) -> tuple[bool, list[SideBySide]]:
        """Whether the home could be asked, and every collection called `name` there and in memory."""
        sides, reached = [], True
        for key in sorted(await self._keys(), key=str):
            if key.name == name:
                memory = await self._memory.of(key)
                try:
                    home = await self._store.load(key)
                except (Unavailable, Rejected):
                    home, reached = {}, False
                sides.append(SideBySide(key=key, home=_there(home), memory=_there(memory.records)))
        return reached and not await self._away(), sides

    async def reload(self) -> dict[str, int]:
        """Forget what this process remembers and read everything anew; how many of each sort.

        Raises:
            Unavailable, Rejected: the home is away; memory is then what the shadow has.
        """
        counts: Counter[str] = Counter(dict.fromkeys(self._names, 0))
        failed: dict[str, PasserelleError] = {}
        try:
            keys = await self._keys(at_home=True)
        except (Unavailable, Rejected) as away:
            keys, failed = set(), dict.fromkeys(self._names, away)
        for key in keys:
            await self._memory.reset(key)
            try:
                counts[key.name] += len(_there(await self._home.load(key)))
            except (Unavailable, Rejected) as away:
                failed[key.name] = away
        for name in self._names:
            self._tell_loaded(name, counts[name], failed.get(name))
        if failed:
            raise next(iter(failed.values()))
        return {name: counts[name] for name in self._names}

    async def restore(self) -> dict[str, int]:
        """Bring back what the home lost, as we saw it last; how many records of each sort.

        Raises:
            Unavailable, Rejected: the home is away; what was brought back so far stays.
        """
        restored: Counter[str] = Counter(dict.fromkeys(self._names, 0))
        for key, lost in (await self._lost()).items():
            seen = await self._memory.of(key)
            there = await self._store.load(key, lost)
            changes = [_back(seen.records[one], there.get(one)) for one in sorted(lost)]
            for start in range(0, len(changes), AT_ONCE):
                restored[key.name] += sum(await self._store.save(key, changes[start : start + AT_ONCE]))
            await self._home.load(key)
            log.info(f"✅ {restored[key.name]} {key.name} brought back to {HOMES[self.source]}", client=key.client_id)
        return dict(restored)

    async def accept(self) -> dict[str, int]:
        """Believe the home: what it lost is forgotten here too; how many records of each sort.

        Raises:
            Unavailable, Rejected: the home is away; nothing more is forgotten.
        """
        dropped: Counter[str] = Counter(dict.fromkeys(self._names, 0))
        for key, lost in (await self._lost()).items():
            if self._listener is not None:
                await self._listener.given_up(key, lost)
            await self._memory.drop(key, lost)
            await self._home.load(key)
            dropped[key.name] += len(lost)
            log.warning(f"⚠️ {len(lost)} {key.name} given up for good", client=key.client_id)
        return dict(dropped)

    async def bring(self, key: CollectionKey, records: Sequence[Record]) -> Import:
        """Save records from elsewhere; what is there already is never overwritten.

        Raises:
            Unavailable, Rejected: the home is away; asking again brings the rest.
        """
        there = await self._home.load(key, {record.id for record in records})
        done = Import(
            same=sum(record.id in there and there[record.id].data == record.data for record in records),
            different=[r.id for r in records if r.id in there and there[r.id].data != r.data],
        )
        new = [_back(record, None, as_it_is=True) for record in records if record.id not in there]
        for start in range(0, len(new), AT_ONCE):
            part = new[start : start + AT_ONCE]
            saved = await self._store.save(key, part)
            done.saved += sum(saved)
            done.different += [change.id for change, ok in zip(part, saved, strict=True) if not ok]
        await self._home.load(key, {change.id for change in new})
        return done

    async def _lost(self) -> dict[CollectionKey, set[str]]:
        """What the home lost, of every collection."""
        lost: defaultdict[CollectionKey, set[str]] = defaultdict(set)
        for key in await self._keys():
            try:
                await self._home.load(key)
            except (Unavailable, Rejected):
                if key not in self._home.suspicions:
                    raise
                lost[key] |= self._home.suspicions[key]
        return lost

    async def _keys(self, *, at_home: bool = False) -> set[CollectionKey]:
        """Every collection known here or, where it can be asked, there; `at_home`: it must be asked."""
        known = await self._memory.keys()
        try:
            return known | {key for key in await self._store.keys() if key.name in self._names}
        except (Unavailable, Rejected):
            if at_home:
                raise
            return known

    async def _away(self) -> bool:
        try:
            await self._store.keys()
        except (Unavailable, Rejected):
            return True
        return False

    async def _waiting(self) -> list[CollectionKey]:
        try:
            return [fact.key for fact in await self._database.read(self._facts.waiting)]
        except Unavailable:
            return []

    def _tell_loaded(self, name: str, count: int, away: PasserelleError | None) -> None:
        where = HOMES[self.source]
        if away is None:
            log.info(f"✅ {name.capitalize()} reloaded from {where}: {count} {name.removesuffix('s')}(s)")
        elif self._production:
            log.error(f"⚠️ CRITICAL: cannot load {name} from {where} in production", code=away.code)
        else:
            log.warning(f"⚠️ Cannot load {name} from {where}", code=away.code)


def _there(records: dict[str, Record]) -> dict[str, Record]:
    return {one: record for one, record in records.items() if not record.removed}


def _back(record: Record, there: Record | None, *, as_it_is: bool = False) -> Change:
    """The change that brings `record` back over what is `there`: newer than anybody has seen it, unless `as_it_is`."""
    return Change(
        id=record.id,
        expected=0 if there is None else there.version,
        operation=f"back:{record.version}",
        data=None if record.removed else record.data,
        at_version=record.version if as_it_is else record.version + 1,
    )
