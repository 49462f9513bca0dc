"""The worker's side of people: erasures that could not be finished at once."""

import asyncio

import structlog

from passerelle.errors import Unavailable
from passerelle.people.service import People

LOOK_EVERY_S = 60.0
log = structlog.get_logger()


class ErasureJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(self, people: People) -> None:
        """Go on with the erasures of `people`."""
        self._people = people

    async def recover(self) -> None:
        """Nothing is in hand: what is under way stands in the book."""

    async def run(self) -> None:
        """Work each minute until cancelled."""
        while True:
            try:
                await self._people.work()
            except Unavailable as away:
                log.debug("erasures wait", code=away.code)
            except Exception:
                log.exception("❌ A person could not be erased")
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """Nothing to give back."""
