"""The outbox in SQL: what time and dead workers do to it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.messages.adapters.outbox import BOUND_AT_ONCE
from passerelle.messages.adapters.queue import SETTLED
from passerelle.messages.adapters.rows import log_line, to_settled
from passerelle.messages.model import RESTORED, UNBOUND, UNKNOWN_BLOCKS, Settled, Status
from passerelle.messages.ports import CHANNEL

CLAIMS_PER_MESSAGE = 5  # a message that killed five workers before it was even handed over is given to no sixth
EXPIRED_AT_ONCE = 500
INTERRUPTED = "interrupted"
_SILENT = """
worker_id <> CAST(:but AS TEXT) AND (state = 'sending' AND updated_us < :db_now - CAST(:lease_us AS BIGINT)
    OR worker_id NOT IN (SELECT id FROM workers WHERE heartbeat_us > :db_now - CAST(:lapsed_us AS BIGINT)))
"""
_RECLAIM = f"""
UPDATE messages SET worker_id = NULL, updated_us = :db_now,
    attempts = attempts + CASE state WHEN 'sending' THEN 1 ELSE 0 END,
    due_us = CASE state WHEN 'sending' THEN CAST(:unknown_until_us AS BIGINT) ELSE due_us END,
    last_error = CASE WHEN worker_id = '{RESTORED}' THEN worker_id
        WHEN state = 'sending' OR claims - attempts >= {CLAIMS_PER_MESSAGE} THEN '{INTERRUPTED}' ELSE last_error END,
    log = log || CASE WHEN worker_id = '{RESTORED}' THEN CAST(:restored AS TEXT)
        WHEN state = 'sending' THEN CAST(:unknown AS TEXT)
        WHEN claims - attempts >= {CLAIMS_PER_MESSAGE} THEN CAST(:failed AS TEXT) ELSE '' END,
    state = CASE WHEN state = 'sending' THEN 'unknown' WHEN claims - attempts >= {CLAIMS_PER_MESSAGE} THEN 'failed'
        ELSE 'pending' END
WHERE state IN ('claimed', 'sending') AND {{whose}} RETURNING {SETTLED}
"""  # noqa: S608 -- our own statements, here and below
_GIVE_BACK = """
UPDATE messages SET state = 'pending', worker_id = NULL, claims = claims - 1, updated_us = :db_now
WHERE state = 'claimed' AND worker_id = :worker_id RETURNING id
"""
_TAKE_OVER = f"""
UPDATE messages SET state = 'pending', worker_id = NULL, updated_us = :db_now
WHERE state = 'claimed' AND session_id = ANY(:session_ids) AND worker_id <> :worker_id
    AND claims - attempts < {CLAIMS_PER_MESSAGE} RETURNING id
"""  # noqa: S608
_EXPIRE = f"""
WITH late AS MATERIALIZED (
    SELECT id FROM messages WHERE state = 'pending' AND expires_us <= :now_us LIMIT {EXPIRED_AT_ONCE} {{skip}})
UPDATE messages SET state = 'failed', updated_us = :db_now,
    last_error = CASE WHEN send_us IS NULL OR attempts > 0 THEN 'expired' ELSE 'too_late' END,
    log = log || CASE WHEN send_us IS NULL OR attempts > 0 THEN CAST(:expired AS TEXT) ELSE CAST(:too_late AS TEXT) END
WHERE state = 'pending' AND id IN (SELECT id FROM late) RETURNING {SETTLED}
"""  # noqa: S608
_BIND_WAITING = """
UPDATE messages SET session_id = (
    SELECT session_id FROM linked_phones WHERE linked_phones.client_id = messages.client_id
        AND (messages.user_id = :unbound OR linked_phones.user_id = messages.user_id) ORDER BY linked_us LIMIT 1)
WHERE state = 'pending' AND id IN (
    SELECT id FROM messages AS lone WHERE state = 'pending' AND session_id NOT IN (SELECT session_id FROM linked_phones)
        AND EXISTS (SELECT 1 FROM linked_phones WHERE linked_phones.client_id = lone.client_id
            AND (lone.user_id = :unbound OR linked_phones.user_id = lone.user_id)) LIMIT :at_most)
RETURNING session_id
"""


class SqlOutboxSweep:
    """See `OutboxSweep`."""

    def __init__(self, *, lease: timedelta) -> None:
        """No try takes as long as `lease`: one that seems to is lost, also when its worker lives."""
        self._lease_us = lease // timedelta(microseconds=1)

    async def reclaim(self, tx: Tx, *, now: datetime, lapsed_us: int | None, but: str = "") -> list[Settled]:
        """See `OutboxSweep.reclaim`."""
        lost = {
            "unknown_until_us": to_us(now + UNKNOWN_BLOCKS),
            "unknown": log_line(now, Status.UNKNOWN, INTERRUPTED),
            "restored": log_line(now, Status.UNKNOWN, RESTORED),
            "failed": log_line(now, Status.FAILED, INTERRUPTED),
        }
        if lapsed_us is None:
            rows = await tx.sql(_RECLAIM.format(whose="TRUE"), **lost)
        else:
            silent = {"lapsed_us": lapsed_us, "lease_us": self._lease_us, "but": but}
            rows = await tx.sql(_RECLAIM.format(whose=_SILENT), **lost, **silent)
        return [one for one in map(to_settled, rows) if one.status is not Status.PENDING]

    async def give_back(self, tx: Tx, *, worker_id: str) -> int:
        """See `OutboxSweep.give_back`."""
        return len(await tx.sql(_GIVE_BACK, worker_id=worker_id))

    async def take_over(self, tx: Tx, *, session_ids: Sequence[str], worker_id: str) -> int:
        """See `OutboxSweep.take_over`."""
        return len(await tx.sql(_TAKE_OVER, session_ids=list(session_ids), worker_id=worker_id))

    async def expire(self, tx: Tx, *, now: datetime) -> list[Settled]:
        """See `OutboxSweep.expire`."""
        text = _EXPIRE.format(skip="FOR UPDATE SKIP LOCKED" if tx.dialect == "postgresql" else "")
        expired, too_late = (log_line(now, Status.FAILED, reason) for reason in ("expired", "too_late"))
        rows = await tx.sql(text, now_us=to_us(now), expired=expired, too_late=too_late)
        return [to_settled(row) for row in rows]

    async def bind_waiting(self, tx: Tx) -> int:
        """See `OutboxSweep.bind_waiting`."""
        rows = await tx.sql(_BIND_WAITING, unbound=UNBOUND, at_most=BOUND_AT_ONCE)
        if rows:
            await tx.notify(CHANNEL, "")
        return len(rows)
