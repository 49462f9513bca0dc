"""Who holds a linked phone: the rows, on both databases."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.db import Database
from passerelle.sessions.adapters.holders import SqlHolderBook, SqlSeenBook
from passerelle.sessions.ports import Census, Sighting

from .outbox_parts import link, sql, two

pytestmark = pytest.mark.anyio
HOLDERS, SEEN, WORKERS = SqlHolderBook(), SqlSeenBook(), SqlWorkerBook()
LAPSE = timedelta(seconds=15)
PHONES = [f"sess_{number}" for number in range(6)]


async def beat(database: Database, *worker_ids: str, ago: timedelta = timedelta(0)) -> None:
    for worker_id in worker_ids:
        await database.run(partial(WORKERS.beat, worker_id=worker_id))
        us = ago // timedelta(microseconds=1)
        await sql(database, "UPDATE workers SET heartbeat_us = heartbeat_us - :us WHERE id = :id", us=us, id=worker_id)


async def adopt(database: Database, worker_id: str, *, limit: int = 100, lapse: timedelta | None = LAPSE) -> list[str]:
    return await database.run(partial(HOLDERS.adopt, worker_id=worker_id, lapse=lapse, limit=limit))


async def held(database: Database, worker_id: str) -> list[str]:
    return [one.session_id for one in await database.run(partial(HOLDERS.held, worker_id=worker_id))]


async def fences(database: Database, worker_id: str) -> list[int]:
    return [one.fence for one in await database.run(partial(HOLDERS.held, worker_id=worker_id))]


async def link_all(database: Database, session_ids: Sequence[str] = PHONES) -> None:
    for number, session_id in enumerate(session_ids):
        await link(database, session_id, phone=f"+3363998{number:04}")


@pytest.mark.mission("Z5")
async def test_a_phone_that_nobody_holds_is_adopted_once(database: Database) -> None:
    await link_all(database)
    await beat(database, "w1", "w2")
    assert await adopt(database, "w1", limit=4) == PHONES[:4]
    assert await adopt(database, "w2") == PHONES[4:]
    assert await adopt(database, "w1") == []
    assert (await held(database, "w1"), await held(database, "w2")) == (PHONES[:4], PHONES[4:])


@pytest.mark.mission("Z5")
async def test_the_phones_of_a_worker_that_fell_silent_are_free_and_their_fence_grows(database: Database) -> None:
    await link_all(database)
    await beat(database, "w1", "w2")
    await adopt(database, "w1")
    before = await fences(database, "w1")
    await beat(database, "w1", ago=timedelta(seconds=14))
    assert await adopt(database, "w2") == []
    await beat(database, "w1", ago=timedelta(seconds=16))
    assert await adopt(database, "w2", lapse=None) == [], "whoever ever beat lives, for who cannot tell yet"
    assert await adopt(database, "w2") == PHONES
    assert await held(database, "w1") == []
    assert await fences(database, "w2") == [fence + 1 for fence in before]


async def test_a_worker_that_left_is_dead_at_once(database: Database) -> None:
    await link_all(database)
    await beat(database, "w1", "w2")
    await adopt(database, "w1")
    await database.run(partial(WORKERS.leave, worker_id="w1"))
    assert await adopt(database, "w2", lapse=None) == PHONES


async def test_who_was_silent_itself_takes_nothing_before_it_beats(database: Database) -> None:
    await link_all(database)
    assert await adopt(database, "never_beat") == []
    await beat(database, "w1", ago=timedelta(seconds=10))
    assert await adopt(database, "w1") == []
    await beat(database, "w1")
    assert await adopt(database, "w1") == PHONES


@pytest.mark.mission("Z5")
async def test_many_workers_that_adopt_at_once_share_and_never_get_the_same(
    database: Database, database_url: str | None, tmp_path: Path
) -> None:
    phones = [f"sess_{number:03}" for number in range(200)]
    await link_all(database, phones)
    workers = [f"w{number}" for number in range(8)]
    await beat(database, *workers)
    async with two(database, database_url, tmp_path) as both:
        taken = await asyncio.gather(
            *(adopt(both[turn % 2], worker, limit=7) for turn, worker in enumerate(workers * 5))
        )
    every = [one for ids in taken for one in ids]
    assert len(every) == len(set(every)) == 200


async def test_what_is_given_up_is_free(database: Database) -> None:
    await link_all(database)
    await beat(database, "w1", "w2")
    await adopt(database, "w1")
    assert await database.run(partial(HOLDERS.give_up, worker_id="w2", session_ids=PHONES[:2])) == 0
    assert await database.run(partial(HOLDERS.give_up, worker_id="w1", session_ids=PHONES[:2])) == 2
    assert await adopt(database, "w2") == PHONES[:2]
    assert await database.run(partial(HOLDERS.give_up, worker_id="w1")) == 4
    await adopt(database, "w1")
    await database.run(HOLDERS.free_all)
    count = partial(HOLDERS.census, worker_id="w3", lapse=LAPSE)
    assert await database.run(count) == Census(linked=6, free=6, living=1), "who was killed has no share any more"
    await beat(database, "w3")
    assert await adopt(database, "w3") == PHONES


async def test_the_census_counts_phones_and_the_living(database: Database) -> None:
    await link_all(database)
    count = partial(HOLDERS.census, worker_id="w1", lapse=LAPSE)
    assert await database.run(count) == Census(linked=6, free=6, living=1)
    await beat(database, "w1", "w2", "w3")
    await adopt(database, "w1", limit=1)
    await adopt(database, "w2", limit=2)
    assert await database.run(count) == Census(linked=6, free=3, living=3)
    await beat(database, "w2", ago=timedelta(minutes=1))
    assert await database.run(count) == Census(linked=6, free=5, living=2)


async def test_a_worker_silent_for_long_is_forgotten(database: Database) -> None:
    await beat(database, "w1")
    await beat(database, "w2", ago=timedelta(hours=2))
    await database.run(partial(WORKERS.forget, older=timedelta(hours=1)))
    assert [row["id"] for row in await sql(database, "SELECT id FROM workers")] == ["w1"]


async def test_a_number_that_is_linked_anew_gets_a_higher_fence_and_no_old_pause(database: Database) -> None:
    await link(database, "sess_1", holder="w1", phone="+33639980001")
    await sql(database, "UPDATE linked_phones SET paused_until_us = 1, seen_us = 1")
    (before,) = await database.run(partial(HOLDERS.held, worker_id="w1"))
    await link(database, "sess_2", holder="w2", phone="+33639980001")
    (after,) = await database.run(partial(HOLDERS.held, worker_id="w2"))
    assert (after.session_id, after.fence) == ("sess_2", before.fence + 1)
    (row,) = await sql(database, "SELECT paused_until_us, seen_us, held_us FROM linked_phones")
    assert (row["paused_until_us"], row["seen_us"]) == (None, row["held_us"]), "its linking was a sign of life"


async def test_signs_of_life_only_move_forward_and_only_the_holder_gives_them(database: Database) -> None:
    await link(database, "sess_1", holder="w1")
    await beat(database, "w1")
    at = datetime.now(UTC) + timedelta(hours=1)
    for worker_id, when in (("w1", at), ("w1", at - LAPSE), ("w2", at + LAPSE)):
        await database.run(partial(SEEN.seen, worker_id=worker_id, times={"sess_1": when}))
    seen = await database.run(partial(SEEN.sightings, client_id="default"))
    assert seen == {"sess_1": Sighting("w1", at, connected=True)}
    assert await database.run(partial(SEEN.sightings, client_id="another")) == {}


async def connected(database: Database) -> bool:
    (sighting,) = (await database.run(partial(SEEN.sightings, client_id="default"))).values()
    return sighting.connected


async def test_a_phone_is_connected_by_what_its_holder_has_heard_since_it_holds_it(database: Database) -> None:
    await link(database, "sess_1", holder="w1")
    assert not await connected(database), "who never beat is dead"
    await beat(database, "w1")
    assert await connected(database), "its linking has proved it"
    fast = datetime.now(UTC) + timedelta(hours=1)
    await database.run(partial(SEEN.seen, worker_id="w1", times={"sess_1": fast}))
    await beat(database, "w1", ago=LAPSE)
    assert not await connected(database), "its holder is dead"
    await beat(database, "w2")
    assert await adopt(database, "w2") == ["sess_1"]
    assert not await connected(database), "what the dead one saw, by a fast clock, proves nothing"
    await database.run(partial(SEEN.connected, session_id="sess_1"))
    assert await connected(database)
    await database.run(HOLDERS.free_all)
    assert not await connected(database)


async def test_what_was_heard_since_a_phone_was_linked_makes_it_another_thing_than_just_linked(
    database: Database,
) -> None:
    await link(database, "sess_1", holder="w1")
    await link(database, "sess_2", phone="+33639980002")

    async def just_linked(session_id: str) -> bool:
        owner = await database.run(partial(SEEN.owner, session_id=session_id))
        return owner is not None and owner.just_linked

    assert [await just_linked("sess_1"), await just_linked("sess_2")] == [True, False]
    await database.run(partial(SEEN.connected, session_id="sess_1"))
    assert not await just_linked("sess_1")


async def test_a_wish_to_reconnect_reaches_the_holder_and_no_other_clients_phone(database: Database) -> None:
    await link(database, "sess_1", holder="w1")
    wish = partial(SEEN.wish_reconnect, session_id="sess_1")
    assert not await database.run(partial(wish, client_id="another"))
    (before,) = await database.run(partial(HOLDERS.held, worker_id="w1"))
    assert await database.run(partial(wish, client_id="default"))
    (after,) = await database.run(partial(HOLDERS.held, worker_id="w1"))
    assert before.reconnect_us is None
    assert after.reconnect_us is not None
