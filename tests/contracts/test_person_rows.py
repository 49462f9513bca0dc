"""Rows that name somebody are found in as many pages as it takes, on both databases."""

import pytest

from passerelle.db import Database
from passerelle.people.adapters.rows import AT_ONCE, LOOKED_AT_ONCE
from passerelle.people.adapters.tables import cooldowns, keys
from passerelle.people.model import Person

from .outbox_parts import sql

pytestmark = pytest.mark.anyio
HER = Person(client_id="default", phone="+33639980150")
MANY = """
INSERT INTO idempotency_keys (client_id, verb, key, fingerprint, result, expires_us)
SELECT new.client_id, new.verb, new.key, '', '[]', 0
FROM EACH(:rows AS (client_id TEXT, verb TEXT, key TEXT)) AS new
"""
REFUSED = """
INSERT INTO pairing_cooldowns (client_id, phone_number, until_us, step_s)
SELECT new.client_id, new.phone_number, 0, 0 FROM EACH(:rows AS (client_id TEXT, phone_number TEXT)) AS new
"""


async def add(database: Database, text: str, rows: list[dict[str, str]]) -> None:
    await database.run(lambda tx: tx.sql(text, rows=rows))


async def test_what_stands_beyond_the_first_page_goes_too(database: Database) -> None:
    looked_at = 2 * LOOKED_AT_ONCE + 1
    names = [f"{n:05}{f'-{HER.core}' if n % 4 == 0 else ''}" for n in range(looked_at)]
    for verb in ("lead", "message"):
        await add(database, MANY, [{"client_id": "default", "verb": verb, "key": name} for name in names])
    await add(database, MANY, [{"client_id": "other", "verb": "lead", "key": HER.core}])
    theirs = 2 * len([name for name in names if HER.core in name])
    assert theirs > AT_ONCE
    assert await keys(database).count(HER) == theirs
    assert await keys(database).erase(HER) == theirs
    assert await keys(database).count(HER) == 0
    (left,) = await sql(database, "SELECT COUNT(*) AS number FROM idempotency_keys")
    assert left["number"] == 2 * looked_at - theirs + 1


async def test_one_client_erases_nothing_of_another(database: Database) -> None:
    rows = [{"client_id": client, "phone_number": HER.phone} for client in ("default", "other")]
    await add(database, REFUSED, rows)
    assert await cooldowns(database).erase(HER) == 1
    assert [row["client_id"] for row in await sql(database, "SELECT client_id FROM pairing_cooldowns")] == ["other"]
