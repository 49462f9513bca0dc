"""The limiter: at once in memory, together on Redis, and alone while that is away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from passerelle.clients.adapters.redis_buckets import RedisBuckets
from passerelle.clients.limiter import Limiter
from passerelle.clients.ports import KeyName, Spending
from passerelle.clients.rate import Rate
from passerelle.errors import Unavailable
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, examine

from servers import BlackHole, RedisServer, eventually

pytestmark = pytest.mark.anyio
KEY, OTHER = KeyName("client_a", "k1"), KeyName("client_a", "k2")
SLOW = Rate(10, 3600, 10)  # nothing comes back while a test lasts


@pytest.fixture
async def link(redis_server: RedisServer) -> AsyncIterator[RedisLink]:
    link = RedisLink(setting=examine(redis_server.url), redactor=Redactor(), probe_every=0.1)
    await link.start()
    yield link
    await link.close()


def given(limiter: Limiter, times: int, key: KeyName = KEY) -> int:
    return sum(limiter.take(key).wait is None for _ in range(times))


async def test_every_key_has_a_bucket_of_its_own() -> None:
    limiter = Limiter(SLOW)
    assert (given(limiter, 15), given(limiter, 3, OTHER)) == (10, 3)
    standing = limiter.take(KEY)
    assert standing.wait is not None
    assert 359 <= standing.wait.total_seconds() <= 360
    policy, left = standing.fields
    assert policy == (b"ratelimit-policy", b'"default";q=10;w=3600')
    assert left == (b"ratelimit", b'"default";r=0;t=3600')


async def test_processes_count_together_on_redis(link: RedisLink) -> None:
    one, two = (Limiter(SLOW, shared=RedisBuckets(link)) for _ in range(2))
    assert given(one, 6) == 6
    await one.report()
    assert given(two, 1) == 1, "the first request of a process is its own word"
    await two.report()
    assert given(two, 10) == 3
    await two.report()
    await one.report()
    assert given(one, 1) == 1, "it has not heard yet"
    await one.report()
    assert (given(one, 5), given(two, 5)) == (0, 0)


async def test_what_is_spent_twice_is_paid_back(link: RedisLink) -> None:
    rate = Rate(100, 1, 10)
    one, two = (Limiter(rate, shared=RedisBuckets(link)) for _ in range(2))
    assert (given(one, 10), given(two, 10)) == (10, 10)
    await one.report()
    await two.report()
    left = two.take(KEY)
    assert left.wait is not None
    assert left.wait.total_seconds() > 0.05, "ten tokens too many are a tenth of a second"


async def test_many_at_once_get_no_more_than_there_is(link: RedisLink) -> None:
    buckets = RedisBuckets(link)
    asked = [buckets.spend([Spending(KEY, 1, 10.0 - 1)], SLOW) for _ in range(50)]
    left = sorted([told[0] for told in await asyncio.gather(*asked)], reverse=True)
    assert [round(one) for one in left] == list(range(9, -41, -1))


async def test_a_bucket_on_redis_goes_by_itself_once_it_is_full(link: RedisLink) -> None:
    await RedisBuckets(link).spend([Spending(KEY, 5, 5.0)], Rate(10, 1, 10))
    ttl_ms = await link.read("PTTL", "passerelle:{client_a}:rate:k1")
    assert 1000 < ttl_ms <= 1500


async def test_a_redis_that_lost_everything_gives_nobody_tokens_he_has_spent(
    link: RedisLink, redis_server: RedisServer
) -> None:
    limiter = Limiter(SLOW, shared=RedisBuckets(link))
    assert given(limiter, 10) == 10
    await limiter.report()
    redis_server.ask("FLUSHALL")
    given(limiter, 1)
    await limiter.report()
    assert given(limiter, 5) == 0


async def test_nobody_waits_and_nobody_is_refused_because_redis_is_away(
    link: RedisLink, redis_server: RedisServer
) -> None:
    limiter = Limiter(SLOW, shared=RedisBuckets(link), every_s=0.01)
    task = asyncio.create_task(limiter.run())
    try:
        assert given(limiter, 4) == 4
        redis_server.kill()
        await eventually(lambda: not link.is_up)
        assert given(limiter, 1) == 1
        with pytest.raises(Unavailable):
            await limiter.report()
        assert given(limiter, 10) == 5, "this process goes on by itself"
        redis_server.start()
        await eventually(lambda: link.is_up)
        await asyncio.wait_for(_heard(limiter, link), 5)
        assert given(limiter, 5) == 0
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _heard(limiter: Limiter, link: RedisLink) -> None:
    while not await link.read("EXISTS", "passerelle:{client_a}:rate:k1"):
        limiter.take(KEY)
        await asyncio.sleep(0.01)


async def test_a_redis_that_says_nothing_holds_up_no_request() -> None:
    with BlackHole() as hole:
        link = RedisLink(setting=examine(hole.url), redactor=Redactor(), probe_every=0.1)
        await link.start()
        limiter = Limiter(SLOW, shared=RedisBuckets(link), every_s=0.0)
        task = asyncio.create_task(limiter.run())
        try:
            loop: Any = asyncio.get_running_loop()
            began = loop.time()
            assert given(limiter, 20) == 10
            assert loop.time() - began < 0.1
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await link.close()
