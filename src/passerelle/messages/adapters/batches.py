"""Batches in SQL: the newest messages, gathered by their request."""

from passerelle.db import Tx
from passerelle.db.units import from_us
from passerelle.messages.batches import Batch

LOOKED_AT = 10_000
_NEWEST = """
SELECT request_id, MIN(created_us) AS written_us, COUNT(*) AS messages,
    COUNT(CASE WHEN state IN ('sent', 'delivered', 'read') THEN 1 END) AS sent,
    COUNT(CASE state WHEN 'failed' THEN 1 END) AS failed, COUNT(CASE state WHEN 'unknown' THEN 1 END) AS unknown,
    COUNT(CASE state WHEN 'cancelled' THEN 1 END) AS cancelled
FROM (SELECT request_id, created_us, state FROM messages WHERE client_id = :client_id
    ORDER BY id DESC LIMIT :looked_at) AS newest
WHERE request_id IS NOT NULL
GROUP BY request_id HAVING COUNT(*) > 1 ORDER BY MIN(created_us) DESC, request_id LIMIT :at_most
"""


class SqlBatches:
    """See `BatchBook`."""

    async def newest(self, tx: Tx, *, client_id: str, limit: int) -> list[Batch]:
        """See `BatchBook.newest`."""
        rows = await tx.sql(_NEWEST, client_id=client_id, looked_at=LOOKED_AT, at_most=limit)
        counts = ("messages", "sent", "failed", "unknown", "cancelled")
        return [
            Batch(
                request_id=row["request_id"],
                written_at=from_us(row["written_us"]),
                **{name: row[name] for name in counts},
            )
            for row in rows
        ]
