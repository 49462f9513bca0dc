"""Attempts and refusals that are over, on both databases."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from passerelle.db import Database
from passerelle.db.units import to_us
from passerelle.pairing.adapters.old import SqlOldAttempts, SqlOldCooldowns
from passerelle.pairing.adapters.sql import SqlAttemptBook, SqlCooldownBook
from passerelle.pairing.model import LONGEST_COOL_DOWN, Attempt
from passerelle.sessions.ports import Number

from .old_parts import DAY, KEPT, NOW, forget, left, plans, scanned, told
from .outbox_parts import sql

pytestmark = pytest.mark.anyio
BOOK, COOLDOWNS = SqlAttemptBook(), SqlCooldownBook()
ATTEMPTS = SqlOldAttempts()
OLD, YOUNG = KEPT + DAY, KEPT - DAY


async def attempt(database: Database, number: int, age: timedelta, *, ended: bool = True, **other: Any) -> str:
    """Somebody tried to link a phone of his own so long ago."""
    known: dict[str, Any] = {
        "id": f"pair_{number:04}",
        "client_id": "default",
        "user_id": f"u{number}",
        "phone_number": f"+3363998{number:04}",
        "session_id": f"sess_{number}",
        "created_at": NOW - age,
        "expires_at": NOW - age + timedelta(minutes=5),
    }
    one = Attempt(**known | other)
    await database.run(partial(BOOK.insert, attempts=[one], head_start_us=0))
    if ended:
        await database.run(partial(BOOK.save, attempts=[one.expired()]))
    await sql(
        database,
        "UPDATE pairing_attempts SET updated_us = :at_us WHERE id = :id",
        at_us=to_us(NOW - age),
        id=one.id,
    )
    return one.id


async def test_an_attempt_goes_after_its_time_and_not_before(database: Database) -> None:
    await attempt(database, 1, OLD)
    await attempt(database, 2, OLD, client_id="client_x")
    kept = {await attempt(database, 3, YOUNG), await attempt(database, 4, 10 * KEPT, ended=False)}
    assert await forget(database, ATTEMPTS) == 2
    assert await left(database, "pairing_attempts", "id") == kept


async def test_the_key_of_an_attempt_that_is_gone_is_free_again(database: Database) -> None:
    old = await attempt(database, 1, OLD, idempotency_key="once")
    assert await forget(database, ATTEMPTS) == 1
    again = await attempt(database, 2, timedelta(), idempotency_key="once")
    assert await left(database, "pairing_attempts", "id") == {again} != {old}


async def test_an_attempt_stays_as_long_as_it_tells_whose_receipts_there_are(database: Database) -> None:
    kept = {await attempt(database, n, OLD) for n in range(3)}
    for number in range(3):
        await told(database, f"wa_{number}", DAY, session_id=f"sess_{number}")
    await attempt(database, 3, OLD - timedelta(hours=1))
    assert await forget(database, ATTEMPTS, at_once=2) == 1
    assert await left(database, "pairing_attempts", "id") == kept
    await sql(database, "DELETE FROM receipts")
    assert await forget(database, ATTEMPTS, at_once=2) == 3


async def test_a_refusal_goes_when_the_next_one_would_be_a_first_one_again(database: Database) -> None:
    now = NOW
    refused = [Number("default", f"+3363998010{n}") for n in range(5)]
    for number in refused[:4]:
        await database.run(partial(COOLDOWNS.extend, number=number, now=now))
    later = await database.run(partial(COOLDOWNS.extend, number=refused[4], now=now + DAY))
    before = now + timedelta(minutes=15, seconds=1)
    assert await forget(database, SqlOldCooldowns(), before=before, at_once=2) == 4
    assert await database.read(partial(COOLDOWNS.until, numbers=refused)) == {refused[4]: later}
    assert (
        await database.run(partial(COOLDOWNS.extend, number=refused[0], now=before + LONGEST_COOL_DOWN))
    ) == before + LONGEST_COOL_DOWN + timedelta(minutes=15)


async def test_what_is_over_is_found_by_an_index(database: Database) -> None:
    await attempt(database, 1, OLD)
    for rows, index in ((ATTEMPTS, "attempts_changed"), (SqlOldCooldowns(), "cooldowns_by_end")):
        plan = await plans(database, rows)
        assert any(index in part for part in plan)
        assert not scanned(plan, "attempt", "pairing_attempts", "pairing_cooldowns")
