"""Brings the tables to the newest version, one process at a time."""

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from passerelle.db.units import Database, TablesInUse, Tx
from passerelle.errors import Misconfigured
from passerelle.migrations import FOLDER, HEAD, VERSION_TABLE, WORKS_FROM

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK_ID = 0x50617373  # "Pass"; any number, the same in every process
WAIT_S, AGAIN_S = 60, 0.2
TABLE_LIMIT_S = 2  # whoever asks for a table that we wait for waits behind us, for 3 s at most (`COMMAND_LIMIT_S`)
REACH_TABLE = "passerelle_reach"
_HAS_TABLE = {  # asked in plain SQL: SQLAlchemy's inspector would cost every start 0.3 s
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name",
    "postgresql": "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = :name",
}
log = structlog.get_logger()


async def migrate(database: Database) -> bool:
    """Upgrade to `HEAD`; whether we did. Waits at most 60 s for another process that migrates, or holds a table.

    Tables that a newer program has upgraded are left as they are, where they only have more than we know.

    Raises:
        DatabaseAway: the database, or a lock, could not be had.
        Misconfigured: the tables are too new for this program.
    """
    version, ours, until = await database.run(version_of), False, time.monotonic() + WAIT_S
    while version is None or version < HEAD:
        try:
            version, did = await database.run(_step)
            ours |= did
        except TablesInUse:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(AGAIN_S)
    if version > HEAD:
        await _expect_reach(database, version)
    return ours


async def version_of(tx: Tx) -> str | None:
    """The version of the tables; nothing where there are none."""
    if not await tx.sql(_HAS_TABLE[tx.dialect], name=VERSION_TABLE):
        return None
    rows = await tx.sql(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 -- a constant of ours
    return rows[0]["version_num"] if rows else None


async def _step(tx: Tx) -> tuple[str, bool]:
    """The version now, and whether we made it.

    What exists is upgraded step by step, each with a commit of its own: a long one keeps nobody from the tables of the
    one before. Raises `TablesInUse`.
    """
    if tx.dialect == "postgresql":
        await _lock(tx)
    version = await version_of(tx)
    if version is not None and version >= HEAD:
        return version, False
    await tx.run_sync(partial(run_steps, to="head" if version is None else "+1"))
    version = str(await version_of(tx))
    if await tx.sql(_HAS_TABLE[tx.dialect], name=REACH_TABLE):
        await tx.sql(
            f"INSERT INTO {REACH_TABLE} (tables_at, works_from) VALUES (:version, :works_from)",  # noqa: S608
            version=version,
            works_from=WORKS_FROM,
        )
    return version, True


async def _lock(tx: Tx) -> None:
    """No two migrate at once, and no table is waited for long: all others would wait behind us meanwhile."""
    await tx.sql(f"SET LOCAL lock_timeout = '{TABLE_LIMIT_S}s'")
    rows = await tx.sql("SELECT pg_try_advisory_xact_lock(:id) AS locked", id=LOCK_ID)
    if not rows[0]["locked"]:
        raise TablesInUse("another process is migrating")


async def _expect_reach(database: Database, version: str) -> None:
    async def look(tx: Tx) -> str | None:
        if not await tx.sql(_HAS_TABLE[tx.dialect], name=REACH_TABLE):
            return None
        named = f"SELECT works_from FROM {REACH_TABLE} WHERE tables_at = :version"  # noqa: S608 -- a constant of ours
        rows = await tx.sql(named, version=version)
        return rows[0]["works_from"] if rows else None

    works_from = await database.run(look)
    if works_from is None or works_from > HEAD:
        raise Misconfigured(
            f"The tables ({version}) are of a newer Passerelle than this one ({HEAD}) can work on. "
            "Start that version, or put the backup back that was made before the upgrade."
        )
    log.warning("⚠️ The tables are newer than this program: it works on them as it is", tables=version, program=HEAD)


def run_steps(connection: "Connection", *, to: str) -> None:
    """Alembic's own way from what is there to the version `to`; an import makes tables of earlier with it."""
    from alembic import command  # noqa: PLC0415 -- 0.2 s, needed once per version
    from alembic.config import Config  # noqa: PLC0415 -- the same

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
