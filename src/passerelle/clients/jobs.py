"""The worker's side of clients: logins that have expired go."""

from contextlib import suppress
from datetime import timedelta

from passerelle.clients.logins import Logins
from passerelle.clock import Clock
from passerelle.errors import Rejected, Unavailable

SWEEP_EVERY = timedelta(hours=1)


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
            with suppress(Unavailable, Rejected):  # then at the next hour
                await self._logins.sweep()
            await self._clock.sleep_until(self._clock.now() + SWEEP_EVERY)

    async def stop(self) -> None:
        """Nothing to give back."""
