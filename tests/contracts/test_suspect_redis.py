"""Redis comes back with less than it had: nothing is written, nothing forgotten, until a person decides."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.record_parts import Lossy, comes_true, documents, fact, happen, plain, records_on, running, waiting
from passerelle.clock import Clock
from passerelle.db import Database, DatabaseAway, Tx
from passerelle.db.units import EPOCH
from passerelle.errors import Unavailable
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlShadow
from passerelle.records.care import Care
from passerelle.records.checks import DataInRedis
from passerelle.records.memory import Memory
from passerelle.records.model import CollectionKey, Record, RecordsSuspect, Source
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.redis_link import RedisLink

from .conftest import OpenLink, closed_link, opened
from servers import PostgresServer, RedisServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E1")]
NAMES = ("clients", "sessions", "logins")
KEY = CollectionKey(client_id="default", name="sessions")
ELSEWHERE = CollectionKey(client_id="client_2", name="sessions")
FIVE = {f"sess_{n}": {"n": n} for n in range(5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a process knows, and what an operator does with it."""

    records: Records
    care: Care
    link: RedisLink
    database: Database

    @property
    def store(self) -> RecordStore:
        return RedisRecordStore(self.link)

    async def at_home(self, key: CollectionKey = KEY) -> dict[str, tuple[int, dict[str, Any]]]:
        return {one.id: (one.version, plain(one)) for one in (await self.store.load(key)).values()}

    async def wish(self, record_id: str = "sess_0", key: CollectionKey = KEY, **data: Any) -> Record:
        return await self.records.change(key, record_id, lambda _: data)


def care_for(records: Records, store: RecordStore, database: Database, *, production: bool = False) -> Care:
    return Care(
        records=records, store=store, facts=SqlFactBook(), database=database, names=NAMES, production=production
    )


@asynccontextmanager
async def started(
    server: RedisServer, database: Database, open_link: OpenLink, *, at_work: bool = True, production: bool = False
) -> AsyncIterator[Process]:
    """A process with a memory of its own."""
    link = closed_link(server.url)
    records = records_on(RedisRecordStore(link), database)
    await open_link(link, records)
    care = care_for(records, RedisRecordStore(link), database, production=production)
    async with running(records) if at_work else nullcontext():
        yield Process(records=records, care=care, link=link, database=database)


@pytest.fixture
async def process(redis_server: RedisServer, local: Database, open_link: OpenLink) -> AsyncIterator[Process]:
    """One that has five sessions, all seen."""
    async with started(redis_server, local, open_link) as process:
        await seed(process)
        yield process


@pytest.fixture
async def other(
    redis_server: RedisServer, local: Database, open_link: OpenLink, process: Process
) -> AsyncIterator[Process]:
    """A second one that has seen them too."""
    async with started(redis_server, local, open_link) as other:
        await other.records.read(KEY)
        yield other


async def seed(process: Process) -> None:
    for one, data in FIVE.items():
        await process.wish(one, n=data["n"])
    assert len((await process.records.read(KEY)).records) == 5
    await process.records.memory.flush()


async def emptied(process: Process) -> None:
    """Redis has lost everything, and is well."""
    await process.link.write("FLUSHALL")


async def until_clear(*processes: Process) -> None:
    for process in processes:
        await eventually(lambda process=process: not process.records.home.suspicions, "no suspicion", 3)  # type: ignore[misc] # the default binds it


async def none_waits(process: Process) -> bool:
    return await waiting(process.database) == 0


def alarms(lines: Iterable[Any]) -> list[str]:
    return [line["event"] for line in lines if "CRITICAL" in line["event"]]


async def is_refused(process: Process, record_id: str = "sess_0") -> None:
    with pytest.raises(RecordsSuspect) as why:
        await process.wish(record_id, n=9)
    assert why.value.code == "records_suspect"


# --- noticed


