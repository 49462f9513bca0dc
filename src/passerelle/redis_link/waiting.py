"""Who is waiting for Redis, so that all can be let go at once."""

import asyncio

TURNS = 100


class Waiting:
    """The calls that wait for an answer just now."""

    def __init__(self) -> None:
        self._calls: set[asyncio.Timeout] = set()

    def until(self, deadline: float) -> asyncio.Timeout:
        """A limit at `deadline` (loop time), or earlier by `let_go`; to be entered at once, and `ended` in any case."""
        call = asyncio.timeout_at(deadline)
        self._calls.add(call)
        return call

    def ended(self, call: asyncio.Timeout) -> None:
        """It waits no more."""
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
