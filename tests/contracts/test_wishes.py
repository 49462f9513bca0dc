"""Wishes: saved, refused, or unknown for a while and then known; never guessed, never built on memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from contracts.record_parts import KEY, Lossy, documents, fact, happen, linked, plain, records_on, running
from contracts.wire import Wire
from passerelle.clients.model import UnknownClient
from passerelle.db import Database, StorageFull
from passerelle.errors import PasserelleError, Unavailable
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlRecordStore
from passerelle.records.model import (
    Change,
    CollectionKey,
    Outcome,
    OutcomeUnknown,
    Record,
    RecordsBusy,
    Source,
    WishRefused,
)
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.redis_link import RedisAway, RedisLink, request_budget
from passerelle.redis_link.budget import deadline, time_left
from passerelle.redis_link.catalogue import known_fault

from .conftest import OpenLink, opened
from servers import HOST, PostgresServer, RedisServer, eventually

pytestmark = pytest.mark.anyio
T = TypeVar("T")
AT_ONCE_S = 0.1


@pytest.fixture(params=["redis", "sql on sqlite", "sql on postgresql", "json"])
async def processes(
    request: pytest.FixtureRequest, tmp_path: Path, open_link: OpenLink
) -> AsyncIterator[tuple[Records, Records]]:
    """Two that share a home; one process with two, where only one is allowed."""
    async with AsyncExitStack() as stack:
        url = None
        if request.param == "sql on postgresql":
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            url = postgres.create_database()
        one = await stack.enter_async_context(opened(url, tmp_path))
        other = one if url is None else await stack.enter_async_context(opened(url, tmp_path))
        if request.param == "redis":
            server: RedisServer = request.getfixturevalue("redis_server")
            yield (await linked(open_link, server, one))[0], (await linked(open_link, server, other))[0]
            return
        stores: list[RecordStore] = [SqlRecordStore(one), SqlRecordStore(other)]
        if request.param == "json":
            stores = [JsonRecordStore(tmp_path / "records")] * 2
        yield records_on(stores[0], one, shadow=False), records_on(stores[1], other, shadow=False)


@pytest.fixture
async def lossy(redis_server: RedisServer, open_link: OpenLink) -> Lossy:
    """A real Redis that is well, and a way to it that may lose things."""
    lossy = Lossy(RedisRecordStore(await open_link(redis_server.url)))
    lossy.error = lost()
    return lossy


def another(lossy: Lossy) -> Lossy:
    """Another way to the same home."""
    way = Lossy(lossy.inner)
    way.error = lossy.error
    return way


def lost() -> RedisAway:
    """The answer to a command got lost."""
    return RedisAway(fault=known_fault("REDIS_CLOSED_EARLY", "for a test"), maybe_applied=True)


def to(**data: Any) -> Callable[[Record], dict[str, Any] | None]:
    return lambda _: data


def one_more(record: Record) -> dict[str, Any]:
    return {**record.data, "n": record.data.get("n", 0) + 1}


async def refused(wish: Any, kind: type[PasserelleError]) -> tuple[PasserelleError, float]:
    """Why a wish was refused, and the seconds until it was."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        await wish
    return caught.value, time.monotonic() - began


async def known(records: Records, operation: str, limit: float = 3.0) -> Outcome:
    """What became of an operation, once that is known."""
    await eventually(lambda: records.outcome(operation) is not Outcome.UNKNOWN, "its outcome", limit)
    return records.outcome(operation)


# --- saved


@pytest.mark.mission("E1")
async def test_what_was_wished_for_is_saved_and_every_process_reads_it(processes: tuple[Records, Records]) -> None:
    one, other = processes
    saved = await one.change(KEY, "a", to(name="Zoë"))
    assert (saved.version, saved.data) == (1, {"name": "Zoë"})
    assert await documents(other) == {"a": {"name": "Zoë"}}
    again = await other.change(KEY, "a", lambda record: {**record.data, "n": 2})
    assert (again.version, again.data) == (2, {"name": "Zoë", "n": 2})
    assert (await one.read(KEY)).records == {"a": again}


