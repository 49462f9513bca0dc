"""What the tests of clients share: a database on both engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh one, migrated."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").create_database()
    database = open_database(read_url(url, data_dir=tmp_path))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()
