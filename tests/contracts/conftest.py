import asyncio
import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, StateListener, examine

from servers import PostgresServer

OpenLink = Callable[..., Awaitable[RedisLink]]


def closed_link(url: str | None) -> RedisLink:
    """A link not started yet, that finds out in a tenth of a second."""
    return RedisLink(setting=examine(url), redactor=Redactor(), probe_every=0.1)


@asynccontextmanager
async def opened(url: str | None, folder: Path, *, copy: bool = True) -> AsyncIterator[Database]:
    """The database at `url` (none: a file in `folder`), migrated."""
    if url is None and copy and not (folder / _migrated_file().name).exists():
        shutil.copy(_migrated_file(), folder)
    database = open_database(read_url(url, data_dir=folder))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


async def _migrate(folder: Path) -> None:
    async with opened(None, folder, copy=False):
        pass


@cache
def _migrated_file() -> Path:
    """Copied for each test: migrating takes ten times as long."""
    folder = Path(tempfile.mkdtemp(prefix="passerelle-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with ThreadPoolExecutor(1) as thread:  # on a loop of its own, also while one runs here
        thread.submit(asyncio.run, _migrate(folder)).result()
    return folder / "passerelle.sqlite3"


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


@pytest.fixture
def killable(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The shared PostgreSQL, for a test that kills it; it runs again afterwards."""
    yield postgres_server
    if not postgres_server.running:
        postgres_server.start()
