"""Redis over TCP: the driver, built so that its numbers are ours, and its errors told in our words."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError

from passerelle.redaction import Redactor
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import FaultKind, known_fault
from passerelle.redis_link.faults import classify
from passerelle.redis_link.transport import Purpose, Reply

T = TypeVar("T")
# Small plans allow 20 to 30 connections in all: 4 + 2 + 1 for one process (DESIGN §5).
READS, WRITES, PROBES = 4, 2, 1
POOL_WAIT = 2.0
# The queue alone would open a hundred connections: its worker asks for as many jobs at once as it may have in hand.
QUEUES, QUEUE_WAIT = 4, 20.0
# 3 tries of 0.9 s and two delays of at most 1.1 s end within the budget of 5 s; this backoff rode out restarts of
# 1 s in 6 of 6 trials (reference §1.1).
SOCKET_LIMIT = 0.9
READ_RETRIES = 2


class HealingRetry(Retry):
    """Tries again only what may heal by itself; the plain one knocks 3 times with a wrong password.

    `on_fault` is called at each fault, not after the last try only: the probe finds out meanwhile.
    """

    def __init__(self, retries: int, on_fault: Callable[[], None]) -> None:
        super().__init__(EqualJitterBackoff(cap=1.2, base=0.5), retries)
        self._on_fault = on_fault

    def __deepcopy__(self, memo: dict[int, Any]) -> "HealingRetry":
        """The driver copies one for each connection; `on_fault` stays who it is."""
        return HealingRetry(self._retries, self._on_fault)

    def _may_heal(self, error: Exception) -> bool:
        fault = classify(error, Redactor())
        if fault.kind is FaultKind.AWAY:
            self._on_fault()
        return fault.heals

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,  # noqa: FBT001, FBT002 - the driver's signature
    ) -> T:
        """As the driver's own, with `is_retryable` filled in."""
        return await super().call_with_retry(do, fail, is_retryable or self._may_heal, with_failure_count)


class TcpTransport:
    """See `Transport`: three clients on one address, for reads (3 tries), writes (once) and the probe (once)."""

    def __init__(self, *, url: str, redactor: Redactor, on_fault: Callable[[], None]) -> None:
        """Connects to nothing yet; `url` is a normalised one of `RedisSetting`; `on_fault` is called at each fault."""
        self._redactor = redactor
        self.clients = {
            Purpose.READ: _client(url, connections=READS, retry=HealingRetry(READ_RETRIES, on_fault)),
            Purpose.WRITE: _client(url, connections=WRITES, retry=HealingRetry(0, on_fault)),
            Purpose.PROBE: _client(url, connections=PROBES, retry=HealingRetry(0, _nobody)),
        }
        # A pool that waits for a free connection by itself costs 13 us a command, even where one is free (measured).
        self.turns = {
            Purpose.READ: asyncio.Semaphore(READS),
            Purpose.WRITE: asyncio.Semaphore(WRITES),
            Purpose.PROBE: asyncio.Semaphore(PROBES),
        }

    async def ask(self, purpose: Purpose, *words: str) -> Reply:
        """See `Transport.ask`."""
        turn = self.turns[purpose]
        if turn.locked():
            await _wait_for(turn)
        else:
            await turn.acquire()
        try:
            return await self._ask(purpose, words)
        finally:
            turn.release()

    async def _ask(self, purpose: Purpose, words: tuple[str, ...]) -> Reply:
        cancelled_before = _cancellations()
        try:
            answer = await self.clients[purpose].execute_command(*words)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, UnicodeDecodeError) as error:
            _heed_cancellation(cancelled_before)
            # Without the chain: the driver's own text may quote an AUTH command.
            raise Faulted(classify(error, self._redactor)) from None
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            # uvloop's own word for a connection that was lost between being made and the first word on it.
            _heed_cancellation(cancelled_before)
            raise Faulted(classify(ConnectionResetError(str(error)), self._redactor)) from None
        _heed_cancellation(cancelled_before)
        return answer

    async def renew(self, *purposes: Purpose) -> None:
        """See `Transport.renew`."""
        for purpose in purposes:
            pool = self.clients[purpose].connection_pool
            await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
            with suppress(RedisError, OSError):
                await pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """See `Transport.close`."""
        for client in self.clients.values():
            with suppress(RedisError, OSError):
                await client.aclose()


def queue_client(url: str, *, blocking: bool) -> Redis:
    """A client for the job queue, to be closed by who asked.

    One that blocks has no limit on reads: with 0.9 s or 5 s BullMQ stalls jobs for 9 to 13 s, silently (measured).
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=QUEUES,
        timeout=QUEUE_WAIT,
        protocol=2,
        socket_timeout=None if blocking else SOCKET_LIMIT,
        socket_connect_timeout=SOCKET_LIMIT,
        socket_keepalive=True,
        health_check_interval=0,
        retry=HealingRetry(READ_RETRIES if blocking else 0, _nobody),
        decode_responses=True,
    )
    return Redis.from_pool(pool)


def _client(url: str, *, connections: int, retry: HealingRetry) -> Redis:
    pool = ConnectionPool.from_url(
        url,
        max_connections=connections,
        protocol=2,  # RESP3 hands out dead idle connections in 8.1.0 (redis-py#4252)
        socket_timeout=SOCKET_LIMIT,
        socket_connect_timeout=SOCKET_LIMIT,
        health_check_interval=0,  # otherwise a silent server is asked (retries + 1) squared times
        retry=retry,
        decode_responses=True,
    )
    client = Redis.from_pool(pool)
    client.response_callbacks.clear()  # answers as they are, so that both transports give the same
    return client


async def _wait_for(turn: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(POOL_WAIT):
            await turn.acquire()
    except TimeoutError:
        raise Faulted(known_fault("REDIS_POOL_BUSY", f"no connection came free within {POOL_WAIT:g} s")) from None


def _nobody() -> None:
    """The probe's own faults, and the queue's, are told in other ways."""


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _heed_cancellation(before: int) -> None:
    """The driver sends with `asyncio.wait_for`, which swallows a cancellation that comes as it ends (Python 3.11).

    Without this a task is now and then impossible to cancel: `close` would wait for ever for the watch.
    """
    if _cancellations() > before:
        raise asyncio.CancelledError
