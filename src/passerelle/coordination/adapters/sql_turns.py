"""Whose turn it is, in SQL: one row for each thing that one process does for all."""

from datetime import datetime, timedelta

from passerelle.db import Tx
from passerelle.db.units import to_us

# A turn that is further away than two was told by a clock that has been set back since.
_TAKE = """
INSERT INTO retention_turns (name, next_us) VALUES (:name, :next_us)
ON CONFLICT (name) DO UPDATE SET next_us = excluded.next_us
WHERE retention_turns.next_us <= :now_us OR retention_turns.next_us > :latest_us
RETURNING name
"""


class SqlTurns:
    """See `Turns`."""

    async def take(self, tx: Tx, name: str, *, now: datetime, every: timedelta) -> bool:
        """See `Turns.take`."""
        times = {"now_us": to_us(now), "next_us": to_us(now + every), "latest_us": to_us(now + 2 * every)}
        return bool(await tx.sql(_TAKE, name=name, **times))
