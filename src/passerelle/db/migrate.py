"""Brings the tables to the newest version, one process at a time."""

import asyncio
from typing import TYPE_CHECKING

from passerelle.db.units import Database, DatabaseAway, Tx
from passerelle.migrations import FOLDER, HEAD, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK_ID = 0x50617373  # "Pass"; any number, the same in every process
WAIT_S = 60
_HAS_TABLE = {  # asked in plain SQL: SQLAlchemy's inspector would cost every start 0.3 s
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name",
    "postgresql": "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = :name",
}


async def migrate(database: Database) -> bool:
    """Upgrade to `HEAD`; whether anything was to do. Waits at most 60 s for another process that migrates.

    Raises:
        DatabaseAway: the database, or the lock, could not be had.
    """
    if await database.run(version_of) == HEAD:
        return False
    for _ in range(WAIT_S * 5):
        done = await database.run(_upgrade)
        if done is not None:
            return done
        await asyncio.sleep(0.2)
    raise DatabaseAway("another process has been migrating for a minute")


async def version_of(tx: Tx) -> str | None:
    """The version of the tables; nothing where there are none."""
    if not await tx.sql(_HAS_TABLE[tx.dialect], name=VERSION_TABLE):
        return None
    rows = await tx.sql(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 -- a constant of ours
    return rows[0]["version_num"] if rows else None


async def _upgrade(tx: Tx) -> bool | None:
    """Whether it upgraded; nothing when another process holds the lock."""
    if tx.dialect == "postgresql" and not await _locked(tx):
        return None
    if await version_of(tx) == HEAD:
        return False
    await tx.run_sync(_run_steps)
    return True


async def _locked(tx: Tx) -> bool:
    rows = await tx.sql("SELECT pg_try_advisory_xact_lock(:id) AS locked", id=LOCK_ID)
    return bool(rows[0]["locked"])


def _run_steps(connection: "Connection") -> None:
    from alembic import command  # noqa: PLC0415 -- 0.2 s, needed once per version
    from alembic.config import Config  # noqa: PLC0415 -- the same

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
