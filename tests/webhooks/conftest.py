"""Webhooks on both databases, and a receiver."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.conftest import opened
from outgoing.receiver import Receiver
from passerelle.db import Database

from .house import House, open_house
from servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Migrated."""
    url = None
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    async with opened(url, tmp_path) as database:
        yield database


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite, for tests in which the database is not what is tested."""
    async with opened(None, tmp_path) as database:
        yield database


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    async with open_house(database) as house:
        yield house


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver
