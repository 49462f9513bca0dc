"""Notices: what a commit tells whoever listens, on SQLite and on PostgreSQL, and what a rollback does not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from passerelle.db import Database, DatabaseAway, Tx
from passerelle.db.postgres import PostgresDatabase
from passerelle.db.sqlite import SqliteDatabase
from passerelle.db.url import PostgresTarget, read_url

from servers import PostgresServer, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    opened: Database
    if request.param == "sqlite":
        opened = SqliteDatabase(tmp_path / "notices.sqlite3")
    else:
        opened = elsewhere(request.getfixturevalue("postgres_server").create_database())
    yield opened
    await opened.close()


def elsewhere(url: str) -> PostgresDatabase:
    target = read_url(url, data_dir=Path())
    assert isinstance(target, PostgresTarget)
    return PostgresDatabase(target.url)


async def listening(database: Database) -> list[str]:
    """What is heard from now on, begun for sure."""
    heard: list[str] = []
    database.listen("news", heard.append)
    if database.shared:
        await eventually(lambda: "" in heard, "nobody listens")
        heard.clear()
    return heard


async def test_a_commit_is_heard(database: Database) -> None:
    heard = await listening(database)
    await database.run(lambda tx: tx.notify("news", "one"))
    await eventually(lambda: heard == ["one"])


async def test_another_channel_is_not_heard(database: Database) -> None:
    heard = await listening(database)
    await database.run(lambda tx: tx.notify("else", "one"))
    await database.run(lambda tx: tx.notify("news", "two"))
    await eventually(lambda: heard == ["two"])


async def test_what_was_rolled_back_is_not_heard(database: Database) -> None:
    heard = await listening(database)

    async def fail(tx: Tx) -> None:
        await tx.notify("news", "never")
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await database.run(fail)
    await database.run(lambda tx: tx.notify("news", "after"))
    await eventually(lambda: heard == ["after"])


async def test_another_process_is_heard_and_after_a_crash_of_the_server_too(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    here, there = elsewhere(url), elsewhere(url)
    heard = await listening(here)
    await there.run(lambda tx: tx.notify("news", "one"))
    await eventually(lambda: heard == ["one"])
    await there.run(
        lambda tx: tx.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname ="
            " current_database()"
        )
    )
    await eventually(lambda: heard == ["one", ""], "the ear is not opened anew")
    await there.run(lambda tx: tx.notify("news", "two"))
    await eventually(lambda: heard[-1] == "two")
    await here.close()
    await there.close()


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "closed.sqlite3")
    await database.close()
    with pytest.raises(DatabaseAway):
        await database.run(lambda tx: tx.sql("SELECT 1"))
