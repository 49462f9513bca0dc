"""Units of work per second: one commit per unit against units driven in groups, side by side on SQLite."""

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from passerelle.db import Tx
from passerelle.db.sqlite import SqliteDatabase

TABLE = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)"
INSERT = "INSERT INTO notes (body) VALUES (:body)"
SECONDS = 1.0
ROUNDS = 3


async def _count(tasks: int, once: "asyncio.Future[None]", seconds: float = SECONDS) -> float:
    """Units per second of `tasks` tasks that call `once()` one after the other."""
    done = 0
    end = time.perf_counter() + seconds

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await once()  # type: ignore[operator]
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return done / (time.perf_counter() - start)


async def driven(folder: Path, tasks: int) -> float:
    """Ours: `Database.run`."""
    database = SqliteDatabase(folder / "driven.sqlite3")
    await database.run(lambda tx: tx.sql(TABLE))

    async def insert(tx: Tx) -> None:
        await tx.sql(INSERT, body="a body of forty characters or thereabout")

    rate = await _count(tasks, lambda: database.run(insert))  # type: ignore[arg-type]
    await database.close()
    return rate


async def commit_each(folder: Path, tasks: int) -> float:
    """The usual way: a thread, one transaction per unit, the same durability."""
    connection = sqlite3.connect(folder / "each.sqlite3", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(TABLE)
    thread = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()

    def insert() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, {"body": "a body of forty characters or thereabout"})
        connection.execute("COMMIT")

    rate = await _count(tasks, lambda: loop.run_in_executor(thread, insert))  # type: ignore[arg-type]
    thread.shutdown()
    connection.close()
    return rate


async def main() -> None:
    """Print one line per number of tasks: medians of interleaved rounds, and their ratio."""
    print(f"{'tasks':>6} {'commit per unit/s':>18} {'driven units/s':>15} {'ratio':>6}")
    for tasks in (1, 50, 200):
        rates: dict[str, list[float]] = {"each": [], "driven": []}
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                rates["each"].append(await commit_each(Path(folder), tasks))
                rates["driven"].append(await driven(Path(folder), tasks))
        each, ours = (statistics.median(rates[name]) for name in ("each", "driven"))
        print(f"{tasks:>6} {each:>18,.0f} {ours:>15,.0f} {ours / each:>6.1f}")


if __name__ == "__main__":
    if "--quick" in sys.argv:
        SECONDS, ROUNDS = 0.2, 1
    asyncio.run(main())
