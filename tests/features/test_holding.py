"""Several workers share the linked phones: their rows on a real PostgreSQL, their connections recorded."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.db import Database, Tx
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.sessions.adapters.holders import SqlHolderBook, SqlSeenBook
from passerelle.sessions.adapters.sql import SqlPhoneBook, SqlProxyBook
from passerelle.sessions.holding import Holding
from passerelle.sessions.model import Proxy
from passerelle.sessions.ports import LinkedPhone, Number
from passerelle.sessions.sealing import ProxySeal

from servers import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z5")]
LAPSE = timedelta(seconds=1)
BOOK, SEEN, PHONES, WORKERS = SqlHolderBook(), SqlSeenBook(), SqlPhoneBook(), SqlWorkerBook()
PROXIES, FORMER = SqlProxyBook(ProxySeal("our own key")), SqlProxyBook(ProxySeal("the key before"))


@dataclass
class Wires:
    """The connections that WhatsApp sees: who has which open, and everything that happened."""

    open: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)

    def of(self, worker_id: str) -> set[str]:
        return {session_id for session_id, holder in self.open.items() if holder == worker_id}


@dataclass
class Recorded:
    """`whatsapp.ports.Connections` of one worker."""

    wires: Wires
    worker_id: str
    seen: dict[str, datetime] = field(default_factory=dict)
    proxies: dict[str, str | None] = field(default_factory=dict)

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:  # noqa: ARG002 -- the port's signature
        self.wires.open[session_id] = self.worker_id
        self.proxies[session_id] = proxy
        self.wires.log.append(("hold", self.worker_id, session_id))

    async def release(self, *, session_id: str) -> None:
        if self.wires.open.get(session_id) == self.worker_id:
            del self.wires.open[session_id]
        self.wires.log.append(("release", self.worker_id, session_id))

    def evidence(self) -> Mapping[str, datetime]:
        return self.seen


class Pump:
    """`HoldListener`: what the outbox would hear."""

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.taken: list[str] = []
        self.changes = 0

    async def adopted(self, tx: Tx, *, session_ids: Sequence[str], worker_id: str) -> None:  # noqa: ARG002 -- the port's signature
        self.taken += session_ids

    def is_busy(self, session_id: str) -> bool:
        return session_id in self.busy

    def back(self, session_id: str) -> None:
        pass

    def changed(self) -> None:
        self.changes += 1


class One:
    """A worker: it beats, looks and connects."""

    def __init__(self, name: str, database: Database, wires: Wires) -> None:
        self.name = name
        self.database = database
        self.wires = wires
        self.pump = Pump()
        self.connections = Recorded(wires, name)
        self.holding = Holding(
            worker_id=name,
            book=BOOK,
            connections=self.connections,
            proxies=PROXIES,
            database=database,
            lapse=LAPSE,
        )
        self.holding.listen(self.pump)
        self._connecting = asyncio.create_task(self.holding.connect_for_ever())

    @property
    def has(self) -> set[str]:
        return self.wires.of(self.name)

    async def look(self) -> None:
        await self.database.run(partial(WORKERS.beat, worker_id=self.name))
        await self.holding.look()
        await asyncio.sleep(0.02)

    async def end(self) -> None:
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)


@dataclass
class Fleet:
    database: Database
    wires: Wires = field(default_factory=Wires)
    workers: list[One] = field(default_factory=list)

    def worker(self) -> One:
        one = One(f"w{len(self.workers)}", self.database, self.wires)
        self.workers.append(one)
        return one

    async def link(self, count: int, *, holder: str | None = None) -> list[str]:
        ids = [f"sess_{number:03}" for number in range(count)]

        async def put(tx: Tx) -> None:
            for number, session_id in enumerate(ids):
                linked = LinkedPhone(session_id, f"{number}:1@wa")
                key = Number("default", f"+3363998{number:04}")
                await PHONES.put(tx, key, linked, user_id="anna", holder=holder)

        await self.database.run(put)
        return ids

    async def turns(self, count: int, *workers: One) -> None:
        for _ in range(count):
            for one in workers or self.workers:
                await one.look()

    async def silence(self, one: One, *, seconds: float = 60) -> None:
        """Its last heartbeat was that long ago."""

        async def age(tx: Tx) -> None:
            await tx.sql(
                "UPDATE workers SET heartbeat_us = heartbeat_us - :us WHERE id = :id",
                us=int(seconds * 1e6),
                id=one.name,
            )

        await self.database.run(age)


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[Fleet]:
    database = open_database(read_url(url, data_dir=folder))
    fleet = Fleet(database)
    try:
        await migrate(database)
        yield fleet
    finally:
        for one in fleet.workers:
            await one.end()
        await database.close()


@pytest.fixture
async def fleet(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with opened(postgres_server.create_database(), tmp_path) as one:
        yield one


async def test_one_worker_connects_every_phone_and_tells_its_outbox(fleet: Fleet) -> None:
    ids = await fleet.link(5)
    one = fleet.worker()
    await one.look()
    assert one.has == set(ids)
    assert (sorted(one.pump.taken), one.pump.changes) == (ids, 1)
    assert all(map(one.holding.holds, ids))
    await one.look()
    assert [what for what, *_ in fleet.wires.log] == ["hold"] * 5, "held is held: nothing is done twice"


async def test_phones_are_spread_evenly_and_a_worker_that_joins_gets_its_share(fleet: Fleet) -> None:
    ids = await fleet.link(60)
    one, two = fleet.worker(), fleet.worker()
    for worker in (one, two):
        await fleet.database.run(partial(WORKERS.beat, worker_id=worker.name))
    await fleet.turns(2)
    assert (len(one.has), len(two.has)) == (30, 30)
    three = fleet.worker()
    await fleet.turns(4)
    assert sorted(len(worker.has) for worker in fleet.workers) == [20, 20, 20]
    assert one.has | two.has | three.has == set(ids)
    assert three.pump.taken


async def test_a_phone_is_given_away_only_when_nothing_of_it_is_in_the_air(fleet: Fleet) -> None:
    await fleet.link(10)
    one = fleet.worker()
    await one.look()
    one.pump.busy = set(one.has)
    two = fleet.worker()
    await two.look()
    leaving = asyncio.create_task(one.look())
    await asyncio.sleep(0.3)
    assert not leaving.done()
    assert len(one.has) == 10, "its connections stay while something is in the air"
    gone = {session_id for session_id in one.has if not one.holding.holds(session_id)}
    assert len(gone) == 5, "and nothing new is begun with those that go"
    one.pump.busy.clear()
    await leaving
    await two.look()
    assert (two.has, len(one.has)) == (gone, 5)


async def test_the_phones_of_a_dead_worker_are_connected_by_the_others(fleet: Fleet) -> None:
    ids = await fleet.link(9)
    dead, alive = fleet.worker(), fleet.worker()
    await dead.look()
    await fleet.silence(dead)
    await alive.look()
    assert alive.has == set(), "who has not looked long enough calls nobody dead"
    async with asyncio.timeout(10):
        while alive.has != set(ids):
            await alive.look()
            await asyncio.sleep(0.2)


async def test_a_paused_worker_finds_out_and_lets_go(fleet: Fleet) -> None:
    ids = await fleet.link(4)
    paused, other = fleet.worker(), fleet.worker()
    await paused.look()

    async def steal(tx: Tx) -> None:
        await tx.sql("UPDATE linked_phones SET holder = 'w1', fence = fence + 1")

    await fleet.database.run(steal)
    await fleet.database.run(partial(WORKERS.beat, worker_id=other.name))
    await paused.look()
    assert paused.has == set()
    assert not any(map(paused.holding.holds, ids))


async def test_a_worker_that_stops_leaves_its_phones_to_others_at_once(fleet: Fleet) -> None:
    ids = await fleet.link(6)
    one, two = fleet.worker(), fleet.worker()
    await one.look()
    await one.holding.stop()
    await fleet.database.run(partial(WORKERS.leave, worker_id=one.name))
    assert fleet.wires.open == {}
    await two.look()
    assert two.has == set(ids)


async def test_a_wish_to_reconnect_closes_and_opens_the_connection(fleet: Fleet) -> None:
    (session_id,) = await fleet.link(1)
    one = fleet.worker()
    await one.look()
    fleet.wires.log.clear()
    await fleet.database.run(partial(SEEN.wish_reconnect, client_id="default", session_id=session_id))
    await fleet.turns(2)
    assert [what for what, *_ in fleet.wires.log] == ["release", "hold"]


async def moved(tx: Tx, worker: str) -> None:
    """Every phone is this worker's now."""
    await tx.sql("UPDATE linked_phones SET holder = :worker, fence = fence + 1", worker=worker)


