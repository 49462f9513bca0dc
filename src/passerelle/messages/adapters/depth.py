"""How much the outbox holds, in SQL, for whoever draws it."""

from datetime import datetime
from typing import NamedTuple

from passerelle.db import Tx
from passerelle.db.units import to_us

COUNTED_TO = 100_000  # counting that many index entries takes some 20 ms
# Phone by phone, as the index goes; a message without a linked phone waits for nobody, and is left out.
_DEPTH = f"""
SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM linked_phones AS phone JOIN messages ON
        messages.session_id = phone.session_id AND messages.state = 'pending' AND messages.due_us <= :now_us
        LIMIT {COUNTED_TO}) AS due) AS due,
    (SELECT COUNT(*) FROM (SELECT 1 AS one FROM linked_phones AS phone JOIN messages ON
        messages.session_id = phone.session_id AND messages.state = 'pending' AND messages.due_us > :now_us
        LIMIT {COUNTED_TO}) AS later) AS later,
    (SELECT COUNT(*) FROM (SELECT 1 AS one FROM messages WHERE state IN ('claimed', 'sending')
        LIMIT {COUNTED_TO}) AS in_hand) AS in_hand,
    (SELECT MIN(oldest) FROM (SELECT (SELECT MIN(due_us) FROM messages
        WHERE messages.session_id = phone.session_id AND messages.state = 'pending') AS oldest
        FROM linked_phones AS phone) AS firsts WHERE oldest <= :now_us) AS oldest_us
"""  # noqa: S608 -- our own statement


class Depth(NamedTuple):
    """Messages that wait, each sort counted to 100,000; how long the oldest has been due."""

    due: int
    later: int
    in_hand: int
    oldest_s: float


async def depth(tx: Tx, *, now: datetime) -> Depth:
    """As it stands."""
    now_us = to_us(now)
    (row,) = await tx.sql(_DEPTH, now_us=now_us)
    oldest_us = now_us if row["oldest_us"] is None else row["oldest_us"]
    return Depth(row["due"], row["later"], row["in_hand"], (now_us - oldest_us) / 1_000_000)
