"""A cache in this process."""

import time
from collections import OrderedDict
from datetime import timedelta

ENTRIES = 10_000


class MemoryCache:
    """See `Cache`; the entries used longest ago go first. Never away."""

    def __init__(self, *, entries: int = ENTRIES) -> None:
        """Keep at most so many."""
        self._entries = entries
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def get(self, key: str) -> str | None:
        """See `Cache.get`."""
        until, value = self._kept.get(key, (0.0, ""))
        if until <= time.monotonic():
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return value

    async def put(self, key: str, value: str, *, ttl: timedelta) -> None:
        """See `Cache.put`."""
        self._kept[key] = (time.monotonic() + ttl.total_seconds(), value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    async def drop(self, key: str) -> None:
        """See `Cache.drop`."""
        self._kept.pop(key, None)