async def test_a_replaced_connection_is_left_to_its_new_holder_and_fought_for_by_nobody(fleet: Fleet) -> None:
    mine, theirs = await fleet.link(2)
    one = fleet.worker()
    await one.look()

    async def steal(tx: Tx) -> None:
        await tx.sql("UPDATE linked_phones SET holder = 'w9', fence = fence + 1 WHERE session_id = :id", id=theirs)

    await fleet.database.run(partial(WORKERS.beat, worker_id="w9"))
    await fleet.database.run(steal)
    assert not await one.holding.replaced(theirs), "our own successor has it"
    assert await one.holding.replaced(mine), "another device has taken our place"
    assert one.has == set()
    assert not await one.holding.replaced(mine), "told again while it waits: nothing more"
    assert ("hold", "w0", mine) not in fleet.wires.log[2:]


async def test_a_phone_that_comes_back_is_fought_for_by_nobody_either(fleet: Fleet) -> None:
    """What was remembered of its conflict went when another worker took it: else the next one would not be heard."""
    (mine,) = await fleet.link(1)
    one = fleet.worker()
    await one.look()
    assert await one.holding.replaced(mine)
    for worker, has in (("w9", set[str]()), ("w0", {mine})):
        await fleet.database.run(partial(WORKERS.beat, worker_id=worker))
        await fleet.database.run(partial(moved, worker=worker))
        await one.look()
        assert one.has == has
    assert await one.holding.replaced(mine), "another conflict"
    assert one.has == set()


