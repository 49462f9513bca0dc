import asyncio
import atexit
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from passerelle.db import Database, Tx
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, StateListener, examine

from servers import HOST, PostgresServer

OpenLink = Callable[..., Awaitable[RedisLink]]


def closed_link(url: str | None) -> RedisLink:
    """A link not started yet, that finds out in a tenth of a second."""
    return RedisLink(setting=examine(url), redactor=Redactor(), probe_every=0.1)


@asynccontextmanager
async def opened(url: str | None, folder: Path) -> AsyncIterator[Database]:
    """The database at `url` (none: a file in `folder`), migrated."""
    if url is None and not (folder / _migrated_file().name).exists():
        shutil.copy(_migrated_file(), folder)
    database = open_database(read_url(url, data_dir=folder))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


async def _migrate(url: str | None, folder: Path) -> None:
    database = open_database(read_url(url, data_dir=folder))
    await migrate(database)
    if url is not None:  # this server commits without waiting for its disk, and one day it is killed
        await database.run(_wait_for_the_disk)
    await database.close()


async def _wait_for_the_disk(tx: Tx) -> None:
    await tx.sql("SET LOCAL synchronous_commit = on")
    await tx.sql("SELECT pg_logical_emit_message(TRUE, 'tests', 'something to wait for')")


def _elsewhere(work: Coroutine[Any, Any, None]) -> None:
    """On a loop of its own, also while one runs here."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@cache
def _migrated_file() -> Path:
    """Copied for each test: migrating takes ten times as long."""
    folder = Path(tempfile.mkdtemp(prefix="passerelle-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _elsewhere(_migrate(None, folder))
    return folder / "passerelle.sqlite3"


@cache
def _template(server: PostgresServer) -> str:
    url = server.create_database()
    _elsewhere(_migrate(url, Path()))
    return url.rpartition("/")[2]


def fresh_database(server: PostgresServer) -> str:
    """The URL of a database of the test's own, migrated."""
    name = f"t_{secrets.token_hex(6)}"
    place = ["-h", HOST, "-p", str(server.port), "-U", "postgres"]
    server._run("createdb", *place, "-T", _template(server), name)
    return f"postgresql://postgres@{HOST}:{server.port}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Nothing for SQLite in the test's own folder, else a fresh database on the real server."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return fresh_database(server)


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
