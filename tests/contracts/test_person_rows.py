"""Rows that name somebody are found in as many pages as it takes, on both databases."""

from functools import partial

import pytest

from passerelle.db import Database
from passerelle.people.adapters.book import SqlErasureBook
from passerelle.people.adapters.rows import AT_ONCE, LOOKED_AT_ONCE
from passerelle.people.adapters.tables import cooldowns, keys
from passerelle.people.model import Kind, Person
from passerelle.people.service import People

from .outbox_parts import sql

pytestmark = pytest.mark.anyio
HER = Person(client_id="default", phone="+33639980150")
MANY = """
INSERT INTO idempotency_keys (client_id, verb, key, fingerprint, result, expires_us)
SELECT new.client_id, new.verb, new.key, '', '[]', 0
FROM EACH(:rows AS (client_id TEXT, verb TEXT, key TEXT)) AS new
"""
OTHER = Person(client_id="default", phone="+33639980151")
REFUSED = """
INSERT INTO pairing_cooldowns (client_id, phone_number, until_us, step_s)
SELECT new.client_id, new.phone_number, 0, 0 FROM EACH(:rows AS (client_id TEXT, phone_number TEXT)) AS new
"""


async def add(database: Database, text: str, rows: list[dict[str, str]]) -> None:
    await database.run(lambda tx: tx.sql(text, rows=rows))


async def test_what_stands_beyond_the_first_page_goes_too(database: Database) -> None:
    looked_at = 2 * LOOKED_AT_ONCE + 1
    names = [f"{n:05}{f'-{HER.cores[0]}' if n % 4 == 0 else ''}" for n in range(looked_at)]
    for verb in ("lead", "message"):
        await add(database, MANY, [{"client_id": "default", "verb": verb, "key": name} for name in names])
    await add(database, MANY, [{"client_id": "other", "verb": "lead", "key": HER.cores[0]}])
    theirs = 2 * len([name for name in names if HER.cores[0] in name])
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


class Broken:
    """A keeper that cannot do it for one person."""

    kind = Kind.LEADS

    async def count(self, person: Person) -> int:
        return int(person == HER)

    async def erase(self, person: Person) -> int:
        if person == HER:
            raise ZeroDivisionError
        return 0


async def test_an_erasure_that_breaks_holds_up_nobody_elses(database: Database) -> None:
    book = SqlErasureBook()
    for person in (HER, OTHER):
        await database.run(partial(book.begin, person=person))
    await People(keepers=[Broken()], book=book, database=database).work()
    assert await database.run(book.open) == [HER]
