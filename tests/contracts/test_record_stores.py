"""Every home of records keeps one promise: saved if nobody was faster, once however often it is asked."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.wire import Wire
from passerelle.db import DatabaseAway, StorageFull, Tx
from passerelle.errors import PasserelleError, Unavailable
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlRecordStore
from passerelle.records.model import OPERATIONS_AT_MOST, Change, CollectionKey, Record, Source, new_operation
from passerelle.records.ports import RecordStore
from passerelle.redis_link import RedisAway

from .conftest import OpenLink, opened
from servers import HOST, PostgresServer, RedisServer, eventually

pytestmark = pytest.mark.anyio
KEY = CollectionKey(client_id="default", name="sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One home as two writers see it: two processes where several are allowed."""

    name: str
    one: RecordStore
    other: RecordStore


@pytest.fixture(params=["redis", "sql on sqlite", "sql on postgresql", "json"])
async def home(request: pytest.FixtureRequest, tmp_path: Path, open_link: OpenLink) -> AsyncIterator[Home]:
    name = request.param
    async with AsyncExitStack() as stack:
        if name == "redis":
            server: RedisServer = request.getfixturevalue("redis_server")
            stores: list[RecordStore] = [RedisRecordStore(await open_link(server.url)) for _ in range(2)]
        elif name == "json":
            stores = [JsonRecordStore(tmp_path / "records")] * 2
        elif name == "sql on sqlite":
            stores = [SqlRecordStore(await stack.enter_async_context(opened(None, tmp_path)))] * 2
        else:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            url = postgres.create_database()
            stores = [SqlRecordStore(await stack.enter_async_context(opened(url, tmp_path))) for _ in range(2)]
        yield Home(name=name, one=stores[0], other=stores[1])


def change(record_id: str, expected: int, operation: str = "", **data: Any) -> Change:
    return Change(id=record_id, expected=expected, operation=operation or f"{record_id}:{expected}:{data}", data=data)


async def held(store: RecordStore, record_id: str, key: CollectionKey = KEY) -> Record:
    return (await store.load(key))[record_id]


# --- one suite for all


async def test_an_empty_collection_is_empty(home: Home) -> None:
    assert await home.one.load(KEY) == {}
    assert await home.one.save(KEY, []) == []
    assert await home.one.load(KEY) == {}


async def test_a_home_says_what_it_is(home: Home) -> None:
    assert home.one.source is {"redis": Source.REDIS, "json": Source.FILE}.get(home.name, Source.SQL)


@pytest.mark.mission("E1")
async def test_what_one_saves_the_other_reads_at_once(home: Home) -> None:
    assert await home.one.save(KEY, [change("a", 0, state="new")]) == [True]
    assert await home.other.load(KEY) == {"a": Record(id="a", version=1, data={"state": "new"})}
    assert await home.other.save(KEY, [change("a", 1, state="old")]) == [True]
    assert await held(home.one, "a") == Record(id="a", version=2, data={"state": "old"})


async def test_a_stale_version_is_refused_and_changes_nothing(home: Home) -> None:
    await home.one.save(KEY, [change("a", 0, n=1)])
    await home.one.save(KEY, [change("a", 1, n=2)])
    for expected in (0, 1, 3):
        assert await home.other.save(KEY, [change("a", expected, "late", n=9)]) == [False]
    assert await home.other.save(KEY, [change("b", 4, n=9)]) == [False], "one that does not exist has version 0"
    assert await home.one.load(KEY) == {"a": Record(id="a", version=2, data={"n": 2})}


async def test_the_same_operation_asked_twice_counts_once(home: Home) -> None:
    once = change("a", 0, "op-1", n=1)
    assert await home.one.save(KEY, [once]) == [True]
    assert await home.other.save(KEY, [once]) == [True]
    assert await held(home.one, "a") == Record(id="a", version=1, data={"n": 1})
    await home.one.save(KEY, [change("a", 1, "op-2", n=2)])
    assert await home.other.save(KEY, [once]) == [True], "also after somebody else's"
    assert (await held(home.one, "a")).data == {"n": 2}, "and does not come back"


