"""Tables as they are found, for copies that another sort of database can read: none is named but the exempt."""

import secrets
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from passerelle.db import Database, Tx
from passerelle.db.migrate import REACH_TABLE, migrate, run_steps
from passerelle.db.open import open_database
from passerelle.db.sqlite import SqliteTx
from passerelle.db.url import SqliteTarget
from passerelle.migrations import HEAD, VERSION_TABLE

AT_ONCE = 500  # rows of one page, and of one statement
EXEMPT = {
    VERSION_TABLE: "the first line says it, and the tables are made before the rows come",
    REACH_TABLE: "who makes the tables writes it",
    "workers": "who beats just now; the processes there are others",
    "records": "records have lines of their own, whatever their home is",
    "records_shadow": "the same",
}
"""Why a table of ours is in no export. What is not ours is in none either: `whatsmeow_*` (keys of linked devices, which
leave by ``passerelle sessions export``), and whatever else lives in the same database."""
_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()",
}
_COLUMNS = {
    "sqlite": "SELECT name, lower(type) AS type FROM pragma_table_xinfo(:table) WHERE hidden = 0 ORDER BY cid",
    "postgresql": "SELECT CAST(attname AS TEXT) AS name, format_type(atttypid, NULL) AS type FROM pg_attribute"
    " WHERE attrelid = to_regclass(quote_ident(:table)) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
    " ORDER BY attnum",
}
_PLAIN = frozenset({"smallint", "integer", "bigint", "text", "character varying", "boolean", "bytea"})
_COUNTED = {
    "sqlite": "SELECT seq AS number FROM sqlite_sequence WHERE name = :table",
    "postgresql": "SELECT COALESCE(last_value, 0) AS number FROM pg_sequences WHERE quote_ident(schemaname) || '.'"
    " || quote_ident(sequencename) = pg_get_serial_sequence(quote_ident(:table), :column)",
}


class Column(NamedTuple):
    """One column of a table, and its type in the words of its database."""

    name: str
    type: str

    @property
    def quoted(self) -> str:
        """Its name in a statement."""
        return quoted(self.name)


def quoted(name: str) -> str:
    """A name in a statement."""
    return '"' + name.replace('"', '""') + '"'


async def ours(revision: str) -> list[str]:
    """The tables that our migrations make, those of `EXEMPT` too."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(SqliteTarget(Path(folder) / "tables.sqlite3"))
        try:
            await make(database, revision)
            return await database.run(tables_of)
        finally:
            await database.close()


async def make(database: Database, revision: str) -> None:
    """Our tables as they were at `revision`, in a database that has none."""
    if revision == HEAD:
        await migrate(database)
    else:
        await database.run(lambda tx: tx.run_sync(partial(run_steps, to=revision)))


async def tables_of(tx: Tx) -> list[str]:
    """Every table there is, by name."""
    return sorted(row["name"] for row in await tx.sql(_NAMES[tx.dialect]))


async def columns_of(tx: Tx, table: str) -> list[Column]:
    """What can be written of a table."""
    return [Column(row["name"], row["type"]) for row in await tx.sql(_COLUMNS[tx.dialect], table=table)]


def selecting(tx: Tx, table: str, columns: list[Column]) -> str:
    """The statement that reads a whole table."""
    return f"SELECT {', '.join(_picked(tx, one) for one in columns)} FROM {quoted(table)}"  # noqa: S608 -- its own names


async def pages(tx: Tx, text: str) -> AsyncIterator[list[list[Any]]]:
    """All that the statement `text` finds, as JSON has it, some rows at a time."""
    if isinstance(tx, SqliteTx):
        cursor = tx.connection.execute(text)
        while rows := cursor.fetchmany(AT_ONCE):
            yield [[_plain(value) for value in row] for row in rows]
        return
    name = f"pages_{secrets.token_hex(4)}"  # never the same: the driver remembers what a statement brought
    await tx.sql(f"DECLARE {name} NO SCROLL CURSOR FOR {text}")
    while found := await tx.sql(f"FETCH {AT_ONCE} FROM {name}"):
        yield [[_plain(value) for value in row.values()] for row in found]
    await tx.sql(f"CLOSE {name}")


async def counted(tx: Tx, table: str, columns: list[Column]) -> tuple[str, int] | None:
    """The column that the database numbers by itself, and the last number it gave, where there is one."""
    for column in (one for one in columns if "int" in one.type):
        rows = await tx.sql(_COUNTED[tx.dialect], table=table, column=column.name)
        if rows:
            return column.name, int(rows[0]["number"])
    return None


def _picked(tx: Tx, column: Column) -> str:
    """What is neither a number nor text, in somebody else's table `leads`, travels as the text of it."""
    if tx.dialect == "sqlite" or column.type in _PLAIN:
        return column.quoted
    return f"CAST({column.quoted} AS TEXT) AS {column.quoted}"


def _plain(value: object) -> object:
    return {"hex": value.hex()} if isinstance(value, bytes) else value