@pytest.mark.mission("E1")
async def test_two_hundred_wishes_of_two_processes_lose_nothing(processes: tuple[Records, Records]) -> None:
    async def writer(records: Records, at_a_time: int) -> None:
        for _ in range(100 // at_a_time):
            await asyncio.gather(*(records.change(KEY, "a", one_more) for _ in range(at_a_time)))

    await asyncio.gather(writer(processes[0], 1), writer(processes[1], 20))
    record = (await processes[0].read(KEY)).records["a"]
    assert (record.version, record.data) == (200, {"n": 200})


async def test_what_is_removed_is_in_no_reading_and_may_come_again(processes: tuple[Records, Records]) -> None:
    one, other = processes
    await one.change(KEY, "a", to(n=1))
    await one.change(KEY, "b", to(n=1))
    gone = await other.change(KEY, "a", lambda _: None)
    assert (gone.version, gone.removed) == (2, True)
    for records in processes:
        assert await documents(records) == {"b": {"n": 1}}
        assert (await records.read(KEY, ["a"])).records == {}
    seen: list[dict[str, Any]] = []

    def again(record: Record) -> dict[str, Any]:
        seen.append(record.data)
        return {"n": 3}

    assert (await one.change(KEY, "a", again)).version == 3
    assert seen == [{}], "what was removed is not handed out again"
    assert await documents(other) == {"a": {"n": 3}, "b": {"n": 1}}


async def test_a_wish_is_built_on_the_facts_that_wait_too(local: Database, tmp_path: Path) -> None:
    records = records_on(JsonRecordStore(tmp_path / "home"), local, shadow=False)
    await happen(records, local, fact("a", n=5))
    assert plain(await records.change(KEY, "a", one_more)) == {"n": 6}
    assert await documents(records) == {"a": {"n": 6}}, "the fact is merged into what came before the wish"
    await records.facts.apply()
    assert await documents(records) == {"a": {"n": 6}}


async def test_an_edit_that_says_no_passes_through_and_saves_nothing(processes: tuple[Records, Records]) -> None:
    one, other = processes
    await one.change(KEY, "a", to(n=1))

    def says_no(record: Record) -> dict[str, Any]:
        raise UnknownClient

    for record_id in ("a", "b"):
        _, took = await refused(one.change(KEY, record_id, says_no), UnknownClient)
        assert took < 1
    assert {r.id: r.version for r in (await other.read(KEY)).records.values()} == {"a": 1}
    assert (await one.change(KEY, "a", one_more)).data == {"n": 2}, "nobody is in the way afterwards"


async def test_wishes_of_one_process_for_one_record_do_not_get_in_each_others_way(
    lossy: Lossy, local: Database
) -> None:
    records = records_on(lossy, local)
    await asyncio.gather(*(records.change(KEY, "a", one_more) for _ in range(50)))
    assert len(lossy.asked) == 50, "each was saved at its first try"


async def test_a_wish_whose_asker_left_is_in_nobodys_way(lossy: Lossy, local: Database) -> None:
    records = records_on(lossy, local)
    for number in range(10):
        left = asyncio.ensure_future(records.change(KEY, "a", one_more))
        await asyncio.sleep(0.0005 * number)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
    before = (await records.read(KEY)).records.get("a", Record(id="a"))
    after = await records.change(KEY, "a", one_more)
    assert (after.version, after.data["n"]) == (before.version + 1, before.version + 1)


# --- refused: Redis is away


@pytest.mark.mission("E1")
@pytest.mark.mission("E7")
@pytest.mark.mission("D4")
async def test_while_redis_is_down_a_wish_is_refused_at_once_and_memory_stays_as_it_was(
    lasting_redis: RedisServer, open_link: OpenLink, local: Database
) -> None:
    records, link = await linked(open_link, lasting_redis, local)
    await records.change(KEY, "a", to(n=1))
    lasting_redis.kill()
    await eventually(lambda: not link.is_up)
    edited = []

    def edit(record: Record) -> dict[str, Any]:
        edited.append(record)
        return {"n": 2}

    for record_id in ("a", "b"):
        why, took = await refused(records.change(KEY, record_id, edit), WishRefused)
        assert (why.code, took < AT_ONCE_S) == ("not_saved", True)
        assert why.retry_after is not None
    assert edited == [], "nothing is built on memory"
    reading = await records.read(KEY)
    assert (reading.source, await documents(records)) == (Source.MEMORY, {"a": {"n": 1}})
    lasting_redis.start()
    await eventually(lambda: link.is_up)
    assert ((await records.read(KEY)).source, await documents(records)) == (Source.REDIS, {"a": {"n": 1}})
    assert (await records.change(KEY, "a", to(n=3))).version == 2


@pytest.mark.mission("E7")
async def test_a_wish_that_finds_redis_dead_is_refused_and_memory_stays_as_it_was(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    records, _ = await linked(open_link, redis_server, local)
    await records.change(KEY, "a", to(n=1))
    redis_server.kill()
    why, took = await refused(records.change(KEY, "a", to(n=2)), WishRefused)
    assert (why.code, took < 5.5) == ("not_saved", True)
    assert await documents(records) == {"a": {"n": 1}}


SICK = {
    "full": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "a replica": (f"REPLICAOF {HOST} 1", "REPLICAOF NO ONE"),
    "without its replicas": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
}


@pytest.mark.mission("E1")
@pytest.mark.mission("E7")
@pytest.mark.parametrize("sick", SICK)
async def test_a_redis_that_takes_no_writes_is_read_on_and_wishes_are_refused_at_once(
    redis_server: RedisServer, open_link: OpenLink, local: Database, sick: str
) -> None:
    records, link = await linked(open_link, redis_server, local)
    await records.change(KEY, "a", to(n=1))
    falls_ill, gets_well = SICK[sick]
    redis_server.ask(*falls_ill.split())
    why, took = await refused(records.change(KEY, "a", to(n=2)), WishRefused)
    assert (why.code, took < 1) == ("not_saved", True), "also where nobody knew"
    await eventually(lambda: not link.status.writable)
    for _ in range(3):
        _, took = await refused(records.change(KEY, "a", to(n=2)), WishRefused)
        assert took < AT_ONCE_S
    reading = await records.read(KEY)
    assert (reading.source, await documents(records)) == (Source.REDIS, {"a": {"n": 1}})
    redis_server.ask(*gets_well.split())
    await eventually(lambda: link.status.writable)
    assert (await records.change(KEY, "a", to(n=2))).version == 2


# --- refused: others are quicker, the disk is full


class Contested(Lossy):
    """A home where somebody else is always quicker."""

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        records = await self.inner.load(key, ids)
        version = records["a"].version if "a" in records else 0
        await self.inner.save(
            key, [Change(id="a", expected=version, operation=f"other{version}", data={"by": "other"})]
        )
        return records


@pytest.mark.mission("E1")
@pytest.mark.parametrize("budget_s", [0.5, pytest.param(5.0, marks=pytest.mark.long)])
async def test_who_is_never_quick_enough_is_told_so_in_time(local: Database, tmp_path: Path, budget_s: float) -> None:
    records = records_on(Contested(JsonRecordStore(tmp_path)), local)
    with request_budget(budget_s if budget_s < 5 else 60):
        why, took = await refused(records.change(KEY, "a", to(by="me")), RecordsBusy)
    assert (why.code, took < 1.1 * budget_s + 0.1) == ("records_busy", True)
    assert await documents(records) == {"a": {"by": "other"}}


@pytest.mark.mission("E1")
async def test_a_full_disk_refuses_the_wish_and_keeps_what_is_there(local: Database, tmp_path: Path) -> None:
    records = records_on(JsonRecordStore(tmp_path), local, shadow=False)
    await records.change(KEY, "a", to(n=1))
    (tmp_path / "default" / "sessions.new").symlink_to("/dev/full")
    why, took = await refused(records.change(KEY, "a", to(n=2)), StorageFull)
    assert (why.code, took < 1) == ("storage_full", True)
    assert await documents(records) == {"a": {"n": 1}}
    (tmp_path / "default" / "sessions.new").unlink()
    assert (await records.change(KEY, "a", to(n=3))).version == 2


# --- an answer gets lost


@pytest.mark.mission("E1")
@pytest.mark.parametrize("reaches", [True, False])
async def test_a_wish_whose_answer_gets_lost_on_the_wire_is_asked_for_again_and_counts_once(
    redis_server: RedisServer,
    open_link: OpenLink,
    local: Database,
    reaches: bool,  # noqa: FBT001 -- pytest's own way
) -> None:
    async with Wire(redis_server.port) as wire:
        records = records_on(RedisRecordStore(await open_link(f"redis://{HOST}:{wire.port}")), local)
        await records.change(KEY, "a", to(n=0))
        wire.lose_answer_to(b"the words that get lost", reaches=reaches)
        record = await records.change(KEY, "a", lambda record: {**one_more(record), "text": "the words that get lost"})
        assert (wire.lost, record.version, record.data["n"]) == (1, 2, 1)
        assert (await records.read(KEY)).records == {"a": record}


async def test_up_to_two_answers_may_get_lost(lossy: Lossy, local: Database) -> None:
    async def loses(*fails: str) -> None:
        way, record_id = another(lossy), "-".join(fails)
        way.fails = list(fails)
        assert (await records_on(way, local).change(KEY, record_id, one_more)).data == {"n": 1}
        assert {change.operation for change in way.asked} == {way.asked[0].operation}, "one wish, one operation"
        assert len(way.asked) == len(fails) + 1
        assert (await way.inner.load(KEY))[record_id].version == 1

    await asyncio.gather(
        *(loses(one) for one in ("after", "before")),
        *(loses(*two) for two in (("after", "after"), ("before", "after"), ("after", "before"), ("before", "before"))),
    )


@pytest.mark.parametrize("arrives", ["after", "before"])
async def test_when_every_answer_got_lost_the_outcome_becomes_known_by_itself(
    lossy: Lossy, local: Database, arrives: str
) -> None:
    async def loses(record_id: str, *earlier: dict[str, Any] | None) -> None:
        way = another(lossy)
        records = records_on(way, local)
        for data in earlier:
            await records.change(KEY, record_id, lambda _, data=data: data)  # type: ignore[misc] # the default binds it
        before = (await documents(records)).get(record_id)
        way.fails = [arrives] * 3
        why, _ = await refused(records.change(KEY, record_id, to(n=1)), OutcomeUnknown)
        operation = why.members["operation"]
        assert (why.code, records.outcome(operation)) == ("outcome_unknown", Outcome.UNKNOWN)
        async with running(records):
            outcome = await known(records, operation)
        assert outcome is (Outcome.SAVED if arrives == "after" else Outcome.REFUSED)
        expected = {"n": 1} if outcome is Outcome.SAVED else before
        assert (await documents(records)).get(record_id) == expected
        late = next(change for change in way.asked if change.operation == operation)
        told = await way.inner.save(KEY, [late])
        assert told == [outcome is Outcome.SAVED], "an operation that is known as refused can never arrive any more"
        assert (await documents(records)).get(record_id) == expected

    await asyncio.gather(loses("never was"), loses("is there", {"n": 0}), loses("was removed", {"n": 0}, None))


async def test_an_outcome_stays_unknown_until_redis_can_be_asked(lossy: Lossy, local: Database) -> None:
    records = records_on(lossy, local)
    lossy.fails = ["after"] * 3
    why, _ = await refused(records.change(KEY, "a", to(n=1)), OutcomeUnknown)
    lossy.load_fails = 2
    async with running(records):
        assert await known(records, why.members["operation"]) is Outcome.SAVED
    assert lossy.load_fails == 0
    assert records.outcome("never heard of") is Outcome.UNKNOWN


async def test_a_wish_in_doubt_that_others_overtook_is_refused_or_becomes_known(lossy: Lossy, local: Database) -> None:
    """The first try may be on its way, somebody else is quicker, and then nobody can be asked."""
    records = records_on(lossy, local)
    other = records_on(lossy.inner, local)

    async def somebody_saves() -> None:
        await other.change(KEY, "a", to(by="other"))

    lossy.loaded, lossy.fails = somebody_saves, ["before"]
    assert (await records.change(KEY, "a", to(by="me"))).version == 2, (
        "it is asked and known: built anew on what is there"
    )
    lossy.loaded, lossy.fails, lossy.asked = somebody_saves, ["before"], []

    async def then_away() -> None:
        await somebody_saves()
        lossy.load_fails = 3

    lossy.loaded = then_away
    why, _ = await refused(records.change(KEY, "a", to(by="me")), OutcomeUnknown)
    async with running(records):
        assert await known(records, why.members["operation"]) is Outcome.REFUSED
    assert await documents(records) == {"a": {"by": "other"}}


@pytest.mark.mission("E1")
async def test_a_write_that_hangs_in_the_wire_and_comes_late_is_saved_or_refused_and_stays_so(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    async with Wire(redis_server.port) as wire:
        link: RedisLink = await open_link(f"redis://{HOST}:{wire.port}")
        lossy = Lossy(RedisRecordStore(link))
        records = records_on(lossy, local)
        await records.change(KEY, "a", to(n=0))

        async def black_hole() -> None:
            wire.hold()

        lossy.loaded = black_hole
        why, took = await refused(records.change(KEY, "a", to(n=1)), OutcomeUnknown)
        assert took < 5.5
        async with running(records):
            assert await documents(records) == {"a": {"n": 0}}, "memory is as before"
            wire.flow()
            outcome = await known(records, why.members["operation"], 10)
            expected = {"a": {"n": 1 if outcome is Outcome.SAVED else 0}}
            for _ in range(5):
                assert {r.id: r.data for r in (await lossy.inner.load(KEY)).values()} == expected
                await asyncio.sleep(0.05)


# --- every wish ends in time


@pytest.mark.mission("E1")
async def test_with_a_black_hole_every_wish_ends_within_its_budget(
    redis_server: RedisServer, open_link: OpenLink, local: Database
) -> None:
    async with Wire(redis_server.port) as wire:
        records = records_on(RedisRecordStore(await open_link(f"redis://{HOST}:{wire.port}")), local)
        await records.change(KEY, "a", to(n=0))
        wire.hold()
        wishes = [records.change(KEY, f"r{n % 3}", to(n=n)) for n in range(12)]
        for _, took in await asyncio.gather(*(refused(wish, Unavailable) for wish in wishes)):
            assert took < 5.5


class Stalling(Lossy):
    """A home that says it is well, and answers no save within the time of the request."""

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        await super().save(key, changes)
        await asyncio.sleep(max(0.0, time_left(deadline(5.0))))
        raise lost()


async def test_who_has_no_time_left_does_not_wait_for_another_try(local: Database, tmp_path: Path) -> None:
    records = records_on(Stalling(JsonRecordStore(tmp_path)), local)
    with request_budget(0.3):
        _, took = await refused(records.change(KEY, "a", to(n=1)), OutcomeUnknown)
    assert took < 0.4


async def test_who_waits_for_another_wish_has_no_more_time_for_it(local: Database, tmp_path: Path) -> None:
    records = records_on(Stalling(JsonRecordStore(tmp_path)), local)

    async def wish(seconds: float) -> tuple[PasserelleError, float]:
        with request_budget(seconds):
            return await refused(records.change(KEY, "a", to(n=1)), Unavailable)

    told = await asyncio.gather(wish(0.3), wish(0.25), wish(0.2))
    assert [why.code for why, _ in told] == ["outcome_unknown", "records_busy", "records_busy"]
    assert all(took < 0.4 for _, took in told)


async def test_a_surprise_in_one_round_does_not_end_the_care_for_records(lossy: Lossy, local: Database) -> None:
    records = records_on(lossy, local)
    lossy.fails = ["after"] * 3
    why, _ = await refused(records.change(KEY, "a", to(n=1)), OutcomeUnknown)
    lossy.error, lossy.load_fails = ValueError("nobody thought of this"), 1
    with capture_logs():
        async with running(records):
            assert await known(records, why.members["operation"]) is Outcome.SAVED
