"""One browser for all tests of a module; a gateway for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from dashboard.browsing import Site, chromium, served

from servers import PostgresServer


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with chromium() as opened:
        yield opened


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An open gateway on the simulated WhatsApp."""
    async with served(tmp_path / "data") as site:
        yield site


@pytest.fixture
def killable(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The shared PostgreSQL, for a test that kills it; it runs again afterwards."""
    yield postgres_server
    if not postgres_server.running:
        postgres_server.start()
