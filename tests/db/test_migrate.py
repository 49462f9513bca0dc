"""How tables come to the newest version beside processes that use them, and what a program does with newer ones."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from passerelle.db import Database, DatabaseAway, Tx
from passerelle.db import migrate as steps
from passerelle.db.migrate import migrate, version_of
from passerelle.db.open import open_database
from passerelle.db.units import TablesInUse
from passerelle.db.url import read_url
from passerelle.errors import Misconfigured
from passerelle.migrations import HEAD, WORKS_FROM

from servers import PostgresServer

pytestmark = pytest.mark.anyio
BEFORE_WORKERS_HAVE_VERSIONS = "0014"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Without a table."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").create_database(empty=True)
    database = open_database(read_url(url, data_dir=tmp_path))
    yield database
    await database.close()


@pytest.fixture
async def used(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Tables of some steps ago on PostgreSQL, for who migrates and for who uses them meanwhile."""
    target = read_url(postgres_server.create_database(empty=True), data_dir=tmp_path)
    one, other = open_database(target), open_database(target)
    await one.run(lambda tx: tx.run_sync(partial(steps.run_steps, to=BEFORE_WORKERS_HAVE_VERSIONS)))
    yield one, other
    await one.close()
    await other.close()


async def at_version(database: Database, version: str, *, works_from: str | None) -> None:
    async def write(tx: Tx) -> None:
        await tx.sql("UPDATE passerelle_version SET version_num = :version", version=version)
        if works_from is not None:
            named = {"at": version, "works_from": works_from}
            await tx.sql("INSERT INTO passerelle_reach (tables_at, works_from) VALUES (:at, :works_from)", **named)

    await database.run(write)


async def reach_of(database: Database) -> dict[str, str]:
    rows = await database.read(lambda tx: tx.sql("SELECT tables_at, works_from FROM passerelle_reach"))
    return {row["tables_at"]: row["works_from"] for row in rows}


async def test_tables_say_which_programs_can_work_on_them(database: Database) -> None:
    assert await migrate(database)
    assert await reach_of(database) == {HEAD: WORKS_FROM}


async def test_tables_that_only_have_more_than_we_know_are_worked_on_and_told(database: Database) -> None:
    await migrate(database)
    await at_version(database, "9999", works_from=HEAD)
    with capture_logs() as lines:
        assert not await migrate(database)
    (line,) = lines
    assert (line["log_level"], line["tables"], line["program"]) == ("warning", "9999", HEAD)
    assert await database.read(version_of) == "9999"


@pytest.mark.parametrize("works_from", ["9998", None], ids=["too new", "without a word"])
async def test_tables_that_are_too_new_are_refused_in_a_sentence(works_from: str | None, database: Database) -> None:
    await migrate(database)
    await at_version(database, "9999", works_from=works_from)
    with pytest.raises(Misconfigured, match="9999"):
        await migrate(database)


async def test_an_upgrade_keeps_nobody_waiting_while_it_cannot_have_a_table(used: tuple[Database, Database]) -> None:
    """A backup that reads a table for an hour would else stop everything: all others wait behind who wants to alter it.

    What comes before that table stands already: each step has a commit of its own.
    """
    upgrading, using = used
    reads, over = asyncio.Event(), asyncio.Event()

    async def read_for_long(tx: Tx) -> None:
        await tx.sql("LOCK TABLE workers IN ACCESS SHARE MODE")
        reads.set()
        await over.wait()

    reading = asyncio.create_task(using.run(read_for_long))
    await reads.wait()
    try:
        with pytest.raises(TablesInUse):
            await upgrading.run(steps._step)
        upgrade = asyncio.create_task(migrate(upgrading))
        for _ in range(20):  # longer than one wait of the upgrade; each is given up after 3 s by itself
            await using.run(lambda tx: tx.sql("SELECT COUNT(*) FROM workers"))
            await asyncio.sleep(0.15)
        assert not upgrade.done()
        assert await using.read(version_of) == BEFORE_WORKERS_HAVE_VERSIONS
    finally:
        over.set()
    await reading
    assert await upgrade
    assert await using.read(version_of) == HEAD


async def test_a_step_may_take_longer_than_any_other_statement(used: tuple[Database, Database]) -> None:
    """As an index over millions of rows; everything else is given up after 3 s."""
    upgrading, _ = used

    async def slow_down(tx: Tx) -> None:
        body = "BEGIN PERFORM pg_sleep(3.3); END"
        await tx.sql(f"CREATE FUNCTION slowly() RETURNS event_trigger LANGUAGE plpgsql AS '{body}'")
        await tx.sql(
            "CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION slowly()"
        )

    await upgrading.run(slow_down)
    assert await migrate(upgrading)
    with pytest.raises(DatabaseAway):
        await upgrading.run(lambda tx: tx.sql("SELECT pg_sleep(3.3)"))