async def test_an_operation_is_remembered_over_seven_later_ones(home: Home) -> None:
    for version in range(8):
        assert await home.one.save(KEY, [change("a", version, f"op-{version}", n=version)]) == [True]
    assert await home.other.save(KEY, [change("a", 0, "op-0", n=0)]) == [True]
    assert await held(home.one, "a") == Record(id="a", version=8, data={"n": 7})


async def test_of_a_batch_each_change_stands_alone(home: Home) -> None:
    await home.one.save(KEY, [change("a", 0, n=1), change("b", 0, n=1)])
    saved = await home.other.save(
        KEY, [change("b", 1, n=2), change("a", 0, "late", n=9), change("c", 0, n=2), change("a", 0, n=1)]
    )
    assert saved == [True, False, True, True]
    assert {r.id: (r.version, r.data["n"]) for r in (await home.one.load(KEY)).values()} == {
        "a": (1, 1),
        "b": (2, 2),
        "c": (1, 2),
    }


async def test_a_batch_may_change_one_record_twice(home: Home) -> None:
    assert await home.one.save(KEY, [change("a", 0, n=1), change("a", 1, n=2), change("a", 1, n=3)]) == [
        True,
        True,
        False,
    ]
    assert await held(home.one, "a") == Record(id="a", version=2, data={"n": 2})


async def test_collections_and_clients_do_not_see_each_other(home: Home) -> None:
    others = [CollectionKey(client_id="default", name="logins"), CollectionKey(client_id="client_2", name="sessions")]
    for number, key in enumerate([KEY, *others]):
        assert await home.one.save(key, [change("a", 0, "same-op", n=number)]) == [True]
    for number, key in enumerate([KEY, *others]):
        assert (await held(home.one, "a", key)).data == {"n": number}


async def test_any_document_comes_back_as_it_went(home: Home) -> None:
    data = {
        "name": "Zoë, 電話 ☎️ \U0001f4de",
        "quote": "\"'\\/\n\t\x7f\x1f",
        "nested": {"empty": {}, "none": None, "list": [1, 2.5, True, [], ""], "{}": "%(x)s {0} $1 :name"},
        "large": 2**53 + 1,
        "small": 1e-9,
    }
    assert await home.one.save(KEY, [Change(id="é:{}\n", expected=0, operation="ö", data=data)]) == [True]
    assert await home.other.load(KEY) == {"é:{}\n": Record(id="é:{}\n", version=1, data=data)}


async def test_a_document_may_be_large_and_a_collection_long(home: Home) -> None:
    large = "é" * 2_000_000
    assert await home.one.save(KEY, [change("a", 0, text=large)]) == [True]
    assert (await held(home.other, "a")).data == {"text": large}
    many = [change(f"r{n}", 0, n=n) for n in range(1000)]
    assert await home.one.save(KEY, many) == [True] * 1000
    assert len(await home.other.load(KEY)) == 1001


async def _add_one(store: RecordStore, who: str) -> None:
    for tried in range(2000):
        current = (await store.load(KEY)).get("a", Record(id="a", version=0, data={"n": 0}))
        wish = change("a", current.version, f"{who}:{tried}", n=current.data["n"] + 1)
        if (await store.save(KEY, [wish]))[0]:
            return
        await asyncio.sleep(0)
    pytest.fail("never won")


@pytest.mark.mission("E1")
async def test_two_hundred_increments_by_two_writers_lose_nothing(home: Home) -> None:
    async def writer(store: RecordStore, name: str) -> None:
        for n in range(100):
            await _add_one(store, f"{name}{n}")

    await asyncio.gather(writer(home.one, "one"), writer(home.other, "other"))
    assert await held(home.one, "a") == Record(id="a", version=200, data={"n": 200})


async def test_of_many_who_save_the_same_version_at_once_one_wins(home: Home) -> None:
    await home.one.save(KEY, [change("a", 0, n=0)])
    for round_ in range(1, 4):
        stores = [home.one, home.other] * 10
        wishes = [change("a", round_, f"{round_}-{n}", n=n) for n in range(20)]
        saved = await asyncio.gather(*(store.save(KEY, [w]) for store, w in zip(stores, wishes, strict=True)))
        assert saved.count([True]) == 1
        winner = wishes[saved.index([True])]
        assert await held(home.one, "a") == Record(id="a", version=round_ + 1, data=winner.data or {})


