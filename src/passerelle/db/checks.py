"""Does the database answer, are its tables ours, does it keep what it promises?"""

import asyncio
import time
from dataclasses import replace

from passerelle.db import findings
from passerelle.db.migrate import version_of
from passerelle.db.tls import DatabaseUntrusted
from passerelle.db.units import Database, DatabaseAway, DatabaseBusy, Tx
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Misconfigured, Text
from passerelle.migrations import HEAD

ANSWER_LIMIT_S = 2.3  # more than a pool waits for a connection, less than an examination may take
DATABASE = Text("The database answers, its tables are current", "La base répond, ses tables sont à jour")
MADE_AT_START = Text(
    "There are no tables yet: they are made at the first start.",
    "Il n'y a pas encore de tables : elles sont créées au premier démarrage.",
)
_SETTINGS = "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit"
_OFF = {"fsync": findings.DB_FSYNC_OFF, "synchronous_commit": findings.DB_SYNC_COMMIT_OFF}


class DatabaseCheck:
    """See `Check`: the database of a gateway, or of one that is to start (`serving` false)."""

    name = "database"
    group = "database"
    title = DATABASE
    needs: tuple[str, ...] = ()
    vital = True

    def __init__(self, database: Database, *, serving: bool = True) -> None:
        """Ask `database`; nothing is ever written."""
        self._database = database
        self._serving = serving

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                version, off = await self._database.read(_look)
        except DatabaseBusy:
            return [findings.DB_BUSY]
        except DatabaseAway as away:
            return [replace(findings.DB_AWAY, evidence=away.reason)]
        except TimeoutError:
            return [replace(findings.DB_AWAY, evidence=f"no answer within {ANSWER_LIMIT_S:g} s")]
        except DatabaseUntrusted as untrusted:
            return [untrusted.finding]
        except Misconfigured as wrong:
            return [replace(findings.DB_REFUSED, evidence=str(wrong))]
        took_ms = (time.monotonic() - began) * 1000
        return [tables_at(version, serving=self._serving, seen=f"answered in {took_ms:.0f} ms"), *off]


def tables_at(version: str | None, *, serving: bool, seen: str) -> Finding:
    """What the `version` of the tables means; before a start everything older is upgraded by that start."""
    evidence = f"{seen}, tables at {version}, program at {HEAD}"
    if version is not None and version > HEAD:
        return replace(findings.DB_TABLES_NEWER, evidence=evidence)
    if version == HEAD:
        answers = Text("The database answers, its tables are current.", "La base répond, ses tables sont à jour.")
        return Finding(id="DB_OK", level=Level.OK, what=answers, evidence=evidence)
    if serving:
        return replace(findings.DB_NOT_MIGRATED, evidence=evidence)
    if version is None:
        return Finding(id="DB_NOT_MADE", level=Level.OK, what=MADE_AT_START, evidence=seen)
    return replace(findings.DB_NOT_MIGRATED, level=Level.WARNING, evidence=evidence)


async def _look(tx: Tx) -> tuple[str | None, list[Finding]]:
    if tx.dialect == "sqlite":
        return await version_of(tx), []
    await tx.sql("SET TRANSACTION READ ONLY")
    settings = (await tx.sql(_SETTINGS))[0]
    off = [finding for name, finding in _OFF.items() if settings[name] == "off"]
    return await version_of(tx), off
