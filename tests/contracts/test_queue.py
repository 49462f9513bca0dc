"""The queue on Redis: told at once, one active job per user, and back by itself whatever Redis does."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from passerelle.coordination.adapters.bullmq_queue import CONCURRENCY, QUEUE, BullAnnouncer, BullWorker
from passerelle.coordination.chain import AnnouncerChain
from passerelle.coordination.ports import Job
from passerelle.redis_link import RedisLink

from .conftest import OpenLink, closed_link
from servers import HOST, BlackHole, RedisServer, eventually, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("A5")]
ANNOUNCE_LIMIT_S = 2.1
JOB_LIMIT = timedelta(minutes=5)


class Handler:
    """Notes every job; does what `then` says with it."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.count = 0
        self.done: list[str] = []
        self.in_hand = 0
        self.most = 0
        self.then: Callable[[str], Awaitable[None]] | None = None

    async def __call__(self, attempt_id: str) -> None:
        self.began[attempt_id] = time.monotonic()
        self.count += 1
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            if self.then is not None:
                await self.then(attempt_id)
            self.done.append(attempt_id)
        finally:
            self.in_hand -= 1

    async def has(self, *attempt_ids: str, limit: float = 5) -> None:
        await eventually(lambda: set(attempt_ids) <= set(self.done), f"{attempt_ids} not handled", limit)


@asynccontextmanager
async def working(link: RedisLink, handler: Handler, *, job_limit: timedelta = JOB_LIMIT) -> AsyncIterator[None]:
    task = asyncio.create_task(BullWorker(link, handler, job_limit=job_limit).run())
    try:
        yield
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done, "the worker does not stop"


@asynccontextmanager
async def announcing(link: RedisLink) -> AsyncIterator[BullAnnouncer]:
    announcer = BullAnnouncer(link)
    try:
        yield announcer
    finally:
        await announcer.close()


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
async def link(redis_server: RedisServer, open_link: OpenLink) -> RedisLink:
    return await open_link(redis_server.url)


@pytest.fixture
async def announcer(link: RedisLink) -> AsyncIterator[BullAnnouncer]:
    async with announcing(link) as announcer:
        yield announcer


def job(number: int | str, key: str | None = None) -> Job:
    return Job(id=f"pair_{number}", key=key or f"default:u{number}")


def asked(server: RedisServer, *words: str) -> str:
    """One line that Redis answers about the queue."""
    return server.ask(words[0], f"bull:{QUEUE}:{words[1]}", *words[2:]).split("\r\n")[0].lstrip(":")


def told_of_failure(server: RedisServer, attempt_id: str) -> str:
    lines = server.ask("HGET", f"bull:{QUEUE}:{attempt_id}", "failedReason").split("\r\n")
    return "" if lines[0] == "$-1" else lines[1]


# --- told at once


async def test_an_announced_job_reaches_the_handler(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler
) -> None:
    assert announcer.is_heard
    async with working(link, handler):
        assert await announcer.announce(job(1))
        await handler.has("pair_1")
    assert handler.count == 1