async def test_the_same_operation_asked_at_the_same_time_counts_as_saved_for_all(home: Home) -> None:
    for version in range(10):
        wish = change("a", version, n=version)
        saved = await asyncio.gather(*(store.save(KEY, [wish]) for store in [home.one, home.other] * 3))
        assert saved == [[True]] * 6
        assert await held(home.one, "a") == Record(id="a", version=version + 1, data={"n": version})


async def test_batches_in_opposite_orders_do_not_lock_each_other_out(home: Home) -> None:
    names = [f"r{n}" for n in range(150)]
    for version in range(3):
        batches = [[change(n, version, f"{who}{version}", by=who) for n in names] for who in "xy"]
        batches[1].reverse()
        first, second = await asyncio.gather(home.one.save(KEY, batches[0]), home.other.save(KEY, batches[1]))
        by_name = zip(first, reversed(second), strict=True)
        assert all(a != b for a, b in by_name), "each record is saved by exactly one of the two"


async def test_a_cancelled_save_does_no_harm_to_the_next(home: Home) -> None:
    """Whether it is saved is open; but what is saved after it is not lost, and nothing is saved twice."""
    for number in range(20):
        wish = change(f"c{number}", 0, "cancelled", text="x" * 20_000)
        cancelled = asyncio.ensure_future(home.one.save(KEY, [wish]))
        await asyncio.sleep(0.0005 * (number % 5))
        cancelled.cancel()
        following = asyncio.ensure_future(home.other.save(KEY, [change(f"k{number}", 0, n=number)]))
        assert await following == [True]
        await asyncio.gather(cancelled, return_exceptions=True)
        assert await home.one.save(KEY, [wish]) == [True]
    after = await home.one.load(KEY)
    assert {name: record.version for name, record in after.items()} == {
        f"{letter}{n}": 1 for letter in "ck" for n in range(20)
    }


def removal(record_id: str, expected: int, operation: str = "") -> Change:
    return Change(id=record_id, expected=expected, operation=operation or f"{record_id}:{expected}:gone", data=None)


async def test_records_can_be_loaded_by_their_ids(home: Home) -> None:
    strange = "é:{}\n'\""
    await home.one.save(KEY, [change(one, 0, n=one) for one in ("a", "b", "c", strange)])
    assert {one: record.data for one, record in (await home.other.load(KEY, ["a", strange])).items()} == {
        "a": {"n": "a"},
        strange: {"n": strange},
    }
    assert set(await home.other.load(KEY, {"b", "nobody"})) == {"b"}
    assert await home.other.load(KEY, []) == {}
    assert await home.other.load(KEY, ["nobody"]) == {}
    assert await home.other.load(CollectionKey(client_id="nobody", name="sessions"), ["a"]) == {}


async def test_a_removed_record_leaves_a_mark_and_comes_back_over_it(home: Home) -> None:
    await home.one.save(KEY, [change("a", 0, n=1)])
    assert await home.one.save(KEY, [removal("a", 1)]) == [True]
    for ids in (None, ["a"]):
        assert await home.other.load(KEY, ids) == {"a": Record(id="a", version=2, removed=True)}
    for expected in (0, 1):
        assert await home.other.save(KEY, [change("a", expected, "late", n=9)]) == [False]
    assert await home.other.save(KEY, [change("a", 2, n=3)]) == [True]
    assert await held(home.one, "a") == Record(id="a", version=3, data={"n": 3})


async def test_an_empty_document_is_not_a_removed_one(home: Home) -> None:
    await home.one.save(KEY, [Change(id="a", expected=0, operation="empty", data={})])
    assert await held(home.other, "a") == Record(id="a", version=1, data={})


async def test_what_never_was_can_be_removed_so_that_nothing_late_arrives(home: Home) -> None:
    assert await home.one.save(KEY, [removal("a", 0)]) == [True]
    assert await home.other.save(KEY, [change("a", 0, "late", n=1)]) == [False]
    assert (await held(home.one, "a")).removed


