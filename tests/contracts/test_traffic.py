"""How messages flow, as their rows tell it, on both databases: what was settled when, how long it took, what waits."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.db.units import to_us
from passerelle.messages.adapters.batches import SqlBatches
from passerelle.messages.adapters.traffic import SqlTraffic
from passerelle.messages.batches import Batch, Batches
from passerelle.messages.model import Event, Status
from passerelle.messages.traffic import AT_MOST, End, Flow, Period, Stay, begin, slots_of

from .outbox_parts import NOW, SECOND, change, insert, message, outcome, sending, settle, sql, to_somebody
from apps import ME

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NOW_US = to_us(NOW)


async def stays(database: Database, *, limit: int = AT_MOST, part: int = AT_MOST) -> tuple[set[Stay], datetime | None]:
    look = partial(SqlTraffic(part).stays, since=NOW - HOUR, now=NOW + MINUTE, limit=limit)
    found, counted_from = await database.read(look)
    assert len(found) == len(set(found))
    return set(found), counted_from


async def test_the_log_tells_when_a_message_was_settled_and_a_receipt_does_not_move_that(database: Database) -> None:
    await insert(database, *map(to_somebody, range(3)))
    first, second, third = await sending(database)
    await settle(
        database,
        outcome(first, Status.SENT, at=NOW + 2 * SECOND, provider_id="P1"),
        outcome(second, Status.PENDING, at=NOW + 3 * SECOND, error="timeout", due_at=NOW + MINUTE),
        outcome(third, Status.FAILED, at=NOW + 4 * SECOND, error="not_on_whatsapp"),
    )
    await sql(database, "UPDATE messages SET state = 'read', updated_us = :us WHERE id = :id", id=first.id, us=NOW_US)
    found, counted_from = await stays(database)
    assert found == {
        Stay(NOW_US, NOW_US + 2_000_000, End.SENT),
        Stay(NOW_US),  # tried once, waits for its next try
        Stay(NOW_US, NOW_US + 4_000_000, End.FAILED),
    }
    assert counted_from is None


async def test_a_message_for_later_waits_from_its_time_on_and_one_given_up_no_more(database: Database) -> None:
    later, cancelled = message(1, send_at=NOW + SECOND), message(2)
    await insert(database, later, cancelled, message(3, send_at=NOW + HOUR, due_at=NOW + HOUR))
    gone = replace(cancelled, status=Status.CANCELLED, history=(Event(at=NOW + SECOND, event="cancelled"),))
    assert await change(database, gone, expected=Status.PENDING)
    found, _ = await stays(database)
    assert found == {
        Stay(NOW_US + 1_000_000),
        Stay(NOW_US, NOW_US + 1_000_000, End.CANCELLED),
    }
    waiting = SqlTraffic().waiting
    assert await database.read(partial(waiting, now=NOW)) == 0
    assert await database.read(partial(waiting, now=NOW + SECOND)) == 1
    assert await database.read(partial(waiting, now=NOW + 2 * HOUR)) == 2


async def test_of_too_many_only_the_newest_are_counted_and_that_is_told(database: Database) -> None:
    await insert(database, *(to_somebody(n, created_at=NOW - (9 - n) * SECOND) for n in range(10)))
    for part in (1, 2, 3, 4, 5):
        found, counted_from = await stays(database, limit=4, part=part)
        assert {stay.since_us for stay in found} == {NOW_US - n * 1_000_000 for n in range(4)}
        assert counted_from == NOW - 3 * SECOND
    found, counted_from = await stays(database, limit=11, part=3)
    assert (len(found), counted_from) == (10, None)


async def test_who_asks_again_soon_gets_what_was_seen_before(database: Database) -> None:
    flow = Flow(SqlTraffic(), database=database, clock=Clock())
    assert (await flow.traffic(Period.DAY)).is_empty
    await insert(database, message(1, created_at=Clock().now()))
    assert (await flow.traffic(Period.DAY)).is_empty
    day = await flow.traffic(Period.HOUR)
    assert (day.waiting, day.slots[-1].waiting, day.is_empty) == (1, 1, False)


async def test_a_batch_tells_how_far_it_is_and_a_single_message_is_none(database: Database) -> None:
    many = [to_somebody(n, request_id="first", created_at=NOW - MINUTE) for n in range(5)]
    await insert(database, *many, *(to_somebody(n, request_id="second") for n in range(5, 7)))
    await insert(database, to_somebody(7, request_id="alone"), to_somebody(8), to_somebody(9, client_id="another"))
    first, second, third, fourth = await sending(database, limit=4)
    await settle(
        database,
        outcome(first, Status.SENT, provider_id="P1"),
        outcome(second, Status.FAILED, error="not_on_whatsapp"),
        outcome(third, Status.UNKNOWN, error="timeout", due_at=NOW + HOUR),
    )
    batches = Batches(SqlBatches(), database=database)
    assert await batches.newest(ME, limit=9) == [
        Batch(request_id="second", written_at=NOW, messages=2, sent=0, failed=0, unknown=0, cancelled=0),
        Batch(request_id="first", written_at=NOW - MINUTE, messages=5, sent=1, failed=1, unknown=1, cancelled=0),
    ]
    (newest,) = await batches.newest(ME, limit=1)
    assert (newest.request_id, newest.left) == ("second", 2)
    assert fourth.request_id == "first"


def test_slots_tell_how_many_were_settled_how_long_it_took_and_how_many_waited() -> None:
    first_us = to_us(begin(Period.HOUR, NOW))
    took_s = range(1, 21)
    sent = [Stay(first_us, first_us + seconds * 1_000_000, End.SENT) for seconds in took_s]
    others = [
        Stay(first_us - 1, first_us + 90_000_000, End.FAILED),
        Stay(first_us - 1, first_us + 90_000_000, End.CANCELLED),
        Stay(NOW_US - 1),
    ]
    slots = slots_of([*sent, *others], Period.HOUR, NOW)
    assert len(slots) == 60
    one = slots[0]
    assert (one.sent, one.failed, one.half, one.most, one.waiting) == (20, 0, 10 * SECOND, 19 * SECOND, 2)
    assert (slots[1].sent, slots[1].failed, slots[1].half, slots[1].waiting) == (0, 1, None, 0)
    assert slots[-1].at <= NOW < slots[-1].at + MINUTE
    assert (slots[-1].waiting, slots[-1].minutes) == (1, 1)


def test_a_quarter_that_has_just_begun_is_measured_by_what_has_passed_of_it() -> None:
    begun = NOW.replace(minute=2, second=0, microsecond=0)
    slots = slots_of([Stay(to_us(begun) - 1, to_us(begun), End.SENT)] * 6, Period.DAY, begun)
    assert (slots[-1].minutes, slots[-1].per_minute) == (2, 3)
    assert slots[0].at == begun.replace(minute=0) - 95 * timedelta(minutes=15)
