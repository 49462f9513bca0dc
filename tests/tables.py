"""Databases that have our tables already: a copy takes a tenth of what migrating does, and no process loads alembic."""

import asyncio
import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url

SQLITE = "passerelle.sqlite3"


def make_tables(url: str | None, folder: Path) -> None:
    """Our tables in the database at `url` (none: a file in `folder`), also while a loop runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _migrate(url, folder)).result()


def copy_tables(folder: Path) -> None:
    """An SQLite file with our tables, and nothing in them, in `folder`; left alone where there is one."""
    if not (folder / SQLITE).exists():
        shutil.copy(_template(), folder / SQLITE)


async def _migrate(url: str | None, folder: Path) -> None:
    database = open_database(read_url(url, data_dir=folder))
    try:
        await migrate(database)
    finally:
        await database.close()


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="passerelle-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_tables(None, folder)
    return folder / SQLITE