async def test_an_operation_repeated_on_a_removed_record_counts_as_saved(home: Home) -> None:
    first, second = change("a", 0, "op-1", n=1), removal("a", 1, "op-2")
    await home.one.save(KEY, [first])
    await home.one.save(KEY, [second])
    assert await home.other.save(KEY, [second, first]) == [True, True]
    assert await held(home.one, "a") == Record(id="a", version=2, removed=True)


async def test_a_record_may_come_at_a_version_of_its_own(home: Home) -> None:
    back = Change(id="a", expected=0, operation="back", data={"n": 7}, at_version=7)
    assert await home.one.save(KEY, [back]) == [True]
    assert await home.other.save(KEY, [back]) == [True], "asked twice counts once"
    assert await held(home.other, "a") == Record(id="a", version=7, data={"n": 7})
    assert await home.other.save(KEY, [change("a", 1, n=8)]) == [False]
    assert await home.other.save(KEY, [change("a", 7, n=8)]) == [True]
    gone = Change(id="a", expected=8, operation="gone", data=None, at_version=20)
    assert await home.one.save(KEY, [gone]) == [True]
    assert await held(home.other, "a") == Record(id="a", version=20, removed=True)


async def test_the_last_64_operations_of_a_record_are_listed_and_known_again(home: Home) -> None:
    wishes = [change("a", version, f"op-{version}", n=version) for version in range(66)]
    for wish in wishes:
        assert await home.one.save(KEY, [wish]) == [True]
    assert (await held(home.other, "a")).operations == tuple(f"op-{n}" for n in range(2, 66))
    assert await home.other.save(KEY, [wishes[2]]) == [True]
    assert await home.other.save(KEY, [wishes[1]]) == [False], "too long ago to be known, and its version is past"
    assert (await held(home.other, "a")).version == 66


async def test_young_operations_are_known_for_longer(home: Home) -> None:
    """Others may change a record often while somebody whose answer got lost cannot ask."""
    names = [new_operation() for _ in range(80)]
    for version, name in enumerate(names):
        assert await home.one.save(KEY, [change("a", version, name, n=version)]) == [True]
    assert (await held(home.other, "a")).operations == tuple(names)
    assert await home.other.save(KEY, [change("a", 0, names[0], n=0)]) == [True]
    assert (await held(home.other, "a")).version == 80


async def test_a_version_taken_so_that_a_late_change_misses_it_is_forgotten_as_an_old_operation(home: Home) -> None:
    names = [f"void:{new_operation()}", *(new_operation() for _ in range(70))]
    for version, name in enumerate(names):
        assert await home.one.save(KEY, [change("a", version, name, n=version)]) == [True]
    current = await held(home.other, "a")
    assert (current.version, current.operations) == (71, tuple(names[1:]))


async def test_of_operations_however_young_there_is_an_end(home: Home) -> None:
    current = Record(id="a")
    for batch in range(7):
        names = [new_operation() for _ in range(150)]
        wishes = [change("a", 150 * batch + n, name, n=n) for n, name in enumerate(names)]
        assert await home.one.save(KEY, wishes) == [True] * 150
        for wish in wishes:
            current = current.changed(wish)
    found = await held(home.other, "a")
    assert (len(found.operations), found.operations) == (OPERATIONS_AT_MOST, current.operations)


async def test_only_marks_are_pruned_and_only_at_their_version(home: Home) -> None:
    await home.one.save(KEY, [change(one, 0, n=1) for one in ("lives", "gone", "back")])
    await home.one.save(KEY, [removal("gone", 1), removal("back", 1)])
    seen = await home.one.load(KEY)
    await home.other.save(KEY, [change("back", 2, n=2)])
    for _ in range(2):
        await home.other.prune(KEY, [*seen.values(), Record(id="nobody", version=1, removed=True)])
    left = await home.one.load(KEY)
    assert {one: record.version for one, record in left.items()} == {"lives": 1, "back": 3}
    assert await home.one.save(KEY, [change("gone", 0, "again", n=3)]) == [True], "it never was"
    await home.one.save(KEY, [removal("lives", 1)])
    await home.one.prune(KEY, [Record(id="lives", version=1, removed=True)])
    assert (await held(home.one, "lives")).version == 2, "another version than the one that was seen"
    await home.one.prune(KEY, [])


