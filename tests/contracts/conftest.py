from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, StateListener, examine

from servers import PostgresServer
from tables import copy_tables

OpenLink = Callable[..., Awaitable[RedisLink]]


def closed_link(url: str | None) -> RedisLink:
    """A link not started yet, that finds out in a tenth of a second."""
    return RedisLink(setting=examine(url), redactor=Redactor(), probe_every=0.1)


@asynccontextmanager
async def opened(url: str | None, folder: Path) -> AsyncIterator[Database]:
    """The database at `url` (none: a file in `folder`), migrated."""
    if url is None:
        copy_tables(folder)
    database = open_database(read_url(url, data_dir=folder))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Nothing for SQLite in the test's own folder, else a fresh database on the real server."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


@pytest.fixture
async def database(database_url: str | None, tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite and PostgreSQL, migrated."""
    async with opened(database_url, tmp_path) as database:
        yield database


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite, migrated, for tests in which the database is not what is tested."""
    async with opened(None, tmp_path) as database:
        yield database


@pytest.fixture
async def open_link() -> AsyncIterator[OpenLink]:
    """Starts links (to an address, or made already); closes them at the end."""
    links: list[RedisLink] = []

    async def make(address: str | RedisLink | None, *listeners: StateListener) -> RedisLink:
        link = address if isinstance(address, RedisLink) else closed_link(address)
        links.append(link)
        for listener in listeners:
            link.listen(listener)
        await link.start()
        return link

    yield make
    for link in links:
        await link.close()