async def test_a_redis_that_comes_back_empty_is_suspect_and_nothing_is_forgotten(
    redis_server: RedisServer, process: Process
) -> None:
    with capture_logs() as lines:
        redis_server.restart()
        for _ in range(3):
            reading = await process.records.read(KEY)
            assert reading.source is Source.MEMORY
            assert {one: record.data for one, record in reading.records.items()} == FIVE
            assert (await process.records.read(KEY, ["sess_3"])).source is Source.MEMORY
            await is_refused(process)
        await is_refused(process, "sess_new")
    sentence = "⚠️ CRITICAL: Redis lost sessions: nothing is written until a person decides"
    assert alarms(lines) == [sentence], "once"
    assert await process.at_home() == {}


async def test_the_loss_is_noticed_before_anybody_asks(redis_server: RedisServer, process: Process) -> None:
    redis_server.kill()
    await eventually(lambda: not process.link.is_up)
    redis_server.start()
    await eventually(lambda: KEY in process.records.home.suspicions, "noticed")


async def test_how_much_is_lost_is_told_the_same_whatever_was_asked_for_last(process: Process, tmp_path: Path) -> None:
    await emptied(process)
    suspicions = process.records.home.suspicions
    check = DataInRedis(process.care, suspicions=lambda: suspicions, files=tmp_path)
    for ids in (None, ["sess_1"], ["sess_1", "sess_2"]):
        await process.records.read(KEY, ids)
        (finding,) = await check.run()
        assert (finding.id, finding.evidence) == ("RECORDS_SUSPECT", "sessions: 5")


async def test_facts_wait_while_redis_is_suspect_and_are_read_all_the_same(process: Process) -> None:
    await emptied(process)
    assert (await process.records.read(KEY)).source is Source.MEMORY
    await happen(process.records, process.database, fact("sess_1", state="logged_out"), fact("sess_9", state="new"))
    with pytest.raises(RecordsSuspect):
        await process.records.facts.apply()
    assert await waiting(process.database) == 2
    assert await documents(process.records) == FIVE | {
        "sess_1": {"n": 1, "state": "logged_out"},
        "sess_9": {"state": "new"},
    }
    await process.care.restore()
    await comes_true(partial(none_waits, process))
    assert await process.at_home() == {
        **{one: (2, data) for one, data in FIVE.items()},
        "sess_1": (3, {"n": 1, "state": "logged_out"}),
        "sess_9": (1, {"state": "new"}),
    }


async def test_a_collection_that_never_had_anything_is_not_suspect(process: Process) -> None:
    await emptied(process)
    assert (await process.records.read(KEY)).source is Source.MEMORY
    assert (await process.records.read(ELSEWHERE)).source is Source.REDIS
    assert (await process.wish(key=ELSEWHERE, n=1)).version == 1
    await happen(process.records, process.database, fact("a", key=ELSEWHERE, n=2))
    await comes_true(partial(none_waits, process))
    assert set(await process.at_home(ELSEWHERE)) == {"sess_0", "a"}
    await is_refused(process)


async def test_a_process_started_after_the_loss_notices_at_its_first_reading(
    redis_server: RedisServer, process: Process, local: Database, open_link: OpenLink
) -> None:
    await emptied(process)
    async with started(redis_server, local, open_link, at_work=False) as late:
        reading = await late.records.read(KEY, ["sess_2"])
        assert (reading.source, {one: r.data for one, r in reading.records.items()}) == (
            Source.MEMORY,
            {"sess_2": FIVE["sess_2"]},
        )
        await is_refused(late)
        assert await documents(late.records) == FIVE


async def test_a_process_started_after_the_loss_may_not_begin_with_a_wish_for_what_is_lost(
    redis_server: RedisServer, process: Process, local: Database, open_link: OpenLink
) -> None:
    await emptied(process)
    async with started(redis_server, local, open_link, at_work=False) as late:
        await is_refused(late)
        assert await process.at_home() == {}


async def test_a_redis_that_went_back_in_time_is_suspect_too(process: Process) -> None:
    name = "passerelle:{default}:records:sessions"
    before = await process.link.read("HGET", name, "sess_0")
    await process.wish("sess_0", n=100)
    await process.link.write("HSET", name, "sess_0", before)
    reading = await process.records.read(KEY)
    assert (reading.source, reading.records["sess_0"].data) == (Source.MEMORY, {"n": 100})
    await is_refused(process)
    assert await process.care.restore() == {"clients": 0, "sessions": 1, "logins": 0}
    assert (await process.at_home())["sess_0"] == (3, {"n": 100})
    assert (await process.records.read(KEY)).source is Source.REDIS