async def test_a_database_that_is_away_takes_no_phone_from_its_worker(fleet: Fleet) -> None:
    ids = await fleet.link(3)
    one = fleet.worker()
    await one.look()
    one.holding.blinded()
    assert one.has == set(ids)
    assert one.holding.evidence() == {}
    one.connections.seen = {ids[0]: datetime.now(UTC), "sess_of_another": datetime.now(UTC)}
    assert list(one.holding.evidence()) == [ids[0]]


async def test_a_phone_that_gives_no_sign_of_life_is_connected_anew_once(fleet: Fleet) -> None:
    silent, lively = await fleet.link(2)
    one = fleet.worker()
    await one.look()
    fleet.wires.log.clear()
    now = datetime.now(UTC)
    one.connections.seen = {silent: now - timedelta(minutes=6), lively: now - timedelta(minutes=4)}
    await fleet.turns(3)
    assert fleet.wires.log == [("release", "w0", silent), ("hold", "w0", silent)]


async def test_a_phone_whose_proxy_changes_is_connected_anew_by_it(fleet: Fleet) -> None:
    mine, other = await fleet.link(2)
    one = fleet.worker()
    await one.look()
    assert one.connections.proxies == {mine: None, other: None}
    fleet.wires.log.clear()
    proxy = Proxy.read("socks5://anna:s3cret@proxy.example:1080")
    await fleet.database.run(partial(PROXIES.put, session_id=mine, proxy=proxy))
    await fleet.turns(2)
    assert one.connections.proxies == {mine: "socks5://anna:s3cret@proxy.example:1080", other: None}
    await fleet.database.run(partial(PROXIES.put, session_id=mine, proxy=None))
    await fleet.turns(2)
    assert one.connections.proxies == {mine: None, other: None}
    assert fleet.wires.log == [("release", "w0", mine), ("hold", "w0", mine)] * 2


async def test_a_phone_whose_proxy_cannot_be_read_is_not_connected_without_it(fleet: Fleet) -> None:
    mine, other = await fleet.link(2)
    proxy = Proxy.read("socks5://anna:s3cret@proxy.example:1080")
    await fleet.database.run(partial(FORMER.put, session_id=mine, proxy=proxy))
    one = fleet.worker()
    await fleet.turns(2)
    assert one.has == {other}
    await fleet.database.run(partial(PROXIES.put, session_id=mine, proxy=proxy))
    await fleet.turns(2)
    assert one.has == {mine, other}


async def test_a_newcomer_keeps_nobody_from_what_a_dead_worker_had(fleet: Fleet) -> None:
    ids = await fleet.link(40)
    dead, alive = fleet.worker(), fleet.worker()
    for worker in (dead, alive):
        await fleet.database.run(partial(WORKERS.beat, worker_id=worker.name))
    for _ in range(8):  # long enough to call somebody dead
        await fleet.turns(1)
        await asyncio.sleep(0.15)
    await fleet.silence(dead)
    newcomer = fleet.worker()
    await fleet.database.run(partial(WORKERS.beat, worker_id=newcomer.name))
    await fleet.turns(8, alive, newcomer)
    assert alive.has | newcomer.has == set(ids), "though the newcomer, whose share it is, calls nobody dead yet"


async def test_workers_that_died_long_ago_make_nobody_give_phones_away(fleet: Fleet) -> None:
    await fleet.link(40)
    one = fleet.worker()
    await one.look()
    for number in range(9):
        await fleet.database.run(partial(WORKERS.beat, worker_id=f"w_of_old_{number}"))
        await fleet.database.run(
            lambda tx: tx.sql("UPDATE workers SET heartbeat_us = 1 WHERE id LIKE :old", old="w_of_old_%")
        )
    await fleet.turns(2)
    assert len(one.has) == 40


async def test_what_is_told_late_of_a_connection_before_this_one_is_no_conflict(fleet: Fleet) -> None:
    (session_id,) = await fleet.link(1)
    one = fleet.worker()
    before = datetime.now(UTC)
    await one.look()
    assert not await one.holding.replaced(session_id, at=before)
    assert one.has == {session_id}
    assert await one.holding.replaced(session_id, at=datetime.now(UTC))