async def test_a_home_lists_its_collections_of_every_client(home: Home) -> None:
    assert await home.one.keys() == []
    keys = [
        CollectionKey(client_id=client, name=name)
        for client, name in (("client_b", "sessions"), ("default", "logins"), ("default", "clients"))
    ]
    for key in keys:
        await home.one.save(key, [change("a", 0, "op", n=1)])
    assert sorted(await home.other.keys()) == sorted(keys)
    await home.one.save(keys[0], [removal("a", 1)])
    assert sorted(await home.other.keys()) == sorted(keys), "a mark is something, too"


# --- Redis: an answer gets lost


@pytest.mark.mission("E1")
@pytest.mark.parametrize("reaches", [True, False])
async def test_a_save_whose_answer_got_lost_is_asked_again_and_counts_once(
    redis_server: RedisServer,
    open_link: OpenLink,
    reaches: bool,  # noqa: FBT001 -- pytest's own way
) -> None:
    async with Wire(redis_server.port) as wire:
        store = RedisRecordStore(await open_link(f"redis://{HOST}:{wire.port}"))
        await store.save(KEY, [change("a", 0, n=0)])
        wire.lose_answer_to(b"op-lost", reaches=reaches)
        wish = change("a", 1, "op-lost", n=1)
        with pytest.raises(RedisAway) as lost:
            await store.save(KEY, [wish])
        assert lost.value.maybe_applied
        saved = await _until_answered(store, wish)
        assert (saved, wire.lost) == ([True], 1)
        assert await held(store, "a") == Record(id="a", version=2, data={"n": 1})


async def _until_answered(store: RecordStore, wish: Change) -> list[bool]:
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(Unavailable):
                return await store.save(KEY, [wish])
            await asyncio.sleep(0.01)


async def test_redis_that_is_down_makes_nothing_up_and_nobody_wait(
    redis_server: RedisServer, open_link: OpenLink
) -> None:
    link = await open_link(redis_server.url)
    store = RedisRecordStore(link)
    await store.save(KEY, [change("a", 0, n=0)])
    redis_server.kill()
    with pytest.raises(Unavailable):
        await store.load(KEY)
    await eventually(lambda: not link.is_up)
    began = time.monotonic()
    for call in (store.load(KEY), store.save(KEY, [change("a", 1, n=1)])):
        with pytest.raises(Unavailable):
            await call
    assert time.monotonic() - began < 0.1


@pytest.mark.parametrize("junk", ["not JSON", "{}", '{"v":"x","ops":[],"data":"{}"}', "[]"])
async def test_a_field_that_is_no_record_of_ours_is_an_error_of_ours(
    redis_server: RedisServer, open_link: OpenLink, junk: str
) -> None:
    link = await open_link(redis_server.url)
    await link.write("HSET", "passerelle:{default}:records:sessions", "a", junk)
    with pytest.raises(PasserelleError):
        await RedisRecordStore(link).load(KEY)


async def test_other_things_in_redis_are_no_collections(redis_server: RedisServer, open_link: OpenLink) -> None:
    link = await open_link(redis_server.url)
    store = RedisRecordStore(link)
    await store.save(KEY, [change("a", 0, n=0)])
    for name in (
        "passerelle:{default}:records:",
        "passerelle:{x}:records:Not-Ours",
        "bull:passerelle:records:sessions",
    ):
        await link.write("SET", name, "something else")
    for n in range(1500):
        await link.write("SET", f"passerelle:{{c}}:lock:{n}", "x")
    assert await store.keys() == [KEY], "also where they are found in many steps"


# --- SQL: PostgreSQL goes away


async def on_the_disk(tx: Tx) -> None:
    """This server commits without waiting for its disk (it is quicker so): once, it waits for all there is so far."""
    await tx.sql("SET LOCAL synchronous_commit = on")
    await tx.sql("SELECT pg_logical_emit_message(TRUE, 'tests', 'something to wait for')")


