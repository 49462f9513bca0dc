"""A cache on Redis."""

from datetime import timedelta

from passerelle.redis_link import RedisLink

PREFIX = "passerelle:cache:"


class RedisCache:
    """See `Cache`."""

    def __init__(self, link: RedisLink) -> None:
        """Keep it on the Redis behind `link`."""
        self._link = link

    async def get(self, key: str) -> str | None:
        """See `Cache.get`."""
        value: str | None = await self._link.read("GET", PREFIX + key)
        return value

    async def put(self, key: str, value: str, *, ttl: timedelta) -> None:
        """See `Cache.put`."""
        await self._link.write("SET", PREFIX + key, value, "PX", str(ttl // timedelta(milliseconds=1)))

    async def drop(self, key: str) -> None:
        """See `Cache.drop`."""
        await self._link.write("DEL", PREFIX + key)
