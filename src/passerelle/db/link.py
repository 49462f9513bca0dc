"""The state of PostgreSQL: found down once, everybody is refused at once until a probe finds it up again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from passerelle.db.units import DatabaseAway

PROBE_EVERY_S = 1.0
log = structlog.get_logger()


class DbLink:
    """Up or down; each change is logged once."""

    def __init__(self, probe: Callable[[], Awaitable[None]]) -> None:
        """`probe` returns when the database answers and raises when not."""
        self._probe = probe
        self._probing: asyncio.Task[None] | None = None
        self.reason = ""

    @property
    def is_up(self) -> bool:
        """Whether units are let through."""
        return self._probing is None

    def refuse_while_down(self) -> None:
        """Raise `DatabaseAway` while down, without asking the database."""
        if not self.is_up:
            raise DatabaseAway(self.reason)

    def suspect(self, reason: str) -> None:
        """Somebody lost the connection: down until a probe says otherwise."""
        if self._probing is None:
            self.reason = reason
            log.error("❌ Database connection lost", reason=reason)
            self._probing = asyncio.create_task(self._probe_until_up(), context=Context())  # of nobody's request

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe_until_up(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                await self._probe()
                break
            await asyncio.sleep(PROBE_EVERY_S)
        self._probing = None
        log.info("✅ Database connection restored")
