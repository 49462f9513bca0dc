"""How open attempts get on, in SQL; there are few of them, in an index of their own."""

from datetime import datetime, timedelta

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.pairing.ports import Waiting

# Since when an attempt waits is told by the database's clock, when its life ends by the clock of business.
_WAITING = """
SELECT COUNT(CASE WHEN status = 'queued' AND due_us <= :db_now - CAST(:longer_us AS BIGINT) THEN 1 END) AS queued,
    :db_now - MIN(CASE WHEN status = 'queued' THEN due_us END) AS queued_us,
    COUNT(CASE WHEN expires_us <= :overdue_us THEN 1 END) AS overdue
FROM pairing_attempts WHERE ended_us IS NULL
"""


class SqlAttemptGauge:
    """See `AttemptGauge`."""

    async def waiting(self, tx: Tx, *, now: datetime, longer_than: timedelta) -> Waiting:
        """See `AttemptGauge.waiting`."""
        longer_us = longer_than // timedelta(microseconds=1)
        (row,) = await tx.sql(_WAITING, longer_us=longer_us, overdue_us=to_us(now - longer_than))
        longest_us = row["queued_us"] if row["queued"] else 0
        return Waiting(queued=row["queued"], longest_queued=timedelta(microseconds=longest_us), overdue=row["overdue"])
