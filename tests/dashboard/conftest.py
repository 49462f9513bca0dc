"""One browser for all tests of a module; a gateway for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from dashboard.browsing import Site, chromium, served


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
