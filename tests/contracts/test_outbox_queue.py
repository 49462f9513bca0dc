"""Claims, marks and results of messages in SQL: order, fairness and fences, on both databases, under many at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from passerelle.db import Database
from passerelle.messages.model import UNKNOWN_BLOCKS, Message, Status
from passerelle.messages.ports import Claim

from .outbox_parts import (
    BO,
    LATER,
    NOW,
    OUTBOX,
    QUEUE,
    RETRY,
    SECOND,
    SPEAKERS,
    SWEEP,
    again,
    change,
    claim,
    claimed,
    failed_once,
    found,
    insert,
    link,
    mark,
    message,
    offset,
    outcome,
    reclaim,
    sending,
    sent,
    settle,
    snoozed,
    sql,
    statuses,
    to_somebody,
    two,
    unknown,
)

pytestmark = pytest.mark.anyio
CAROL = "+33639980101"
AFTER_RETRY = LATER + RETRY + SECOND


@pytest.fixture
async def pair(
    database: Database, database_url: str | None, tmp_path: Path
) -> AsyncIterator[tuple[Database, Database]]:
    async with two(database, database_url, tmp_path) as both:
        yield both


async def send_next(database: Database) -> list[str]:
    """Claim, hand over, settle as sent; which they were."""
    taken = await sending(database)
    await settle(database, *map(sent, taken))
    return [one.id for one in taken]


# --- what is due


async def test_a_claim_gives_a_message_to_one_and_counts_it(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await claim(database, "w1")
    assert (mine.status, mine.claims, mine.attempts) == (Status.CLAIMED, 1, 0)
    assert replace(mine, status=Status.PENDING, claims=0, fence=0, history=message(1).history) == message(1)
    assert await claim(database, "w2") == []
    assert await claim(database, "w1") == [], "not even again to the same"


async def test_nothing_is_claimed_before_it_is_due(database: Database) -> None:
    await insert(database, to_somebody(1, due_at=NOW + timedelta(minutes=1)), to_somebody(2))
    assert await claimed(database) == ["msg_0002"]
    assert await claimed(database, at=NOW + timedelta(seconds=59)) == []
    assert await claimed(database, at=NOW + timedelta(seconds=61)) == ["msg_0001"]


async def test_the_earliest_due_are_taken_first_up_to_the_limit(database: Database) -> None:
    wishes = [to_somebody(number, due_at=NOW - number * SECOND) for number in range(6)]
    await insert(database, *wishes)
    assert await claimed(database, limit=2) == ["msg_0005", "msg_0004"]
    assert await claimed(database, limit=0) == []
    assert await claimed(database, limit=3) == ["msg_0003", "msg_0002", "msg_0001"]
    assert await claimed(database, limit=9) == ["msg_0000"]


async def test_a_claim_is_of_the_named_sessions_only(database: Database) -> None:
    await insert(database, to_somebody(1), to_somebody(2, session_id="sess_b"), to_somebody(3, session_id=""))
    assert await claimed(database, sessions=["sess_c"]) == []
    assert await claimed(database, sessions=[]) == []
    assert await claimed(database, sessions=["sess_b"]) == ["msg_0002"]


@pytest.mark.mission("Z2")
async def test_a_backlog_of_one_session_takes_nothing_from_another(database: Database) -> None:
    await insert(database, *(to_somebody(number) for number in range(1000)))
    await insert(database, to_somebody(1001, session_id="sess_b"))
    taken = await claim(database, sessions=["sess_a", "sess_b"], limit=10)
    assert Counter(one.session_id for one in taken) == {"sess_a": 10, "sess_b": 1}
    wanted = [Claim("sess_a", 3), Claim("sess_c", 5)]
    taken = await database.run(partial(QUEUE.claim, wanted=wanted, worker_id="w2", offset=offset(LATER)))
    assert [one.id for one in taken] == ["msg_0010", "msg_0011", "msg_0012"]


# --- lanes


@pytest.mark.mission("Z2")
async def test_what_is_for_one_recipient_is_tried_one_after_the_other(database: Database) -> None:
    await insert(database, *(message(9 - number) for number in range(5)))
    await insert(database, message(100, to=CAROL), message(101, session_id="sess_b"))
    assert await send_next(database) == ["msg_0009", "msg_0100"], "the first of each lane"
    assert await claimed(database, sessions=["sess_b"]) == ["msg_0101"], "another phone's lane is another one"
    for number in range(1, 5):
        (mine,) = await claim(database)
        assert mine.id == f"msg_{9 - number:04}", "as they were written, whatever their ids"
        assert await claimed(database) == [], "the next waits while this one is being tried"
        await mark(database, mine)
        assert await claimed(database) == []
        await settle(database, sent(mine))


async def test_the_order_holds_over_separate_inserts_and_equal_times(database: Database) -> None:
    for number in (3, 1, 2):
        await insert(database, message(number))
    assert [await send_next(database) for _ in range(3)] == [["msg_0003"], ["msg_0001"], ["msg_0002"]]


@pytest.mark.mission("Z2")
async def test_a_message_that_waits_for_its_retry_blocks_nobody(database: Database) -> None:
    await insert(database, message(1), message(2))
    (first,) = await sending(database)
    (settled,) = await settle(database, failed_once(first))
    assert (settled.status, settled.attempts, settled.due_at) == (Status.PENDING, 1, LATER + RETRY)
    assert await send_next(database) == ["msg_0002"]
    assert await claimed(database, at=LATER + RETRY - SECOND) == []
    assert await claimed(database, at=AFTER_RETRY) == ["msg_0001"]


async def test_a_retry_waits_for_nobody_and_nobody_waits_for_it(database: Database) -> None:
    await insert(database, message(1), message(2), message(3))
    (first,) = await sending(database)
    await settle(database, failed_once(first))
    (second,) = await claim(database)
    assert second.id == "msg_0002"
    (again_,) = await sending(database, at=AFTER_RETRY)
    assert again_.id == "msg_0001", "while the second is being tried"
    assert await claimed(database, at=AFTER_RETRY) == [], "the third waits for the second only"
    await settle(database, sent(second))
    assert await claimed(database, at=AFTER_RETRY) == ["msg_0003"], "while the first is being tried again"


async def test_a_message_for_later_blocks_nobody_and_then_has_its_turn(database: Database) -> None:
    evening = NOW + timedelta(hours=3)
    await insert(database, message(1, send_at=evening, due_at=evening), message(2))
    assert await send_next(database) == ["msg_0002"]
    await insert(database, message(3, created_at=evening + SECOND, due_at=evening + SECOND))
    assert await claimed(database, at=evening + 2 * SECOND) == ["msg_0001"], "it was asked for that time"
    assert await claimed(database, at=evening + 2 * SECOND) == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.SENT, Status.DELIVERED, Status.READ])
async def test_a_message_that_has_ended_blocks_nobody(database: Database, status: Status) -> None:
    await insert(database, message(1), message(2))
    assert await change(database, again(message(1), status=status), expected=Status.PENDING)
    assert await claimed(database) == ["msg_0002"]


@pytest.mark.mission("Z2")
async def test_an_unknown_message_blocks_its_lane_for_75_seconds_at_most(database: Database) -> None:
    await insert(database, message(1), message(2), message(3, to=CAROL))
    bo, _carol = await sending(database)
    await settle(database, unknown(bo, due_at=LATER + UNKNOWN_BLOCKS))
    assert timedelta(seconds=75) >= UNKNOWN_BLOCKS
    assert await claimed(database, at=LATER + timedelta(seconds=74)) == []
    assert await claimed(database, at=LATER + timedelta(seconds=76)) == ["msg_0002"]


async def test_an_unknown_message_that_was_resolved_blocks_no_more(database: Database) -> None:
    await insert(database, message(1), message(2))
    (first,) = await sending(database)
    await settle(database, unknown(first))
    assert await claimed(database) == []
    await settle(database, sent(first))
    assert await claimed(database) == ["msg_0002"]


# --- many at once


async def drain(database: Database, worker_id: str, sessions: list[str]) -> list[Message]:
    mine = list[Message]()
    while taken := await claim(database, worker_id, limit=7, sessions=sessions):
        mine += taken
    return mine


@pytest.mark.mission("Z2")
async def test_twenty_who_claim_at_once_never_share(pair: tuple[Database, Database]) -> None:
    sessions = ["sess_a", "sess_b", "sess_c"]
    await insert(pair[0], *(to_somebody(n, session_id=sessions[n % 3]) for n in range(300)))
    shares = await asyncio.gather(*(drain(pair[n % 2], f"w{n}", sessions) for n in range(20)))
    assert sum(bool(share) for share in shares) > 1, "they did it together"
    left = await drain(pair[0], "last", sessions)  # who met locked rows only has gone home early
    ids = [one.id for share in [*shares, left] for one in share]
    assert sorted(ids) == [f"msg_{n:04}" for n in range(300)]
    assert {one.claims for share in shares for one in share} == {1}


@pytest.mark.mission("Z2")
async def test_of_one_lane_twenty_who_claim_at_once_get_one(pair: tuple[Database, Database]) -> None:
    await insert(pair[0], *(message(n) for n in range(20)))
    said = list[str]()
    for _ in range(20):
        shares = await asyncio.gather(*(claim(pair[n % 2], f"w{n}") for n in range(20)))
        taken = [one for share in shares for one in share]
        taken = taken or await claim(pair[0], "w0")
        assert len(taken) == 1
        said.append(taken[0].id)
        await settle(pair[0], sent(taken[0]))
    assert said == [f"msg_{n:04}" for n in range(20)]


async def test_workers_who_claim_and_settle_at_once_keep_every_lane_in_order(pair: tuple[Database, Database]) -> None:
    lanes = [f"+3363998{lane:04}" for lane in range(5)]
    await insert(pair[0], *(message(n, to=lanes[n % 5]) for n in range(100)))
    said = list[Message]()

    async def work(number: int) -> None:
        database, worker_id = pair[number % 2], f"w{number}"
        while len(said) < 100:
            taken = await claim(database, worker_id, limit=2)
            marked = await mark(database, *taken, worker_id=worker_id)
            assert marked == {one.id for one in taken}
            said.extend(taken)
            await settle(database, *map(sent, taken))

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, range(6)))
    for lane in lanes:
        assert [one.id for one in said if one.to == lane] == sorted(one.id for one in said if one.to == lane)
    assert len({one.id for one in said}) == len(said) == 100


# --- marks


async def test_only_its_own_worker_marks_a_claimed_message(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(4)))
    mine = await claim(database, "w1", limit=2)
    theirs = await claim(database, "w2", limit=1)
    strangers = [*theirs, await found(database, "msg_0003"), message(9999)]
    assert await mark(database, mine[0], *strangers, worker_id="w1") == {"msg_0000"}
    assert await mark(database, worker_id="w1") == set()
    assert await statuses(database, *(f"msg_000{n}" for n in range(4))) == [
        Status.SENDING,
        Status.CLAIMED,
        Status.CLAIMED,
        Status.PENDING,
    ]


async def test_a_cancelled_message_is_not_handed_over(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await claim(database)
    assert await change(database, again(mine.cancelled()), expected=Status.CLAIMED)
    assert await mark(database, mine) == set()
    assert await settle(database, sent(mine)) == []
    assert (await found(database, "msg_0001")).status is Status.CANCELLED


async def test_a_mark_whose_answer_got_lost_is_asked_for_again_and_still_ours(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await claim(database)
    assert await mark(database, mine) == {"msg_0001"}
    assert await mark(database, mine) == {"msg_0001"}, "committed, the answer lost (maybe_committed): asked anew"
    assert await mark(database, mine, worker_id="w2") == set()


async def test_a_claim_that_was_given_back_is_marked_no_more_also_by_the_worker_that_has_it_again(
    database: Database,
) -> None:
    await insert(database, message(1))
    (old,) = await claim(database)
    await database.run(partial(SWEEP.give_back, worker_id="w1"))
    (new,) = await claim(database)
    assert await mark(database, old) == set(), "or both of them would be handed over"
    assert await mark(database, new) == {"msg_0001"}


# --- results


async def test_every_result_is_written_down_as_it_is_told(database: Database) -> None:
    await insert(database, *(to_somebody(n, reference=f"r{n}") for n in range(5)))
    one, two_, three, four, five = await sending(database)
    told = await settle(
        database,
        sent(one, "wa_1"),
        failed_once(two_),
        outcome(three, Status.FAILED, error="not_on_whatsapp"),
        unknown(four),
        snoozed(five),
    )
    assert {(s.reference, s.status, s.attempts, s.last_error) for s in told} == {
        ("r0", Status.SENT, 1, None),
        ("r1", Status.PENDING, 1, "send_error"),
        ("r2", Status.FAILED, 1, "not_on_whatsapp"),
        ("r3", Status.UNKNOWN, 1, "answer_lost"),
        ("r4", Status.PENDING, 0, "phone_offline"),
    }
    rows = [await found(database, f"msg_000{n}") for n in range(5)]
    assert [row.status for row in rows] == [
        Status.SENT,
        Status.PENDING,
        Status.FAILED,
        Status.UNKNOWN,
        Status.PENDING,
    ]
    assert rows[0].provider_id == "wa_1"
    assert rows[1].due_at == LATER + RETRY
    assert rows[4].due_at == NOW
    assert [(row.history[-1].event, row.history[-1].detail) for row in rows] == [
        ("sent", None),
        ("attempt_failed", "send_error"),
        ("failed", "not_on_whatsapp"),
        ("unknown", "answer_lost"),
        ("snoozed", "phone_offline"),
    ]
    assert all(event.at == LATER for row in rows for event in row.history[1:])


async def test_nothing_at_all_may_be_settled(database: Database) -> None:
    assert await settle(database) == []


@pytest.mark.mission("Z2")
async def test_a_snooze_gives_the_claim_back_and_burns_no_attempt(database: Database) -> None:
    await insert(database, message(1))
    for _ in range(20):
        (mine,) = await sending(database)
        await settle(database, snoozed(mine))
        waits = await found(database, "msg_0001")
        assert (waits.status, waits.attempts, waits.last_error) == (Status.PENDING, 0, "phone_offline")
    assert await reclaim(database) == []
    (mine,) = await claim(database)
    await reclaim(database)
    assert (await found(database, "msg_0001")).status is Status.PENDING, "snoozes do not count as claims that failed"


async def test_a_late_result_of_a_message_claimed_anew_is_void(database: Database) -> None:
    await insert(database, message(1))
    (old,) = await claim(database, "w1")
    await reclaim(database)
    (new,) = await sending(database, "w2")
    assert await settle(database, sent(old, "wa_old")) == []
    assert await settle(database, failed_once(old)) == []
    assert (await found(database, "msg_0001")).status is Status.SENDING
    assert len(await settle(database, sent(new, "wa_new"))) == 1
    assert (await found(database, "msg_0001")).provider_id == "wa_new"


async def test_a_late_result_is_void_also_when_the_claim_was_given_back_by_a_snooze(database: Database) -> None:
    await insert(database, message(1))
    (old,) = await sending(database, "w1")
    await settle(database, snoozed(old))
    (new,) = await sending(database, "w2")
    assert await settle(database, snoozed(old)) == [], "committed, the answer lost: w1 settles it once more"
    assert (await found(database, "msg_0001")).status is Status.SENDING
    assert len(await settle(database, sent(new))) == 1


async def test_a_late_result_is_void_also_when_the_claim_was_given_back_by_its_worker(database: Database) -> None:
    await insert(database, message(1))
    (old,) = await claim(database, "w1")
    assert await database.run(partial(SWEEP.give_back, worker_id="w1")) == 1
    (new,) = await sending(database, "w2")
    assert await settle(database, failed_once(old)) == []
    assert len(await settle(database, sent(new))) == 1


async def test_a_result_settled_twice_counts_once(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(4)))
    one, two_, three, four = await sending(database)
    told = [sent(one), failed_once(two_), outcome(three, Status.FAILED, error="no"), snoozed(four)]
    assert len(await settle(database, *told)) == 4
    assert await settle(database, *told) == []
    assert [(await found(database, f"msg_000{n}")).attempts for n in range(4)] == [1, 1, 1, 0]


async def test_an_unknown_result_settled_twice_burns_one_attempt(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await sending(database)
    await settle(database, unknown(mine))
    await settle(database, unknown(mine))
    assert (await found(database, "msg_0001")).attempts == 1


@pytest.mark.mission("Z2")
async def test_the_answer_to_an_unknown_message_is_heard_from_its_own_claim(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await sending(database)
    (lost,) = await reclaim(database)
    assert lost.status is Status.UNKNOWN
    (told,) = await settle(database, sent(mine, "wa_1"))
    assert told.status is Status.SENT
    now = await found(database, "msg_0001")
    assert (now.status, now.provider_id, now.last_error) == (Status.SENT, "wa_1", None)


async def test_a_try_that_was_given_up_and_answered_all_the_same_is_one_attempt(database: Database) -> None:
    await insert(database, to_somebody(1), to_somebody(2), to_somebody(3))
    first, second, third = await sending(database)
    await reclaim(database)
    await settle(database, sent(first), failed_once(second), snoozed(third))
    assert [(await found(database, f"msg_000{n}")).attempts for n in (1, 2, 3)] == [1, 1, 0]


async def test_a_throttled_recipient_makes_the_whole_lane_wait(database: Database) -> None:
    await insert(database, message(1), message(2), message(3, to=CAROL), message(4, session_id="sess_b"))
    bo, carol = await sending(database)
    until = LATER + timedelta(seconds=6)
    await settle(
        database,
        outcome(bo, Status.PENDING, attempt=0, due_at=until, error="too_much", whole_lane=True),
        sent(carol),
    )
    assert await claimed(database, at=until - SECOND) == []
    assert await claimed(database, at=until - SECOND, sessions=["sess_b"]) == ["msg_0004"]
    assert await claimed(database, at=until + SECOND) == ["msg_0001"]
    assert (await found(database, "msg_0001")).attempts == 0


async def test_who_is_settled_beside_one_whose_lane_must_wait_is_told_when_its_turn_comes(database: Database) -> None:
    await insert(database, message(1))
    (first,) = await sending(database)
    await settle(database, failed_once(first, due_at=LATER))
    await insert(database, message(2, due_at=LATER, created_at=LATER))
    one, other = await sending(database, at=LATER + SECOND)
    until = LATER + timedelta(seconds=6)
    told = await settle(
        database,
        outcome(one, Status.PENDING, attempt=0, due_at=until, error="too_much", whole_lane=True),
        outcome(other, Status.PENDING, attempt=0, error="restricted"),
    )
    assert [settled.due_at for settled in told] == [until, until]


# --- the agenda


async def test_the_agenda_tells_of_every_held_phone_when_its_next_message_is_due(database: Database) -> None:
    for session_id in ("sess_a", "sess_b", "sess_c"):
        await link(database, session_id, holder="w1")
    await link(database, "sess_of_another", holder="w2")
    await link(database, "sess_of_nobody")
    await insert(database, to_somebody(1, due_at=NOW + SECOND), to_somebody(2, due_at=NOW), message(3))
    await insert(database, message(4, session_id="sess_b", due_at=NOW + RETRY), message(5, session_id="sess_gone"))
    await claim(database, at=LATER, limit=1)
    await database.run(partial(SPEAKERS.pause, session_id="sess_c", until=NOW + RETRY))
    agenda = await database.run(partial(QUEUE.agenda, worker_id="w1", offset=offset(NOW)))
    assert {(one.session_id, one.device, one.due_at, one.paused_until) for one in agenda} == {
        ("sess_a", "sess_a:1@wa", NOW, None),
        ("sess_b", "sess_b:1@wa", NOW + RETRY, None),
        ("sess_c", "sess_c:1@wa", None, NOW + RETRY),
    }
    assert {one.client_id for one in agenda} == {"default"}


@pytest.mark.mission("Z2")
async def test_unknown_messages_wait_anew_when_that_was_asked_for_and_their_time_has_come(database: Database) -> None:
    once: dict[str, Any] = {"resend_unknown": True, "max_attempts": 1}
    await insert(database, to_somebody(0, resend_unknown=True), to_somebody(1), to_somebody(2, **once))
    await insert(database, to_somebody(3, resend_unknown=True))
    taken = await sending(database)
    await settle(database, *map(unknown, taken[:3]), unknown(taken[3], due_at=LATER + timedelta(hours=1)))

    async def look(seconds: int) -> list[Status]:
        await database.run(partial(QUEUE.agenda, worker_id="w1", offset=offset(LATER + timedelta(seconds=seconds))))
        return await statuses(database, *(one.id for one in taken))

    assert await look(74) == [Status.UNKNOWN] * 4
    assert await look(76) == [Status.PENDING, *[Status.UNKNOWN] * 3]
    (again,) = await claim(database, at=LATER + timedelta(seconds=77))
    assert (again.id, again.attempts, again.claims) == ("msg_0000", 1, 2)


async def test_a_lane_in_which_much_was_said_is_still_claimed_at_once(local: Database) -> None:
    """The plan of the claim, not the machine: what has ended is in no index that it reads."""
    await insert(local, *(message(number) for number in range(3000)))
    await sql(local, "UPDATE messages SET state = 'sent' WHERE id < 'msg_2990'")
    began = asyncio.get_running_loop().time()
    assert await claimed(local) == ["msg_2990"]
    assert asyncio.get_running_loop().time() - began < 0.5
    plan = await sql(
        local,
        "EXPLAIN QUERY PLAN SELECT * FROM messages WHERE session_id = 'a' AND state = 'pending' AND due_us < 1",
    )
    assert "messages_due" in str(plan)


async def test_messages_of_a_batch_keep_their_order_over_two_outboxes(pair: tuple[Database, Database]) -> None:
    for number in range(6):
        await pair[number % 2].run(
            partial(OUTBOX.insert, messages=[message(number, created_at=NOW + number * timedelta(milliseconds=1))])
        )
    assert [(await send_next(pair[0]))[0] for _ in range(6)] == [f"msg_000{n}" for n in range(6)]
    assert (await found(pair[1], "msg_0000")).to == BO
