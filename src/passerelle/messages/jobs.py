"""The worker's side of the outbox: the pump, and what time and dead workers leave behind."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from passerelle.coordination.lookout import LAPSED_US, Lookout
from passerelle.db import Tx
from passerelle.errors import Unavailable
from passerelle.idempotency.ports import KeyBook
from passerelle.messages.model import Settled
from passerelle.messages.ports import OutboxSweep, ReceiptBook
from passerelle.messages.run import Pump
from passerelle.messages.sends import Tools
from passerelle.messages.settlements import Settlements

SWEEP_EVERY_S = 5.0
log = structlog.get_logger()


class MessageJobs:
    """Sends this worker's messages and sweeps the outbox."""

    def __init__(
        self,
        *,
        pump: Pump,
        sweep: OutboxSweep,
        receipts: ReceiptBook,
        keys: KeyBook,
        settlements: Settlements,
        tools: Tools,
    ) -> None:
        """Work with the parts of `tools`, under its worker's id."""
        self._pump = pump
        self._sweep = sweep
        self._receipts = receipts
        self._keys = keys
        self._settlements = settlements
        self._tools = tools
        self._lookout = Lookout(every_s=SWEEP_EVERY_S)

    async def recover(self) -> None:
        """At the start of the only process: nobody else lives, so every claim is free."""
        if not self._tools.database.shared:
            lost = await self._settle(partial(self._sweep.reclaim, now=self._tools.clock.now(), lapsed_us=None))
            if lost:
                log.warning("⚠️ Messages whose fate is unknown after a crash", messages=len(lost))

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump.run())
            group.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """See `Pump.stop`."""
        await self._pump.stop()

    async def sweep(self) -> None:
        """Free what silent workers hold, fail what has expired, join what has missed each other."""
        now = self._tools.clock.now()
        if self._tools.database.shared and self._lookout.sees_long_enough():
            await self._settle(partial(self._sweep.reclaim, now=now, lapsed_us=LAPSED_US, but=self._tools.worker_id))
        await self._settle(partial(self._sweep.expire, now=now))
        await self._settle(partial(self._receipts.join_leftovers, now=now))
        await self._tools.database.run(self._sweep.bind_waiting)
        await self._tools.database.run(partial(self._keys.forget, now=now))

    async def _settle(self, unit: Callable[[Tx], Coroutine[Any, Any, Sequence[Settled]]]) -> Sequence[Settled]:
        async def settle(tx: Tx) -> Sequence[Settled]:
            return await self._settlements.record(tx, await unit(tx))

        settled = await self._tools.database.run(settle)
        self._settlements.announce(settled)
        return settled

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Unavailable as away:
                self._lookout.blinded()
                log.debug("sweep skipped", code=away.code)
            except Exception:
                log.exception("❌ Sweep broke")
            await asyncio.sleep(SWEEP_EVERY_S)
