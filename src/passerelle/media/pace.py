"""How fast bytes may pass: one limit for all who share it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable


class Pace:
    """Lets so many bytes a second pass, and tells how many did."""

    def __init__(self, bytes_per_s: int | None, *, passed: Callable[[int], None]) -> None:
        """Nothing: as fast as they come. `passed` hears of every piece."""
        self._bytes_per_s = bytes_per_s
        self._passed = passed
        self._free_at = 0.0

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same bytes, each piece when it is its turn."""
        async for chunk in chunks:
            await self._turn(len(chunk))
            self._passed(len(chunk))
            yield chunk

    async def _turn(self, size_bytes: int) -> None:
        if self._bytes_per_s is None:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + size_bytes / self._bytes_per_s
        await asyncio.sleep(self._free_at - now)
