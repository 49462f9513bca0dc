"""The life of a link to a real Redis, and what its callers meet (MISSION D4, E2)."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry

from passerelle.redaction import Redactor
from passerelle.redis_link import (
    FaultKind,
    RedisAway,
    RedisLink,
    RedisRefused,
    RedisState,
    examine,
    request_budget,
)
from passerelle.redis_link.tcp import TcpTransport, queue_client
from passerelle.redis_link.transport import Purpose

from servers import BlackHole, RedisServer, eventually, free_port

pytestmark = pytest.mark.anyio
NOBODY_WAITS = 0.05


GET = ("GET", "k")
PUT = ("SET", "k", "v")


async def refused(call: Any, limit: float = NOBODY_WAITS) -> RedisAway:
    """The refusal of `call`, which must come within `limit` seconds."""
    began = time.monotonic()
    with pytest.raises(RedisAway) as caught:
        await call
    assert time.monotonic() - began < limit
    return caught.value


def code_of(link: RedisLink) -> str:
    return link.status.fault.code if link.status.fault else ""


def _later(link: RedisLink, began: float) -> bool:
    return link._watch is not None and link._watch._began > began


# --- how it is built


@pytest.mark.mission("E2")
def test_the_driver_is_built_with_our_numbers() -> None:
    transport = TcpTransport(url="redis://127.0.0.1:1/0", redactor=Redactor(), on_fault=lambda: None)
    for purpose, connections, retries in ((Purpose.READ, 4, 2), (Purpose.WRITE, 2, 0), (Purpose.PROBE, 1, 0)):
        pool = transport.clients[purpose].connection_pool
        assert isinstance(pool, ConnectionPool)
        assert (pool.max_connections, transport.turns[purpose]._value) == (connections, connections)
        connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
        assert isinstance(connection.retry, Retry)  # the asyncio one: the other silently never retries
        assert connection.retry.get_retries() == retries
        backoff: Any = connection.retry._backoff
        assert (backoff._cap, backoff._base) == (1.2, 0.5)
        assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.9, 0.9)
        assert connection.health_check_interval == 0
        assert connection.protocol == 2
        assert connection.encoder.decode_responses


def test_the_client_of_a_queue_may_block_for_long_and_the_one_that_adds_may_not() -> None:
    url = "redis://127.0.0.1:1/0"
    for blocking, limit in ((True, None), (False, 0.9)):
        connection: Any = queue_client(url, blocking=blocking).connection_pool.make_connection()  # type: ignore[no-untyped-call]
        assert connection.socket_timeout == limit
        assert connection.protocol == 2
        assert connection.socket_keepalive


# --- where it stands at first


async def test_absent_refuses_at_once_and_says_so(open_link: Any, heard: Any) -> None:
    link = await open_link(None)
    assert link.status.state is RedisState.ABSENT
    assert not link.is_up
    away = await refused(link.read(*GET))
    assert (away.code, away.fault.code, away.maybe_applied) == ("redis_unavailable", "REDIS_URL_MISSING", False)
    await refused(link.write(*PUT))
    with pytest.raises(RedisAway):
        link.queue_client(blocking=True)


@pytest.mark.mission("D2")
async def test_a_malformed_address_is_down_with_its_finding_and_never_absent(open_link: Any, heard: Any) -> None:
    link = await open_link("redis://:pa#ss@host:6379")
    assert link.status.state is RedisState.DOWN
    assert code_of(link) == "REDIS_URL_PASSWORD_CHARS"
    assert (await refused(link.read(*GET))).fault.code == "REDIS_URL_PASSWORD_CHARS"
    await eventually(lambda: heard.words == ["down!"])


async def test_a_closed_port_is_down_within_two_seconds_and_says_refused(open_link: Any, heard: Any) -> None:
    began = time.monotonic()
    link = await open_link(f"redis://127.0.0.1:{free_port()}")
    assert time.monotonic() - began < 2
    assert link.status.state is RedisState.DOWN
    assert code_of(link) == "REDIS_REFUSED"
    for _ in range(50):
        await refused(link.read(*GET))
        await refused(link.write(*PUT))


async def test_a_black_hole_is_down_within_two_seconds_and_says_silent(open_link: Any) -> None:
    with BlackHole() as hole:
        began = time.monotonic()
        link = await open_link(hole.url)
        assert time.monotonic() - began < 2
        assert link.status.state is RedisState.DOWN
        assert code_of(link) == "REDIS_SILENT"
        await refused(link.read(*GET))
        await link.close()


async def test_a_wrong_password_is_named_and_does_not_knock_again_and_again(open_link: Any) -> None:
    with RedisServer(password="right-one") as server:
        link = await open_link(f"redis://:wrong-one@127.0.0.1:{server.port}", probe_every=30)
        assert link.status.state is RedisState.DOWN
        assert code_of(link) == "REDIS_WRONGPASS"
        transport = link._transport
        assert transport is not None
        before = server.number_of("total_connections_received")
        with pytest.raises(Exception, match="REDIS_WRONGPASS"):
            await transport.ask(Purpose.READ, *GET)
        after = server.number_of("total_connections_received")
        assert after - before == 2  # one try, and the question itself


async def test_a_missing_password_and_one_too_many_are_told_apart(open_link: Any) -> None:
    with RedisServer(password="right-one") as server:
        link = await open_link(f"redis://127.0.0.1:{server.port}")
        assert code_of(link) == "REDIS_NOAUTH"
    with RedisServer() as server:
        link = await open_link(f"redis://:some-thing@127.0.0.1:{server.port}")
        assert code_of(link) == "REDIS_OPEN_SERVER"


async def test_a_web_server_is_not_taken_for_redis(open_link: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"<!DOCTYPE html>\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        link = await open_link(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert code_of(link) == "REDIS_NOT_REDIS"
        await link.close()


# --- asking


async def test_reads_and_writes_reach_redis(open_link: Any, heard: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    assert link.status.state is RedisState.UP
    assert link.status.writable
    assert link.status.fault is None
    assert await link.write(*PUT)
    assert await link.read(*GET) == "v"
    await eventually(lambda: heard.words == ["up"])


async def test_five_hundred_reads_at_once_share_the_pool_without_an_error(
    open_link: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url)
    await link.write(*PUT)
    assert await asyncio.gather(*(link.read(*GET) for _ in range(500))) == ["v"] * 500
    assert redis_server.number_of("connected_clients") <= 4 + 2 + 1 + 1


async def test_a_command_that_redis_refuses_is_the_callers_fault_and_changes_nothing(
    open_link: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url)
    await link.write(*PUT)
    with pytest.raises(RedisRefused) as caught:
        await link.read("LLEN", "k")
    assert caught.value.fault.code == "REDIS_WRONGTYPE"
    with pytest.raises(RedisRefused, match="REDIS_UNKNOWN_CMD"):
        await link.read("NOPE")
    assert link.is_up


async def test_one_request_shares_one_budget(open_link: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url, probe_every=30)
    began = time.monotonic()
    with request_budget(0.3):
        for _ in range(3):
            away = await refused(link.read("BLPOP", "none", "10"), 1)
            assert away.fault.code == "REDIS_SLOW"
    assert time.monotonic() - began < 0.5
    await eventually(lambda: link.is_up)
    assert await link.read(*GET) is None


async def test_a_request_whose_time_is_used_up_sends_nothing_more(open_link: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    with request_budget(0):
        away = await refused(link.write(*PUT))
    assert (away.fault.code, away.maybe_applied) == ("REDIS_SLOW", False)
    assert await link.read(*GET) is None


async def test_a_slow_command_is_not_an_outage(open_link: Any, heard: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    away = await refused(link.write("BLPOP", "none", "10"), 1.5)
    assert away.fault.code == "REDIS_SILENT"
    assert away.maybe_applied
    await link.read(*GET)
    assert heard.words == ["up"]


async def test_cancelled_callers_are_cancelled_and_leave_no_wrong_answers_behind(
    open_link: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url)
    for number in range(20):
        await link.write("SET", f"k{number}", str(number))
    for number in range(200):
        task = asyncio.ensure_future(link.read("GET", f"k{number % 20}"))
        for _ in range(number % 10):
            await asyncio.sleep(0)
        asked = task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # asyncio.wait_for, which redis-py sends with, swallows a cancellation in one turn of the loop (Python 3.11).
        assert task.cancelled() == asked
    answers = await asyncio.gather(*(link.read("GET", f"k{n}") for n in range(20)))
    assert answers == [str(number) for number in range(20)]


# --- outages


@pytest.mark.mission("D4")
@pytest.mark.mission("E2")
async def test_killed_while_idle_and_restarted_it_comes_back_by_itself(
    open_link: Any, heard: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url)
    await link.write(*PUT)
    redis_server.kill()
    await eventually(lambda: not link.is_up)
    assert code_of(link) == "REDIS_REFUSED"
    await refused(link.read(*GET))
    redis_server.start()
    assert await eventually(lambda: link.is_up) < 1
    assert await link.read(*GET) is None  # empty, as it came back
    assert await link.write(*PUT)
    await eventually(lambda: heard.words == ["up", "down!", "up"])


@pytest.mark.mission("E2")
async def test_a_restart_between_two_probes_is_ridden_out_by_reads_and_unseen_by_writes(
    open_link: Any, heard: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url, probe_every=30)
    await asyncio.gather(*(link.write(*PUT) for _ in range(8)), *(link.read(*GET) for _ in range(8)))
    redis_server.restart()
    assert await link.read(*GET) is None
    assert await link.write(*PUT)
    redis_server.kill()
    reading = asyncio.ensure_future(link.read(*GET))
    await asyncio.sleep(0.1)  # the first of three tries has failed
    redis_server.start()
    assert await reading is None
    assert set(heard.words) == {"up"}, "told again at most because it came back empty"


@pytest.mark.mission("D4")
async def test_a_frozen_server_is_found_down_and_those_who_wait_are_let_go(
    open_link: Any, heard: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url)
    redis_server.freeze()
    began = time.monotonic()
    waiting = [asyncio.ensure_future(link.read(*GET)) for _ in range(20)]
    writing = asyncio.ensure_future(link.write(*PUT))
    results = await asyncio.gather(*waiting, writing, return_exceptions=True)
    assert time.monotonic() - began < 3
    assert all(isinstance(result, RedisAway) for result in results)
    assert link.status.state is RedisState.DOWN
    assert code_of(link) == "REDIS_SILENT"
    assert isinstance(results[-1], RedisAway)
    assert results[-1].maybe_applied
    assert not any(result.maybe_applied for result in results[:-1] if isinstance(result, RedisAway))
    await refused(link.read(*GET))
    redis_server.thaw()
    await eventually(lambda: link.is_up)
    assert await link.read(*GET) in {None, "v"}
    await eventually(lambda: heard.words == ["up", "down!", "up"])


async def test_the_fault_of_one_caller_makes_the_link_look_at_once(
    open_link: Any, heard: Any, redis_server: RedisServer
) -> None:
    link = await open_link(redis_server.url, probe_every=30)
    await link.write(*PUT)
    redis_server.kill()
    away = await refused(link.write(*PUT), 1)
    assert away.fault.kind is FaultKind.AWAY
    assert await eventually(lambda: not link.is_up) < 0.5
    assert heard.words in (["up"], ["up", "down!"])
    await eventually(lambda: heard.words == ["up", "down!"])


async def test_a_write_cut_off_in_the_middle_may_have_happened(open_link: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    await link.write(*PUT)  # the connection is there
    writing = asyncio.ensure_future(link.write("BLPOP", "none", "10"))
    await asyncio.sleep(0.1)
    redis_server.kill()
    away = await refused(writing, 1)
    assert away.fault.code == "REDIS_AMBIGUOUS"
    assert away.maybe_applied


async def test_a_write_that_was_never_sent_cannot_have_happened(open_link: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url, probe_every=30)
    redis_server.kill()
    away = await refused(link.write(*PUT), 1)
    assert away.fault.code == "REDIS_REFUSED"
    assert not away.maybe_applied


async def test_waiting_for_up_ends_when_it_is(open_link: Any, redis_server: RedisServer) -> None:
    redis_server.kill()
    link = await open_link(redis_server.url)
    waiting = asyncio.ensure_future(link.wait_up())
    assert not link.is_up
    redis_server.start()
    async with asyncio.timeout(3):
        await waiting
    assert link.is_up


# --- reads only


@pytest.mark.mission("D4")
async def test_out_of_memory_means_reads_go_on_and_writes_are_refused_at_once(open_link: Any, heard: Any) -> None:
    with RedisServer("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as server:
        link = await open_link(server.url)
        await link.write(*PUT)
        server.ask("CONFIG", "SET", "maxmemory", "1kb")
        await eventually(lambda: not link.status.writable)
        assert link.is_up
        assert code_of(link) == "REDIS_OOM"
        assert await link.read(*GET) == "v"
        assert (await refused(link.write(*PUT))).fault.code == "REDIS_OOM"
        server.ask("CONFIG", "SET", "maxmemory", "50mb")
        await eventually(lambda: link.status.writable)
        assert await link.write(*PUT)
        await eventually(lambda: heard.words == ["up", "up!", "up"])


async def test_a_caller_who_meets_out_of_memory_tells_the_link(open_link: Any) -> None:
    with RedisServer("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        link = await open_link(server.url, probe_every=30)
        server.ask("CONFIG", "SET", "maxmemory", "1kb")
        away = await refused(link.write(*PUT))
        assert (away.fault.code, away.fault.kind) == ("REDIS_OOM", FaultKind.UNWRITABLE)
        await eventually(lambda: not link.status.writable, limit=1)


async def test_a_replica_is_read_only_until_the_failover_is_over(open_link: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    await link.write(*PUT)
    with RedisServer() as primary:
        redis_server.ask("REPLICAOF", "127.0.0.1", str(primary.port))
        await eventually(lambda: code_of(link) == "REDIS_READONLY")
        assert link.is_up
        await link.read(*GET)
        await refused(link.write(*PUT))
        redis_server.ask("REPLICAOF", "NO", "ONE")
        await eventually(lambda: link.status.writable)
        assert await link.write(*PUT)


async def test_a_snapshot_that_fails_means_reads_only(open_link: Any) -> None:
    with RedisServer("--enable-protected-configs", "yes") as server:
        link = await open_link(server.url)
        await link.write(*PUT)
        server.ask("CONFIG", "SET", "dir", "/proc")
        server.ask("CONFIG", "SET", "save", '"1 1"')
        server.ask("BGSAVE")
        await eventually(lambda: code_of(link) == "REDIS_MISCONF")
        assert link.is_up  # although PING itself is refused now
        assert await link.read(*GET) == "v"
        assert (await refused(link.write(*PUT))).fault.code == "REDIS_MISCONF"


async def test_paused_writes_mean_reads_only(open_link: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    await link.write(*PUT)
    redis_server.ask("CLIENT", "PAUSE", "60000", "WRITE")
    await eventually(lambda: code_of(link) == "REDIS_WRITE_PAUSED")
    assert await link.read(*GET) == "v"
    await refused(link.write(*PUT))
    redis_server.ask("CLIENT", "UNPAUSE")
    await eventually(lambda: link.status.writable)


async def test_missing_replicas_mean_reads_only(open_link: Any) -> None:
    with RedisServer("--min-replicas-to-write", "1") as server:
        link = await open_link(server.url)
        assert code_of(link) == "REDIS_NOREPLICAS"
        assert await link.read(*GET) is None
        await refused(link.write(*PUT))


async def test_a_user_without_the_right_to_write_means_reads_only(open_link: Any, redis_server: RedisServer) -> None:
    redis_server.ask("ACL", "SETUSER", "reader", "on", ">some-pass", "~*", "+@read", "+ping", "+client")
    link = await open_link(f"redis://reader:some-pass@127.0.0.1:{redis_server.port}")
    assert link.is_up
    assert not link.status.writable
    assert code_of(link) == "REDIS_NOPERM"


# --- no connection left


async def test_too_many_clients_is_not_down(open_link: Any, heard: Any) -> None:
    with RedisServer("--maxclients", "3") as server:
        link = await open_link(server.url)
        assert link.is_up
        results = await asyncio.gather(
            *(link.write("BLPOP", "none", "0.2") for _ in range(2)),
            *(link.read(*GET) for _ in range(4)),
            return_exceptions=True,
        )
        faults = [result.fault for result in results if isinstance(result, RedisAway)]
        assert faults
        # The server's line may be lost in the reset that follows it (reference §5, remark 1).
        assert {fault.code for fault in faults} <= {"REDIS_MAXCLIENTS", "REDIS_CLOSED_EARLY", "REDIS_AMBIGUOUS"}
        for _ in range(3):  # probes
            began = link._watch._began
            await eventually(partial(_later, link, began))
        assert link.is_up
        assert heard.words == ["up"]


async def test_a_full_pool_is_busy_and_not_down(open_link: Any, heard: Any, redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    transport = link._transport
    assert isinstance(transport, TcpTransport)
    turn = transport.turns[Purpose.WRITE]
    for _ in range(2):
        await turn.acquire()
    away = await refused(link.write(*PUT), 3)
    assert (away.fault.code, away.fault.kind, away.maybe_applied) == ("REDIS_POOL_BUSY", FaultKind.BUSY, False)
    for _ in range(2):
        turn.release()
    assert await link.write(*PUT)
    assert heard.words == ["up"]


# --- the end


async def test_close_leaves_no_task_and_no_connection(open_link: Any, redis_server: RedisServer) -> None:
    tasks = asyncio.all_tasks()
    link = await open_link(redis_server.url)
    await link.write(*PUT)
    waiting = asyncio.ensure_future(link.read("BLPOP", "none", "10"))
    await asyncio.sleep(0.05)
    await link.close()
    await refused(waiting)
    assert asyncio.all_tasks() == tasks
    await eventually(lambda: redis_server.number_of("connected_clients") == 1)  # who asks
    assert (await refused(link.read(*GET))).fault.code == "REDIS_NOT_OPEN"
    await link.close()


async def test_a_listener_that_fails_or_hangs_stops_nobody_else(heard: Any, redis_server: RedisServer) -> None:
    class Broken:
        async def redis_changed(self, status: Any) -> None:  # noqa: ARG002
            raise ValueError("broken")

    class Hanging:
        async def redis_changed(self, status: Any) -> None:  # noqa: ARG002
            await asyncio.sleep(60)

    link = RedisLink(setting=examine(redis_server.url), redactor=Redactor(), probe_every=0.1)
    for listener in (Broken(), heard, Hanging()):
        link.listen(listener)
    await link.start()
    await eventually(lambda: heard.words == ["up"])
    redis_server.kill()
    await eventually(lambda: not link.is_up)
    await link.close()
