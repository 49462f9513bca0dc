"""What a scrape reads of rows, on both databases."""

from functools import partial

import pytest

from passerelle.db import Database
from passerelle.db.units import to_us
from passerelle.messages.adapters.depth import Depth, depth
from passerelle.sessions.adapters.counted import counted
from passerelle.sessions.model import SessionState
from passerelle.webhooks.adapters.waiting import Waiting, waiting

from .outbox_parts import NOW, SECOND, WORKERS, claim, insert, link, message, sql, to_somebody

pytestmark = pytest.mark.anyio


async def test_messages_that_wait_are_told_apart_by_what_they_wait_for(database: Database) -> None:
    read = partial(depth, now=NOW + 90 * SECOND)
    assert await database.read(read) == Depth(due=0, later=0, in_hand=0, oldest_s=0)
    for session_id in ("sess_a", "sess_b"):
        await link(database, session_id)
    later = to_somebody(5, due_at=NOW + 100 * SECOND)
    await insert(database, message(1), message(2), message(3, session_id="sess_b", due_at=NOW + SECOND), later)
    await insert(database, to_somebody(4, session_id="sess_unlinked", due_at=NOW - 60 * SECOND))
    assert await database.read(read) == Depth(due=3, later=1, in_hand=0, oldest_s=90)
    await claim(database, limit=1)
    assert await database.read(read) == Depth(due=2, later=1, in_hand=1, oldest_s=90)


async def test_phones_count_as_paused_before_anything_else_and_as_connected_while_their_holder_lives(
    database: Database,
) -> None:
    for session_id in ("sess_a", "sess_b", "sess_c"):
        await link(database, session_id)
    await database.run(partial(WORKERS.beat, worker_id="w1"))
    await sql(database, "UPDATE linked_phones SET holder = 'w1', held_us = 1, seen_us = 2 WHERE session_id <> 'sess_c'")
    await sql(database, "UPDATE linked_phones SET holder = NULL WHERE session_id = 'sess_c'")
    until_us = to_us(NOW + SECOND)
    await sql(database, "UPDATE linked_phones SET paused_until_us = :us WHERE session_id = 'sess_b'", us=until_us)
    connected, disconnected, paused = SessionState.CONNECTED, SessionState.DISCONNECTED, SessionState.PAUSED
    assert await database.read(partial(counted, now=NOW)) == {connected: 1, disconnected: 1, paused: 1}
    over = await database.read(partial(counted, now=NOW + 2 * SECOND))
    assert over == {connected: 2, disconnected: 1, paused: 0}
    await sql(database, "UPDATE linked_phones SET held_us = 3 WHERE session_id = 'sess_b'")
    adopted_since = await database.read(partial(counted, now=NOW + 2 * SECOND))
    assert adopted_since == {connected: 1, disconnected: 2, paused: 0}
    await sql(database, "UPDATE workers SET heartbeat_us = heartbeat_us - 20000000")
    dead = await database.read(partial(counted, now=NOW + 2 * SECOND))
    assert dead == {connected: 0, disconnected: 3, paused: 0}


async def test_deliveries_wait_until_they_end(database: Database) -> None:
    read = partial(waiting, now=NOW)
    assert await database.read(read) == Waiting(deliveries=0, oldest_s=0)
    row = (
        "INSERT INTO webhook_deliveries (id, endpoint_id, client_id, session_id, type, data, state, at_us, queued_us,"
        " due_us, tried, attempts, refusals, lease_us, fence) VALUES (:id, 'wh_1', 'default', '', 'webhook.test', '{}',"
        " 'pending', 0, :queued_us, 0, 0, 0, 0, 0, 0)"
    )
    for number in (1, 2):
        await sql(database, row, id=f"evt_{number}", queued_us=to_us(NOW - number * SECOND))
    assert await database.read(read) == Waiting(deliveries=2, oldest_s=2)
    await sql(database, "UPDATE webhook_deliveries SET state = 'delivered' WHERE id = 'evt_2'")
    assert await database.read(read) == Waiting(deliveries=1, oldest_s=1)
