"""Caches: one contract for Redis, memory, and the two together; the pair goes on without Redis and comes back."""

import asyncio
from datetime import timedelta

import pytest

from passerelle.coordination.adapters.memory_cache import MemoryCache
from passerelle.coordination.adapters.redis_cache import RedisCache
from passerelle.coordination.cached import StandInCache
from passerelle.coordination.ports import Cache
from passerelle.errors import Unavailable
from passerelle.redis_link import RedisLink

from .conftest import OpenLink, closed_link
from servers import RedisServer, eventually

pytestmark = pytest.mark.anyio
LONG, SHORT = timedelta(minutes=5), timedelta(milliseconds=60)


@pytest.fixture
async def link(open_link: OpenLink, redis_server: RedisServer) -> RedisLink:
    link = closed_link(redis_server.url)
    await open_link(link)
    return link


@pytest.fixture(params=["redis", "memory", "both"])
def cache(request: pytest.FixtureRequest, link: RedisLink) -> Cache:
    if request.param == "memory":
        return MemoryCache()
    shared = RedisCache(link)
    return shared if request.param == "redis" else StandInCache(shared=shared, stand_in=MemoryCache())


async def test_what_was_put_comes_back_until_it_is_over(cache: Cache) -> None:
    assert await cache.get("a") is None
    await cache.put("a", "1", ttl=SHORT)
    await cache.put("b", "2 é", ttl=LONG)
    assert (await cache.get("a"), await cache.get("b")) == ("1", "2 é")
    await asyncio.sleep(0.1)
    assert (await cache.get("a"), await cache.get("b")) == (None, "2 é")


async def test_the_last_value_counts_and_a_dropped_one_is_gone(cache: Cache) -> None:
    await cache.put("a", "1", ttl=LONG)
    await cache.put("a", "2", ttl=LONG)
    assert await cache.get("a") == "2"
    await cache.drop("a")
    await cache.drop("a")
    assert await cache.get("a") is None


async def test_memory_keeps_what_was_used_last() -> None:
    cache = MemoryCache(entries=2)
    await cache.put("a", "1", ttl=LONG)
    await cache.put("b", "2", ttl=LONG)
    await cache.get("a")
    await cache.put("c", "3", ttl=LONG)
    assert [await cache.get(key) for key in "abc"] == ["1", None, "3"]


@pytest.mark.mission("D4")
async def test_the_cache_goes_on_in_memory_while_redis_is_away_and_comes_back_by_itself(
    lasting_redis: RedisServer, open_link: OpenLink
) -> None:
    lasting = closed_link(lasting_redis.url)
    await open_link(lasting)
    cache = StandInCache(shared=RedisCache(lasting), stand_in=MemoryCache())
    for key in ("kept", "changed", "dropped"):
        await cache.put(key, "before", ttl=LONG)
    lasting_redis.kill()
    await cache.put("changed", "meanwhile", ttl=LONG)
    await cache.drop("dropped")
    assert [await cache.get(key) for key in ("kept", "changed", "dropped")] == [None, "meanwhile", None]
    lasting_redis.start()
    await eventually(lambda: lasting.status.writable)
    assert await cache.get("kept") == "before"
    assert await cache.get("changed") is None, "what Redis has of it is from before"
    assert await cache.get("dropped") is None
    await cache.put("changed", "after", ttl=LONG)
    assert await RedisCache(lasting).get("changed") == "after"


async def test_redis_alone_says_that_it_is_away(link: RedisLink, redis_server: RedisServer) -> None:
    redis_server.kill()
    with pytest.raises(Unavailable):
        await RedisCache(link).get("a")
