"""The outbox in SQL: what its workers do."""

from collections.abc import Sequence
from datetime import timedelta

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.messages.adapters.locks import lock_receipts
from passerelle.messages.adapters.rows import log_line, to_message, to_settled
from passerelle.messages.model import Message, Settled, Status
from passerelle.messages.ports import Claim, Outcome, Speaker

_MICROSECOND = timedelta(microseconds=1)
# A sub-query, so that PostgreSQL asks its clock once, and can look the time up in an index.
NOW = "(SELECT :db_now + CAST(:offset_us AS BIGINT))"
SETTLED = """
messages.id, messages.client_id, messages.session_id, messages.reference, messages.state, messages.attempts,
    messages.max_attempts, messages.due_us, messages.last_error, messages.user_id, messages.recipient, messages.trace
"""
_AGENDA = """
SELECT client_id, session_id, device, paused_until_us, linked_us,
    (SELECT MIN(due_us) FROM messages WHERE session_id = linked_phones.session_id AND state = 'pending') AS due_us
FROM linked_phones WHERE holder = :worker_id
"""
_RESEND = f"""
UPDATE messages SET state = 'pending', updated_us = :db_now
WHERE state = 'unknown' AND due_us <= {NOW} AND due_us > {NOW} - 86400000000 AND resend_unknown = 1
    AND attempts < max_attempts
"""  # noqa: S608 -- our own statements, here and below
# A sub-query that gives a value, not EXISTS: PostgreSQL would make a join of that and look at every message.
_READY = f"""
SELECT ready.id FROM messages AS ready
WHERE ready.session_id = {{session}} AND ready.state = 'pending' AND ready.due_us <= {NOW}
    AND (ready.attempts > 0 OR (
        SELECT earlier.order_us FROM messages AS earlier
        WHERE earlier.session_id = ready.session_id AND earlier.recipient = ready.recipient
            AND earlier.state IN ('pending', 'claimed', 'sending', 'unknown')
            AND (earlier.order_us < ready.order_us OR earlier.order_us = ready.order_us AND earlier.id < ready.id)
            AND CASE earlier.state WHEN 'pending' THEN earlier.attempts = 0 AND earlier.due_us <= {NOW}
                WHEN 'unknown' THEN earlier.due_us > {NOW} ELSE earlier.attempts = 0 END
        ORDER BY earlier.order_us LIMIT 1) IS NULL)
ORDER BY ready.due_us, ready.order_us LIMIT {{limit}}
"""  # noqa: S608
_EACH_SESSION = f"""
SELECT locked.id FROM EACH(:wanted AS (session_id TEXT, at_most BIGINT)) AS wanted
LEFT JOIN linked_phones AS phone ON phone.session_id = wanted.session_id CROSS JOIN LATERAL (
{_READY.format(session="wanted.session_id", limit="wanted.at_most")} FOR UPDATE OF ready SKIP LOCKED) AS locked
WHERE COALESCE(phone.holder, :worker_id) = CAST(:worker_id AS TEXT)
"""  # noqa: S608
_CHOSEN = {
    "sqlite": _READY.format(session=":session_id", limit=":at_most"),
    "postgresql": _EACH_SESSION,
}
_CLAIM = """
WITH chosen AS MATERIALIZED ({chosen})
UPDATE messages SET state = 'claimed', worker_id = :worker_id, claims = claims + 1, fence = fence + 1,
    updated_us = :db_now
WHERE id IN (SELECT id FROM chosen) AND state = 'pending' RETURNING *
"""
# COALESCE keeps SQLite from looking through all that this worker has in hand, for each of them.
_MARK = """
UPDATE messages SET state = 'sending', updated_us = :db_now
FROM EACH(:claims AS (id TEXT, fence BIGINT)) AS new
WHERE messages.id = new.id AND messages.fence = new.fence AND COALESCE(worker_id, '') = :worker_id
    AND state IN ('claimed', 'sending') RETURNING messages.id
"""
# Whoever made it unknown has counted the attempt already.
_SETTLE = f"""
UPDATE messages SET worker_id = NULL, updated_us = :db_now,
    state = CASE WHEN new.state <> 'sent' THEN new.state ELSE COALESCE((
        SELECT CASE MAX(rank) WHEN 3 THEN 'read' WHEN 2 THEN 'delivered' WHEN 1 THEN 'failed' END FROM receipts
        WHERE receipts.session_id = messages.session_id AND receipts.provider_id = new.provider_id), 'sent') END,
    attempts = attempts + new.attempt - CASE messages.state WHEN 'unknown' THEN 1 ELSE 0 END,
    claims = claims - 1 + new.attempt,
    provider_id = COALESCE(new.provider_id, messages.provider_id),
    due_us = COALESCE(new.due_us, messages.due_us),
    log = log || CASE WHEN new.state = 'pending' AND new.attempt = 0
        AND COALESCE(messages.last_error, '') = COALESCE(new.error, '') THEN '' ELSE new.entry END,
    last_error = CASE WHEN new.state <> 'sent' THEN new.error ELSE (
        SELECT CASE MAX(rank) WHEN 1 THEN MAX(detail) END FROM receipts
        WHERE receipts.session_id = messages.session_id AND receipts.provider_id = new.provider_id) END
FROM EACH(:outcomes AS (id TEXT, fence BIGINT, state TEXT, attempt BIGINT, due_us BIGINT, provider_id TEXT,
    error TEXT, entry TEXT)) AS new
WHERE messages.id = new.id AND messages.fence = new.fence AND messages.state IN ('claimed', 'sending', 'unknown')
RETURNING {SETTLED}
"""  # noqa: S608
_SNOOZE_LANE = """
UPDATE messages SET due_us = :due_us FROM messages AS one
WHERE one.id = :id AND messages.session_id = one.session_id AND messages.recipient = one.recipient
    AND messages.state = 'pending' AND messages.due_us < :due_us RETURNING messages.id, messages.due_us
"""


