"""The backlog of the outbox in SQL: one look into its indexes."""

from datetime import datetime, timedelta

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.messages.ports import Backlog

COUNTED_TO = 1_000
# Of each phone the message that is due longest, as the agenda finds it. Left out: what waits, rightly, until the fate
# of the one before it is known.
_BACKLOG = f"""
WITH late AS MATERIALIZED (
    SELECT phone.session_id, (
        SELECT one.due_us FROM messages AS one
        WHERE one.session_id = phone.session_id AND one.state = 'pending' AND one.due_us <= :late_us
            AND NOT EXISTS (SELECT 1 FROM messages AS before WHERE before.state = 'unknown' AND before.due_us > :now_us
                AND before.session_id = one.session_id AND before.recipient = one.recipient)
        ORDER BY one.due_us LIMIT 1) AS due_us
    FROM linked_phones AS phone WHERE COALESCE(phone.paused_until_us, 0) <= :now_us),
in_hand AS MATERIALIZED (SELECT session_id, updated_us FROM messages WHERE state IN ('claimed', 'sending'))
SELECT (SELECT MIN(due_us) FROM late) AS due_us,
    (SELECT MIN(due_us) FROM late WHERE session_id NOT IN (SELECT session_id FROM in_hand)) AS untouched_us,
    (SELECT :db_now - MIN(updated_us) FROM in_hand) AS in_hand_us,
    (SELECT COUNT(*) FROM (SELECT 1 AS one FROM late JOIN messages ON messages.session_id = late.session_id
        AND messages.state = 'pending' AND messages.due_us <= :late_us
        WHERE late.due_us IS NOT NULL LIMIT {COUNTED_TO}) AS counted) AS late
"""  # noqa: S608 -- our own statement


class SqlOutboxGauge:
    """See `OutboxGauge`."""

    async def backlog(self, tx: Tx, *, now: datetime, late_after: timedelta) -> Backlog:
        """See `OutboxGauge.backlog`."""
        now_us = to_us(now)
        (row,) = await tx.sql(_BACKLOG, now_us=now_us, late_us=to_us(now - late_after))
        return Backlog(
            late=row["late"],
            longest=_since(row["due_us"], now_us),
            longest_untouched=_since(row["untouched_us"], now_us),
            longest_in_hand=timedelta(microseconds=max(row["in_hand_us"] or 0, 0)),
        )


def _since(when_us: int | None, now_us: int) -> timedelta:
    return timedelta(0) if when_us is None else timedelta(microseconds=now_us - when_us)
