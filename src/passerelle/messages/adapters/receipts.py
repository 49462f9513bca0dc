"""Receipts in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.messages.adapters.locks import lock_receipts
from passerelle.messages.adapters.outbox import RANKS
from passerelle.messages.adapters.queue import SETTLED
from passerelle.messages.adapters.rows import log_line, to_settled
from passerelle.messages.model import Settled
from passerelle.whatsapp.model import Receipt

SEEN_BEFORE_US = 120_000_000  # a receipt may be earlier than the knowledge that the answer to its message got lost
INFERRED_WITHIN = timedelta(hours=24)  # later, a receipt in that lane is more likely somebody's own message
_ADD = """
INSERT INTO receipts (session_id, provider_id, rank, recipient, detail, reference, at_us, seen_us)
SELECT new.session_id, new.provider_id, new.rank, new.recipient, new.detail, new.reference, new.at_us, :db_now
FROM EACH(:receipts AS (session_id TEXT, provider_id TEXT, rank BIGINT, recipient TEXT, detail TEXT, reference TEXT,
    at_us BIGINT)) AS new WHERE TRUE ORDER BY new.session_id, new.provider_id, new.rank ON CONFLICT DO NOTHING
"""
_TOLD = """
SELECT receipts.session_id, receipts.provider_id, MAX(receipts.rank) AS rank, MAX(receipts.detail) AS detail
FROM receipts JOIN EACH(:receipts AS (session_id TEXT, provider_id TEXT)) AS wanted
    ON wanted.session_id = receipts.session_id AND wanted.provider_id = receipts.provider_id
GROUP BY receipts.session_id, receipts.provider_id
"""
# Where `failed` has been told, only what proves the opposite counts more.
_STATE = "CASE new.rank WHEN 3 THEN 'read' WHEN 2 THEN 'delivered' WHEN 1 THEN 'failed' ELSE 'sent' END"
_RANK = """
CASE messages.state WHEN 'read' THEN 3 WHEN 'delivered' THEN 2 WHEN 'failed' THEN 1 WHEN 'unknown' THEN -1 ELSE 0 END
"""
_AGAIN = "new.rank = 1 AND every_failure = 1 AND attempts < max_attempts"  # MISSION C4: every failure counts
_MOVE = f"""
UPDATE messages SET updated_us = :db_now, last_error = CASE new.rank WHEN 1 THEN new.detail END,
    state = CASE WHEN {_AGAIN} THEN 'pending' ELSE {_STATE} END,
    due_us = CASE WHEN {_AGAIN} THEN :now_us + retry_delay_us ELSE due_us END,
    provider_id = CASE WHEN {_AGAIN} THEN NULL ELSE messages.provider_id END
FROM ({_TOLD}) AS new
WHERE messages.session_id = new.session_id AND messages.provider_id = new.provider_id
    AND new.rank > {_RANK} AND messages.state IN ('sent', 'delivered', 'read', 'failed', 'unknown')
RETURNING {SETTLED}
"""  # noqa: S608 -- our own statements, here and below
# A provider that gives our own id back leaves nothing to guess.
_NAMED = """
UPDATE messages SET provider_id = named.provider_id
FROM (SELECT session_id, reference, MIN(provider_id) AS provider_id FROM receipts WHERE reference IS NOT NULL
    AND {which} GROUP BY session_id, reference) AS named
WHERE messages.id = named.reference AND messages.session_id = named.session_id AND messages.state = 'unknown'
    AND messages.provider_id IS NULL
RETURNING messages.session_id, messages.provider_id
"""
_THESE = "reference IN (SELECT wanted.reference FROM EACH(:receipts AS (reference TEXT)) AS wanted)"
_LATELY = "seen_us > :db_now - 86400000000"
# The only unknown message of a lane in which nothing is being sent, and an id of ours there that no message has.
_INFER = f"""
WITH guessed AS MATERIALIZED (
    SELECT messages.id AS id, MIN(receipts.provider_id) AS provider_id FROM messages
    JOIN receipts ON receipts.session_id = messages.session_id AND receipts.recipient = messages.recipient
        AND receipts.seen_us > messages.updated_us - {SEEN_BEFORE_US}
    WHERE messages.state = 'unknown' AND messages.provider_id IS NULL AND {{which}}
        AND NOT EXISTS (SELECT 1 FROM messages AS known WHERE known.session_id = receipts.session_id
            AND known.provider_id = receipts.provider_id)
        AND NOT EXISTS (SELECT 1 FROM messages AS other WHERE other.session_id = messages.session_id
            AND other.recipient = messages.recipient AND other.state IN ('unknown', 'sending')
            AND other.id <> messages.id)
    GROUP BY messages.id)
UPDATE messages SET provider_id = guessed.provider_id, log = log || CAST(:inferred AS TEXT)
FROM guessed WHERE messages.id = guessed.id AND messages.state = 'unknown' AND messages.provider_id IS NULL
RETURNING messages.session_id, messages.provider_id
"""  # noqa: S608
_IN_THESE_LANES = """
EXISTS (SELECT 1 FROM EACH(:receipts AS (session_id TEXT, recipient TEXT)) AS wanted
    WHERE wanted.session_id = messages.session_id AND wanted.recipient = messages.recipient)
"""


class SqlReceiptBook:
    """See `ReceiptBook`."""

    async def add(self, tx: Tx, receipts: Sequence[Receipt], *, now: datetime) -> list[Settled]:
        """See `ReceiptBook.add`."""
        rows = [_to_row(receipt) for receipt in receipts]
        await lock_receipts(tx, [receipt.provider_id for receipt in receipts])
        await tx.sql(_ADD, receipts=rows)
        named = await tx.sql(_NAMED.format(which=_THESE), receipts=rows) if _any_named(receipts) else []
        infer = _INFER.format(which=_IN_THESE_LANES)
        guessed = await tx.sql(infer, receipts=rows, inferred=_inferred(now))  # perhaps by a receipt of before
        return await _move(tx, [*rows, *named, *guessed], now)

    async def join_leftovers(self, tx: Tx, *, now: datetime) -> list[Settled]:
        """See `ReceiptBook.join_leftovers`."""
        named = await tx.sql(_NAMED.format(which=_LATELY))
        which = "messages.due_us > :since_us"
        rows = await tx.sql(_INFER.format(which=which), inferred=_inferred(now), since_us=to_us(now - INFERRED_WITHIN))
        return await _move(tx, [*named, *rows], now)


async def _move(tx: Tx, rows: Sequence[Mapping[str, object]], now: datetime) -> list[Settled]:
    if not rows:
        return []
    return [to_settled(row) for row in await tx.sql(_MOVE, receipts=rows, now_us=to_us(now))]


def _any_named(receipts: Sequence[Receipt]) -> bool:
    return any(receipt.reference is not None for receipt in receipts)


def _inferred(now: datetime) -> str:
    return log_line(now, "inferred", None)


def _to_row(receipt: Receipt) -> dict[str, object]:
    return {
        "session_id": receipt.session_id,
        "provider_id": receipt.provider_id,
        "recipient": receipt.to,
        "rank": RANKS[receipt.kind],
        "detail": receipt.detail,
        "reference": receipt.reference,
        "at_us": to_us(receipt.at),
    }
