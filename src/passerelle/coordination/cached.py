"""A cache that goes on in memory while the shared one is away, and comes back by itself (MISSION D4)."""

from contextlib import suppress
from datetime import timedelta

from passerelle.coordination.ports import Cache
from passerelle.errors import Unavailable


class StandInCache:
    """See `Cache`; never away.

    What was put or dropped while the shared cache was away is owed to it: until it has heard of that, its own answer
    about the key is not believed.
    """

    def __init__(self, *, shared: Cache, stand_in: Cache) -> None:
        """Ask `shared`, and `stand_in` while that is away."""
        self._shared = shared
        self._stand_in = stand_in
        self._owed: set[str] = set()

    async def get(self, key: str) -> str | None:
        """See `Cache.get`."""
        try:
            await self._pay(key)
            return await self._shared.get(key)
        except Unavailable:
            return await self._stand_in.get(key)

    async def put(self, key: str, value: str, *, ttl: timedelta) -> None:
        """See `Cache.put`."""
        try:
            await self._shared.put(key, value, ttl=ttl)
        except Unavailable:
            self._owed.add(key)
            await self._stand_in.put(key, value, ttl=ttl)
        else:
            await self._settled(key)

    async def drop(self, key: str) -> None:
        """See `Cache.drop`."""
        await self._stand_in.drop(key)
        self._owed.add(key)
        with suppress(Unavailable):
            await self._pay(key)

    async def _pay(self, key: str) -> None:
        """What the shared cache says of this key is from before it was away."""
        if key in self._owed:
            await self._shared.drop(key)
            await self._settled(key)

    async def _settled(self, key: str) -> None:
        self._owed.discard(key)
        await self._stand_in.drop(key)
