"""Erasures in SQL."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.db import Tx
from passerelle.db.units import from_us
from passerelle.people.model import Person

_BEGIN = """
INSERT INTO person_erasures (client_id, phone, asked_us, turn_us) VALUES (:client_id, :phone, :db_now, :db_now)
ON CONFLICT DO NOTHING
"""
_OPEN = """
UPDATE person_erasures SET turn_us = :db_now WHERE (client_id, phone) IN (
    SELECT client_id, phone FROM person_erasures ORDER BY turn_us LIMIT 100) RETURNING client_id, phone
"""
_LINKED = """
SELECT session_id FROM linked_phones WHERE client_id = :client_id AND phone_number = ANY(:spellings) ORDER BY session_id
"""


class SqlErasureBook:
    """See `ErasureBook`. Since when: real time."""

    async def begin(self, tx: Tx, person: Person) -> None:
        """See `ErasureBook.begin`."""
        await tx.sql(_BEGIN, client_id=person.client_id, phone=person.phone)

    async def since(self, tx: Tx, person: Person) -> datetime | None:
        """See `ErasureBook.since`."""
        rows = await tx.sql(
            "SELECT asked_us FROM person_erasures WHERE client_id = :client_id AND phone = :phone",
            client_id=person.client_id,
            phone=person.phone,
        )
        return from_us(rows[0]["asked_us"]) if rows else None

    async def open(self, tx: Tx) -> Sequence[Person]:
        """See `ErasureBook.open`."""
        return [Person(client_id=row["client_id"], phone=row["phone"]) for row in await tx.sql(_OPEN)]

    async def end(self, tx: Tx, person: Person) -> None:
        """See `ErasureBook.end`."""
        for table in ("person_erasures", "person_erasure_media"):
            await tx.sql(
                f"DELETE FROM {table} WHERE client_id = :client_id AND phone = :phone",  # noqa: S608 -- a name of ours
                client_id=person.client_id,
                phone=person.phone,
            )

    async def linked(self, tx: Tx, person: Person) -> tuple[str, ...]:
        """See `ErasureBook.linked`."""
        rows = await tx.sql(_LINKED, client_id=person.client_id, spellings=person.spellings)
        return tuple(row["session_id"] for row in rows)
