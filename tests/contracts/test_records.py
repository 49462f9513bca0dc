"""Records: Redis is asked first, memory is marked, and what has happened reaches its record sooner or later."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contracts.record_parts import (
    KEY,
    Lossy,
    applying,
    comes_true,
    documents,
    fact,
    happen,
    linked,
    plain,
    records_on,
    waiting,
)
from passerelle.db import Database, Tx
from passerelle.errors import Unavailable
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlRecordStore, SqlShadow
from passerelle.records.model import Change, CollectionKey, Fact, Record, Source
from passerelle.records.ports import RecordStore

from .conftest import OpenLink, opened
from servers import PostgresServer, RedisServer, eventually, free_port

pytestmark = pytest.mark.anyio


# --- Redis is asked first


@pytest.mark.mission("E1")
async def test_every_reading_asks_redis_first(redis_server: RedisServer, open_link: OpenLink, local: Database) -> None:
    records, _ = await linked(open_link, redis_server, local)
    somebody_else = RedisRecordStore(await open_link(redis_server.url))
    for n in range(3):
        wish = Change(id="a", expected=n, operation=f"op{n}", data={"n": n})
        assert await somebody_else.save(KEY, [wish]) == [True]
        before = datetime.now(UTC)
        reading = await records.read(KEY)
        assert reading.source is Source.REDIS
        assert before <= reading.as_of <= datetime.now(UTC)
        assert reading.records == {"a": Record(id="a", version=n + 1, data={"n": n})}


@pytest.mark.mission("D4")
@pytest.mark.mission("E1")
async def test_while_redis_is_killed_readings_come_from_memory_and_say_so(
    lasting_redis: RedisServer, open_link: OpenLink, local: Database
) -> None:
    records, link = await linked(open_link, lasting_redis, local)
    await happen(records, local, fact(state="connected"))
    await records.facts.apply()
    known = await records.read(KEY)
    lasting_redis.kill()
    for _ in range(3):
        reading = await records.read(KEY)
        assert reading.source is Source.MEMORY
        assert reading.as_of == known.as_of, "the time of what is shown, not of the question"
        assert reading.records == known.records
    await eventually(lambda: not link.is_up)
    began = time.monotonic()
    for _ in range(20):
        await records.read(KEY)
    assert time.monotonic() - began < 1, "nobody waits for a Redis that is known to be down"
    lasting_redis.start()
    await eventually(lambda: link.is_up)
    assert (await records.read(KEY)).source is Source.REDIS
    assert await documents(records) == {"a": {"state": "connected"}}


@pytest.mark.mission("D4")
async def test_a_collection_nobody_has_read_is_empty_in_memory_and_says_so(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    records, _ = await linked(open_link, redis_server, local)
    redis_server.kill()
    reading = await records.read(KEY)
    assert (reading.source, reading.records) == (Source.MEMORY, {})
    assert reading.as_of == datetime(1970, 1, 1, tzinfo=UTC), "never seen"


@pytest.mark.mission("D1")
async def test_the_log_says_what_a_change_of_redis_means_for_records(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    records = records_on(JsonRecordStore(Path()), local)
    with capture_logs() as lines:
        link = await open_link(redis_server.url, records)
        await eventually(lambda: len(of_records(lines)) == 2)
        redis_server.kill()
        await eventually(lambda: not link.is_up)
        await eventually(lambda: len(of_records(lines)) == 3)
        redis_server.start()
        await eventually(lambda: len(of_records(lines)) == 5)
    up = ["✅ Redis cache connected successfully", "✅ Redis session store ready"]
    assert of_records(lines) == [*up, "⚠️ Redis connection failed, using memory cache", *up]


def of_records(lines: Sequence[Any]) -> list[str]:
    return [line["event"] for line in lines if "cache" in line["event"] or "store" in line["event"]]


# --- facts


@pytest.mark.mission("E1")
async def test_a_fact_reaches_redis_at_once_and_is_forgotten(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    records, link = await linked(open_link, redis_server, local)
    async with applying(records, every_s=60):
        await asyncio.sleep(0)
        await happen(records, local, fact(state="connected"))
        assert await documents(records) == {"a": {"state": "connected"}}, "it is in the next reading in any case"
        store = RedisRecordStore(link)
        assert await comes_true(lambda: _has(store, "a", state="connected")) < 1
        await comes_true(lambda: _none_waits(local))


async def _has(store: RecordStore, record_id: str, **data: Any) -> bool:
    record = (await store.load(KEY)).get(record_id)
    return record is not None and plain(record) == data


async def _none_waits(database: Database) -> bool:
    return await waiting(database) == 0


@pytest.mark.mission("D4")
@pytest.mark.mission("E1")
async def test_facts_of_an_outage_are_in_the_next_reading_and_reach_redis_when_it_is_back(
    lasting_redis: RedisServer, open_link: OpenLink, database: Database
) -> None:
    records, link = await linked(open_link, lasting_redis, database)
    await happen(records, database, fact("a", state="connected", reason=None))
    await records.facts.apply()
    lasting_redis.kill()
    await eventually(lambda: not link.is_up)
    async with applying(records, every_s=60):
        await happen(records, database, fact("a", state="logged_out"), fact("b", state="connected"))
        expected = {"a": {"state": "logged_out", "reason": None}, "b": {"state": "connected"}}
        assert (await records.read(KEY)).source is Source.MEMORY
        assert await documents(records) == expected
        await asyncio.sleep(0.05)
        assert await waiting(database) == 2, "they stay written down"
        lasting_redis.start()
        await comes_true(lambda: _none_waits(database))
        assert (await records.read(KEY)).source is Source.REDIS
        assert await documents(records) == expected
    assert {r.id: plain(r) for r in (await RedisRecordStore(link).load(KEY)).values()} == expected


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_crash_between_commit_and_save_loses_nothing_and_one_after_it_doubles_nothing(
    database: Database, tmp_path: Path, crash: str
) -> None:
    home = JsonRecordStore(tmp_path / "home")
    lossy = Lossy(home)
    before_crash = records_on(lossy, database)
    await happen(before_crash, database, fact("a", n=1), fact("a", n=2), fact("b", n=1))
    lossy.fails = [crash]
    with pytest.raises(Unavailable):
        await before_crash.facts.apply()
    assert await waiting(database) == 3
    after_crash = records_on(home, database)
    assert await documents(after_crash) == {"a": {"n": 2}, "b": {"n": 1}}
    assert await after_crash.facts.apply() == 3
    assert await waiting(database) == 0
    assert {r.id: (r.version, plain(r)) for r in (await home.load(KEY)).values()} == {
        "a": (1, {"n": 2}),
        "b": (1, {"n": 1}),
    }
    assert await after_crash.facts.apply() == 0


async def test_facts_applied_by_two_processes_at_once_are_applied_once(
    redis_server: RedisServer, open_link: OpenLink, database: Database
) -> None:
    processes = [(await linked(open_link, redis_server, database))[0] for _ in range(2)]
    await happen(processes[0], database, *(fact(f"r{n % 5}", n=n) for n in range(40)))
    await asyncio.gather(*(process.facts.apply() for process in processes))
    assert await waiting(database) == 0
    assert await documents(processes[0]) == {f"r{n}": {"n": 35 + n} for n in range(5)}
    assert {r.version for r in (await processes[0].read(KEY)).records.values()} == {1}


async def test_a_fact_keeps_what_somebody_else_saved_in_between(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    store = RedisRecordStore(await open_link(redis_server.url))
    await store.save(KEY, [Change(id="a", expected=0, operation="one", data={"name": "old", "state": "x"})])
    lossy = Lossy(store)

    async def somebody_saves() -> None:
        wish = Change(id="a", expected=1, operation="two", data={"name": "new", "state": "x"})
        assert await store.save(KEY, [wish]) == [True]

    lossy.loaded = somebody_saves
    records = records_on(lossy, local)
    await happen(records, local, fact("a", state="y"))
    await records.facts.apply()
    assert await documents(records) == {"a": {"name": "new", "state": "y"}}


async def test_a_fact_applied_while_a_reading_is_made_is_in_it(database: Database, tmp_path: Path) -> None:
    """Nobody who has heard of a commit may read what was before it."""
    home = JsonRecordStore(tmp_path / "home")
    other = records_on(home, database)
    await happen(other, database, fact("a", state="connected"))

    async def applied_meanwhile() -> None:
        await other.facts.apply()

    lossy = Lossy(home)
    lossy.loaded = applied_meanwhile
    assert await documents(records_on(lossy, database)) == {"a": {"state": "connected"}}


async def test_only_a_fact_that_tells_everything_makes_a_record(database: Database, tmp_path: Path) -> None:
    """What was given up, or removed, must not come back as a part of itself."""
    home = JsonRecordStore(tmp_path / "home")
    records = records_on(home, database)
    part = Fact(key=KEY, id="a", patch={"state": "paused"})
    for _ in range(2):
        await happen(records, database, part)
        assert await documents(records) == {}
        await records.facts.apply()
        assert (await waiting(database), await home.load(KEY)) == (0, {})
    await happen(records, database, fact("a", name="Zoë"), part)
    assert await documents(records) == {"a": {"name": "Zoë", "state": "paused"}}
    await records.facts.apply()
    await records.change(KEY, "a", lambda _: None)
    await happen(records, database, part)
    await records.facts.apply()
    assert (await waiting(database), await documents(records)) == (0, {})


async def test_a_second_fact_of_a_record_counts_after_the_first_was_applied_and_forgotten(
    database: Database, tmp_path: Path
) -> None:
    records = records_on(JsonRecordStore(tmp_path / "home"), database)
    for state in ("connected", "logged_out", "connected"):
        await happen(records, database, fact("a", state=state))
        assert await documents(records) == {"a": {"state": state}}
        await records.facts.apply()
        assert await documents(records) == {"a": {"state": state}}


async def test_more_facts_than_one_batch_holds_are_all_read_and_all_applied(local: Database, tmp_path: Path) -> None:
    home = JsonRecordStore(tmp_path / "home")
    records = records_on(home, local)
    book = SqlFactBook()

    async def many(tx: Any) -> None:
        for n in range(1100):
            await book.add(tx, fact(f"r{n}", n=n))

    await local.run(many)
    read = len((await records.read(KEY)).records)
    while await records.facts.apply():
        pass
    assert len(await home.load(KEY)) == 1100
    assert read == 1100


async def test_facts_are_read_past_those_of_collections_that_are_held_up(database: Database) -> None:
    book, one, two = SqlFactBook(), *(CollectionKey(client_id="client_1", name=name) for name in ("one", "two"))
    for key in (one, two):
        await database.run(partial(book.add, fact=fact(key=key, n=1)))

    async def told(*but: CollectionKey) -> list[CollectionKey]:
        return [found.key for found in await database.read(partial(book.waiting, but=but))]

    assert [await told(), await told(one), await told(one, two)] == [[one, two], [two], []]


@pytest.mark.parametrize("held_up", [1, 1000])
async def test_a_collection_that_cannot_be_saved_holds_up_no_other(
    redis_server: RedisServer, open_link: OpenLink, local: Database, held_up: int
) -> None:
    records, link = await linked(open_link, redis_server, local)
    spoilt, well = (CollectionKey(client_id=client, name="sessions") for client in ("client_1", "client_2"))
    await link.write("SET", "passerelle:{client_1}:records:sessions", "not a hash")

    async def wait(tx: Tx) -> None:
        for n in range(held_up):
            await SqlFactBook().add(tx, fact(key=spoilt, n=n))

    await local.run(wait)
    async with applying(records, every_s=0.05):
        await happen(records, local, fact(key=well, n=1))
        store = RedisRecordStore(link)
        await comes_true(lambda: _is_there(store, well), limit=0.8)
        await comes_true(lambda: _are_waiting(local, held_up))


async def _are_waiting(database: Database, facts: int) -> bool:
    return await waiting(database) == facts


async def _is_there(store: RecordStore, key: CollectionKey) -> bool:
    return bool(await store.load(key))


async def test_a_surprise_while_facts_are_applied_does_not_end_their_application(
    local: Database, tmp_path: Path
) -> None:
    lossy = Lossy(JsonRecordStore(tmp_path / "home"))
    lossy.fails, lossy.error = ["before"], ValueError("nobody thought of this")
    records = records_on(lossy, local)
    task = asyncio.create_task(records.facts.apply_for_ever(every_s=0.02))
    await happen(records, local, fact("a", n=1))
    with capture_logs():
        try:
            await comes_true(lambda: _none_waits(local), limit=0.8)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_fact_that_comes_while_others_are_applied_does_not_wait_for_the_next_round(
    local: Database, tmp_path: Path
) -> None:
    lossy = Lossy(JsonRecordStore(tmp_path / "home"))
    records = records_on(lossy, local)

    async def another() -> None:
        await happen(records, local, fact("b", n=1))

    lossy.loaded = another
    await happen(records, local, fact("a", n=1))
    async with applying(records, every_s=60):
        await comes_true(lambda: _none_waits(local), limit=0.8)


# --- late and double


patches = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1)
marks = st.tuples(st.integers(0, 2), st.integers(1, 20))


def _apply(facts: Sequence[Fact]) -> Record:
    record = Record(id="a", version=0, data={})
    for one in facts:
        record = record.merged(one)
    return record


def _facts(told: dict[tuple[int, int], dict[str, int]]) -> list[Fact]:
    """In the order in which they happened."""
    return [
        Fact(key=KEY, id="a", patch=dict(p), creates=True, fence=fence, seq=seq)
        for (fence, seq), p in sorted(told.items())
    ]


@given(st.dictionaries(marks, patches, min_size=1, max_size=6), st.data())
def test_the_same_facts_again_in_their_order_change_nothing(
    told: dict[tuple[int, int], dict[str, int]], data: st.DataObject
) -> None:
    facts = _facts(told)
    reached = data.draw(st.integers(0, len(facts)), label="a crash after so many; all are applied again")
    assert _apply([*facts[:reached], *facts]) == _apply(facts)


@given(st.dictionaries(marks, st.fixed_dictionaries(dict.fromkeys("ab", st.integers(0, 9))), min_size=1), st.data())
def test_whole_documents_end_as_the_newest_in_any_order_and_number(
    told: dict[tuple[int, int], dict[str, int]], data: st.DataObject
) -> None:
    facts = _facts(told)
    doubled = data.draw(st.lists(st.sampled_from(facts), max_size=6))
    order = data.draw(st.permutations([*facts, *doubled]))
    assert plain(_apply(order)) == facts[-1].patch


@given(st.dictionaries(marks, patches, min_size=1, max_size=6), st.data())
def test_partial_facts_end_the_same_in_any_order_and_number(
    told: dict[tuple[int, int], dict[str, int]], data: st.DataObject
) -> None:
    facts = _facts(told)
    doubled = data.draw(st.lists(st.sampled_from(facts), max_size=6))
    order = data.draw(st.permutations([*facts, *doubled]))
    assert plain(_apply(order)) == plain(_apply(facts))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("happens"), st.sampled_from("xy"), patches),
        st.tuples(st.just("applied"), st.sampled_from(["", "before", "after"])),
        st.tuples(st.just("restarted")),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(steps)
def test_whatever_crashes_in_between_every_record_ends_as_its_facts_say(told: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), told))


async def _live(folder: Path, told: list[Any]) -> None:
    expected: dict[str, dict[str, Any]] = {}
    async with opened(None, folder) as database:
        lossy = Lossy(JsonRecordStore(folder / "home"))
        records = records_on(lossy, database)
        for kind, *what in told:
            if kind == "happens":
                expected[what[0]] = expected.get(what[0], {}) | what[1]
                await happen(records, database, fact(what[0], **what[1]))
            elif kind == "applied":
                lossy.fails = [what[0]]
                with contextlib.suppress(Unavailable):
                    await records.facts.apply()
                lossy.fails = []
            else:
                records = records_on(lossy, database)
            assert await documents(records) == expected
        await records.facts.apply()
        assert await waiting(database) == 0
        assert {r.id: plain(r) for r in (await lossy.inner.load(KEY)).values()} == expected


# --- a memory that survives a restart


@pytest.mark.mission("D4")
async def test_a_process_started_while_redis_is_down_knows_its_records(
    redis_server: RedisServer, open_link: OpenLink, database: Database
) -> None:
    first, _ = await linked(open_link, redis_server, database)
    before = datetime.now(UTC) - timedelta(seconds=1)
    await happen(first, database, fact("a", state="connected"), fact("b", state="connected"))
    await first.facts.apply()
    await happen(first, database, fact("b", state="logged_out"))
    await first.facts.apply()
    await first.read(KEY)
    redis_server.kill()
    second, link = await linked(open_link, redis_server, database)
    assert not link.is_up
    reading = await second.read(KEY)
    assert reading.source is Source.MEMORY
    assert before < reading.as_of <= datetime.now(UTC)
    assert {r.id: plain(r) for r in reading.records.values()} == {
        "a": {"state": "connected"},
        "b": {"state": "logged_out"},
    }
    await happen(second, database, fact("a", state="paused"))
    assert (await documents(second))["a"] == {"state": "paused"}
    assert await documents(second, CollectionKey(client_id="other", name="sessions")) == {}


async def test_the_shadow_keeps_the_newest_state_and_no_older_one_later(database: Database) -> None:
    shadow = SqlShadow()

    async def keep(*records: Record) -> None:
        await database.run(lambda tx: shadow.keep(tx, KEY, list(records)))

    assert await database.read(partial(shadow.recall, key=KEY)) == ({}, 0)
    await keep()
    await keep(Record(id="a", version=2, data={"n": 2}), Record(id="é", version=1, data={"n": "ü"}))
    await keep(Record(id="a", version=1, data={"n": 1}))
    remembered, seen_us = await database.read(partial(shadow.recall, key=KEY))
    assert {r.id: r.data for r in remembered.values()} == {"a": {"n": 2}, "é": {"n": "ü"}}
    assert abs(seen_us / 1e6 - time.time()) < 5


async def test_what_does_not_change_is_not_written_to_the_shadow_again(database: Database, tmp_path: Path) -> None:
    records = records_on(JsonRecordStore(tmp_path / "home"), database)
    await happen(records, database, fact("a", n=1))
    await records.facts.apply()
    await records.read(KEY)
    _, seen_us = await database.read(partial(SqlShadow().recall, key=KEY))
    for _ in range(3):
        await records.read(KEY)
    assert (await database.read(partial(SqlShadow().recall, key=KEY)))[1] == seen_us


# --- without Redis


@pytest.mark.parametrize("home", ["file", "sql"])
async def test_without_redis_records_live_in_files_or_sql_and_are_never_stale(
    database: Database, tmp_path: Path, home: str
) -> None:
    store: RecordStore = JsonRecordStore(tmp_path / "home") if home == "file" else SqlRecordStore(database)
    records = records_on(store, database, shadow=False)
    await happen(records, database, fact("a", name="Zoë"))
    assert await documents(records) == {"a": {"name": "Zoë"}}
    assert await records.facts.apply() == 1
    again = records_on(store, database, shadow=False)
    assert (await again.read(KEY)).source.value == home
    assert await documents(again) == {"a": {"name": "Zoë"}}
    assert await database.read(partial(SqlShadow().recall, key=KEY)) == ({}, 0), "no second copy"


@pytest.mark.mission("D2")
async def test_an_address_that_cannot_be_read_is_redis_down_and_never_files(
    open_link: OpenLink, local: Database
) -> None:
    records = records_on(RedisRecordStore(await open_link(f"redis://:a#b@h:{free_port()}")), local)
    await happen(records, local, fact("a", n=1))
    reading = await records.read(KEY)
    assert (reading.source, {r.id for r in reading.records.values()}) == (Source.MEMORY, {"a"})
    with pytest.raises(Unavailable):
        await records.facts.apply()
    assert await waiting(local) == 1


# --- SQL is away


async def test_readings_go_on_while_sql_is_away_and_redis_is_well(
    killable: PostgresServer, redis_server: RedisServer, open_link: OpenLink, tmp_path: Path
) -> None:
    async with opened(killable.create_database(), tmp_path) as database:
        records, link = await linked(open_link, redis_server, database)
        await RedisRecordStore(link).save(KEY, [Change(id="a", expected=0, operation="one", data={"n": 1})])
        with capture_logs():
            killable.kill()
            try:
                assert await documents(records) == {"a": {"n": 1}}
                assert (await records.read(KEY)).source is Source.REDIS
            finally:
                killable.start()