async def test_what_was_removed_is_no_loss(
    redis_server: RedisServer, process: Process, other: Process, local: Database, open_link: OpenLink
) -> None:
    for one in FIVE:
        await process.records.change(KEY, one, lambda _: None)
    for each in (process, other):
        assert (await each.records.read(KEY)).records == {}
        await each.records.memory.flush()
    with capture_logs() as lines:
        await emptied(process)
        async with started(redis_server, local, open_link) as late:
            for each in (process, other, late):
                reading = await each.records.read(KEY)
                assert (reading.source, reading.records) == (Source.REDIS, {})
            assert (await process.wish("sess_0", n=1)).version == 1, "and it may come again"
            for each in (process, other, late):
                assert await documents(each.records) == {"sess_0": {"n": 1}}
                await each.records.memory.flush()
        async with started(redis_server, local, open_link) as later:
            assert (await later.records.read(KEY)).source is Source.REDIS
    assert alarms(lines) == []


async def test_what_was_removed_and_is_there_again_is_suspect(process: Process) -> None:
    """A login that has ended must not open the door again because Redis went back in time."""
    name = "passerelle:{default}:records:sessions"
    before = await process.link.read("HGET", name, "sess_0")
    await process.records.change(KEY, "sess_0", lambda _: None)
    await process.link.write("HSET", name, "sess_0", before)
    reading = await process.records.read(KEY)
    assert (reading.source, set(reading.records)) == (Source.MEMORY, FIVE.keys() - {"sess_0"})
    await process.care.restore()
    reading = await process.records.read(KEY)
    assert (reading.source, set(reading.records)) == (Source.REDIS, FIVE.keys() - {"sess_0"})


async def test_marks_that_one_process_pruned_are_no_loss_for_another(process: Process, other: Process) -> None:
    await process.records.change(KEY, "sess_0", lambda _: None)
    for each in (process, other):
        await each.records.read(KEY)
        await each.records.memory.flush()
    marks = [record for record in (await process.store.load(KEY)).values() if record.removed]
    with capture_logs() as lines:
        await process.records.prune(KEY, marks)
        for each in (process, other):
            assert (await each.records.read(KEY)).source is Source.REDIS
        assert await process.wish("sess_0", n=7) == Record(id="sess_0", version=1, data={"n": 7})
        for each in (process, other):
            assert (await each.records.read(KEY)).source is Source.REDIS
    assert alarms(lines) == []


async def test_a_suspicion_outlasts_an_outage_and_clears_when_the_data_is_back_by_itself(
    lasting_redis: RedisServer, local: Database, open_link: OpenLink
) -> None:
    """The operator has put the right disk back."""
    async with started(lasting_redis, local, open_link) as process:
        await seed(process)
        name, copy = "passerelle:{default}:records:sessions", "copy"
        await process.link.write("COPY", name, copy)
        await process.link.write("DEL", name)
        await is_refused(process)
        lasting_redis.kill()
        await eventually(lambda: not process.link.is_up)
        lasting_redis.start()
        await eventually(lambda: process.link.is_up)
        await is_refused(process)
        await process.link.write("RENAME", copy, name)
        await until_clear(process)
        assert (await process.wish(n=9)).version == 2


# --- a person decides


async def test_restore_brings_everything_back_newer_than_anybody_saw_it(process: Process, other: Process) -> None:
    await process.wish("sess_0", n=100)
    await process.records.change(KEY, "sess_4", lambda _: None)
    for each in (process, other):
        await each.records.read(KEY)
    await emptied(process)
    for each in (process, other):
        await is_refused(each)
    with capture_logs() as lines:
        assert await process.care.restore() == {"clients": 0, "sessions": 4, "logins": 0}
    assert "✅ 4 sessions brought back to Redis" in [line["event"] for line in lines]
    assert await process.at_home() == {
        "sess_0": (3, {"n": 100}),
        **{f"sess_{n}": (2, {"n": n}) for n in (1, 2, 3)},
    }
    await until_clear(process, other)
    for each in (process, other):
        reading = await each.records.read(KEY)
        assert (reading.source, reading.records["sess_0"].data) == (Source.REDIS, {"n": 100})
    assert (await other.wish("sess_0", n=101)).version == 4
    assert await process.care.restore() == {"clients": 0, "sessions": 0, "logins": 0}, "nothing is left to be done"


