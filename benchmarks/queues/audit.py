"""What the database says in the end: everything sent, each once, and how long it took."""

import sqlite3
import statistics
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from queues.work import Result

# Both our table and the peers' have these columns; a receipt may have moved a message of ours further than `sent`.
COLUMNS = "state, attempts, provider_id, created_us, updated_us"
ARRIVED = frozenset({"sent", "delivered", "read"})
SENT = "SELECT count(*) FROM messages WHERE state IN ('sent', 'delivered', 'read')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One run of one contestant. `work_per_s`: claim and settle alone, where that was measured."""

    messages_per_s: float
    enqueue_per_s: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    work_per_s: float | None = None
    fault: str = ""


async def audit_postgres(url: str, result: Result, *, count: int) -> Measure:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            f"SELECT {COLUMNS} FROM messages WHERE created_us >= $1",  # noqa: S608 -- a constant of ours
            result.began_us,
        )
    finally:
        await connection.close()
    return measure(rows, result, count=count)


def audit_sqlite(path: Path, result: Result, *, count: int) -> Measure:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM messages WHERE created_us >= ?",  # noqa: S608 -- a constant of ours
            (result.began_us,),
        ).fetchall()
    return measure(rows, result, count=count)


def measure(rows: list[Any], result: Result, *, count: int) -> Measure:
    sent = [row for row in rows if row["state"] in ARRIVED]
    waits_ms = sorted((row["updated_us"] - row["created_us"]) / 1000 for row in sent) or [0.0]
    last_us = max((row["updated_us"] for row in sent), default=result.began_us + 1)
    p50, p99 = quantiles(waits_ms)
    return Measure(
        messages_per_s=len(sent) / (last_us - result.began_us) * 1e6,
        enqueue_per_s=count / (result.enqueued_us - result.began_us) * 1e6,
        p50_ms=p50,
        p99_ms=p99,
        fault=fault(rows, count=count),
    )


def fault(rows: list[Any], *, count: int) -> str:
    """Empty when exactly `count` rows are there, all sent, each with one attempt and a provider id of its own."""
    if len(rows) != count:
        return f"{len(rows)} rows for {count} messages"
    states = Counter(row["state"] for row in rows)
    if sum(states[state] for state in ARRIVED) != count:
        return f"not all sent: {dict(states)}"
    if len({row["provider_id"] for row in rows}) != count:
        return "two messages with one provider id"
    again = sum(row["attempts"] != 1 for row in rows)
    return f"{again} with another number of attempts than 1" if again else ""


def quantiles(values: list[float]) -> tuple[float, float]:
    """The 50th and the 99th percentile."""
    if len(values) < 2:
        return values[0], values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]
