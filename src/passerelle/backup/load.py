"""An export comes into an empty database: all of it, or nothing."""

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from passerelle.backup.export import NAME, RECORDS
from passerelle.backup.faults import GatewayRuns, NotEmpty, NotWhole
from passerelle.backup.held import Waiting, hold
from passerelle.backup.model import UNREADABLE, Home, Manifest, Places
from passerelle.backup.restore import alone
from passerelle.backup.stored_records import COLUMNS, insert, write_files
from passerelle.backup.tables import AT_ONCE, EXEMPT, Column, columns_of, make, ours, quoted, tables_of
from passerelle.db import Database, Tx
from passerelle.db.migrate import migrate, version_of
from passerelle.db.open import open_database

BEATS_US = 15_000_000  # a worker that was heard of since lives
_LIVING = "SELECT 1 FROM workers WHERE heartbeat_us > :db_now - CAST(:beats_us AS BIGINT) LIMIT 1"
_SQLITE_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, OverflowError)
_REFUSALS = ("22", "23")  # SQLSTATE: values, constraints
_OF_RECORD = (str, str, str, int, str, str)


class Loaded(NamedTuple):
    """What came: rows by table, and what became of the messages that waited among them."""

    manifest: Manifest
    rows: dict[str, int]
    messages: Waiting


async def load(places: Places, lines: Iterable[str], *, send_waiting: bool) -> Loaded:
    """Bring the rows of `lines` into the database of `places`, which has none.

    The tables are made as they were when the export was, filled, then upgraded. Records go to the home that they have
    here; where that is Redis, into their shadow, from where ``passerelle records restore`` brings them there.

    Raises:
        NotWhole: with the number of the first line that is wrong.
        MadeByNewer, OtherKey: this export does not go here.
        NotEmpty, GatewayRuns: something is here already.
        DatabaseAway, StorageFull, CannotWrite: nothing was brought.
    """
    numbered = _Numbered(lines)
    manifest = Manifest.read(next(numbered, ""), NAME)
    manifest.check_key(places.keys)
    with alone((places.control,)):  # the lock of an SQLite file is taken by who opens it
        if places.home is Home.FILES and places.records.is_dir() and any(places.records.iterdir()):
            raise NotEmpty(places.records.name)
        database = open_database(places.database)
        try:
            names = await ours(manifest.revision)
            await _prepare(database, manifest.revision, names)
            loading = _Loading(numbered, names, places.home)
            waiting = await _filled(database, loading, places, send_waiting=send_waiting)
            await migrate(database)
        finally:
            await database.close()
    return Loaded(manifest, loading.counts, waiting)


async def _prepare(database: Database, revision: str, names: list[str]) -> None:
    """Tables of that revision, without a row."""
    there = await database.read(partial(_occupied, names=names))
    if there is None:
        await make(database, revision)
    elif there != revision:
        raise NotEmpty(f"tables of version {there}, the export is of {revision}")


async def _occupied(tx: Tx, *, names: list[str]) -> str | None:
    """The version of the tables that are there. Raises `NotEmpty` or `GatewayRuns`."""
    there = set(await tables_of(tx))
    if "workers" in there and await tx.sql(_LIVING, beats_us=BEATS_US):
        raise GatewayRuns
    for name in names:
        filled = name in there and (name not in EXEMPT or name.startswith(RECORDS))
        if filled and await tx.sql(f"SELECT 1 FROM {quoted(name)} LIMIT 1"):  # noqa: S608 -- a name of ours
            raise NotEmpty(f"the table {name}")
    return await version_of(tx)


async def _filled(database: Database, loading: "_Loading", places: Places, *, send_waiting: bool) -> Waiting:
    """One transaction; files of records are written before it ends, and go if it fails."""

    async def fill(tx: Tx) -> Waiting:
        await loading.run(tx)
        waiting = await hold(tx, send_waiting=send_waiting)
        if places.home is Home.FILES:
            write_files(places.records, loading.records)
        return waiting

    try:
        return await database.run(fill)
    except BaseException as error:
        if places.home is Home.FILES:
            shutil.rmtree(places.records, ignore_errors=True)
        if isinstance(error, _SQLITE_REFUSALS) or (isinstance(error, DBAPIError) and _is_refusal(error)):
            raise loading.wrong(str(getattr(error, "orig", error)).splitlines()[0][:200]) from None
        raise


def _is_refusal(error: DBAPIError) -> bool:
    return str(getattr(error.orig, "sqlstate", None) or "").startswith(_REFUSALS)


