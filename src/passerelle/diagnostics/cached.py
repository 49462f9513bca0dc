"""One examination for however many ask."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import Context

from passerelle.diagnostics.model import Report
from passerelle.diagnostics.ports import Check
from passerelle.diagnostics.runner import examine


class Diagnosis:
    """Examines at most once at a time, and not again while the last report is fresh."""

    def __init__(
        self, make_checks: Callable[[], Sequence[Check]], *, fresh_for_s: float = 2.0, limit_s: float = 2.7
    ) -> None:
        """`make_checks` is asked anew for every examination, which takes at most `limit_s`."""
        self._make_checks = make_checks
        self._fresh_for_s = fresh_for_s
        self._limit_s = limit_s
        self._last: Report | None = None
        self._ended = 0.0
        self._going: asyncio.Task[Report] | None = None

    async def report(self) -> Report:
        """How things are, or were a moment ago. Who stops waiting stops nobody else."""
        if self._last is not None and time.monotonic() - self._ended < self._fresh_for_s:
            return self._last
        if self._going is None:
            # in a context of its own: it outlives who asked first, and must not inherit that one's limits
            self._going = asyncio.create_task(self._examine(), context=Context())
        return await asyncio.shield(self._going)

    async def close(self) -> None:
        """End what is under way."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.gather(self._going, return_exceptions=True)

    async def _examine(self) -> Report:
        try:
            self._last = await examine(self._make_checks(), limit_s=self._limit_s)
            self._ended = time.monotonic()
            return self._last
        finally:
            self._going = None
