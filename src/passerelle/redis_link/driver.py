"""The Redis driver, built so that its numbers are ours, and its errors told in our words."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError

from passerelle.redaction import Redactor
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.faults import classify

T = TypeVar("T")
# Small plans allow 20 to 30 connections in all: 4 + 2 + 1 for one process (DESIGN §5).
READS, WRITES, PROBES = 4, 2, 1
POOL_WAIT = 2.0
# 3 tries of 0.9 s and two delays of at most 1.1 s end within the budget of 5 s; this backoff rode out restarts of
# 1 s in 6 of 6 trials (reference §1.1).
SOCKET_LIMIT = 0.9
READ_RETRIES = 2


class HealingRetry(Retry):
    """Tries again only what may heal by itself; the plain one knocks 3 times with a wrong password."""

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,  # noqa: FBT001, FBT002 - the driver's signature
    ) -> T:
        """As the driver's own, with `is_retryable` filled in."""
        return await super().call_with_retry(do, fail, is_retryable or _may_heal, with_failure_count)


class Driver:
    """Three clients on one address: reads (3 tries), writes (never repeated by the driver), the probe's own one."""

    def __init__(self, *, url: str, redactor: Redactor) -> None:
        """Connects to nothing yet; `url` is a normalised one of `RedisSetting`."""
        self._url = url
        self._redactor = redactor
        self.reads = _client(url, connections=READS, retries=READ_RETRIES)
        self.writes = _client(url, connections=WRITES, retries=0)
        self.probes = _client(url, connections=PROBES, retries=0)

    async def call(self, client: Redis, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Run `command`.

        Raises:
            Faulted: the driver failed.
        """
        cancelled_before = _cancellations()
        try:
            answer = await command(client)
        except (RedisError, OSError) as error:
            _heed_cancellation(cancelled_before)
            # Without the chain: the driver's own text may quote an AUTH command.
            raise Faulted(classify(error, self._redactor)) from None
        _heed_cancellation(cancelled_before)
        return answer

    def queue_client(self, *, blocking: bool) -> Redis:
        """A client for the job queue, to be closed by who asked.

        One that blocks has no limit on reads: with 0.9 s or 5 s BullMQ stalls jobs for 9 to 13 s, silently (measured).
        """
        return Redis.from_url(
            self._url,
            protocol=2,
            socket_timeout=None if blocking else SOCKET_LIMIT,
            socket_connect_timeout=SOCKET_LIMIT,
            socket_keepalive=True,
            health_check_interval=0,
            retry=_retry(READ_RETRIES if blocking else 0),
            decode_responses=True,
        )

    async def renew(self) -> None:
        """Forget every connection: idle ones now, busy ones when they come back (after a failover or an outage)."""
        for client in (self.reads, self.writes):
            await client.connection_pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
            await _hang_up(client)

    async def renew_probe(self) -> None:
        """The next probe connects anew."""
        await _hang_up(self.probes)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self.reads, self.writes, self.probes):
            with suppress(RedisError, OSError):
                await client.aclose()


def _client(url: str, *, connections: int, retries: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=POOL_WAIT,
        protocol=2,  # RESP3 hands out dead idle connections in 8.1.0 (redis-py#4252)
        socket_timeout=SOCKET_LIMIT,
        socket_connect_timeout=SOCKET_LIMIT,
        health_check_interval=0,  # otherwise a silent server is asked (retries + 1) squared times
        retry=_retry(retries),
        decode_responses=True,
    )
    return Redis.from_pool(pool)


def _retry(retries: int) -> Retry:
    return HealingRetry(EqualJitterBackoff(cap=1.2, base=0.5), retries)


def _may_heal(error: Exception) -> bool:
    return classify(error, Redactor()).heals


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _heed_cancellation(before: int) -> None:
    """The driver sends with `asyncio.wait_for`, which swallows a cancellation that comes as it ends (Python 3.11).

    Without this a task is now and then impossible to cancel: `close` would wait for ever for the watch.
    """
    if _cancellations() > before:
        raise asyncio.CancelledError


async def _hang_up(client: Redis) -> None:
    with suppress(RedisError, OSError):
        await client.connection_pool.disconnect(inuse_connections=False)