async def test_the_queue_takes_few_connections_however_many_jobs_come(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    async with working(link, handler):
        await asyncio.gather(*(announcer.announce(job(n)) for n in range(150)))
        await handler.has(*(job(n).id for n in range(150)), limit=20)
        # small plans allow 20 to 30: ours are 7 of the link, 4 that add, 4 of the worker, and the one that asks
        assert redis_server.number_of("connected_clients") <= 16


async def test_what_was_announced_before_a_worker_lives_is_done_when_one_does(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler
) -> None:
    assert await announcer.announce(job(1))
    async with working(link, handler):
        await handler.has("pair_1")


async def test_after_eight_idle_seconds_a_job_starts_within_a_tenth_of_one(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler
) -> None:
    """With a limit on socket reads below BullMQ's own waiting, jobs stall for 9 to 13 s, silently."""
    async with working(link, handler):
        await announcer.announce(job("warm"))
        await handler.has("pair_warm")
        await asyncio.sleep(8)
        began = time.monotonic()
        assert await announcer.announce(job("late"))
        await handler.has("pair_late")
        assert handler.began["pair_late"] - began < 0.1


@pytest.mark.mission("A8")
async def test_as_many_users_as_a_worker_takes_are_in_hand_together_and_each_once(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler
) -> None:
    together = asyncio.Event()

    async def wait(_attempt_id: str) -> None:
        await together.wait()

    handler.then = wait
    async with working(link, handler):
        assert all(await asyncio.gather(*(announcer.announce(job(n)) for n in range(2 * CONCURRENCY))))
        await eventually(lambda: handler.in_hand == CONCURRENCY, limit=10)
        assert CONCURRENCY >= 60
        together.set()
        await handler.has(*(f"pair_{n}" for n in range(2 * CONCURRENCY)), limit=10)
    assert handler.count == 2 * CONCURRENCY


async def test_two_workers_share_the_jobs_and_none_is_done_twice(
    redis_server: RedisServer, open_link: OpenLink, announcer: BullAnnouncer, handler: Handler
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(working(await open_link(redis_server.url), handler))
        await asyncio.gather(*(announcer.announce(job(n)) for n in range(100)))
        await handler.has(*(f"pair_{n}" for n in range(100)))
    assert handler.count == 100


# --- one active job per user


async def test_a_key_announced_again_while_its_job_is_active_stays_one_job(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    go = asyncio.Event()

    async def wait(_attempt_id: str) -> None:
        await go.wait()

    handler.then = wait
    async with working(link, handler):
        await announcer.announce(job(1, "default:u1"))
        await eventually(lambda: handler.in_hand == 1)
        again = [announcer.announce(job(n, "default:u1")) for n in (2, 3)]
        assert all(await asyncio.gather(*again, announcer.announce(job(4, "other:u1"))))
        await eventually(lambda: "pair_4" in handler.began)
        assert (asked(redis_server, "LLEN", "active"), asked(redis_server, "LLEN", "wait")) == ("2", "0")
        go.set()
        await handler.has("pair_1", "pair_4")
        await eventually(lambda: asked(redis_server, "ZCARD", "completed") == "2")
        assert await announcer.announce(job(5, "default:u1"))
        await handler.has("pair_5")
    assert set(handler.began) == {"pair_1", "pair_4", "pair_5"}


async def test_a_key_announced_often_at_once_is_one_job(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    assert all(await asyncio.gather(*(announcer.announce(job(n, "default:u1")) for n in range(50))))
    assert asked(redis_server, "LLEN", "wait") == "1"
    async with working(link, handler):
        await eventually(lambda: handler.count == 1)
        await eventually(lambda: asked(redis_server, "ZCARD", "completed") == "1")
    assert handler.count == 1


async def test_a_key_is_free_again_after_its_job_failed(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    async def fail(attempt_id: str) -> None:
        if attempt_id == "pair_1":
            raise ValueError("no")

    handler.then = fail
    async with working(link, handler):
        await announcer.announce(job(1, "default:u1"))
        await eventually(lambda: asked(redis_server, "ZCARD", "failed") == "1")
        assert await announcer.announce(job(2, "default:u1"))
        await handler.has("pair_2")


# --- jobs that fail


async def test_an_error_of_the_handler_is_seen_in_the_queue_with_its_text_and_stops_nobody(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    async def fail(attempt_id: str) -> None:
        if attempt_id == "pair_1":
            raise RuntimeError("provider_unavailable: é")

    handler.then = fail
    async with working(link, handler):
        await announcer.announce(job(1))
        await announcer.announce(job(2))
        await handler.has("pair_2")
        await eventually(lambda: told_of_failure(redis_server, "pair_1") != "")
        assert "provider_unavailable: é" in told_of_failure(redis_server, "pair_1")
        assert asked(redis_server, "ZCARD", "failed") == "1"
        assert handler.count == 2, "a failed job is not tried again by the queue"


async def test_a_job_longer_than_its_limit_is_ended_and_seen_as_failed(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    ended: list[str] = []

    async def hang(attempt_id: str) -> None:
        if attempt_id == "pair_1":
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(attempt_id)

    handler.then = hang
    async with working(link, handler, job_limit=timedelta(seconds=0.3)):
        await announcer.announce(job(1))
        await eventually(lambda: ended == ["pair_1"])
        assert 0.25 < time.monotonic() - handler.began["pair_1"] < 1
        await eventually(lambda: "longer than its limit" in told_of_failure(redis_server, "pair_1"))
        await announcer.announce(job(2))
        await handler.has("pair_2")


async def test_somebody_elses_job_in_our_queue_fails_alone(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    await announcer.announce(job(0))
    redis_server.ask("HSET", f"bull:{QUEUE}:pair_0", "data", r'"{\"other\":1}"')
    async with working(link, handler):
        await eventually(lambda: asked(redis_server, "ZCARD", "failed") == "1")
        await announcer.announce(job(1))
        await handler.has("pair_1")


# --- Redis comes and goes


@pytest.mark.mission("A4")
@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_an_announcement_that_redis_does_not_take_says_so_in_time(
    link: RedisLink, announcer: BullAnnouncer, redis_server: RedisServer, fault: Callable[[RedisServer], None]
) -> None:
    await announcer.announce(job(0))
    fault(redis_server)
    began = time.monotonic()
    told = await asyncio.gather(*(announcer.announce(job(n)) for n in range(1, 60)))
    assert time.monotonic() - began < ANNOUNCE_LIMIT_S
    assert told == [False] * 59
    await eventually(lambda: not link.is_up)
    assert not announcer.is_heard
    began = time.monotonic()
    for n in range(20):
        assert not await announcer.announce(job(n))
    assert time.monotonic() - began < 0.2, "once it is known, nobody waits"
    redis_server.restart()
    await eventually(lambda: announcer.is_heard)
    assert await _heard(announcer)


async def _heard(announcer: BullAnnouncer) -> bool:
    """The first attempt may still meet a connection of before."""
    return any([await announcer.announce(job(f"again{n}")) for n in range(2)])


@pytest.mark.mission("A4")
async def test_where_redis_never_was_an_announcement_is_false_at_once(open_link: OpenLink) -> None:
    with BlackHole() as hole:
        for url in (None, f"redis://{HOST}:{free_port()}", hole.url):
            async with announcing(await open_link(url)) as announcer:
                began = time.monotonic()
                assert not await announcer.announce(job(1))
                assert not announcer.is_heard
                assert time.monotonic() - began < 0.1


@pytest.mark.mission("A4")
async def test_a_redis_that_takes_no_writes_does_not_hold_the_announcement_up(
    link: RedisLink, announcer: BullAnnouncer, redis_server: RedisServer
) -> None:
    redis_server.ask("REPLICAOF", HOST, str(free_port()))
    with capture_logs() as lines:
        began = time.monotonic()
        assert not await announcer.announce(job(1))
        assert time.monotonic() - began < ANNOUNCE_LIMIT_S
    assert [line["job"] for line in lines if "Job not added" in line["event"]] == ["pair_1"]


@pytest.mark.parametrize("in_hand", [False, True])
async def test_a_worker_outlives_a_redis_that_is_killed_and_restarted(
    link: RedisLink,
    announcer: BullAnnouncer,
    handler: Handler,
    redis_server: RedisServer,
    in_hand: bool,  # noqa: FBT001 -- pytest's own way
) -> None:
    go = asyncio.Event()

    async def wait(attempt_id: str) -> None:
        if attempt_id == "pair_held":
            await go.wait()

    handler.then = wait
    async with working(link, handler):
        await announcer.announce(job("warm"))
        await handler.has("pair_warm")
        if in_hand:
            await announcer.announce(job("held"))
            await eventually(lambda: "pair_held" in handler.began)
        redis_server.kill()
        await eventually(lambda: not link.is_up)
        go.set()
        redis_server.start()
        await eventually(lambda: announcer.is_heard)
        assert await _heard(announcer)
        await eventually(lambda: any(one.startswith("pair_again") for one in handler.done), "no job", limit=8)


async def test_a_worker_outlives_a_redis_that_is_frozen_for_a_while(
    link: RedisLink, announcer: BullAnnouncer, handler: Handler, redis_server: RedisServer
) -> None:
    async with working(link, handler):
        await announcer.announce(job("warm"))
        await handler.has("pair_warm")
        redis_server.freeze()
        await eventually(lambda: not link.is_up)
        redis_server.thaw()
        await eventually(lambda: announcer.is_heard)
        assert await _heard(announcer)
        await eventually(lambda: any(one.startswith("pair_again") for one in handler.done), "no job", limit=8)


@pytest.mark.mission("A7")
async def test_a_worker_started_while_redis_is_away_works_as_soon_as_it_is_there(
    redis_server: RedisServer, open_link: OpenLink, handler: Handler
) -> None:
    redis_server.kill()
    link = await open_link(redis_server.url)
    async with working(link, handler), announcing(link) as announcer:
        assert not await announcer.announce(job(1))
        redis_server.start()
        await eventually(lambda: announcer.is_heard)
        assert await announcer.announce(job(2))
        await handler.has("pair_2")


# --- and then it is gone


@pytest.mark.parametrize("fault", [None, RedisServer.kill, RedisServer.freeze])
async def test_after_it_is_closed_no_task_and_no_connection_is_left(
    redis_server: RedisServer, handler: Handler, fault: Callable[[RedisServer], None] | None
) -> None:
    before = asyncio.all_tasks()
    link = closed_link(redis_server.url)
    await link.start()

    async def hang(attempt_id: str) -> None:
        if attempt_id == "pair_hangs":
            await asyncio.Event().wait()

    handler.then = hang
    async with announcing(link) as announcer, working(link, handler):
        await announcer.announce(job(1))
        await announcer.announce(job("hangs"))
        await handler.has("pair_1")
        await eventually(lambda: handler.in_hand == 1)
        if fault is not None:
            fault(redis_server)
    await link.close()
    assert handler.in_hand == 0
    await eventually(lambda: not left(before), "tasks are left", limit=2)
    if fault is RedisServer.freeze:
        redis_server.thaw()
    if redis_server.running:
        await eventually(lambda: redis_server.ask("CLIENT", "LIST").count("id=") == 1, "connections are left")


def left(before: set[Any]) -> set[Any]:
    return {task for task in asyncio.all_tasks() - before if not task.done()}


async def test_closing_what_was_never_used_is_well(link: RedisLink) -> None:
    announcer = BullAnnouncer(link)
    await announcer.close()
    await announcer.close()


# --- the chain


@pytest.mark.mission("A6")
async def test_what_no_queue_takes_wakes_the_poller_here(
    link: RedisLink, announcer: BullAnnouncer, redis_server: RedisServer
) -> None:
    woken: list[str] = []
    chain = AnnouncerChain(announcer, wake_poller=lambda: woken.append("woken"))
    assert chain.is_heard
    assert await chain.announce(job(1))
    assert woken == []
    redis_server.kill()
    assert not await chain.announce(job(2))
    assert woken == ["woken"]
    alone = AnnouncerChain(None, wake_poller=lambda: woken.append("alone"))
    assert not alone.is_heard
    assert not await alone.announce(job(3))
    assert woken == ["woken", "alone"]
