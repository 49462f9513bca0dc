"""Who holds a linked phone, in SQL; by the database's clock, since leases are real time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from passerelle.coordination.lookout import LAPSED_US
from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.sessions.ports import CHANNEL, Census, Held, Owner, Sighting

# Whoever never beat is dead as well: its row is written before it may hold anything.
_LIVING = "SELECT id FROM workers WHERE heartbeat_us > :db_now - CAST(:lapse_us AS BIGINT)"
_FREE = f"(holder IS NULL OR holder <> CAST(:worker_id AS TEXT) AND holder NOT IN ({_LIVING}))"
_CENSUS = f"""
SELECT COUNT(*) AS linked, COUNT(CASE WHEN {_FREE} THEN 1 END) AS free,
    (SELECT COUNT(*) FROM ({_LIVING}) AS living WHERE id <> CAST(:worker_id AS TEXT)) + 1 AS living
FROM linked_phones
"""  # noqa: S608 -- our own statements, here and below
# What the holder before has seen, by a clock that goes before the database's, proves nothing of the new one.
_ADOPT = f"""
WITH chosen AS MATERIALIZED (
    SELECT session_id FROM linked_phones WHERE {_FREE} AND EXISTS (SELECT 1 FROM workers
        WHERE id = CAST(:worker_id AS TEXT) AND heartbeat_us > :db_now - CAST(:own_lapse_us AS BIGINT))
    ORDER BY session_id LIMIT :at_most {{skip}})
UPDATE linked_phones SET holder = :worker_id, fence = fence + 1, held_us = :db_now,
    seen_us = CASE WHEN seen_us >= :db_now THEN :db_now - 1000000 ELSE seen_us END
WHERE session_id IN (SELECT session_id FROM chosen) AND {_FREE} RETURNING session_id
"""  # noqa: S608
_SEEN = """
UPDATE linked_phones SET seen_us = new.at_us FROM EACH(:times AS (session_id TEXT, at_us BIGINT)) AS new
WHERE linked_phones.session_id = new.session_id AND holder = :worker_id AND COALESCE(seen_us, 0) < new.at_us
"""
_SIGHTINGS = f"""
SELECT session_id, holder, seen_us, proxy_shown,
    CASE WHEN seen_us >= held_us AND holder IN ({_LIVING}) THEN 1 END AS connected
FROM linked_phones WHERE client_id = :client_id
"""  # noqa: S608
OWN_LAPSE_US = 9_000_000  # who was silent for so long looks dead to others soon, and takes nothing before it beats
_EVER_US = 2**62  # everybody who ever beat lives


class SqlHolderBook:
    """See `HolderBook`."""

    async def census(self, tx: Tx, *, worker_id: str, lapse: timedelta | None) -> Census:
        """See `HolderBook.census`."""
        (row,) = await tx.sql(_CENSUS, worker_id=worker_id, lapse_us=_us(lapse))
        return Census(linked=row["linked"], free=row["free"], living=row["living"])

    async def held(self, tx: Tx, *, worker_id: str) -> list[Held]:
        """See `HolderBook.held`."""
        rows = await tx.sql(
            "SELECT session_id, client_id, device, fence, proxy, reconnect_us FROM linked_phones"
            " WHERE holder = :worker_id ORDER BY session_id",
            worker_id=worker_id,
        )
        return [Held(*(row[name] for name in Held._fields)) for row in rows]

    async def adopt(self, tx: Tx, *, worker_id: str, lapse: timedelta | None, limit: int) -> list[str]:
        """See `HolderBook.adopt`."""
        text = _ADOPT.format(skip="FOR UPDATE SKIP LOCKED" if tx.dialect == "postgresql" else "")
        rows = await tx.sql(text, worker_id=worker_id, lapse_us=_us(lapse), own_lapse_us=OWN_LAPSE_US, at_most=limit)
        return sorted(row["session_id"] for row in rows)

    async def give_up(self, tx: Tx, *, worker_id: str, session_ids: Sequence[str] | None = None) -> int:
        """See `HolderBook.give_up`."""
        some = "" if session_ids is None else " AND session_id = ANY(:session_ids)"
        wanted = {} if session_ids is None else {"session_ids": list(session_ids)}
        rows = await tx.sql(
            f"UPDATE linked_phones SET holder = NULL WHERE holder = :worker_id{some} RETURNING session_id",  # noqa: S608
            worker_id=worker_id,
            **wanted,
        )
        if rows:
            await tx.notify(CHANNEL, "")
        return len(rows)

    async def free_all(self, tx: Tx) -> None:
        """See `HolderBook.free_all`."""
        await tx.sql("UPDATE linked_phones SET holder = NULL WHERE holder IS NOT NULL")
        await tx.sql("DELETE FROM workers")  # else one that was killed just now has a share for 15 s more


class SqlSeenBook:
    """See `SeenBook`."""

    async def owner(self, tx: Tx, *, session_id: str) -> Owner | None:
        """See `SeenBook.owner`."""
        rows = await tx.sql(
            "SELECT client_id, holder, paused_until_us, pause_guess_us, seen_us, held_us FROM linked_phones"
            " WHERE session_id = :session_id",
            session_id=session_id,
        )
        return _owner(rows[0]) if rows else None

    async def seen(self, tx: Tx, *, worker_id: str, times: Mapping[str, datetime]) -> None:
        """See `SeenBook.seen`."""
        rows = [{"session_id": one, "at_us": to_us(at)} for one, at in sorted(times.items())]
        await tx.sql(_SEEN, times=rows, worker_id=worker_id)

    async def connected(self, tx: Tx, *, session_id: str) -> None:
        """See `SeenBook.connected`."""
        await tx.sql("UPDATE linked_phones SET seen_us = :db_now WHERE session_id = :session_id", session_id=session_id)

    async def sightings(self, tx: Tx, *, client_id: str) -> dict[str, Sighting]:
        """See `SeenBook.sightings`."""
        rows = await tx.sql(_SIGHTINGS, client_id=client_id, lapse_us=LAPSED_US)
        return {row["session_id"]: _sighting(row) for row in rows}

    async def wish_reconnect(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """See `SeenBook.wish_reconnect`."""
        rows = await tx.sql(
            "UPDATE linked_phones SET reconnect_us = :db_now WHERE client_id = :client_id AND session_id = :session_id"
            " RETURNING session_id",
            client_id=client_id,
            session_id=session_id,
        )
        await tx.notify(CHANNEL, "")
        return bool(rows)


def _owner(row: Row) -> Owner:
    paused_us = row["paused_until_us"]
    guessed = paused_us is not None and paused_us == row["pause_guess_us"]
    paused_until = None if paused_us is None else from_us(paused_us)
    just_linked = row["seen_us"] is not None and row["seen_us"] == row["held_us"]
    return Owner(row["client_id"], row["holder"], paused_until, guessed, just_linked)


def _sighting(row: Row) -> Sighting:
    seen_us = row["seen_us"]
    seen_at = None if seen_us is None else from_us(seen_us)
    return Sighting(row["holder"], seen_at, row["proxy_shown"], connected=bool(row["connected"]))


def _us(lapse: timedelta | None) -> int:
    return _EVER_US if lapse is None else lapse // timedelta(microseconds=1)
