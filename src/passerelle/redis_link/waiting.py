"""Who is waiting for Redis, so that all can be let go at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TURNS = 100


class Waiting:
    """The calls that wait for an answer just now."""

    def __init__(self) -> None:
        self._calls: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def until(self, deadline: float) -> AsyncIterator[asyncio.Timeout]:
        """Raise ``TimeoutError`` out of the block at `deadline` (loop time), or earlier by `let_go`."""
        async with asyncio.timeout_at(deadline) as call:
            self._calls.add(call)
            try:
                yield call
            finally:
                self._calls.discard(call)

    def let_go(self) -> None:
        """End every wait now."""
        now = asyncio.get_running_loop().time()
        for call in self._calls:
            if not call.expired():
                call.reschedule(now)

    async def gone(self) -> None:
        """Give those who were let go the turns of the loop they need to hand their connections back."""
        for _ in range(TURNS):
            if not self._calls:
                return
            await asyncio.sleep(0)
