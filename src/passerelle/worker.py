"""The work of one process: claims, sweeps, the queue, one heartbeat; sleeps when nothing is due, stops gracefully."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from passerelle.app import App
from passerelle.db import Tx
from passerelle.errors import Unavailable

HEARTBEAT_EVERY_S = 3.0
FORGETS_EVERY, FORGOTTEN_AFTER = 100, timedelta(hours=1)
log = structlog.get_logger()


class Worker:
    """Runs every feature's jobs under one id, random per start."""

    def __init__(self, app: App) -> None:
        """Work with the parts of `app`."""
        self._worker_id = app.worker_id
        self._book = app.workers
        self._database = app.database
        self._jobs = app.jobs
        self._holding = app.holding_jobs
        self._queue = app.queue

    async def run(self) -> None:
        """Work until cancelled; then give everything back."""
        log.info("✅ Worker started", worker=self._worker_id)
        try:
            await self._beat()  # before anything: who never beat counts as dead
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat_for_ever())
                for jobs in (self._holding, *self._jobs):
                    group.create_task(jobs.run())
                if self._queue is not None:
                    group.create_task(self._queue.run())
        finally:
            await self._stop()

    async def _stop(self) -> None:
        try:
            await asyncio.gather(*(jobs.stop() for jobs in self._jobs))
            await self._holding.stop()
            await self._database.run(partial(self._book.leave, worker_id=self._worker_id))
        except Unavailable as away:  # then our claims lapse with our heartbeat
            log.warning("⚠️ Worker stopped without giving its work back", code=away.code)

    async def _beat_for_ever(self) -> None:
        for beats in itertools.count():
            await asyncio.sleep(HEARTBEAT_EVERY_S)
            await self._beat()
            if beats % FORGETS_EVERY == 0:
                await self._write(partial(self._book.forget, older=FORGOTTEN_AFTER))

    async def _beat(self) -> None:
        await self._write(partial(self._book.beat, worker_id=self._worker_id))

    async def _write(self, unit: Callable[[Tx], Coroutine[Any, Any, None]]) -> None:
        try:
            await self._database.run(unit)
        except Unavailable as away:
            log.warning("⚠️ Heartbeat not written", code=away.code)
        except Exception:
            log.exception("❌ Heartbeat not written")
