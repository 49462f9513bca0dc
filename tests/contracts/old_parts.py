"""What the tests of retention share: rows of a given age, and a look at what is left."""

from datetime import UTC, datetime, timedelta
from typing import Any

from passerelle.clock import first_id
from passerelle.coordination.jobs import InSteps
from passerelle.coordination.ports import OldRows, Removed
from passerelle.db import Database, Row, Tx
from passerelle.db.units import to_us
from passerelle.messages.model import Message

from .outbox_parts import insert, message, sql

NOW = datetime.now(UTC).replace(microsecond=0)  # rows also carry the time of the database
DAY = timedelta(days=1)
KEPT = 30 * DAY
BEFORE = NOW - KEPT


def aged(number: int, age: timedelta, **other: Any) -> Message:
    """A message as it was written down so long ago, good for a day."""
    at = NOW - age
    known: dict[str, Any] = {
        "id": f"{first_id('msg', at)}{number:014x}",
        "to": f"+3363998{number:04}",
        "created_at": at,
        "due_at": at,
        "expires_at": at + DAY,
    }
    return message(number, **known | other)


async def ended(database: Database, *messages: Message, state: str = "sent", wa: str | None = "wa_{}") -> None:
    """They were settled like this; each with its own id of the provider, unless they have none."""
    await insert(database, *messages)
    for one in messages:
        await sql(
            database,
            "UPDATE messages SET state = :state, provider_id = CAST(:wa AS TEXT) WHERE id = :id",
            state=state,
            wa=None if wa is None else wa.format(one.id),
            id=one.id,
        )


async def told(database: Database, wa: str, age: timedelta, *, session_id: str = "sess_a", rank: int = 2) -> None:
    """A receipt that came so long ago."""
    await sql(
        database,
        "INSERT INTO receipts (session_id, provider_id, rank, recipient, at_us, seen_us)"
        " VALUES (:session_id, :wa, :rank, 'somebody', :at_us, :at_us)",
        session_id=session_id,
        wa=wa,
        rank=rank,
        at_us=to_us(NOW - age),
    )


async def left(database: Database, table: str, column: str) -> set[str]:
    return {row[column] for row in await sql(database, f"SELECT {column} FROM {table}")}  # noqa: S608 -- our own


async def forget(database: Database, rows: OldRows, *, before: datetime = BEFORE, at_once: int = 500) -> int:
    """All of it, in steps without a pause."""
    return await InSteps(rows, database, at_once=at_once, pause_s=0).forget(before=before)


class Watched:
    """Old rows, and what each step of them came to; from `breaks_at` on the database is gone for them."""

    def __init__(self, rows: OldRows, *, breaks_at: int = 1 << 30) -> None:
        self._rows = rows
        self._breaks_at = breaks_at
        self.steps: list[int] = []

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        step = await self._rows.remove(tx, before=before, after=after, limit=limit)
        if len(self.steps) >= self._breaks_at:
            raise RuntimeError("killed")
        self.steps.append(step.rows)
        return step


class _Listed:
    """A transaction that knows what it was asked."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.dialect = tx.dialect
        self.asked: list[tuple[str, dict[str, object]]] = []

    async def sql(self, text: str, /, **params: object) -> list[Row]:
        self.asked.append((text, params))
        return await self._tx.sql(text, **params)


async def plans(database: Database, rows: OldRows) -> list[str]:
    """How the database does each statement of a step, one line for each part of it."""

    async def look(tx: Tx) -> list[str]:
        listed: Any = _Listed(tx)
        await rows.remove(listed, before=BEFORE, after="", limit=500)
        if tx.dialect == "sqlite":
            found = [await tx.sql(f"EXPLAIN QUERY PLAN {text}", **params) for text, params in listed.asked]
            return [row["detail"] for part in found for row in part]
        await tx.sql("SET LOCAL enable_seqscan = off")  # else so small a table is read as a whole
        found = [await tx.sql(f"EXPLAIN {text}", **params) for text, params in listed.asked]
        return [row["QUERY PLAN"] for part in found for row in part]

    return await database.run(look)


def scanned(plan: list[str], *tables: str) -> list[str]:
    """The parts that read a whole table."""
    whole = [f"{scan} {table}" for scan in ("SCAN", "Seq Scan on") for table in tables]
    return [part for part in plan if any(one in part for one in whole)]
