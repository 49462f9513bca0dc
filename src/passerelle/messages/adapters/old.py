"""Messages and receipts that are over, in SQL."""

from datetime import datetime, timedelta

from passerelle.clock import first_id
from passerelle.coordination.ports import Removed
from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.sessions.ports import Number

_ENDED = "'sent', 'delivered', 'read', 'failed', 'unknown', 'cancelled'"
_SKIP = {"sqlite": "", "postgresql": "FOR UPDATE SKIP LOCKED"}
# By id, so by the time of writing: no index of its own slows sending down. What was to be sent later is kept from then
# on: nothing is sent after it expires.
_LAST = "SELECT id FROM messages WHERE id > :after AND id < :end ORDER BY id LIMIT 1 OFFSET :others"
_REMOVE = f"""
WITH old AS MATERIALIZED (SELECT id FROM messages WHERE id > :after AND id < :end AND id <= :last
    AND state IN ({_ENDED}) AND expires_us < :before_us {{skip}})
DELETE FROM messages WHERE id IN (SELECT id FROM old) RETURNING session_id, provider_id
"""  # noqa: S608 -- our own statements, here and below
_REMOVE_RECEIPTS = """
WITH told AS MATERIALIZED (SELECT receipts.session_id, receipts.provider_id, receipts.rank
    FROM EACH(:gone AS (session_id TEXT, provider_id TEXT)) AS gone
    JOIN receipts ON receipts.session_id = gone.session_id AND receipts.provider_id = gone.provider_id {skip})
DELETE FROM receipts WHERE (session_id, provider_id, rank) IN (SELECT session_id, provider_id, rank FROM told)
"""
# A receipt of a message that we know goes with it. What is left tells of messages that were erased, or that somebody
# wrote on the phone itself. One of this week may still find its message (`ReceiptBook.join_leftovers`).
_WEEK_US = 7 * 86_400_000_000
_WITHIN = f"seen_us >= :after_us AND seen_us < :before_us AND seen_us < :db_now - {_WEEK_US}"
_LAST_SEEN = f"SELECT seen_us FROM receipts WHERE {_WITHIN} ORDER BY seen_us LIMIT 1 OFFSET :others"  # noqa: S608
_REMOVE_LONE = f"""
WITH lone AS MATERIALIZED (SELECT session_id, provider_id, rank FROM receipts WHERE {_WITHIN} AND seen_us <= :last_us
    AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.session_id = receipts.session_id
        AND messages.provider_id = receipts.provider_id) {{skip}})
DELETE FROM receipts WHERE (session_id, provider_id, rank) IN (SELECT session_id, provider_id, rank FROM lone)
RETURNING rank
"""  # noqa: S608
_REMOVE_CONTACTS = """
DELETE FROM contacts WHERE client_id = :client_id AND phone_number = :phone_number AND recipient IN (
    SELECT recipient FROM contacts WHERE client_id = :client_id AND phone_number = :phone_number LIMIT :at_most)
AND NOT EXISTS (SELECT 1 FROM linked_phones WHERE client_id = :client_id AND phone_number = :phone_number)
RETURNING recipient
"""
_ABOVE_ALL_US = 1 << 62
# Receipts come after the message was sent, so they are younger than it; looked at later, most are gone with it.
_AFTER_THEIR_MESSAGES = timedelta(days=7)


class SqlOldMessages:
    """See `OldRows`: messages that were settled, and their receipts. What waits or is being sent is no such."""

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        """See `OldRows.remove`."""
        within = {"after": after, "end": first_id("msg", before)}
        found = await tx.sql(_LAST, others=limit - 1, **within)
        last = found[0]["id"] if found else within["end"]
        text = _REMOVE.format(skip=_SKIP[tx.dialect])
        gone = await tx.sql(text, last=last, before_us=to_us(before), **within)
        told = [row for row in gone if row["provider_id"] is not None]
        if told:
            await tx.sql(_REMOVE_RECEIPTS.format(skip=_skip_others(tx)), gone=told)
        return Removed(rows=len(gone), after=last if found else None)


class SqlOldReceipts:
    """See `OldRows`: receipts of no message that is known."""

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        """See `OldRows.remove`."""
        within = {"after_us": int(after or 0), "before_us": to_us(before - _AFTER_THEIR_MESSAGES)}
        found = await tx.sql(_LAST_SEEN, others=limit - 1, **within)
        last_us = found[0]["seen_us"] if found else _ABOVE_ALL_US
        gone = await tx.sql(_REMOVE_LONE.format(skip=_SKIP[tx.dialect]), last_us=last_us, **within)
        return Removed(rows=len(gone), after=str(last_us + 1) if found else None)


class SqlOldContacts:
    """See `sessions.ports.NumberForgetter`: whom a number has spoken with that is linked no more."""

    async def forget(self, tx: Tx, number: Number, *, limit: int) -> int:
        """See `NumberForgetter.forget`."""
        return len(await tx.sql(_REMOVE_CONTACTS, at_most=limit, **number._asdict()))


def _skip_others(tx: Tx) -> str:
    return "FOR UPDATE OF receipts SKIP LOCKED" if tx.dialect == "postgresql" else ""
