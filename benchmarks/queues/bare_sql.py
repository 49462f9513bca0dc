"""The physical bound: the rows of our own tables through bare SQL in batches of 500, nothing between."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from queues.audit import Measure
from queues.work import batches, now_us, payload, recipient

BATCH = 500
DAY_US = 86_400_000_000
ENTRY = '{"at": "2026-01-01T00:00:00.000000+00:00", "event": "sent"}\n'
COLUMNS = (
    *("id", "client_id", "user_id", "session_id", "recipient", "content", "state"),
    *("created_us", "order_us", "due_us", "expires_us", "updated_us", "max_attempts", "retry_delay_us"),
)
INSERT = f"INSERT INTO messages ({', '.join(COLUMNS)}) VALUES ({{marks}})"  # noqa: S608 -- constants of ours
# Two updates per row, as everybody here: being sent, and sent. Lanes, fences and receipts are not the bound's.
DUE = "SELECT id FROM messages WHERE session_id = 'session_1' AND state = 'pending' AND due_us <= {now} ORDER BY due_us"
CLAIM = f"""
UPDATE messages SET state = 'sending', worker_id = 'worker_1', claims = claims + 1, updated_us = {{now}}
WHERE id {{among}} ({DUE} LIMIT {BATCH}{{lock}}) RETURNING id, recipient, content
"""  # noqa: S608
SETTLED = "state = 'sent', attempts = attempts + 1, worker_id = NULL"
SETTLE_SQLITE = f"""
UPDATE messages SET {SETTLED}, provider_id = ?, log = log || ?, updated_us = ? WHERE id = ? AND state = 'sending'
"""  # noqa: S608
SETTLE_POSTGRES = f"""
UPDATE messages SET {SETTLED}, provider_id = new.provider_id, log = log || $2, updated_us = $3
FROM unnest($1::text[], $4::text[]) AS new (id, provider_id) WHERE messages.id = new.id AND state = 'sending'
"""  # noqa: S608


async def on_sqlite(count: int, folder: Path) -> Measure:
    database = open_database(read_url(None, data_dir=folder))
    await migrate(database)
    await database.close()
    return await asyncio.to_thread(_on_sqlite, count, folder / "passerelle.sqlite3")


def _on_sqlite(count: int, path: Path) -> Measure:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        insert = INSERT.format(marks=", ".join("?" * len(COLUMNS)))
        groups = _groups(count)
        began_s = time.perf_counter()
        for rows in groups:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows)
            connection.execute("COMMIT")
        inserted_s = time.perf_counter()
        while ids := _claim_sqlite(connection):
            now = now_us()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(SETTLE_SQLITE, [(f"provider_{one}", ENTRY, now, one) for one in ids])
            connection.execute("COMMIT")
        ended_s = time.perf_counter()
        sent = connection.execute("SELECT count(*) FROM messages WHERE state = 'sent'").fetchone()[0]
    return _measure(count, sent, began_s, inserted_s, ended_s)


def _claim_sqlite(connection: sqlite3.Connection) -> list[str]:
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute(CLAIM.format(now=now_us(), among="IN", lock="")).fetchall()
    connection.execute("COMMIT")
    return [row[0] for row in rows]


async def on_postgres(count: int, url: str, folder: Path) -> Measure:
    database = open_database(read_url(url, data_dir=folder))
    await migrate(database)
    await database.close()
    connection = await asyncpg.connect(url)
    try:
        return await _on_postgres(count, connection)
    finally:
        await connection.close()


async def _on_postgres(count: int, connection: Any) -> Measure:
    insert = INSERT.format(marks=", ".join(f"${place}" for place in range(1, len(COLUMNS) + 1)))
    claim = CLAIM.format(now="$1", among="= ANY", lock=" FOR UPDATE SKIP LOCKED")
    claim = claim.replace("= ANY (", "= ANY (ARRAY(").replace("SKIP LOCKED)", "SKIP LOCKED))")
    groups = _groups(count)
    began_s = time.perf_counter()
    for rows in groups:
        await connection.executemany(insert, rows)
    inserted_s = time.perf_counter()
    while rows := await connection.fetch(claim, now_us()):
        ids = [row["id"] for row in rows]
        await connection.execute(SETTLE_POSTGRES, ids, ENTRY, now_us(), [f"provider_{one}" for one in ids])
    ended_s = time.perf_counter()
    sent = await connection.fetchval("SELECT count(*) FROM messages WHERE state = 'sent'")
    return _measure(count, sent, began_s, inserted_s, ended_s)


def _groups(count: int) -> list[list[tuple[object, ...]]]:
    """Made beforehand: the bound is the database's, not Python's."""
    now = now_us()
    return [
        [
            (
                *(f"msg_{now:016x}{number:06x}", "default", "user_1", "session_1", recipient(number)),
                *(payload(number), "pending", now + number, now + number, now, now + DAY_US, now, 2, 30_000_000),
            )
            for number in numbers
        ]
        for numbers in batches(count, size=BATCH)
    ]


def _measure(count: int, sent: int, began_s: float, inserted_s: float, ended_s: float) -> Measure:
    return Measure(
        messages_per_s=count / (ended_s - began_s),
        enqueue_per_s=count / (inserted_s - began_s),
        work_per_s=count / (ended_s - inserted_s),
        fault="" if sent == count else f"{sent} of {count} sent",
    )