async def test_sql_that_is_down_makes_nothing_up(killable: PostgresServer, tmp_path: Path) -> None:
    async with opened(killable.create_database(), tmp_path) as database:
        store = SqlRecordStore(database)
        await store.save(KEY, [change("a", 0, n=0)])
        await database.run(on_the_disk)
        with capture_logs():
            killable.kill()
            for call in (store.load(KEY), store.save(KEY, [change("a", 1, n=1)])):
                with pytest.raises(DatabaseAway):
                    await call
        killable.start()
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(DatabaseAway):
                    assert await held(store, "a") == Record(id="a", version=1, data={"n": 0})
                    break
                await asyncio.sleep(0.02)


# --- JSON files: a crash, a full disk

_WRITER = """
import asyncio, sys
from pathlib import Path
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.model import Change, CollectionKey

async def main():
    store, key = JsonRecordStore(Path(sys.argv[1])), CollectionKey(client_id="default", name="sessions")
    version = (await store.load(key)).get("a").version if (await store.load(key)) else 0
    while True:
        data = {"n": version + 1, "text": "x" * 300_000}
        assert await store.save(key, [Change(id="a", expected=version, operation=str(version), data=data)]) == [True]
        version += 1
        print(version, flush=True)

asyncio.run(main())
"""


@pytest.mark.mission("E1")
def test_a_writer_killed_at_any_moment_leaves_a_whole_file_with_all_that_was_answered(tmp_path: Path) -> None:
    answered = 0
    for round_ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.001 * round_)  # another moment of the write each time
        os.kill(writer.pid, signal.SIGKILL)
        told = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        answered = int(told[-1]) if told else answered
        kept = json.loads((tmp_path / "default" / "sessions.json").read_text())["a"]
        assert kept["v"] >= answered
        assert (kept["data"]["n"], len(kept["data"]["text"])) == (kept["v"], 300_000)


async def test_what_a_crash_left_half_written_beside_the_file_is_ignored(tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path)
    await store.save(KEY, [change("a", 0, n=0)])
    (tmp_path / "default" / "sessions.new").write_text('{"a": {"v": 2, "op')
    assert await held(JsonRecordStore(tmp_path), "a") == Record(id="a", version=1, data={"n": 0})
    assert await store.save(KEY, [change("a", 1, n=1)]) == [True]


async def test_concurrent_saves_of_one_file_all_arrive(tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path)
    saved = await asyncio.gather(*(store.save(KEY, [change(f"r{n}", 0, n=n)]) for n in range(100)))
    assert saved == [[True]] * 100
    assert len(await JsonRecordStore(tmp_path).load(KEY)) == 100


async def test_a_reader_beside_writers_always_sees_a_whole_file(tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path)
    writing = asyncio.gather(*(store.save(KEY, [change(f"r{n}", 0, text="x" * 10_000)]) for n in range(50)))
    seen = 0
    while not writing.done():
        now = len(await store.load(KEY))
        assert now >= seen
        seen = now
    await writing
    assert len(await store.load(KEY)) == 50


async def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PasserelleError):
        await store.save(KEY, [change("a", 0, n=0)])


async def test_a_file_that_somebody_spoilt_is_an_error_of_ours_and_is_kept(tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path)
    await store.save(KEY, [change("a", 0, n=0)])
    path = tmp_path / "default" / "sessions.json"
    path.write_text('{"a": ')
    with pytest.raises(PasserelleError):
        await store.load(KEY)
    with pytest.raises(PasserelleError):
        await store.save(KEY, [change("b", 0, n=0)])
    assert path.read_text() == '{"a": '


async def test_a_full_disk_refuses_what_is_new_and_keeps_what_is_there(tmp_path: Path) -> None:
    store = JsonRecordStore(tmp_path)
    await store.save(KEY, [change("a", 0, n=0), removal("gone", 0)])
    half_written = tmp_path / "default" / "sessions.new"
    half_written.symlink_to("/dev/full")
    mark = await held(store, "gone")
    for call in (store.save(KEY, [change("a", 1, n=1)]), store.prune(KEY, [mark])):
        with pytest.raises(StorageFull):
            await call
    assert set(await JsonRecordStore(tmp_path).load(KEY)) == {"a", "gone"}
    half_written.unlink()
    assert await store.save(KEY, [change("a", 1, n=1)]) == [True]
    await store.prune(KEY, [mark])
    assert await store.load(KEY) == {"a": Record(id="a", version=2, data={"n": 1})}
