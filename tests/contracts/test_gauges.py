"""What an operator must know of rows that wait, on both databases: late messages, late attempts, living workers."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from passerelle.db import Database
from passerelle.db.units import to_us
from passerelle.messages.adapters.gauge import COUNTED_TO, SqlOutboxGauge
from passerelle.messages.ports import Backlog
from passerelle.pairing.adapters.gauge import SqlAttemptGauge
from passerelle.pairing.adapters.sql import SqlAttemptBook
from passerelle.pairing.model import Attempt
from passerelle.pairing.ports import Waiting

from .outbox_parts import NOW, SECOND, WORKERS, claim, insert, link, mark, message, settle, sql, to_somebody, unknown

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E4")]
MINUTE = timedelta(minutes=1)
NONE = timedelta(0)


async def backlog(database: Database, *, after: timedelta) -> Backlog:
    """The backlog that long after everything became due."""
    return await database.read(partial(SqlOutboxGauge().backlog, now=NOW + after, late_after=MINUTE))


async def test_an_empty_outbox_has_no_backlog(database: Database) -> None:
    await link(database, "sess_a")
    empty = Backlog(late=0, longest=NONE, longest_untouched=NONE, longest_in_hand=NONE)
    assert await backlog(database, after=MINUTE) == empty


async def test_what_is_due_for_longer_is_late_and_what_cannot_be_sent_is_not(database: Database) -> None:
    await link(database, "sess_a")
    await insert(database, message(1), message(2, due_at=NOW + 30 * SECOND), message(3, session_id="sess_unlinked"))
    assert (await backlog(database, after=59 * SECOND)).late == 0
    late = await backlog(database, after=61 * SECOND)
    assert (late.late, late.longest, late.longest_untouched) == (1, 61 * SECOND, 61 * SECOND)
    assert (await backlog(database, after=3 * MINUTE)).late == 2
    await sql(database, "UPDATE linked_phones SET paused_until_us = :us", us=to_us(NOW + 2 * MINUTE))
    assert (await backlog(database, after=119 * SECOND)).late == 0
    assert (await backlog(database, after=2 * MINUTE)).late == 2


async def test_what_waits_for_the_fate_of_the_one_before_is_not_late(database: Database) -> None:
    await link(database, "sess_a")
    await insert(database, message(1), message(2), to_somebody(3, due_at=NOW + MINUTE))
    (first,) = await claim(database, limit=1)
    await mark(database, first)
    await settle(database, unknown(first, due_at=NOW + 75 * SECOND))
    assert (await backlog(database, after=70 * SECOND)).late == 0
    assert (await backlog(database, after=76 * SECOND)).longest == 76 * SECOND
    assert (await backlog(database, after=3 * MINUTE)).late == 2


async def test_a_phone_with_something_in_hand_is_not_untouched(database: Database) -> None:
    for session_id in ("sess_a", "sess_b"):
        await link(database, session_id)
    await insert(database, message(1), message(2), message(3, session_id="sess_b", due_at=NOW + MINUTE))
    await claim(database, limit=1)
    found = await backlog(database, after=5 * MINUTE)
    assert (found.longest, found.longest_untouched) == (5 * MINUTE, 4 * MINUTE)
    assert NONE <= found.longest_in_hand < 5 * SECOND
    await sql(database, "UPDATE messages SET updated_us = updated_us - 100000000 WHERE state = 'claimed'")
    assert 100 * SECOND <= (await backlog(database, after=MINUTE)).longest_in_hand < 105 * SECOND


async def test_a_large_backlog_is_counted_to_a_thousand_and_its_age_is_right(database: Database) -> None:
    await link(database, "sess_a")
    await insert(database, *(to_somebody(n, due_at=NOW - n * SECOND) for n in range(COUNTED_TO + 200)))
    found = await backlog(database, after=2 * MINUTE)
    assert (found.late, found.longest) == (COUNTED_TO, 2 * MINUTE + (COUNTED_TO + 199) * SECOND)


# --- attempts


async def waiting(database: Database, *, after: timedelta = NONE) -> Waiting:
    now = datetime.now(UTC) + after
    return await database.read(partial(SqlAttemptGauge().waiting, now=now, longer_than=30 * SECOND))


async def test_attempts_wait_by_real_time_and_outlive_theirs_by_business_time(database: Database) -> None:
    assert await waiting(database) == Waiting(queued=0, longest_queued=NONE, overdue=0)
    now = datetime.now(UTC)
    attempts = [
        Attempt(
            id=f"pair_{n}",
            client_id="default",
            user_id=f"u{n}",
            phone_number=f"+336399800{n:02}",
            session_id=f"sess_{n}",
            created_at=now,
            expires_at=now + 5 * MINUTE,
        )
        for n in range(3)
    ]
    await database.run(partial(SqlAttemptBook().insert, attempts=attempts, head_start_us=0))
    assert await waiting(database) == Waiting(queued=0, longest_queued=NONE, overdue=0)
    await sql(database, "UPDATE pairing_attempts SET due_us = due_us - 40000000 WHERE id <> 'pair_0'")
    await sql(database, "UPDATE pairing_attempts SET status = 'connecting' WHERE id = 'pair_1'")
    found = await waiting(database)
    assert (found.queued, found.overdue) == (1, 0)
    assert 40 * SECOND <= found.longest_queued < 45 * SECOND
    assert (await waiting(database, after=5 * MINUTE + 29 * SECOND)).overdue == 0
    assert (await waiting(database, after=5 * MINUTE + 32 * SECOND)).overdue == 3
    await sql(database, "UPDATE pairing_attempts SET ended_us = 1 WHERE id <> 'pair_1'")
    found = await waiting(database, after=6 * MINUTE)
    assert found == Waiting(queued=0, longest_queued=NONE, overdue=1)


# --- workers


async def test_workers_are_counted_while_their_heart_beats(database: Database) -> None:
    count = partial(WORKERS.count, within=15 * SECOND)
    none = await database.read(count)
    assert (none.living, none.silent_for) == (0, None)
    for worker_id in ("w1", "w2"):
        await database.run(partial(WORKERS.beat, worker_id=worker_id))
    await sql(database, "UPDATE workers SET heartbeat_us = heartbeat_us - 20000000 WHERE id = 'w1'")
    one = await database.read(count)
    assert one.living == 1
    assert one.silent_for is not None
    assert one.silent_for < 5 * SECOND
    await database.run(partial(WORKERS.leave, worker_id="w2"))
    silent = await database.read(count)
    assert silent.living == 0
    assert silent.silent_for is not None
    assert 20 * SECOND <= silent.silent_for < 25 * SECOND