async def test_two_who_restore_at_once_restore_once(process: Process, other: Process) -> None:
    await emptied(process)
    await asyncio.gather(process.care.restore(), other.care.restore())
    assert await process.at_home() == {one: (2, data) for one, data in FIVE.items()}
    await until_clear(process, other)


async def test_a_long_collection_is_restored_whole(process: Process) -> None:
    await asyncio.gather(*(process.wish(f"many_{n:03}", n=n) for n in range(250)))
    await process.records.read(KEY)
    await emptied(process)
    await is_refused(process)
    assert (await process.care.restore())["sessions"] == 255
    assert len(await process.at_home()) == 255


async def test_accept_gives_up_what_is_lost_everywhere(
    redis_server: RedisServer, process: Process, other: Process, local: Database, open_link: OpenLink
) -> None:
    await emptied(process)
    for each in (process, other):
        await is_refused(each)
    assert await process.care.accept() == {"clients": 0, "sessions": 5, "logins": 0}
    await until_clear(process, other)
    with capture_logs() as lines:
        async with started(redis_server, local, open_link) as late:
            for each in (process, other, late):
                reading = await each.records.read(KEY)
                assert (reading.source, reading.records) == (Source.REDIS, {})
                assert (await each.records.memory.of(KEY)).records == {}
            assert (await other.wish("sess_0", n=1)).version == 1
            for each in (process, other, late):
                assert await documents(each.records) == {"sess_0": {"n": 1}}
    assert alarms(lines) == []


async def test_accept_believes_an_older_version_too_and_every_process_does(process: Process, other: Process) -> None:
    name = "passerelle:{default}:records:sessions"
    before = await process.link.read("HGET", name, "sess_0")
    await process.wish("sess_0", n=100)
    await process.wish("sess_0", n=101)
    for each in (process, other):
        await each.records.read(KEY)
        await each.records.memory.flush()
    await process.link.write("HSET", name, "sess_0", before)
    for each in (process, other):
        await is_refused(each)
    assert (await process.care.accept())["sessions"] == 1
    await process.records.memory.flush()  # the shadow knows the older version now
    await until_clear(process, other)
    for each in (process, other):
        assert await documents(each.records) == FIVE
    assert (await other.wish("sess_0", n=1)).version == 2


async def test_nothing_is_decided_while_redis_is_away(redis_server: RedisServer, process: Process) -> None:
    redis_server.kill()
    await eventually(lambda: not process.link.is_up)
    for verb in (process.care.restore, process.care.accept, process.care.reload):
        with pytest.raises(Unavailable):
            await verb()
    assert await documents(process.records) == FIVE, "and nothing is forgotten"


# --- reload


@pytest.mark.mission("E9")
@pytest.mark.mission("E10")
async def test_reload_reads_everything_anew_and_says_how_much_it_was(process: Process) -> None:
    await process.wish("client_1", CollectionKey(client_id="default", name="clients"), name="Zoë")
    await process.wish("a", ELSEWHERE, n=1)
    await process.records.change(KEY, "sess_4", lambda _: None)
    somebody_else = records_on(process.store, process.database)
    await somebody_else.change(KEY, "sess_5", lambda _: {"n": 5})
    with capture_logs() as lines:
        assert await process.care.reload() == {"clients": 1, "sessions": 6, "logins": 0}
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", "✅ Clients reloaded from Redis: 1 client(s)"),
        ("info", "✅ Sessions reloaded from Redis: 6 session(s)"),
        ("info", "✅ Logins reloaded from Redis: 0 login(s)"),
    ]
    assert (await process.records.memory.of(KEY)).records["sess_5"].data == {"n": 5}


