"""Write acts down before they are done and when they have ended; show them."""

import asyncio
from functools import partial

import structlog

from passerelle.audit.model import UNDER_WAY, Act, Entry, Outcome, Wanted
from passerelle.audit.ports import AuditBook
from passerelle.clock import Clock
from passerelle.db import Database

WRITE_LIMIT_S = 2.0  # nobody waits longer for the log: a key must be revoked also while SQL is slow
log = structlog.get_logger()


class Audit:
    """The audit log. That it cannot be written stops no act: it is told in the log of the process."""

    def __init__(self, *, book: AuditBook, database: Database, clock: Clock) -> None:
        """Write to `book`."""
        self._book = book
        self._database = database
        self._clock = clock

    async def begin(self, who: str, *, client_id: str) -> None:
        """Whoever this is may do what the request asks for; written down before it is done, and once.

        A crash leaves it begun, so nothing is done of which the log says nothing.
        """
        act = UNDER_WAY.get()
        if act is None or act.id:
            return
        act.id, act.at = self._clock.new_id("audit"), self._clock.now()
        act.who, act.client_id = who, client_id
        await self._put(act, Outcome.BEGUN)

    async def settle(self, act: Act, outcome: Outcome) -> None:
        """It has ended; nothing where it never began, since nobody may do it."""
        if act.id:
            await self._put(act, outcome)

    async def page(self, wanted: Wanted, *, before: str, limit: int) -> list[Entry]:
        """At most `limit`, newest first, older than the id `before`. Raises `DatabaseAway`."""
        return await self._database.read(partial(self._book.page, wanted=wanted, before=before, limit=limit))

    async def _put(self, act: Act, outcome: Outcome) -> None:
        entry = Entry(
            id=act.id,
            at=act.at or self._clock.now(),
            client_id=act.client_id,
            who=act.who,
            address=act.address,
            action=act.action.value,
            target=act.target,
            outcome=outcome,
            request_id=act.request_id,
        )
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await self._database.run(partial(self._book.put, entry=entry))
        except Exception as error:  # whatever it is: a key that must go goes
            told = {"what": entry.action, "who": entry.who, "target": entry.target, "outcome": outcome.value}
            log.error("❌ An act is missing in the audit log", **told, reason=type(error).__name__)
