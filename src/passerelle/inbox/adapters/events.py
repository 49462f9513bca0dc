"""Which inbound events were heard, in SQL."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.inbox.ports import EventKey, InboundEvent

# A message and its revocation may be told to two processes at once, and neither would see the other's row. Taken in
# one order, so that two batches never wait for each other.
_LOCK = """
SELECT COUNT(pg_advisory_xact_lock(hashed.key)) FROM (
    SELECT DISTINCT hashtextextended(provider_id, 1) AS key FROM unnest(CAST(:provider_ids AS TEXT[])) AS provider_id
    ORDER BY key) AS hashed
"""
_ADD = """
INSERT INTO inbound_events (client_id, session_id, provider_id, kind, sender, by_admin, at_us, seen_us)
SELECT new.client_id, new.session_id, new.provider_id, new.kind, new.sender, new.by_admin, new.at_us,
    CAST(:now_us AS BIGINT)
FROM EACH(:events AS (client_id TEXT, session_id TEXT, provider_id TEXT, kind TEXT, sender TEXT, by_admin BIGINT,
    at_us BIGINT)) AS new
WHERE TRUE ORDER BY new.client_id, new.session_id, new.provider_id, new.kind, new.sender
ON CONFLICT DO NOTHING RETURNING client_id, session_id, provider_id, kind, sender
"""
_CLEAN = """
DELETE FROM inbound_events WHERE (client_id, session_id, provider_id, kind, sender) IN (
    SELECT client_id, session_id, provider_id, kind, sender FROM inbound_events WHERE seen_us < :before_us
    ORDER BY seen_us LIMIT :at_most {skip})
RETURNING kind
"""
_SKIP = {"sqlite": "", "postgresql": "FOR UPDATE SKIP LOCKED"}


class SqlEventBook:
    """See `EventBook`."""

    async def add(self, tx: Tx, events: Sequence[InboundEvent], *, now: datetime) -> set[EventKey]:
        """See `EventBook.add`."""
        if tx.dialect == "postgresql":
            await tx.sql(_LOCK, provider_ids=[event.key.provider_id for event in events])
        rows = await tx.sql(_ADD, events=[_to_row(event) for event in events], now_us=to_us(now))
        return {EventKey(**row) for row in rows}

    async def clean(self, tx: Tx, *, before: datetime, limit: int) -> int:
        """See `EventBook.clean`."""
        text = _CLEAN.format(skip=_SKIP[tx.dialect])
        return len(await tx.sql(text, before_us=to_us(before), at_most=limit))


def _to_row(event: InboundEvent) -> dict[str, object]:
    return event.key._asdict() | {"by_admin": int(event.by_admin), "at_us": to_us(event.at)}
