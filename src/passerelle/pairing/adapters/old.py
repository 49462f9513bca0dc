"""Attempts and refusals that are over, in SQL."""

import json
from datetime import datetime

from passerelle.coordination.ports import Removed
from passerelle.db import Tx
from passerelle.db.units import to_us

# An attempt tells whose session it was: as long as there are receipts of it, erasing a person needs to know.
_PAGE = """
SELECT id, updated_us, CASE WHEN attempt.expires_us < :before_us AND NOT EXISTS (
    SELECT 1 FROM receipts WHERE receipts.session_id = attempt.session_id) THEN 1 ELSE 0 END AS goes
FROM pairing_attempts AS attempt WHERE attempt.ended_us IS NOT NULL AND attempt.updated_us < :before_us
    AND (attempt.updated_us, attempt.id) > (:after_us, :after_id)
ORDER BY attempt.updated_us, attempt.id LIMIT :at_most {skip}
"""
_REMOVE_COOLDOWNS = """
WITH over AS MATERIALIZED (SELECT client_id, phone_number FROM pairing_cooldowns WHERE until_us < :before_us
    ORDER BY until_us LIMIT :at_most {skip})
DELETE FROM pairing_cooldowns WHERE (client_id, phone_number) IN (SELECT client_id, phone_number FROM over)
RETURNING client_id
"""


class SqlOldAttempts:
    """See `OldRows`: attempts that have ended, however."""

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        """See `OldRows.remove`."""
        after_us, after_id = json.loads(after) if after else (-(1 << 62), "")
        text = _PAGE.format(skip="FOR UPDATE OF attempt SKIP LOCKED" if tx.dialect == "postgresql" else "")
        rows = await tx.sql(text, before_us=to_us(before), after_us=after_us, after_id=after_id, at_most=limit)
        ids = [row["id"] for row in rows if row["goes"]]
        if ids:
            await tx.sql("DELETE FROM pairing_attempts WHERE id = ANY(:ids)", ids=ids)
        last = json.dumps([rows[-1]["updated_us"], rows[-1]["id"]]) if len(rows) == limit else None
        return Removed(rows=len(ids), after=last)


class SqlOldCooldowns:
    """See `OldRows`: refusals that count no more, since the next one would be a first one again."""

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        """See `OldRows.remove`; nothing is passed over here, so each step begins anew."""
        text = _REMOVE_COOLDOWNS.format(skip="FOR UPDATE SKIP LOCKED" if tx.dialect == "postgresql" else "")
        gone = await tx.sql(text, before_us=to_us(before), at_most=limit)
        return Removed(rows=len(gone), after=after if len(gone) == limit else None)
