"""What linked phones have agreed to have kept, in SQL."""

from collections.abc import Sequence

from passerelle.db import Row, Tx
from passerelle.inbox.model import Capture, Owner

_OWNERS = """
SELECT linked.client_id, linked.user_id, linked.session_id, deleted, view_once, retention_days
FROM linked_phones AS linked
LEFT JOIN captures ON captures.client_id = linked.client_id AND captures.session_id = linked.session_id
WHERE linked.session_id = ANY(:session_ids)
"""
_PUT = """
INSERT INTO captures (client_id, session_id, deleted, view_once, retention_days)
VALUES (:client_id, :session_id, :deleted, :view_once, :retention_days)
ON CONFLICT (client_id, session_id) DO UPDATE SET deleted = excluded.deleted, view_once = excluded.view_once,
    retention_days = excluded.retention_days
"""
_CLEAN = """
DELETE FROM captures
WHERE NOT EXISTS (SELECT 1 FROM linked_phones AS linked WHERE linked.session_id = captures.session_id)
"""


class SqlCaptureBook:
    """See `CaptureBook`."""

    async def owners(self, tx: Tx, session_ids: Sequence[str]) -> dict[str, Owner]:
        """See `CaptureBook.owners`."""
        rows = await tx.sql(_OWNERS, session_ids=list(session_ids))
        names = ("client_id", "user_id", "session_id")
        return {row["session_id"]: Owner(**{name: row[name] for name in names}, capture=_capture(row)) for row in rows}

    async def find(self, tx: Tx, *, client_id: str, session_id: str) -> Capture:
        """See `CaptureBook.find`."""
        rows = await tx.sql(
            "SELECT * FROM captures WHERE client_id = :client_id AND session_id = :session_id",
            client_id=client_id,
            session_id=session_id,
        )
        return _capture(rows[0]) if rows else Capture()

    async def put(self, tx: Tx, *, client_id: str, session_id: str, capture: Capture) -> None:
        """See `CaptureBook.put`."""
        await tx.sql(
            _PUT,
            client_id=client_id,
            session_id=session_id,
            deleted=int(capture.deleted),
            view_once=int(capture.view_once),
            retention_days=capture.retention_days,
        )

    async def clean(self, tx: Tx) -> None:
        """See `CaptureBook.clean`."""
        await tx.sql(_CLEAN)


def _capture(row: Row) -> Capture:
    if row["retention_days"] is None:
        return Capture()
    return Capture(deleted=bool(row["deleted"]), view_once=bool(row["view_once"]), retention_days=row["retention_days"])