@pytest.mark.mission("E10")
async def test_five_sessions_reloaded_are_told_in_these_words(process: Process) -> None:
    with capture_logs() as lines:
        await process.care.reload()
    assert "✅ Sessions reloaded from Redis: 5 session(s)" in [line["event"] for line in lines]


@pytest.mark.mission("E9")
async def test_reload_mends_a_memory_that_is_out_of_step(process: Process) -> None:
    await process.link.write("DEL", "passerelle:{client_2}:records:sessions")
    memory = (await process.records.memory.of(KEY)).records
    memory["sess_0"] = Record(id="sess_0", version=1, data={"n": "spoilt"})
    reached, (side,) = await process.care.compare("sessions")
    assert (reached, side.home == side.memory) == (True, False)
    await process.care.reload()
    reached, (side,) = await process.care.compare("sessions")
    assert (reached, side.home == side.memory) == (True, True)


@pytest.mark.mission("E8")
@pytest.mark.mission("E10")
@pytest.mark.parametrize("production", [True, False])
async def test_what_cannot_be_reloaded_is_told_the_louder_in_production(
    redis_server: RedisServer,
    local: Database,
    open_link: OpenLink,
    production: bool,  # noqa: FBT001 -- pytest's own way
) -> None:
    async with started(redis_server, local, open_link, production=production) as process:
        await seed(process)
        redis_server.kill()
        await eventually(lambda: not process.link.is_up)
        with capture_logs() as lines, pytest.raises(Unavailable):
            await process.care.reload()
        told = [line["event"] for line in lines if "load" in line["event"]]
        if production:
            assert told == [f"⚠️ CRITICAL: cannot load {name} from Redis in production" for name in NAMES]
        else:
            assert told == [f"⚠️ Cannot load {name} from Redis" for name in NAMES]
        assert await documents(process.records) == FIVE


async def test_reload_of_an_emptied_redis_forgets_nothing(process: Process) -> None:
    await emptied(process)
    with pytest.raises(RecordsSuspect):
        await process.care.reload()
    assert await documents(process.records) == FIVE
    assert (await process.care.restore())["sessions"] == 5


@pytest.mark.mission("E9")
async def test_files_can_be_reloaded_too(local: Database, tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path / "records")
    records = records_on(store, local, shadow=False)
    await records.change(KEY, "a", lambda _: {"n": 1})
    with capture_logs() as lines:
        assert (await care_for(records, store, local).reload())["sessions"] == 1
    assert "✅ Sessions reloaded from the files: 1 session(s)" in [line["event"] for line in lines]


# --- import


def brought(*ids: str, version: int = 3, **data: Any) -> list[Record]:
    return [Record(id=one, version=version, data=data or {"n": one}) for one in ids]


async def test_an_import_saves_what_is_missing_and_overwrites_nothing(process: Process) -> None:
    await process.records.change(KEY, "sess_4", lambda _: None)
    same = Record(id="sess_1", version=9, data={"n": 1})
    differing = [Record(id=one, version=9, data={"n": "other"}) for one in ("sess_2", "sess_4")]
    done = await process.care.bring(KEY, [*brought("new_1", "new_2"), same, *differing])
    assert (done.saved, done.same, sorted(done.different)) == (2, 1, ["sess_2", "sess_4"])
    home = await process.at_home()
    assert (home["sess_1"], home["sess_2"], home["new_1"]) == ((1, {"n": 1}), (1, {"n": 2}), (3, {"n": "new_1"}))
    assert (await process.store.load(KEY, ["sess_4"]))["sess_4"].removed, "what was removed stays removed"
    again = await process.care.bring(KEY, [*brought("new_1", "new_2"), same, *differing])
    assert (again.saved, again.same, len(again.different)) == (0, 3, 2)
    assert await process.at_home() == home
    assert (await process.wish("new_1", n=4)).version == 4, "they go on from the version that they had"


async def test_a_large_import_arrives_whole(process: Process) -> None:
    done = await process.care.bring(ELSEWHERE, brought(*(f"r{n}" for n in range(350))))
    assert (done.saved, done.same, done.different) == (350, 0, [])
    assert len(await process.at_home(ELSEWHERE)) == 350
    assert len((await process.records.memory.of(ELSEWHERE)).records) == 350


