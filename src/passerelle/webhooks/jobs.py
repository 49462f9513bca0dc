"""The worker's side of webhooks: the pump, and what time leaves behind."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import Unavailable
from passerelle.webhooks.model import DeliveryState
from passerelle.webhooks.ports import DeliveryQueue, DeliverySweep
from passerelle.webhooks.run import DeliveryPump

SWEEP_EVERY_S = 60.0
SWEPT_AT_ONCE = 1_000  # within the 3 s that a statement may take, on a busy disk too
WAITS_AT_MOST = timedelta(days=4)  # the schedule takes 3.2 days; pauses of the endpoint come on top
KEPT = {
    DeliveryState.DELIVERED: timedelta(days=7),
    DeliveryState.PARKED: timedelta(days=30),
    DeliveryState.FAILED: timedelta(days=30),
}
log = structlog.get_logger()


class WebhookJobs:
    """Sends this worker's deliveries and sweeps the table."""

    def __init__(
        self, *, pump: DeliveryPump, queue: DeliveryQueue, sweep: DeliverySweep, database: Database, clock: Clock
    ) -> None:
        """Work on the tables of `database`, by the time of `clock`."""
        self._pump = pump
        self._queue = queue
        self._sweep = sweep
        self._database = database
        self._clock = clock

    async def recover(self) -> None:
        """At the start of the only process: nobody else lives, so nothing is in anybody's hands."""
        if not self._database.shared:
            freed = await self._database.run(partial(self._queue.release, claimed=None))
            if freed:
                log.info("🔄 Webhooks taken up again after a restart", deliveries=freed)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump.run())
            group.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """See `DeliveryPump.stop`."""
        await self._pump.stop()

    async def sweep(self) -> None:
        """Fail what has waited for too long, forget what ended long ago, bury what was removed."""
        now = self._clock.now()
        await self._all(partial(self._sweep.expire, queued_before=now - WAITS_AT_MOST, now=now, limit=SWEPT_AT_ONCE))
        for state, kept in KEPT.items():
            await self._all(partial(self._sweep.forget, state=state, before=now - kept, limit=SWEPT_AT_ONCE))
        await self._all(partial(self._sweep.bury, limit=SWEPT_AT_ONCE))

    async def _all(self, some: Callable[[Tx], Coroutine[Any, Any, int]]) -> None:
        """Step by step, so that others get between."""
        while await self._database.run(some) >= SWEPT_AT_ONCE:
            pass

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Unavailable as away:
                log.debug("sweep skipped", code=away.code)
            except Exception:
                log.exception("❌ Sweep of webhooks broke")
            await asyncio.sleep(SWEEP_EVERY_S)
