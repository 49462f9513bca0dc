"""From the version before to this one on the data that it made, and back as far as that goes."""

import asyncio
import re
import shutil
from pathlib import Path

from passerelle import __version__
from passerelle.db import Database, Row, Tx
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.migrations import HEAD
from upgrade.previous import ROOT, VERSION
from upgrade.story import Maker, expect_kept, leave, live, settle, told

from servers import PostgresServer
from tables import SQLITE

GUIDE = ROOT / "docs/running/upgrading.md"
BY_HAND = re.compile(r"^UPDATE passerelle_version [^;]*", re.MULTILINE)
Tables = dict[str, list[Row]]
NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()",
}


def rows_of(url: str | None, folder: Path, *, upgrade: bool = False) -> Tables:
    """Every row of every table, but for their version; upgraded before if asked for."""

    async def read(tx: Tx) -> Tables:
        names = sorted(row["name"] for row in await tx.sql(NAMES[tx.dialect]))
        return {name: await tx.sql(f"SELECT * FROM {name}") for name in names if name != "passerelle_version"}  # noqa: S608

    async def ask() -> Tables:
        database: Database = open_database(read_url(url, data_dir=folder))
        try:
            if upgrade:
                assert await migrate(database)
            return await database.read(read)
        finally:
            await database.close()

    return asyncio.run(ask())


def told_by_hand(url: str, statement: str) -> None:
    """What an operator says in psql."""

    async def tell() -> None:
        database = open_database(read_url(url, data_dir=Path()))
        await database.run(lambda tx: tx.sql(statement))
        await database.close()

    asyncio.run(tell())


def expect_rows_kept(before: Tables, now: Tables) -> None:
    """Every row there, every column of it as it was; there may be more columns, and tables."""
    assert before.keys() <= now.keys()
    assert len([rows for rows in before.values() if rows]) > 15
    for name, rows in before.items():
        columns = rows[0].keys() if rows else ()
        found = [{column: row.get(column, "gone") for column in columns} for row in now[name]]
        assert sorted(map(repr, found)) == sorted(map(repr, rows)), name


def test_the_version_before_is_what_runs(make: Maker) -> None:
    assert make.run("version", old=True) == (0, f"passerelle {VERSION}\n")
    assert make.run("version") == (0, f"passerelle {__version__}\n")
    assert __version__ != VERSION


def test_an_upgrade_on_sqlite_keeps_everything_and_does_what_waits_once(make: Maker, tmp_path: Path) -> None:
    """The tables are upgraded by the start."""
    with make.world() as world:
        with make.process("serve", old=True) as old:
            left = live(old, world)
            before = told(old, left)
            leave(old, world, left)
            old.terminate()
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy(make.data_dir / SQLITE, copy)
        expect_rows_kept(rows_of(None, make.data_dir), rows_of(None, copy, upgrade=True))
        world.start()
        with make.process("serve") as new:
            expect_kept(before, told(new, left))
            settle(new, world, left)


def test_an_upgrade_on_postgresql_keeps_everything_and_does_what_waits_once(
    make: Maker, postgres_server: PostgresServer
) -> None:
    """The tables are upgraded by the command."""
    url = make.env["DATABASE_URL"] = postgres_server.create_database(empty=True)
    with make.world() as world:
        with make.process("serve", old=True) as old:
            left = live(old, world)
            before = told(old, left)
            leave(old, world, left)
            old.terminate()
        rows = rows_of(url, make.data_dir)
        assert make.run("db", "upgrade") == (0, f"✅ The tables are at version {HEAD}, upgraded just now.\n")
        expect_rows_kept(rows, rows_of(url, make.data_dir))
        world.start()
        with make.process("serve") as new:
            expect_kept(before, told(new, left))
            settle(new, world, left)


def test_the_version_before_goes_on_with_everything_when_its_tables_are_upgraded_under_it(
    make: Maker, postgres_server: PostgresServer
) -> None:
    """As long as it runs: it starts on them only as the guide says, and harms nothing when it tries otherwise."""
    url = make.env["DATABASE_URL"] = postgres_server.create_database(empty=True)
    with make.world() as world:
        with make.process("serve", old=True) as old:
            assert make.run("db", "upgrade")[0] == 0
            left = live(old, world)
            before = told(old, left)
            old.terminate()
        back, forth = BY_HAND.findall(GUIDE.read_text())
        assert make.run("db", "upgrade", old=True)[0] == 1
        told_by_hand(url, back)
        assert make.run("db", "upgrade", old=True)[0] == 0
        told_by_hand(url, forth)
        with make.process("serve") as new:
            expect_kept(before, told(new, left))


def test_this_version_goes_on_with_everything_on_tables_of_the_next_one(make: Maker) -> None:
    """Which only have more: one version back works."""
    assert make.run("db", "upgrade")[0] == 0

    async def add(tx: Tx) -> None:
        for row in await tx.sql(NAMES[tx.dialect]):
            await tx.sql(f"ALTER TABLE {row['name']} ADD COLUMN of_tomorrow TEXT")
            await tx.sql(f"ALTER TABLE {row['name']} ADD COLUMN counted_tomorrow BIGINT NOT NULL DEFAULT 0")
        await tx.sql("UPDATE passerelle_version SET version_num = '9999'")
        await tx.sql("INSERT INTO passerelle_reach (tables_at, works_from) VALUES ('9999', :head)", head=HEAD)

    async def change() -> None:
        database = open_database(read_url(None, data_dir=make.data_dir))
        await database.run(add)
        await database.close()

    asyncio.run(change())
    with make.world() as world, make.process("serve") as this:
        left = live(this, world)
        before = told(this, left)
        leave(this, world, left)
        this.terminate()
        world.start()
        this.start()
        expect_kept(before, told(this, left))
        settle(this, world, left)
        assert "The tables are newer than this program" in this.log
