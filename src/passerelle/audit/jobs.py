"""The worker's side of the audit log: what is old is forgotten."""

from datetime import timedelta
from functools import partial

import structlog

from passerelle.audit.ports import AuditBook
from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.errors import Unavailable

SWEEP_EVERY = timedelta(hours=1)
AT_ONCE = 500
log = structlog.get_logger()


class AuditJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(self, *, book: AuditBook, database: Database, clock: Clock, retention: timedelta) -> None:
        """Forget acts `retention` after they were done."""
        self._book = book
        self._database = database
        self._clock = clock
        self._retention = retention

    async def recover(self) -> None:
        """Nothing is in hand."""

    async def run(self) -> None:
        """Sweep each hour until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as away:
                log.debug("the audit log cannot be swept", code=away.code)
            except Exception:
                log.exception("❌ The audit log could not be swept")
            await self._clock.sleep_until(self._clock.now() + SWEEP_EVERY)

    async def stop(self) -> None:
        """Nothing to give back."""

    async def sweep(self) -> None:
        """Forget what is old. Raises `DatabaseAway`."""
        forget = partial(self._book.forget, before=self._clock.now() - self._retention, limit=AT_ONCE)
        while await self._database.run(forget) == AT_ONCE:
            pass
