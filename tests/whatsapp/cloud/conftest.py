"""What tests of the Cloud API share."""

from collections.abc import AsyncIterator

import pytest

from .parts import House


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """The Cloud API over a Graph server of its own."""
    async with House() as house:
        yield house
