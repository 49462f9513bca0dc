"""Messages and receipts that are over: what is old goes, what is young or alive stays, on both databases."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from passerelle.clock import first_id
from passerelle.db import Database
from passerelle.db.units import to_us
from passerelle.messages.adapters.old import SqlOldContacts, SqlOldMessages, SqlOldReceipts
from passerelle.sessions.ports import Number

from .old_parts import DAY, KEPT, NOW, Watched, aged, ended, forget, left, plans, scanned, told
from .outbox_parts import insert, link, sql, two

pytestmark = pytest.mark.anyio
MESSAGES, RECEIPTS = SqlOldMessages(), SqlOldReceipts()
OLD, YOUNG = KEPT + 2 * DAY, KEPT


@pytest.mark.parametrize("state", ["sent", "delivered", "read", "failed", "unknown", "cancelled"])
async def test_a_settled_message_goes_after_its_time_and_not_before(database: Database, state: str) -> None:
    old, young, new = aged(1, OLD), aged(2, YOUNG), aged(3, timedelta())
    await ended(database, old, young, new, state=state)
    assert await forget(database, MESSAGES) == 1
    assert await left(database, "messages", "id") == {young.id, new.id}
    assert await forget(database, MESSAGES) == 0


@pytest.mark.parametrize("state", ["pending", "claimed", "sending"])
async def test_what_waits_or_is_being_sent_stays_however_old_it_is(database: Database, state: str) -> None:
    await ended(database, aged(1, 10 * KEPT), state=state, wa=None)
    assert await forget(database, MESSAGES) == 0
    assert len(await left(database, "messages", "id")) == 1


async def test_what_was_to_be_sent_much_later_is_kept_from_then_on(database: Database) -> None:
    scheduled = aged(1, 10 * KEPT, send_at=NOW - DAY, due_at=NOW - DAY, expires_at=NOW)
    await ended(database, scheduled, aged(2, 10 * KEPT))
    assert await forget(database, MESSAGES) == 1
    assert await left(database, "messages", "id") == {scheduled.id}


async def test_receipts_go_with_their_message_and_with_no_other(database: Database) -> None:
    old, young = aged(1, OLD, client_id="client_x", session_id="sess_x"), aged(2, YOUNG)
    await ended(database, old, young, wa="wa_same")
    for session_id in ("sess_x", "sess_a"):
        for rank in (0, 2, 3):
            await told(database, "wa_same", OLD, session_id=session_id, rank=rank)
    await told(database, "wa_other", OLD, session_id="sess_x")
    assert await forget(database, MESSAGES) == 1
    rows = await sql(database, "SELECT session_id, provider_id, rank FROM receipts ORDER BY provider_id, rank")
    assert [tuple(row.values()) for row in rows] == [
        ("sess_x", "wa_other", 2),
        *(("sess_a", "wa_same", rank) for rank in (0, 2, 3)),
    ]


async def test_a_receipt_that_nobody_knows_the_message_of_goes_a_week_later(database: Database) -> None:
    await ended(database, aged(1, 10 * KEPT), state="sending", wa="wa_known")
    ages = {"wa_known": 9 * KEPT, "wa_lone": KEPT + 8 * DAY, "wa_young": KEPT + 6 * DAY}
    for wa, age in ages.items():
        await told(database, wa, age)
    await told(database, "wa_known", 9 * KEPT, session_id="sess_other")
    assert await forget(database, RECEIPTS) == 2
    assert await left(database, "receipts", "provider_id") == {"wa_known", "wa_young"}
    assert await left(database, "receipts", "session_id") == {"sess_a"}


async def test_a_receipt_of_this_week_stays_whatever_the_clock_of_a_sandbox_says(database: Database) -> None:
    await told(database, "wa_1", DAY)
    assert await forget(database, RECEIPTS, before=NOW + 400 * DAY) == 0


async def test_many_receipts_of_one_moment_are_all_seen_in_steps(database: Database) -> None:
    for number in range(7):
        await told(database, f"wa_{number}", 2 * KEPT)
    await told(database, "wa_last", 2 * KEPT - timedelta(seconds=1))
    assert await forget(database, RECEIPTS, at_once=3) == 8


async def test_thousands_go_in_bounded_steps_and_a_killed_run_is_taken_up_where_it_was(database: Database) -> None:
    alive = [aged(2 * n + 1, OLD) for n in range(0, 3000, 150)]
    await insert(database, *alive)
    rows = [
        {"id": f"{first_id('msg', NOW - OLD)}{2 * n:014x}", "us": to_us(NOW - OLD), "wa": f"wa_{n}"}
        for n in range(3000)
    ]
    await sql(
        database,
        "INSERT INTO messages (id, client_id, user_id, session_id, recipient, content, state, created_us, order_us,"
        " due_us, expires_us, updated_us, max_attempts, retry_delay_us, provider_id) SELECT new.id, 'default', 'anna',"
        " 'sess_a', 'somebody', '{}', 'read', new.us, new.us, new.us, new.us, new.us, 2, 1, new.wa"
        " FROM EACH(:rows AS (id TEXT, us BIGINT, wa TEXT)) AS new",
        rows=rows,
    )
    killed = Watched(MESSAGES, breaks_at=3)
    with pytest.raises(RuntimeError, match="killed"):
        await forget(database, killed, at_once=500)
    assert len(await left(database, "messages", "id")) == 3000 + len(alive) - sum(killed.steps), "a broken step is none"
    again = Watched(MESSAGES)
    assert await forget(database, again, at_once=500) == 3000 - sum(killed.steps)
    assert len(killed.steps) == 3
    assert all(0 < step <= 500 for step in (*killed.steps, *again.steps[:-1]))
    assert await left(database, "messages", "id") == {one.id for one in alive}


async def test_two_processes_at_once_remove_each_row_once_and_wait_for_nobody(
    database: Database, database_url: str | None, tmp_path: Path
) -> None:
    await ended(database, *(aged(n, OLD) for n in range(60)))
    async with two(database, database_url, tmp_path) as both:
        async with asyncio.timeout(30):
            counts = await asyncio.gather(*(forget(one, MESSAGES, at_once=7) for one in both))
        await forget(database, MESSAGES)
    assert sum(counts) <= 60
    assert await left(database, "messages", "id") == set()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
async def test_a_row_that_somebody_holds_is_passed_over_until_the_next_time(
    database: Database, database_url: str | None, tmp_path: Path
) -> None:
    await ended(database, held := aged(1, OLD), aged(2, OLD))
    await told(database, f"wa_{held.id}", OLD)
    holding, free = asyncio.Event(), asyncio.Event()

    async def hold(tx: object) -> None:
        await tx.sql("SELECT id FROM messages WHERE id = :id FOR UPDATE", id=held.id)  # type: ignore[attr-defined]
        holding.set()
        await free.wait()

    async with two(database, database_url, tmp_path) as (one, other):
        task = asyncio.create_task(one.run(hold))
        await holding.wait()
        async with asyncio.timeout(2):
            assert await forget(other, MESSAGES) == 1
        free.set()
        await task
        assert await forget(other, MESSAGES) == 1
    assert await left(database, "receipts", "provider_id") == set()


async def test_whom_a_number_spoke_with_goes_in_parts_of_that_client_alone_and_not_while_it_is_linked(
    database: Database,
) -> None:
    for client_id, phone_number in (("default", "+33639980001"), ("client_x", "+33639980001"), ("default", "+2")):
        for n in range(5):
            await sql(
                database,
                "INSERT INTO contacts (client_id, phone_number, recipient, spoke_first, first_us)"
                " VALUES (:client_id, :phone_number, :recipient, 1, 1)",
                client_id=client_id,
                phone_number=phone_number,
                recipient=f"+3363998010{n}",
            )
    forget_some = partial(SqlOldContacts().forget, number=Number("default", "+33639980001"), limit=3)
    await link(database, "sess_a", phone="+33639980001")
    assert await database.run(forget_some) == 0
    await sql(database, "DELETE FROM linked_phones")
    await link(database, "sess_x", phone="+33639980001", client_id="client_x")
    assert [await database.run(forget_some) for _ in range(3)] == [3, 2, 0]
    assert len(await sql(database, "SELECT * FROM contacts")) == 10


async def test_everything_is_found_by_an_index(database: Database) -> None:
    await ended(database, aged(1, OLD))
    await told(database, f"wa_{aged(1, OLD).id}", OLD)
    for rows, index in (
        (MESSAGES, ("messages_pkey", "sqlite_autoindex_messages_1")),
        (RECEIPTS, ("receipts_by_time",)),
    ):
        plan = await plans(database, rows)
        assert any(name in part for part in plan for name in index)
        assert not scanned(plan, "messages", "receipts")
