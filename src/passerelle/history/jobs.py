"""The worker's side of the history: it looks now and then."""

import asyncio
import itertools

import structlog

from passerelle.errors import Rejected, Unavailable
from passerelle.history.service import History

LOOK_EVERY_S = 10.0  # also before the first look: a gateway that has just begun is not settled
FORGETS_EVERY = 360
log = structlog.get_logger()


class HistoryJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(self, history: History, *, every_s: float = LOOK_EVERY_S) -> None:
        """Look every `every_s` seconds of real time."""
        self._history = history
        self._every_s = every_s

    async def recover(self) -> None:
        """Nothing is in hand."""

    async def run(self) -> None:
        """Look until cancelled; each hour, forget."""
        for looks in itertools.count(1):
            await asyncio.sleep(self._every_s)
            try:
                await self._history.look()
                if looks % FORGETS_EVERY == 0:
                    await self._history.forget()
            except (Unavailable, Rejected) as away:
                log.debug("the history of health waits", code=away.code)
            except Exception:
                log.exception("❌ The history of health could not be kept")

    async def stop(self) -> None:
        """Nothing to give back: the lease lapses."""