async def test_what_somebody_saves_during_an_import_is_kept(local: Database, tmp_path: Path) -> None:
    lossy = Lossy(JsonRecordStore(tmp_path))
    records, somebody_else = records_on(lossy, local), records_on(lossy.inner, local)

    async def meanwhile() -> None:
        await somebody_else.change(KEY, "a", lambda _: {"by": "somebody"})

    lossy.loaded = meanwhile
    done = await care_for(records, lossy, local).bring(KEY, brought("a", "b"))
    assert (done.saved, done.different) == (1, ["a"])
    assert (await lossy.inner.load(KEY))["a"].data == {"by": "somebody"}


async def test_nothing_is_imported_into_a_suspect_redis(process: Process) -> None:
    await emptied(process)
    await process.records.read(KEY)
    with pytest.raises(RecordsSuspect):
        await process.care.bring(KEY, brought("new"))
    assert await process.at_home() == {}


# --- the shadow on PostgreSQL, and its limits


async def test_two_machines_that_share_postgresql_agree(
    redis_server: RedisServer, postgres_server: PostgresServer, open_link: OpenLink, tmp_path: Path
) -> None:
    url = postgres_server.create_database()
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(opened(url, tmp_path)) for _ in range(2)]
        one, other = [
            await stack.enter_async_context(started(redis_server, database, open_link)) for database in databases
        ]
        await seed(one)
        await emptied(one)
        assert await documents(other.records) == FIVE, "never seen by this process, and known all the same"
        await is_refused(other)
        await other.care.restore()
        await until_clear(one, other)
        assert (await one.records.read(KEY)).source is Source.REDIS


async def test_a_surprise_while_the_shadow_is_kept_does_not_end_its_keeping(
    redis_server: RedisServer, local: Database, open_link: OpenLink
) -> None:
    class Clumsy(SqlShadow):
        stumbles = 1

        async def keep(self, *what: Any) -> None:
            if self.stumbles:
                self.stumbles -= 1
                raise ValueError("nobody thought of this")
            await super().keep(*what)

    shadow = Clumsy()
    store = RedisRecordStore(await open_link(redis_server.url))
    records = Records(store=store, facts=SqlFactBook(), shadow=shadow, database=local, clock=Clock())

    async def kept() -> bool:
        return "a" in (await local.read(partial(shadow.recall, key=KEY)))[0]

    with capture_logs():
        async with running(records):
            await records.change(KEY, "a", lambda _: {"n": 1})
            await comes_true(kept)
    assert shadow.stumbles == 0


async def test_a_redis_that_is_flushed_while_nobody_reads_is_noticed_by_the_probe(
    process: Process, redis_server: RedisServer
) -> None:
    with capture_logs() as lines:
        redis_server.ask("FLUSHALL")
        await eventually(lambda: KEY in process.records.home.suspicions)
    assert any("Redis forgot" in line["event"] for line in lines)
    assert process.link.is_up
    with pytest.raises(RecordsSuspect):
        await process.wish("sess_new", n=1)


class LateShadow(SqlShadow):
    """A shadow that cannot be read the first time."""

    def __init__(self) -> None:
        self.asked = 0

    async def recall(self, tx: Tx, key: CollectionKey) -> tuple[dict[str, Record], int]:
        self.asked += 1
        if self.asked == 1:
            raise DatabaseAway("not yet")
        return await super().recall(tx, key)


async def test_a_shadow_that_could_not_be_read_at_first_is_read_later(
    process: Process, redis_server: RedisServer
) -> None:
    await process.records.memory.flush()
    late = Memory(shadow=LateShadow(), database=process.database)
    late.keep(KEY, [Record(id="sess_0", version=9)], as_of=EPOCH, whole=False)
    assert set((await late.of(KEY)).records) == {"sess_0"}
    known = (await late.of(KEY)).records
    assert set(known) == set(FIVE)
    assert known["sess_0"].version == 9, "what was learnt meanwhile is newer"
