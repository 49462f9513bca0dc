"""How many deliveries wait, in SQL, whoever's they are."""

from datetime import datetime
from typing import NamedTuple

from passerelle.db import Tx
from passerelle.db.units import to_us

COUNTED_TO = 100_000
_WAITING = f"""
SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM webhook_deliveries WHERE state = 'pending'
        LIMIT {COUNTED_TO}) AS counted) AS waiting,
    (SELECT MIN(queued_us) FROM webhook_deliveries WHERE state = 'pending') AS oldest_us
"""  # noqa: S608 -- our own statement


class Waiting(NamedTuple):
    """Deliveries that will be tried, counted to 100,000; how long the oldest has been waiting."""

    deliveries: int
    oldest_s: float


async def waiting(tx: Tx, *, now: datetime) -> Waiting:
    """As it stands."""
    (row,) = await tx.sql(_WAITING)
    oldest_us, now_us = row["oldest_us"], to_us(now)
    return Waiting(row["waiting"], 0.0 if oldest_us is None else max(now_us - oldest_us, 0) / 1_000_000)
