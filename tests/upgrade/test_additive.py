"""Migrations since the version before only add: it works on beside them, and so does whoever goes one version back."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from passerelle.db import Tx
from passerelle.db import migrate as steps
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.migrations import FOLDER, HEAD, VERSION_TABLE, WORKS_FROM
from upgrade.previous import ROOT, TABLES_AT

from servers import PostgresServer

GUIDE = ROOT / "docs/running/upgrading.md"
INDEX = re.compile(r"^CREATE INDEX CONCURRENTLY .*(?=;$)", re.MULTILINE)
OURS = frozenset({VERSION_TABLE, steps.REACH_TABLE})
NEWER = sorted(path.stem[:4] for path in (FOLDER / "versions").glob("0*.py") if path.stem[:4] > TABLES_AT)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What statements of ours rely on, by table: columns, and what may not be twice."""

    columns: Mapping[str, Mapping[str, Any]]
    unique: Mapping[str, frozenset[str]]


def wrong_between(before: Shape, after: Shape) -> Iterator[str]:
    """Why a program that knows the tables `before` could not work on those `after`."""
    for table, columns in before.columns.items():
        if table not in after.columns:
            yield f"{table} is gone"
            continue
        for name, column in columns.items():
            yield from _wrong_column(f"{table}.{name}", column, after.columns[table].get(name))
        for name in after.columns[table].keys() - columns.keys():
            column = after.columns[table][name]
            if not column["nullable"] and column["default"] is None:
                yield f"{table}.{name} is new, and who does not know it cannot insert"
        yield from (f"{table}: {one} is new, and may refuse" for one in after.unique[table] - before.unique[table])
        yield from (f"{table}: ON CONFLICT misses {one}" for one in before.unique[table] - after.unique[table])


def _wrong_column(name: str, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> Iterator[str]:
    if after is None:
        yield f"{name} is gone"
        return
    for part in ("type", "default"):
        if after[part] != before[part]:
            yield f"{name} had the {part} {before[part]}, and has {after[part]}"
    if before["nullable"] and not after["nullable"]:
        yield f"{name} may be empty no more"


def shape_of(connection: sa.Connection) -> Shape:
    """As the database tells it."""
    look = sa.inspect(connection)
    tables = [name for name in look.get_table_names() if name not in OURS]
    columns = {table: {one["name"]: _column(one) for one in look.get_columns(table)} for table in tables}
    return Shape(columns=columns, unique={table: frozenset(_unique(look, table)) for table in tables})


def _column(told: Any) -> dict[str, Any]:
    return {"type": str(told["type"]), "nullable": told["nullable"], "default": told["default"]}


def _unique(look: sa.Inspector, table: str) -> Iterator[str]:
    yield f"key {look.get_pk_constraint(table)['constrained_columns']}"
    for index in look.get_indexes(table):
        if index["unique"]:
            yield f"index {index['column_names']} {sorted(map(str, index.get('dialect_options', {}).values()))}"
    for kind in (look.get_unique_constraints, look.get_check_constraints):
        yield from (str(sorted((name, str(value)) for name, value in one.items())) for one in kind(table))
    for key in look.get_foreign_keys(table):
        yield f"reference {key['constrained_columns']} {key['referred_table']}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database(empty=True)


def shapes(url: str | None, folder: Path, *versions: str) -> list[Shape]:
    """The tables at these versions, one after another."""

    async def read() -> list[Shape]:
        database = open_database(read_url(url, data_dir=folder))

        async def at(tx: Tx, version: str) -> Shape:
            await tx.run_sync(partial(steps.run_steps, to=version))
            return await tx.run_sync(shape_of)

        try:
            return [await database.run(partial(at, version=version)) for version in versions]
        finally:
            await database.close()

    return asyncio.run(read())


def test_each_step_since_the_version_before_only_adds(url: str | None, tmp_path: Path) -> None:
    assert NEWER[-1] == HEAD
    versions = [TABLES_AT, *NEWER]
    found = shapes(url, tmp_path, *versions)
    for version, before, after in zip(NEWER, found, found[1:], strict=False):
        assert list(wrong_between(before, after)) == [], version


def test_an_index_that_was_made_before_as_the_guide_says_is_found(postgres_server: PostgresServer) -> None:
    """`CONCURRENTLY`, which no transaction takes, is for operators."""
    url = postgres_server.create_database(empty=True)
    made = [text.replace("CONCURRENTLY ", "") for text in INDEX.findall(GUIDE.read_text())]
    assert made

    async def upgrade() -> None:
        database = open_database(read_url(url, data_dir=Path()))

        async def prepare(tx: Tx) -> None:
            await tx.run_sync(partial(steps.run_steps, to=TABLES_AT))
            for text in made:
                await tx.sql(text)

        await database.run(prepare)
        assert await steps.migrate(database)
        await database.close()

    asyncio.run(upgrade())


def test_the_tables_say_that_the_version_before_can_work_on_them() -> None:
    """`WORKS_FROM` rises only with a step that takes away what no program since then uses."""
    assert WORKS_FROM <= TABLES_AT


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DROP TABLE captures", "captures is gone"),
        ("ALTER TABLE workers DROP COLUMN heartbeat_us", "workers.heartbeat_us is gone"),
        ("ALTER TABLE workers RENAME COLUMN heartbeat_us TO beat_us", "workers.heartbeat_us is gone"),
        ("ALTER TABLE workers ADD COLUMN host TEXT NOT NULL", "workers.host is new"),
        ("ALTER TABLE workers ALTER COLUMN heartbeat_us TYPE INTEGER", "had the type BIGINT"),
        ("ALTER TABLE receipts ALTER COLUMN reference SET NOT NULL", "may be empty no more"),
        ("CREATE UNIQUE INDEX one ON workers (heartbeat_us)", "may refuse"),
        ("DROP INDEX one_open_attempt_per_user", "ON CONFLICT misses"),
        ("ALTER TABLE workers ADD CHECK (heartbeat_us > 1)", "may refuse"),
    ],
)
def test_what_would_stop_the_version_before_is_seen(change: str, told: str, postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()

    async def compare() -> list[str]:
        database = open_database(read_url(url, data_dir=Path()))

        async def both(tx: Tx) -> list[str]:
            before = await tx.run_sync(shape_of)
            await tx.sql(change)
            return list(wrong_between(before, await tx.run_sync(shape_of)))

        try:
            return await database.run(both)
        finally:
            await database.close()

    found = asyncio.run(compare())
    assert told in " ".join(found)