class SqlOutboxQueue:
    """See `OutboxQueue`."""

    async def agenda(self, tx: Tx, *, worker_id: str, offset: timedelta) -> list[Speaker]:
        """See `OutboxQueue.agenda`."""
        await tx.sql(_RESEND, offset_us=offset // _MICROSECOND)
        return [_speaker(row) for row in await tx.sql(_AGENDA, worker_id=worker_id)]

    async def claim(self, tx: Tx, wanted: Sequence[Claim], *, worker_id: str, offset: timedelta) -> list[Message]:
        """See `OutboxQueue.claim`: one statement for all sessions on PostgreSQL, one for each on SQLite."""
        text = _CLAIM.format(chosen=_CHOSEN[tx.dialect])
        common = {"worker_id": worker_id, "offset_us": offset // _MICROSECOND}
        rows = list[Row]()
        if tx.dialect == "postgresql":
            wishes = [{"session_id": claim.session_id, "at_most": claim.limit} for claim in wanted]
            rows = await tx.sql(text, wanted=wishes, **common)
        else:
            for claim in wanted:
                rows += await tx.sql(text, session_id=claim.session_id, at_most=claim.limit, **common)
        return [to_message(row) for row in sorted(rows, key=lambda row: (row["due_us"], row["order_us"]))]

    async def mark_sending(self, tx: Tx, messages: Sequence[Message], *, worker_id: str) -> set[str]:
        """See `OutboxQueue.mark_sending`."""
        claims = [{"id": message.id, "fence": message.fence} for message in messages]
        return {row["id"] for row in await tx.sql(_MARK, claims=claims, worker_id=worker_id)}

    async def settle(self, tx: Tx, outcomes: Sequence[Outcome]) -> list[Settled]:
        """See `OutboxQueue.settle`."""
        await lock_receipts(tx, [one.provider_id for one in outcomes if one.provider_id is not None])
        rows = await tx.sql(_SETTLE, outcomes=[_to_row(outcome) for outcome in outcomes])
        snoozed = dict[str, int]()  # among them some that were settled just now
        for one in outcomes:
            if one.whole_lane and one.due_at is not None:
                later = await tx.sql(_SNOOZE_LANE, id=one.id, due_us=to_us(one.due_at))
                snoozed |= {row["id"]: row["due_us"] for row in later}
        return [to_settled({**row, "due_us": snoozed.get(row["id"], row["due_us"])}) for row in rows]


def _speaker(row: Row) -> Speaker:
    return Speaker(
        client_id=row["client_id"],
        session_id=row["session_id"],
        device=row["device"],
        due_at=None if row["due_us"] is None else from_us(row["due_us"]),
        linked_at=from_us(row["linked_us"]),
        paused_until=None if row["paused_until_us"] is None else from_us(row["paused_until_us"]),
    )


def _to_row(outcome: Outcome) -> dict[str, object]:
    return {
        "id": outcome.id,
        "fence": outcome.fence,
        "state": outcome.status.value,
        "attempt": outcome.attempt,
        "due_us": None if outcome.due_at is None else to_us(outcome.due_at),
        "provider_id": outcome.provider_id,
        "error": outcome.error,
        "entry": log_line(outcome.at, _event(outcome), outcome.error),
    }


def _event(outcome: Outcome) -> str:
    if outcome.status is not Status.PENDING:
        return outcome.status.value
    return "attempt_failed" if outcome.attempt else "snoozed"
