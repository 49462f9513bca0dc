"""The worker's side: give away what still waits although somebody has room."""

import asyncio

import structlog

from passerelle.db import Database, Tx
from passerelle.errors import Unavailable
from passerelle.leads.assignment import PICKED_AT_ONCE, Assignment
from passerelle.leads.ports import LeadFinder

SWEEP_EVERY_S = 5.0
log = structlog.get_logger()


class LeadJobs:
    """The net below the pick-up that every change makes by itself, which takes at most 100 leads."""

    def __init__(self, *, finder: LeadFinder, assignment: Assignment, database: Database) -> None:
        """Look for waiting leads in `database`."""
        self._finder = finder
        self._assignment = assignment
        self._database = database

    async def recover(self) -> None:
        """Nothing to take up: a unit is done or was never begun."""

    async def stop(self) -> None:
        """Nothing is under way between two units."""

    async def run(self) -> None:
        """Sweep every 5 seconds, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as away:
                log.debug("sweep skipped", code=away.code)
            except Exception:
                log.exception("❌ Sweep of leads broke")
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> int:
        """One round: every waiting lead that somebody has room for is given; how many."""
        given = 0
        for client_id in await self._database.read(self._finder.clients_waiting):
            while found := await self._pick_up(client_id):
                given += found
                if found < PICKED_AT_ONCE:
                    break
        if given:
            log.info("🔄 Waiting leads were given to contractors", leads=given)
        return given

    async def _pick_up(self, client_id: str) -> int:
        async def pick_up(tx: Tx) -> int:
            if not await self._finder.waiting(tx, client_id=client_id, limit=1):  # nobody has room: hold nobody up
                return 0
            await self._assignment.hold(tx, [client_id])
            return await self._assignment.pick_up(tx, client_id)

        return await self._database.run(pick_up)
