"""The database that a setting names, looked at from outside: beside a gateway that works on it, or while none runs."""

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from passerelle.db import findings
from passerelle.db.checks import DATABASE, MADE_AT_START, DatabaseCheck, tables_at
from passerelle.db.open import open_database
from passerelle.db.url import PostgresTarget, SqliteTarget, read_url
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Misconfigured
from passerelle.migrations import VERSION_TABLE

QUICK_CHECK_LIMIT_S = 2.0
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_HAS_VERSION = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"


class OutsideCheck:
    """See `Check`: takes no lock, writes nothing, makes no file."""

    name = "database"
    group = "database"
    title = DATABASE
    needs: tuple[str, ...] = ()
    vital = True

    def __init__(self, url: str | None, *, data_dir: Path) -> None:
        """Look at what ``DATABASE_URL`` says, or at the file in `data_dir`."""
        self._url = url
        self._data_dir = data_dir

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        try:
            target = read_url(self._url, data_dir=self._data_dir)
        except Misconfigured as wrong:
            return [replace(findings.DATABASE_URL_WRONG, evidence=str(wrong))]
        if isinstance(target, PostgresTarget):
            return await _look_at_server(target)
        return await asyncio.to_thread(_look_at_file, target)


async def _look_at_server(target: PostgresTarget) -> list[Finding]:
    database = open_database(target)
    try:
        return await DatabaseCheck(database, serving=False).run()
    finally:
        await database.close()


def _look_at_file(target: SqliteTarget) -> list[Finding]:
    path = target.path
    try:
        if not path.exists():
            return [Finding(id="DB_NOT_MADE", level=Level.OK, what=MADE_AT_START, evidence=path.name)]
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1)) as connection:
            return [tables_at(_version(connection), serving=False, seen=path.name), *_damage(connection)]
    except OSError as error:
        return [replace(findings.DB_AWAY, evidence=f"{path.name}: {error.strerror}")]
    except sqlite3.OperationalError as error:
        return [replace(findings.DB_AWAY, evidence=f"{path.name}: {error}")]
    except sqlite3.DatabaseError as error:
        return [replace(findings.DB_DAMAGED, evidence=f"{path.name}: {error}")]


def _version(connection: sqlite3.Connection) -> str | None:
    if connection.execute(_HAS_VERSION, (VERSION_TABLE,)).fetchone() is None:
        return None
    row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 -- a constant of ours
    return None if row is None else str(row[0])


def _damage(connection: sqlite3.Connection) -> list[Finding]:
    """The first thing that is wrong inside, as far as the time allows to look."""
    ends = time.monotonic() + QUICK_CHECK_LIMIT_S
    connection.set_progress_handler(lambda: int(time.monotonic() > ends), _STEPS)
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname == "SQLITE_INTERRUPT":
            return [findings.DB_TOO_LARGE]
        raise
    return [] if said == "ok" else [replace(findings.DB_DAMAGED, evidence=said[:200])]
