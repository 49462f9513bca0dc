"""What tests of the inbox share: rows on either database, media in a folder, a phone's world."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from contracts.conftest import opened
from media.house import house
from passerelle.db import Database
from passerelle.media.images import Images
from passerelle.sandbox.world import World

from .room import Room
from servers import PostgresServer


@pytest.fixture(scope="session")
async def images() -> AsyncIterator[Images]:
    """A process for pictures, started by the first one."""
    images = Images()
    yield images
    await images.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Nothing for SQLite in the test's own folder, else a fresh database on the real server."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


@pytest.fixture
async def database(database_url: str | None, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(database_url, tmp_path) as database:
        yield database


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "world.sqlite3")
    yield world
    world.close()


@pytest.fixture
async def room(tmp_path: Path, database: Database, images: Images, world: World) -> AsyncIterator[Room]:
    async with house(tmp_path, database, images) as ours:
        yield Room(database=database, library=ours.library, world=world, folder=tmp_path)


@pytest.fixture
async def two_rooms(
    tmp_path: Path, database_url: str | None, database: Database, images: Images, world: World
) -> AsyncIterator[tuple[Room, Room]]:
    """Two processes: two pools on PostgreSQL; on SQLite, which serves one, the same twice."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(opened(database_url, tmp_path)) if database_url else database
        ours, theirs = [await stack.enter_async_context(house(tmp_path, one, images)) for one in (database, other)]
        yield (
            Room(database=database, library=ours.library, world=world, folder=tmp_path),
            Room(database=other, library=theirs.library, world=world, folder=tmp_path, worker_id="worker_b"),
        )
