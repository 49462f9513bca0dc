"""Locks on Redis: one holder, by token, for a time; and no lock at all where there is no Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from contracts.wire import Wire
from passerelle.coordination.adapters.redis_locks import RedisLocks
from passerelle.coordination.ports import LockKey
from passerelle.errors import Unavailable
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisAway, RedisLink, examine

from .conftest import OpenLink
from rest_double import TOKEN, RestDouble
from servers import HOST, BlackHole, RedisServer, eventually, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("A2")]
TTL = timedelta(minutes=5)
KEY = LockKey(client_id="default", operation="pairing", user_id="u1")


@pytest.fixture(params=["tcp", "rest"])
async def locks(
    request: pytest.FixtureRequest, redis_server: RedisServer, open_link: OpenLink
) -> AsyncIterator[RedisLocks]:
    if request.param == "tcp":
        yield RedisLocks(await open_link(redis_server.url))
        return
    async with RestDouble(redis_server) as double:
        setting = examine(None, rest_url=double.url, rest_token=TOKEN)
        yield RedisLocks(await open_link(RedisLink(setting=setting, redactor=Redactor(), probe_every=0.1)))


def of(user_id: str = "u1", client_id: str = "default", operation: str = "pairing") -> LockKey:
    return LockKey(client_id=client_id, operation=operation, user_id=user_id)


def key_names(server: RedisServer) -> list[str]:
    """The locks that there are, as Redis knows them."""
    words = server.ask("KEYS", "*:lock:*").split("\r\n")
    return [word for word in words if ":lock:" in word]


async def test_a_free_lock_is_held_by_the_one_who_asks_and_later_ones_are_told_who(locks: RedisLocks) -> None:
    assert await locks.acquire(KEY, token="one", ttl=TTL) == "one"
    assert await locks.acquire(KEY, token="two", ttl=TTL) == "one"
    assert await locks.acquire(KEY, token="three", ttl=TTL) == "one"


async def test_asking_again_with_the_same_token_is_ours_and_lives_no_longer_for_it(
    locks: RedisLocks, redis_server: RedisServer
) -> None:
    assert await locks.acquire(KEY, token="one", ttl=timedelta(seconds=30)) == "one"
    assert await locks.acquire(KEY, token="one", ttl=TTL) == "one"
    assert _ms_left(redis_server) <= 30_000


def _ms_left(server: RedisServer) -> int:
    (name,) = key_names(server)
    return int(server.ask("PTTL", name).split("\r\n")[0].lstrip(":"))


async def test_a_lock_has_the_life_that_was_asked_for(locks: RedisLocks, redis_server: RedisServer) -> None:
    await locks.acquire(KEY, token="one", ttl=TTL)
    assert 295_000 < _ms_left(redis_server) <= 300_000
    await locks.take_over(KEY, token="two", stale="one", ttl=timedelta(seconds=10))
    assert 5_000 < _ms_left(redis_server) <= 10_000


async def test_a_lock_ends_by_itself(locks: RedisLocks, redis_server: RedisServer) -> None:
    """As after a kill -9 of its holder: nobody releases it."""
    began = time.monotonic()
    await locks.acquire(KEY, token="one", ttl=timedelta(milliseconds=150))
    assert await locks.acquire(KEY, token="two", ttl=TTL) == "one"
    await eventually(lambda: not key_names(redis_server), limit=2)
    assert time.monotonic() - began >= 0.14, "not earlier than its time"
    assert await locks.acquire(KEY, token="two", ttl=TTL) == "two"
    assert not await locks.release(KEY, token="one"), "the old holder has nothing left to release"
    assert await locks.acquire(KEY, token="three", ttl=TTL) == "two"


async def test_only_the_token_that_holds_it_releases_a_lock(locks: RedisLocks, redis_server: RedisServer) -> None:
    assert not await locks.release(KEY, token="one"), "there is none"
    await locks.acquire(KEY, token="one", ttl=TTL)
    assert not await locks.release(KEY, token="two")
    assert not await locks.release(KEY, token="")
    assert await locks.acquire(KEY, token="two", ttl=TTL) == "one"
    assert await locks.release(KEY, token="one")
    assert not await locks.release(KEY, token="one")
    assert key_names(redis_server) == []
    assert await locks.acquire(KEY, token="two", ttl=TTL) == "two"


@pytest.mark.mission("A3")
async def test_only_the_stale_holder_is_replaced(locks: RedisLocks, redis_server: RedisServer) -> None:
    assert not await locks.take_over(KEY, token="two", stale="one", ttl=TTL), "nothing to take over"
    assert key_names(redis_server) == []
    await locks.acquire(KEY, token="one", ttl=TTL)
    assert not await locks.take_over(KEY, token="two", stale="another", ttl=TTL)
    assert await locks.acquire(KEY, token="x", ttl=TTL) == "one"
    assert await locks.take_over(KEY, token="two", stale="one", ttl=TTL)
    assert not await locks.take_over(KEY, token="three", stale="one", ttl=TTL)
    assert await locks.acquire(KEY, token="x", ttl=TTL) == "two"
    assert not await locks.release(KEY, token="one")


async def test_of_many_who_take_over_one_stale_lock_one_does(locks: RedisLocks) -> None:
    await locks.acquire(KEY, token="dead", ttl=TTL)
    took = await asyncio.gather(
        *(locks.take_over(KEY, token=f"t{n}", stale="dead", ttl=TTL) for n in range(30)),
    )
    assert took.count(True) == 1
    assert await locks.acquire(KEY, token="x", ttl=TTL) == f"t{took.index(True)}"


async def test_of_three_hundred_who_ask_at_once_from_two_processes_one_holds_it(
    redis_server: RedisServer, open_link: OpenLink
) -> None:
    processes = [RedisLocks(await open_link(redis_server.url)) for _ in range(2)]
    holders = await asyncio.gather(
        *(processes[n % 2].acquire(KEY, token=f"t{n}", ttl=TTL) for n in range(300)),
    )
    assert len(set(holders)) == 1
    assert sum(holder == f"t{n}" for n, holder in enumerate(holders)) == 1


@pytest.mark.mission("A8")
async def test_different_users_clients_and_operations_do_not_disturb_each_other(
    locks: RedisLocks, redis_server: RedisServer
) -> None:
    keys = [of(f"u{n}") for n in range(300)] + [of(client_id="other"), of(operation="logout"), of("ü:{x} *")]
    holders = await asyncio.gather(*(locks.acquire(key, token=f"t{n}", ttl=TTL) for n, key in enumerate(keys)))
    assert holders == [f"t{n}" for n in range(len(keys))]
    assert await locks.release(of("u7"), token="t7")
    assert len(key_names(redis_server)) == len(keys) - 1
    assert await locks.acquire(of("u8"), token="x", ttl=TTL) == "t8"


async def test_an_answer_that_got_lost_is_asked_again_and_the_lock_is_ours(
    redis_server: RedisServer, open_link: OpenLink
) -> None:
    async with Wire(redis_server.port) as wire:
        link = await open_link(f"redis://{HOST}:{wire.port}")
        locks = RedisLocks(link)
        wire.lose_answer_to(b"token-lost")
        with pytest.raises(RedisAway) as lost:
            await locks.acquire(KEY, token="token-lost", ttl=TTL)
        assert lost.value.maybe_applied
        assert wire.lost == 1
        await eventually(lambda: link.status.writable)
        assert await locks.acquire(KEY, token="token-lost", ttl=TTL) == "token-lost"


async def test_where_redis_is_not_configured_there_is_no_lock_at_once(open_link: OpenLink) -> None:
    await refused_at_once(RedisLocks(await open_link(None)))


async def test_where_redis_is_down_there_is_no_lock_at_once(open_link: OpenLink) -> None:
    await refused_at_once(RedisLocks(await open_link(f"redis://{HOST}:{free_port()}")))
    with BlackHole() as hole:
        await refused_at_once(RedisLocks(await open_link(hole.url)))


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_a_redis_lost_while_locks_are_held_refuses_then_serves_again(
    redis_server: RedisServer, open_link: OpenLink, fault: Callable[[RedisServer], None]
) -> None:
    link: RedisLink = await open_link(redis_server.url)
    locks = RedisLocks(link)
    await locks.acquire(KEY, token="one", ttl=TTL)
    fault(redis_server)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await locks.acquire(KEY, token="two", ttl=TTL)
    assert time.monotonic() - began < 5, "the one who discovers it"
    await eventually(lambda: not link.is_up)
    await refused_at_once(locks)
    redis_server.restart()
    await eventually(lambda: link.status.writable)
    assert await locks.acquire(KEY, token="two", ttl=TTL) == "two", "locks may be lost at any line"


async def refused_at_once(locks: RedisLocks) -> None:
    began = time.monotonic()
    for _ in range(20):
        for call in (
            locks.acquire(KEY, token="one", ttl=TTL),
            locks.take_over(KEY, token="one", stale="two", ttl=TTL),
            locks.release(KEY, token="one"),
        ):
            with pytest.raises(Unavailable):
                await call
    assert time.monotonic() - began < 0.5