class _Numbered:
    """Lines, each read as JSON by who asks; knows which one it is at."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.at = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.at += 1
        try:
            return next(self._lines)
        except UnicodeDecodeError:
            raise NotWhole(f"line {self.at}: no text") from None


@dataclass(slots=True)
class _Loading:
    """The lines after the first, one by one, into one transaction."""

    lines: _Numbered
    names: list[str]
    home: Home
    counts: dict[str, int] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    _table: str = ""
    _columns: list[Column] = field(default_factory=list)
    _page: list[list[Any]] = field(default_factory=list)
    _ended: bool = False

    async def run(self, tx: Tx) -> None:
        for line in self.lines:
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                raise self.wrong("no JSON") from None
            if self._ended:
                raise self.wrong("something behind the end")
            if isinstance(told, list) and self._table:
                await self._row(tx, told)
            elif isinstance(told, dict):
                await self._word(tx, told)
            else:
                raise self.wrong("neither a row nor a word")
        if not self._ended:
            raise self.wrong("it was cut off")

    def wrong(self, why: str) -> NotWhole:
        return NotWhole(f"line {self.lines.at}: {why}")

    async def _row(self, tx: Tx, row: list[Any]) -> None:
        if len(row) != len(self._columns):
            raise self.wrong(f"{len(row)} values for {len(self._columns)} columns")
        self._page.append(row)
        self.counts[self._table] += 1
        if len(self._page) == AT_ONCE:
            await self._flush(tx)

    async def _word(self, tx: Tx, told: dict[str, Any]) -> None:
        await self._flush(tx)
        match told:
            case {"table": str(table), "columns": [*names]}:
                await self._begin(tx, table, names)
            case {"table": str(table), "column": str(column), "number": int(number)} if table == self._table:
                if column not in {one.name for one in self._columns}:
                    raise self.wrong("no such column")
                await _number(tx, table, column, number)
            case {"rows": dict(counts)}:
                if counts != self.counts:
                    raise self.wrong("some rows are missing, or too many")
                self._ended = True
            case _:
                raise self.wrong("an unknown word")

    async def _begin(self, tx: Tx, table: str, names: list[Any]) -> None:
        if table in self.counts or (table != RECORDS and (table not in self.names or table in EXEMPT)):
            raise self.wrong("a table that does not belong there")
        known = {column.name: column for column in await columns_of(tx, table)}
        unknown = [name for name in names if not isinstance(name, str) or name not in known]
        if unknown or (table == RECORDS and tuple(names) != COLUMNS):
            raise self.wrong(f"the table {table} has not these columns here: {', '.join(map(str, unknown))[:200]}")
        self._table, self._columns = table, [known[name] for name in names]
        self.counts[table] = 0

    async def _flush(self, tx: Tx) -> None:
        page, self._page = self._page, []
        if not page:
            return
        if self._table == RECORDS:
            rows = [dict(zip(COLUMNS, row, strict=True)) for row in page]
            if not all(isinstance(value, sort) for row in page for value, sort in zip(row, _OF_RECORD, strict=True)):
                raise self.wrong("a record is none")
            if self.home is Home.FILES:
                self.records += rows
            else:
                await insert(tx, self.home, rows)
            return
        try:
            rows = [{f"c{place}": _value(tx, value) for place, value in enumerate(row)} for row in page]
        except UNREADABLE:
            raise self.wrong("a value that is none") from None
        text = _insertion(tx, self._table, self._columns)
        await (tx.sql(text, rows=rows) if tx.dialect == "postgresql" else tx.many(text, rows))


def _insertion(tx: Tx, table: str, columns: list[Column]) -> str:
    """On PostgreSQL every value comes as text and becomes what its column keeps."""
    into = f"INSERT INTO {quoted(table)} ({', '.join(column.quoted for column in columns)})"
    places = range(len(columns))
    if tx.dialect == "sqlite":
        return f"{into} VALUES ({', '.join(f':c{place}' for place in places)})"
    values = ", ".join(f"CAST(new.c{place} AS {column.type})" for place, column in enumerate(columns))
    texts = ", ".join(f"c{place} TEXT" for place in places)
    return f"{into} OVERRIDING SYSTEM VALUE SELECT {values} FROM EACH(:rows AS ({texts})) AS new"  # noqa: S608 -- quoted


def _value(tx: Tx, value: Any) -> Any:
    if isinstance(value, dict):
        data = bytes.fromhex(value["hex"])
        return data if tx.dialect == "sqlite" else f"\\x{data.hex()}"
    if isinstance(value, list):
        raise TypeError
    return value


async def _number(tx: Tx, table: str, column: str, number: int) -> None:
    """Let the database go on counting where it stood."""
    if tx.dialect == "postgresql":
        sequence = "pg_get_serial_sequence(quote_ident(:table), :column)"
        last = f"SELECT GREATEST(CAST(:number AS BIGINT), (SELECT MAX({quoted(column)}) FROM {quoted(table)})) AS last"  # noqa: S608
        await tx.sql(
            f"SELECT setval({sequence}, last) FROM ({last}) AS counted WHERE last > 0",  # noqa: S608
            table=table,
            column=column,
            number=number,
        )
    else:
        await tx.sql("DELETE FROM sqlite_sequence WHERE name = :table", table=table)
        await tx.sql("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)", table=table, number=number)
