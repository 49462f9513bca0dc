"""The worker's side of clients: logins that have expired go."""

from datetime import timedelta

import structlog

from passerelle.clients.logins import Logins
from passerelle.clock import Clock
from passerelle.errors import Rejected, Unavailable

SWEEP_EVERY = timedelta(hours=1)
log = structlog.get_logger()


class LoginJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(self, logins: Logins, clock: Clock) -> None:
        """Sweep `logins` by `clock`."""
        self._logins = logins
        self._clock = clock

    async def recover(self) -> None:
        """Nothing is in hand."""

    async def run(self) -> None:
        """Sweep each hour until cancelled."""
        while True:
            try:
                await self._logins.sweep()
            except (Unavailable, Rejected) as away:
                log.debug("logins cannot be swept", code=away.code)
            except Exception:
                log.exception("❌ Logins could not be swept")
            await self._clock.sleep_until(self._clock.now() + SWEEP_EVERY)

    async def stop(self) -> None:
        """Nothing to give back."""
