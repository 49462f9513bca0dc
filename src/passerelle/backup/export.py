"""Rows leave as JSON lines, which SQLite and PostgreSQL alike can take in."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from typing import Any, TextIO

from passerelle.backup.faults import NothingHere, SourceDamaged
from passerelle.backup.model import UNREADABLE, Home, Manifest, Places
from passerelle.backup.sqlite_copy import reading, revision_of
from passerelle.backup.stored_records import COLUMNS, KEPT, read_files
from passerelle.backup.tables import EXEMPT, columns_of, counted, ours, pages, selecting, tables_of
from passerelle.backup.take import describe
from passerelle.db import Tx
from passerelle.db.migrate import version_of
from passerelle.db.open import open_database
from passerelle.db.sqlite import SqliteTx, drive
from passerelle.db.url import SqliteTarget
from passerelle.migrations import HEAD

NAME = "passerelle_export"
RECORDS = "records"


async def export(places: Places, out: TextIO) -> dict[str, int]:
    """Write every row, as of one moment, and how many there are of each table; beside whoever works.

    Lines: what it is; ``{"table", "columns"}`` before the rows of a table, each an array; ``{"table", "column",
    "number"}`` for what a database numbers by itself; how many rows each table had, so that none can be cut off unseen.

    Raises:
        NothingHere, SourceDamaged, MadeByNewer, DatabaseAway: there is nothing that can be read.
    """
    target = places.database
    if isinstance(target, SqliteTarget):
        revision = revision_of(target.path)
        lines = _Lines(out, describe(places, revision), await _names(revision))
        with closing(reading(target.path)) as connection:
            tx = SqliteTx(connection)
            connection.execute("BEGIN")
            try:
                drive(partial(_rows, lines=lines, home=places.home), tx)
            except sqlite3.DatabaseError as error:
                raise SourceDamaged(f"{target.path.name}: {error}") from None
    else:
        database = open_database(target)
        try:
            known = await database.read(version_of)
            if known is None:
                raise NothingHere("the database has no tables of Passerelle")
            lines = _Lines(out, describe(places, known), await _names(known))
            await database.read(partial(_rows, lines=lines, home=places.home))
        finally:
            await database.close()
    if places.home is Home.FILES:  # after the facts that are for them: applied twice they change nothing
        lines.begin(RECORDS, COLUMNS)
        try:
            lines.rows(read_files(places.records))
        except UNREADABLE:
            raise SourceDamaged("a file of records") from None
    return lines.end()


async def _names(revision: str) -> list[str]:
    return await ours(min(revision, HEAD))


class _Lines:
    """The lines of one export; the first is written at once."""

    def __init__(self, out: TextIO, manifest: Manifest, names: Iterable[str]) -> None:
        self._out = out
        self.names = [name for name in names if name not in EXEMPT]
        self._counts: dict[str, int] = {}
        self._table = ""
        Manifest.read(first := manifest.as_json(NAME), NAME)  # of tables that are newer than this program nobody knows
        self._line(first)

    def begin(self, table: str, columns: Iterable[str]) -> None:
        self._table = table
        self._counts[table] = 0
        self._line(json.dumps({"table": table, "columns": list(columns)}, ensure_ascii=False))

    def rows(self, rows: Iterable[list[Any]]) -> None:
        for row in rows:
            self._line(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
            self._counts[self._table] += 1

    def number(self, column: str, number: int) -> None:
        self._line(json.dumps({"table": self._table, "column": column, "number": number}))

    def end(self) -> dict[str, int]:
        self._line(json.dumps({"rows": self._counts}, ensure_ascii=False))
        return self._counts

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")


async def _rows(tx: Tx, *, lines: _Lines, home: Home) -> None:
    if tx.dialect == "postgresql":
        await tx.sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    there = set(await tables_of(tx))
    for table in lines.names:
        if table in there:
            columns = await columns_of(tx, table)
            lines.begin(table, (column.name for column in columns))
            async for page in pages(tx, selecting(tx, table, columns)):
                lines.rows(page)
            number = await counted(tx, table, columns)
            if number is not None:
                lines.number(*number)
    if home is not Home.FILES:
        lines.begin(RECORDS, COLUMNS)
        async for page in pages(tx, KEPT[home]):
            lines.rows(page)
