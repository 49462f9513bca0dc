"""Whom a number has spoken with, in SQL. By number, not by session: who links a phone anew knows the same people."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.messages.ports import Contact, PhonePace

_OWN = "SELECT session_id, client_id, phone_number, linked_us FROM linked_phones WHERE session_id = ANY(:sessions)"
_KNOWN = """
SELECT recipient FROM contacts
WHERE client_id = :client_id AND phone_number = :phone_number AND recipient = ANY(:recipients)
"""
_TODAY = """
SELECT COUNT(*) AS today FROM contacts
WHERE client_id = :client_id AND phone_number = :phone_number AND spoke_first = 1 AND first_us >= :since_us
"""
_ADD = """
INSERT INTO contacts (client_id, phone_number, recipient, spoke_first, first_us)
VALUES (:client_id, :phone_number, :recipient, :spoke_first, :now_us) ON CONFLICT DO NOTHING
"""
_HEARD = """
INSERT INTO contacts (client_id, phone_number, recipient, spoke_first, first_us)
SELECT DISTINCT phone.client_id, phone.phone_number, told.recipient, 0, CAST(:now_us AS BIGINT)
FROM EACH(:told AS (session_id TEXT, recipient TEXT)) AS told
JOIN linked_phones AS phone ON phone.session_id = told.session_id
WHERE TRUE ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING
"""
_PACES = """
SELECT session_id, linked_us, (SELECT COUNT(*) FROM contacts WHERE contacts.client_id = phone.client_id
    AND contacts.phone_number = phone.phone_number AND spoke_first = 1 AND first_us >= :since_us) AS today
FROM linked_phones AS phone WHERE client_id = :client_id
"""


class SqlContactBook:
    """See `ContactBook`."""

    async def admit(
        self, tx: Tx, wanted: Sequence[Contact], *, caps: Mapping[str, int], since: datetime, now: datetime
    ) -> set[Contact]:
        """See `ContactBook.admit`."""
        refused = set[Contact]()
        for own in await self._own(tx, wanted):
            number = {"client_id": own["client_id"], "phone_number": own["phone_number"]}
            mine = sorted({one.recipient for one in wanted if one.session_id == own["session_id"]})
            known = {row["recipient"] for row in await tx.sql(_KNOWN, recipients=mine, **number)}
            (row,) = await tx.sql(_TODAY, since_us=to_us(since), **number)
            room = max(caps[own["session_id"]] - row["today"], 0)
            new = [one for one in mine if one not in known]
            for recipient in new[:room]:
                await tx.sql(_ADD, recipient=recipient, spoke_first=1, now_us=to_us(now), **number)
            refused |= {Contact(own["session_id"], one) for one in new[room:]}
        return refused

    async def heard(self, tx: Tx, told: Sequence[Contact], *, now: datetime) -> None:
        """See `ContactBook.heard`."""
        await tx.sql(_HEARD, told=[one._asdict() for one in sorted(set(told))], now_us=to_us(now))

    async def paces(self, tx: Tx, *, client_id: str, since: datetime) -> dict[str, PhonePace]:
        """See `ContactBook.paces`."""
        rows = await tx.sql(_PACES, client_id=client_id, since_us=to_us(since))
        return {row["session_id"]: PhonePace(from_us(row["linked_us"]), row["today"]) for row in rows}

    async def _own(self, tx: Tx, contacts: Sequence[Contact]) -> Sequence[Row]:
        rows = await tx.sql(_OWN, sessions=sorted({one.session_id for one in contacts}))
        return sorted(rows, key=lambda row: (row["client_id"], row["phone_number"]))
