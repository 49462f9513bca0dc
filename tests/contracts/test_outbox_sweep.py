"""What time and dead workers do to messages in SQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.messages.adapters.sweep import CLAIMS_PER_MESSAGE, EXPIRED_AT_ONCE
from passerelle.messages.model import UNKNOWN_BLOCKS, Settled, Status

from .outbox_parts import (
    LATER,
    NOW,
    SWEEP,
    WORKERS,
    claim,
    claimed,
    failed_once,
    found,
    insert,
    link,
    mark,
    message,
    reclaim,
    sending,
    sent,
    settle,
    sql,
    statuses,
    to_somebody,
    two,
)

pytestmark = pytest.mark.anyio
LAPSED_US = 15_000_000
DAY = timedelta(hours=24)


@pytest.fixture
async def pair(
    database: Database, database_url: str | None, tmp_path: Path
) -> AsyncIterator[tuple[Database, Database]]:
    async with two(database, database_url, tmp_path) as both:
        yield both


async def expire(database: Database, after: timedelta) -> list[Settled]:
    return await database.run(partial(SWEEP.expire, now=NOW + after))


async def give_back(database: Database, worker_id: str = "w1") -> int:
    return await database.run(partial(SWEEP.give_back, worker_id=worker_id))


async def bind_waiting(database: Database) -> int:
    return await database.run(SWEEP.bind_waiting)


async def beat(database: Database, worker_id: str, *, ago_us: int = 0) -> None:
    await database.run(partial(WORKERS.beat, worker_id=worker_id))
    await sql(
        database,
        "UPDATE workers SET heartbeat_us = heartbeat_us - CAST(:ago_us AS BIGINT) WHERE id = :id",
        ago_us=ago_us,
        id=worker_id,
    )


# --- reclaimed


@pytest.mark.mission("Z2")
async def test_a_crash_frees_what_was_claimed_and_makes_unknown_what_was_being_sent(database: Database) -> None:
    await insert(database, *(to_somebody(n, reference=f"r{n}") for n in range(4)))
    _, second = await claim(database, limit=2)
    await mark(database, second)
    (lost,) = await reclaim(database)
    assert (lost.id, lost.reference, lost.status, lost.attempts) == ("msg_0001", "r1", Status.UNKNOWN, 1)
    assert (lost.due_at, lost.last_error) == (LATER + UNKNOWN_BLOCKS, "interrupted")
    assert await statuses(database, *(f"msg_000{n}" for n in range(4))) == [
        Status.PENDING,
        Status.UNKNOWN,
        Status.PENDING,
        Status.PENDING,
    ]
    free, gone = await found(database, "msg_0000"), await found(database, "msg_0001")
    assert (free.attempts, free.claims, free.last_error, len(free.history)) == (0, 1, None, 1)
    assert (gone.history[-1].event, gone.history[-1].detail) == ("unknown", "interrupted")
    assert await reclaim(database) == []
    assert await claimed(database, "w2") == ["msg_0000", "msg_0002", "msg_0003"]


@pytest.mark.mission("Z2")
async def test_a_message_that_killed_five_workers_is_given_to_no_sixth(database: Database) -> None:
    await insert(database, message(1), message(2))
    for number in range(1, CLAIMS_PER_MESSAGE + 1):
        (mine,) = await claim(database, f"w{number}")
        assert (mine.id, mine.claims) == ("msg_0001", number)
        freed = await reclaim(database)
        assert [one.status for one in freed] == ([Status.FAILED] if number == CLAIMS_PER_MESSAGE else [])
    ended = await found(database, "msg_0001")
    assert (ended.last_error, ended.attempts) == ("interrupted", 0)
    assert (ended.history[-1].event, ended.history[-1].detail) == ("failed", "interrupted")
    assert await claimed(database) == ["msg_0002"], "and it is in nobody's way"


async def test_only_silent_workers_lose_what_they_hold(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(5)))
    for worker_id, ago_us in (("alive", 1_000_000), ("silent", 16_000_000), ("me", 16_000_000), ("edge", 14_000_000)):
        await beat(database, worker_id, ago_us=ago_us)
        await sending(database, worker_id, limit=1)
    await sending(database, "never_heard_of", limit=1)
    lost = await reclaim(database, lapsed_us=LAPSED_US, but="me")
    assert {one.id for one in lost} == {"msg_0001", "msg_0004"}
    assert (await statuses(database, "msg_0000", "msg_0002", "msg_0003")) == [Status.SENDING] * 3


async def test_a_try_that_lasts_longer_than_its_lease_is_lost_also_when_its_worker_lives(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(3)))
    await beat(database, "alive")
    await sending(database, "alive", limit=2)
    await claim(database, "alive", limit=1)
    await sql(database, "UPDATE messages SET updated_us = updated_us - 91000000 WHERE id <> 'msg_0001'")
    (lost,) = await reclaim(database, lapsed_us=LAPSED_US)
    assert (lost.id, lost.status) == ("msg_0000", Status.UNKNOWN)
    assert (await found(database, "msg_0002")).status is Status.CLAIMED, "preparing a medium may take minutes"


async def test_two_who_reclaim_at_once_tell_of_each_message_once(pair: tuple[Database, Database]) -> None:
    await insert(pair[0], *(to_somebody(n) for n in range(200)))
    await sending(pair[0], limit=200)
    answers = await asyncio.gather(*(reclaim(pair[n % 2]) for n in range(6)))
    assert sorted(one.id for answer in answers for one in answer) == [f"msg_{n:04}" for n in range(200)]
    assert {(await found(pair[0], f"msg_{n:04}")).attempts for n in range(0, 200, 20)} == {1}


async def test_a_reclaim_and_the_answer_at_once_leave_the_message_sent(pair: tuple[Database, Database]) -> None:
    await insert(pair[0], *(to_somebody(n) for n in range(100)))
    taken = await sending(pair[0], limit=100)
    await asyncio.gather(reclaim(pair[1]), *(settle(pair[0], *map(sent, taken[n::4])) for n in range(4)))
    states = await sql(pair[0], "SELECT DISTINCT state FROM messages")
    assert [row["state"] for row in states] == ["sent"], "an answer is heard also after the message was given up"


# --- given back


@pytest.mark.mission("Z2")
async def test_what_is_given_back_waits_again_as_if_never_claimed(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(4)))
    for _ in range(CLAIMS_PER_MESSAGE + 2):
        await claim(database, "w1", limit=2)
        assert await give_back(database) == 2
    first, _ = await claim(database, "w1", limit=2)
    await mark(database, first)
    await claim(database, "w2", limit=1)
    assert await give_back(database) == 1
    assert await give_back(database) == 0
    assert await statuses(database, *(f"msg_000{n}" for n in range(4))) == [
        Status.SENDING,
        Status.PENDING,
        Status.CLAIMED,
        Status.PENDING,
    ]
    free = await found(database, "msg_0001")
    assert (free.claims, free.attempts, len(free.history)) == (0, 0, 1)
    assert free.fence == CLAIMS_PER_MESSAGE + 3, "which is never given back"


# --- expired


@pytest.mark.mission("Z2")
async def test_what_waits_beyond_its_expiry_fails_and_says_why(database: Database) -> None:
    evening = NOW + timedelta(hours=3)
    late = {"send_at": evening, "due_at": evening, "expires_at": evening + timedelta(hours=1)}
    await insert(
        database, to_somebody(0), to_somebody(1, **late), to_somebody(2, expires_at=NOW + 2 * DAY), to_somebody(3)
    )
    await insert(database, to_somebody(4, **late))
    (tried,) = await sending(database, at=evening + timedelta(seconds=1), limit=1)
    assert tried.id == "msg_0000", "due first"
    await settle(database, sent(tried))
    assert await expire(database, timedelta(hours=3)) == []
    assert {(one.id, one.last_error) for one in await expire(database, timedelta(hours=4))} == {
        ("msg_0001", "too_late"),
        ("msg_0004", "too_late"),
    }
    (old,) = await expire(database, DAY)
    assert (old.id, old.status, old.last_error, old.attempts) == ("msg_0003", Status.FAILED, "expired", 0)
    assert await expire(database, DAY) == []
    history = (await found(database, "msg_0001")).history
    assert [(one.event, one.detail) for one in history] == [("accepted", None), ("failed", "too_late")]
    assert await statuses(database, "msg_0000", "msg_0002") == [Status.SENT, Status.PENDING]


async def test_a_scheduled_message_that_was_tried_in_time_expires_and_is_not_too_late(database: Database) -> None:
    await insert(database, message(1, send_at=NOW, expires_at=NOW + timedelta(hours=1)))
    (mine,) = await sending(database)
    await settle(database, failed_once(mine, due_at=NOW + timedelta(hours=2)))
    assert [one.last_error for one in await expire(database, timedelta(hours=1))] == ["expired"]


async def test_what_is_in_hand_or_unknown_does_not_expire(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(3)))
    await sending(database, limit=1)
    (second,) = await claim(database, limit=1)
    assert [one.id for one in await expire(database, DAY)] == ["msg_0002"]
    await mark(database, second)
    await reclaim(database)
    assert await expire(database, 2 * DAY) == []


async def test_many_expire_in_parts_and_two_sweeps_do_not_wait_for_each_other(pair: tuple[Database, Database]) -> None:
    await insert(pair[0], *(to_somebody(n) for n in range(EXPIRED_AT_ONCE + 300)))
    first, second = await asyncio.gather(expire(pair[0], DAY), expire(pair[1], DAY))
    assert max(len(first), len(second)) == EXPIRED_AT_ONCE
    rest = await expire(pair[0], DAY)
    ids = [one.id for one in (*first, *second, *rest)]
    assert len(ids) == len(set(ids)) == EXPIRED_AT_ONCE + 300


# --- phones come and go


async def test_what_waits_for_a_phone_gets_the_one_that_was_linked_meanwhile(database: Database) -> None:
    await insert(
        database,
        to_somebody(1, session_id="", user_id=""),
        to_somebody(2, session_id="", user_id="ben"),
        to_somebody(3, session_id="", user_id="carol"),
        to_somebody(4, session_id="", user_id="", client_id="other"),
    )
    assert await bind_waiting(database) == 0
    await link(database, "sess_b", user_id="ben")
    await link(database, "sess_a")
    assert await bind_waiting(database) == 2
    assert await bind_waiting(database) == 0
    rows = await sql(database, "SELECT id, session_id FROM messages ORDER BY id")
    assert [row["session_id"] for row in rows] == ["sess_b", "sess_b", "", ""], "the oldest phone, or the user's own"


async def test_what_came_back_for_a_phone_that_was_unlinked_meanwhile_waits_for_the_next_one(
    database: Database,
) -> None:
    await link(database, "sess_new")
    await insert(database, to_somebody(1, session_id="sess_gone"), to_somebody(2, session_id="sess_new"))
    assert await bind_waiting(database) == 1
    assert (await found(database, "msg_0001")).session_id == "sess_new"
