"""Tells every listener each change of state, once and in order."""

import asyncio
from contextlib import suppress

import structlog

from passerelle.redis_link.state import RedisStatus, StateListener

log = structlog.get_logger()


class Announcer:
    """A task of its own, so that a slow listener never holds up the probes."""

    def __init__(self) -> None:
        self._listeners: list[StateListener] = []
        self._changes: asyncio.Queue[RedisStatus] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def listen(self, listener: StateListener) -> None:
        """Tell `listener` every change from now on."""
        self._listeners.append(listener)

    def tell(self, status: RedisStatus) -> None:
        """Announce `status` as soon as what came before is told."""
        self._changes.put_nowait(status)

    def start(self) -> None:
        """Begin to tell."""
        self._task = asyncio.create_task(self._run(), name="redis-announcer")

    async def close(self) -> None:
        """Stop telling; what is not told yet is dropped."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            status = await self._changes.get()
            for listener in self._listeners:
                try:
                    await listener.redis_changed(status)
                except Exception:
                    log.exception("A listener failed on a change of Redis", listener=type(listener).__name__)
