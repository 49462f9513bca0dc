"""Receipts in SQL: they move a message forward only, in any order, twice, before its own settling; none is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.messages.model import Message, Settled, Status
from passerelle.whatsapp.model import Receipt, ReceiptKind

from .outbox_parts import (
    BO,
    LATER,
    RECEIPTS,
    RETRY,
    claim,
    failed_once,
    found,
    insert,
    message,
    outcome,
    receipt,
    reclaim,
    sending,
    sent,
    settle,
    sql,
    statuses,
    tell,
    to_somebody,
    two,
    unknown,
)

pytestmark = pytest.mark.anyio
DELIVERED, READ, FAILED = ReceiptKind.DELIVERED, ReceiptKind.READ, ReceiptKind.FAILED
MANY = 200


@pytest.fixture
async def pair(
    database: Database, database_url: str | None, tmp_path: Path
) -> AsyncIterator[tuple[Database, Database]]:
    async with two(database, database_url, tmp_path) as both:
        yield both


async def one_sent(database: Database, number: int = 1) -> Message:
    """A message to Bo that WhatsApp took, as ``wa_msg_…``."""
    await insert(database, message(number))
    (mine,) = await sending(database)
    await settle(database, sent(mine))
    return mine


async def one_unknown(database: Database, number: int = 1) -> Message:
    """A message to Bo whose answer got lost."""
    await insert(database, message(number))
    (mine,) = await sending(database)
    await settle(database, unknown(mine))
    return mine


async def join_leftovers(database: Database) -> list[Settled]:
    return await database.run(partial(RECEIPTS.join_leftovers, now=LATER))


# --- forward only


@pytest.mark.mission("Z2")
@pytest.mark.parametrize("order", list(itertools.permutations([DELIVERED, READ, FAILED])))
async def test_a_status_moves_forward_only_whatever_the_order(
    database: Database, order: tuple[ReceiptKind, ...]
) -> None:
    await one_sent(database)
    seen = list[Status]()
    for kind in order:
        await tell(database, receipt("wa_msg_0001", kind))
        seen.append((await found(database, "msg_0001")).status)
    assert seen[-1] is Status.READ, "somebody has seen it: whatever else was told, it has arrived"
    ranks = [list(ReceiptKind).index(ReceiptKind(one)) for one in seen]
    assert ranks == sorted(ranks)


async def test_a_receipt_told_twice_is_no_news(database: Database) -> None:
    await one_sent(database)
    (told,) = await tell(database, receipt("wa_msg_0001"))
    assert (told.status, told.attempts) == (Status.DELIVERED, 1)
    assert await tell(database, receipt("wa_msg_0001")) == []
    assert await tell(database, receipt("wa_msg_0001", at=LATER + RETRY), receipt("wa_msg_0001")) == []
    assert len((await found(database, "msg_0001")).history) == 3, "accepted, sent, delivered"


async def test_one_batch_may_hold_everything_at_once(database: Database) -> None:
    await one_sent(database)
    await one_sent(database, 2)
    both = [receipt(f"wa_msg_000{n}", kind) for n in (1, 2, 1) for kind in (READ, DELIVERED)]
    told = await tell(database, *both)
    assert {(one.id, one.status) for one in told} == {("msg_0001", Status.READ), ("msg_0002", Status.READ)}
    assert await tell(database) == []


async def test_receipts_are_part_of_the_history_with_their_own_times(database: Database) -> None:
    await one_sent(database)
    await tell(database, receipt("wa_msg_0001", READ, at=LATER + 2 * RETRY))
    await tell(database, receipt("wa_msg_0001", DELIVERED, at=LATER + RETRY))
    history = (await found(database, "msg_0001")).history
    assert [one.event for one in history] == ["accepted", "sent", "delivered", "read"]
    assert history[2].at == LATER + RETRY


async def test_a_failure_says_why_and_yields_to_what_proves_the_opposite(database: Database) -> None:
    await one_sent(database)
    (told,) = await tell(database, receipt("wa_msg_0001", FAILED, detail="131026"))
    assert (told.status, told.last_error) == (Status.FAILED, "131026")
    (told,) = await tell(database, receipt("wa_msg_0001", DELIVERED))
    assert (told.status, told.last_error) == (Status.DELIVERED, None)
    assert await tell(database, receipt("wa_msg_0001", FAILED, detail="131026")) == []
    assert (await found(database, "msg_0001")).last_error is None


async def test_a_receipt_of_another_session_is_not_this_ones(database: Database) -> None:
    await one_sent(database)
    assert await tell(database, receipt("wa_msg_0001", session_id="sess_b")) == []
    assert (await found(database, "msg_0001")).status is Status.SENT


async def test_a_receipt_brings_nothing_back_that_is_waiting_or_given_up(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(2)))
    await sql(database, "UPDATE messages SET provider_id = 'wa_' || id")
    await sql(database, "UPDATE messages SET state = 'cancelled' WHERE id = 'msg_0001'")
    assert await tell(database, receipt("wa_msg_0000"), receipt("wa_msg_0001")) == []
    assert await statuses(database, "msg_0000", "msg_0001") == [Status.PENDING, Status.CANCELLED]


# --- before the settling


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    ("told", "status"),
    [((DELIVERED,), Status.DELIVERED), ((READ, DELIVERED), Status.READ), ((FAILED, DELIVERED), Status.DELIVERED)],
)
async def test_a_receipt_before_the_settling_counts_at_once(
    database: Database, told: tuple[ReceiptKind, ...], status: Status
) -> None:
    await insert(database, message(1))
    (mine,) = await sending(database)
    assert await tell(database, *(receipt("wa_msg_0001", kind) for kind in told)) == []
    assert (await found(database, "msg_0001")).status is Status.SENDING
    (settled,) = await settle(database, sent(mine))
    assert settled.status is status
    now = await found(database, "msg_0001")
    assert (now.status, now.attempts) == (status, 1)
    assert {one.event for one in now.history} == {"accepted", "sent", *(kind.value for kind in told)}


async def test_a_failure_before_the_settling_says_why(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await sending(database)
    await tell(database, receipt("wa_msg_0001", FAILED, detail="131026"))
    (settled,) = await settle(database, sent(mine))
    assert (settled.status, settled.last_error) == (Status.FAILED, "131026")


@pytest.mark.mission("Z2")
async def test_of_200_receipts_at_once_with_200_settlings_none_is_lost(pair: tuple[Database, Database]) -> None:
    here, there = pair
    for round_ in range(3):
        await insert(here, *(to_somebody(round_ * MANY + n) for n in range(MANY)))
        taken = await sending(here, limit=MANY)
        assert len(taken) == MANY
        settled, told = (
            [settle(here, *map(sent, taken[n : n + 4])) for n in range(0, MANY, 4)],
            [tell(there, *(receipt(f"wa_{one.id}", to=one.to) for one in taken[n : n + 5])) for n in range(0, MANY, 5)],
        )
        mixed = [one for both in itertools.zip_longest(settled, told) for one in both if one is not None]
        news = [one for answer in await asyncio.gather(*mixed) for one in answer]
        states = await sql(here, "SELECT state, COUNT(*) AS many FROM messages GROUP BY state")
        assert {row["state"]: row["many"] for row in states} == {"delivered": (round_ + 1) * MANY}
        assert sum(one.status is Status.DELIVERED for one in news) == MANY, "each is told once"


@pytest.mark.mission("Z2")
async def test_of_200_receipts_one_by_one_against_200_settlings_none_is_lost(pair: tuple[Database, Database]) -> None:
    here, there = pair
    await insert(here, *(to_somebody(n) for n in range(MANY)))
    taken = await sending(here, limit=MANY)

    async def settled(some: list[Message]) -> None:
        for one in some:
            await settle(here, sent(one))

    async def told(some: list[Message]) -> None:
        for one in some:
            await tell(there, receipt(f"wa_{one.id}", to=one.to))

    halves = [taken[n::4] for n in range(4)]
    await asyncio.gather(*map(settled, halves), *map(told, halves))
    states = await sql(here, "SELECT DISTINCT state FROM messages")
    assert [row["state"] for row in states] == ["delivered"]


async def test_batches_in_opposite_orders_do_not_lock_each_other_out(pair: tuple[Database, Database]) -> None:
    await insert(pair[0], *(to_somebody(n) for n in range(MANY)))
    taken = await sending(pair[0], limit=MANY)
    for kind in (DELIVERED, READ):
        told = [receipt(f"wa_{one.id}", kind, to=one.to) for one in taken]
        await asyncio.gather(
            settle(pair[0], *map(sent, reversed(taken))),
            tell(pair[1], *told),
            tell(pair[0], *reversed(told)),
        )
    states = await sql(pair[0], "SELECT DISTINCT state FROM messages")
    assert [row["state"] for row in states] == ["read"]


# --- what an unknown message is told by


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(("kind", "status"), [(DELIVERED, Status.DELIVERED), (READ, Status.READ)])
async def test_a_receipt_for_an_id_nobody_knows_resolves_the_unknown_message_of_its_lane(
    database: Database, kind: ReceiptKind, status: Status
) -> None:
    await one_unknown(database)
    (told,) = await tell(database, receipt("wa_lost", kind))
    assert (told.id, told.status, told.last_error) == ("msg_0001", status, None)
    now = await found(database, "msg_0001")
    assert now.provider_id == "wa_lost"
    assert {"unknown", "inferred", kind.value} <= {one.event for one in now.history}


async def test_a_failure_of_an_id_nobody_knows_ends_the_unknown_message(database: Database) -> None:
    await one_unknown(database)
    (told,) = await tell(database, receipt("wa_lost", FAILED, detail="131026"))
    assert (told.status, told.last_error) == (Status.FAILED, "131026")


async def test_what_a_crash_left_unknown_is_resolved_too(database: Database) -> None:
    await insert(database, message(1))
    await sending(database)
    assert [one.status for one in await reclaim(database)] == [Status.UNKNOWN]
    (told,) = await tell(database, receipt("wa_lost"))
    assert told.status is Status.DELIVERED


async def test_nothing_is_inferred_from_a_receipt_of_another_lane_or_of_a_known_message(database: Database) -> None:
    await one_sent(database, 2)
    await one_unknown(database)
    assert await tell(database, receipt("wa_lost", to="+33639980999"), receipt("wa_lost", session_id="sess_b")) == []
    (known,) = await tell(database, receipt("wa_msg_0002"))
    assert known.id == "msg_0002"
    assert (await found(database, "msg_0001")).status is Status.UNKNOWN


async def test_nothing_is_inferred_while_something_is_being_sent_there(database: Database) -> None:
    await one_unknown(database)
    await insert(database, message(2))
    (other,) = await sending(database, at=LATER + timedelta(seconds=80))
    assert await tell(database, receipt("wa_msg_0002")) == [], "it may be the answer to either"
    await settle(database, sent(other))
    assert await statuses(database, "msg_0001", "msg_0002") == [Status.UNKNOWN, Status.DELIVERED]
    (told,) = await tell(database, receipt("wa_lost"))
    assert told.id == "msg_0001"


async def test_nothing_is_inferred_while_two_are_unknown(database: Database) -> None:
    await one_unknown(database)
    await insert(database, message(2))
    (other,) = await sending(database, at=LATER + timedelta(seconds=80))
    await settle(database, unknown(other))
    assert await tell(database, receipt("wa_lost")) == []
    assert await join_leftovers(database) == []
    assert await statuses(database, "msg_0001", "msg_0002") == [Status.UNKNOWN] * 2
    await settle(database, sent(other))
    (told,) = await join_leftovers(database)
    assert (told.id, told.status) == ("msg_0001", Status.DELIVERED)


async def test_a_receipt_before_the_answer_was_given_up_is_joined_later(database: Database) -> None:
    await insert(database, message(1))
    (mine,) = await sending(database)
    assert await tell(database, receipt("wa_lost")) == []
    assert await join_leftovers(database) == []
    await settle(database, unknown(mine))
    (told,) = await join_leftovers(database)
    assert (told.id, told.status) == ("msg_0001", Status.DELIVERED)
    assert await join_leftovers(database) == []


async def test_a_receipt_of_long_ago_resolves_nothing(database: Database) -> None:
    assert await tell(database, receipt("wa_old")) == []
    await sql(database, "UPDATE receipts SET seen_us = seen_us - 121000000")
    await one_unknown(database)
    assert await join_leftovers(database) == []
    assert (await found(database, "msg_0001")).status is Status.UNKNOWN


async def test_each_lane_is_judged_by_itself(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(20)))
    taken = await sending(database)
    await settle(database, *map(unknown, taken))
    told = await tell(database, *(receipt(f"wa_lost_{one.id}", to=one.to) for one in taken[:10]))
    assert {one.id for one in told} == {one.id for one in taken[:10]}
    assert len({(await found(database, one.id)).provider_id for one in taken[:10]}) == 10


async def test_a_message_tried_again_is_not_resolved_by_the_receipt_of_its_first_try(database: Database) -> None:
    mine = await one_unknown(database)
    await sql(database, "UPDATE messages SET state = 'pending', due_us = 0")
    assert await tell(database, receipt("wa_lost")) == []
    (again,) = await claim(database)
    assert (again.id, again.claims) == (mine.id, 2)
    await settle(database, outcome(again, Status.FAILED, error="no"), failed_once(mine))
    assert (await found(database, "msg_0001")).status is Status.FAILED


async def test_two_processes_infer_the_same_once(pair: tuple[Database, Database]) -> None:
    for number in range(10):
        await one_unknown(pair[0], number)
        told: list[Receipt] = [receipt(f"wa_lost_{number}")]
        answers = await asyncio.gather(
            tell(pair[0], *told), tell(pair[1], *told), join_leftovers(pair[0]), join_leftovers(pair[1])
        )
        assert sum(map(len, answers)) == 1
        assert (await found(pair[0], f"msg_{number:04}")).status is Status.DELIVERED


async def test_receipts_of_statuses_and_of_people_are_kept_apart(database: Database) -> None:
    await one_unknown(database)
    assert await tell(database, receipt("wa_lost", to="status@broadcast")) == []
    assert (await found(database, "msg_0001")).to == BO


@pytest.mark.mission("Z2")
@pytest.mark.parametrize("early", [True, False])
async def test_a_receipt_that_names_our_message_settles_one_whose_answer_got_lost(
    database: Database, *, early: bool
) -> None:
    await insert(database, message(1), message(2))
    (one,) = await sending(database)
    named = Receipt(
        session_id=one.session_id, provider_id="wamid.1", to=one.to, kind=ReceiptKind.SENT, at=LATER, reference=one.id
    )
    if early:
        await database.run(partial(RECEIPTS.add, receipts=[named], now=LATER))
        assert await statuses(database, one.id) == [Status.SENDING]
    await settle(database, unknown(one))
    if early:
        await database.run(partial(RECEIPTS.join_leftovers, now=LATER))
    else:
        await database.run(partial(RECEIPTS.add, receipts=[named], now=LATER))
    assert await statuses(database, one.id) == [Status.SENT]
    delivered = replace(named, kind=ReceiptKind.DELIVERED, reference=None)
    await database.run(partial(RECEIPTS.add, receipts=[delivered], now=LATER))
    assert await statuses(database, one.id) == [Status.DELIVERED]
    await database.run(partial(RECEIPTS.add, receipts=[named], now=LATER))
    assert await statuses(database, one.id) == [Status.DELIVERED]
