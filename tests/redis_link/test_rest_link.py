"""The link, and who stands on it, over the REST interface: nobody above notices another transport."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from passerelle.redaction import Redactor
from passerelle.redis_link import RedisAway, RedisLink, RedisRefused, RedisState, examine, request_budget

from rest_double import TOKEN, Mode, RestDouble
from servers import RedisServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E3")]
PUT = ("SET", "k", "v")
GET = ("GET", "k")
OpenRest = Callable[..., Awaitable[RedisLink]]


@pytest.fixture
async def double(redis_server: RedisServer) -> AsyncIterator[RestDouble]:
    async with RestDouble(redis_server) as double:
        yield double


@pytest.fixture
async def open_rest(heard: Any) -> AsyncIterator[OpenRest]:
    links: list[RedisLink] = []

    async def make(double: RestDouble, token: str = TOKEN, *, probe_every: float = 0.1) -> RedisLink:
        setting = examine(None, rest_url=f"{double.url}/", rest_token=f"{token}\n")
        links.append(RedisLink(setting=setting, redactor=Redactor(), probe_every=probe_every))
        links[-1].listen(heard)
        await links[-1].start()
        return links[-1]

    yield make
    for link in links:
        await link.close()


def code_of(link: RedisLink) -> str:
    return link.status.fault.code if link.status.fault else ""


async def test_a_link_over_rest_goes_down_and_comes_back_with_its_redis(
    open_rest: OpenRest, double: RestDouble, redis_server: RedisServer, heard: Any
) -> None:
    with capture_logs() as lines:
        link = await open_rest(double)
        assert await link.write(*PUT) == "OK"
        assert await link.read(*GET) == "v"
        redis_server.kill()
        await eventually(lambda: not link.is_up)
        assert code_of(link) == "REDIS_REST"
        began = time.monotonic()
        with pytest.raises(RedisAway):
            await link.read(*GET)
        assert time.monotonic() - began < 0.05
        redis_server.start()
        await eventually(lambda: link.is_up)
        assert await link.read(*GET) is None
        await eventually(lambda: heard.words == ["up", "down!", "up"])
    assert [line["event"] for line in lines] == [
        "🔄 Redis connecting...",
        "✅ Redis ready and connected",
        "❌ Redis connection error",
        "✅ Redis ready and connected",
    ]
    assert lines[0]["server"] == f"127.0.0.1:{double.port}"
    assert lines[2]["code"] == "REDIS_REST"
    assert TOKEN not in repr(lines)


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        (Mode.HANG, "REDIS_SILENT"),
        (Mode.BAD_GATEWAY, "REDIS_REST"),
        (Mode.QUOTA, "REDIS_QUOTA"),
        (Mode.HTML, "REDIS_NOT_REDIS"),
    ],
)
async def test_a_fault_of_the_interface_takes_the_link_down_and_its_end_brings_it_back(
    open_rest: OpenRest, double: RestDouble, mode: Mode, code: str
) -> None:
    link = await open_rest(double)
    double.mode = mode
    await eventually(lambda: not link.is_up)
    assert code_of(link) == code
    double.mode = Mode.WELL
    await eventually(lambda: link.is_up)
    assert await link.write(*PUT) == "OK"


async def test_an_interface_that_is_away_is_down_and_comes_back_at_the_same_address(
    open_rest: OpenRest, double: RestDouble
) -> None:
    link = await open_rest(double)
    await double.stop()
    await eventually(lambda: not link.is_up)
    assert code_of(link) == "REDIS_REFUSED"
    await double.start()
    await eventually(lambda: link.is_up)
    assert await link.write(*PUT) == "OK"


async def test_a_wrong_token_is_named_once_and_never_quoted(open_rest: OpenRest, double: RestDouble) -> None:
    with capture_logs() as lines:
        link = await open_rest(double, "some-wrong-token")
        await eventually(lambda: len(double.sync_tokens) > 4)
    assert (link.status.state, code_of(link)) == (RedisState.DOWN, "REDIS_WRONGPASS")
    assert [line["event"] for line in lines[1:]] == ["❌ Redis connection test failed", "❌ Redis connection error"]
    assert "some-wrong-token" not in repr(lines) + repr(link.status)


async def test_out_of_memory_means_reads_go_on(open_rest: OpenRest) -> None:
    with RedisServer("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as server:
        async with RestDouble(server) as double:
            link = await open_rest(double)
            await link.write(*PUT)
            server.ask("CONFIG", "SET", "maxmemory", "1kb")
            await eventually(lambda: not link.status.writable)
            assert link.is_up
            assert code_of(link) == "REDIS_OOM"
            assert await link.read(*GET) == "v"
            with pytest.raises(RedisAway):
                await link.write(*PUT)


async def test_a_write_whose_answer_got_lost_may_have_happened_and_is_not_sent_again(
    open_rest: OpenRest, double: RestDouble
) -> None:
    link = await open_rest(double, probe_every=30)
    double.mode = Mode.CUT
    with pytest.raises(RedisAway) as lost:
        await link.write("INCR", "n")
    double.mode = Mode.WELL
    assert (lost.value.fault.code, lost.value.maybe_applied) == ("REDIS_AMBIGUOUS", True)
    await eventually(lambda: link.is_up)
    assert await link.read("GET", "n") == "1"
    assert double.count("INCR") == 1


async def test_a_write_that_was_never_sent_cannot_have_happened(open_rest: OpenRest, double: RestDouble) -> None:
    link = await open_rest(double, probe_every=30)
    await double.stop()
    with pytest.raises(RedisAway) as away:
        await link.write(*PUT)
    assert (away.value.fault.code, away.value.maybe_applied) == ("REDIS_REFUSED", False)


async def test_one_request_shares_one_budget(open_rest: OpenRest, double: RestDouble) -> None:
    link = await open_rest(double, probe_every=30)
    double.mode = Mode.HANG
    began = time.monotonic()
    with request_budget(0.3):
        for _ in range(3):
            with pytest.raises(RedisAway):
                await link.read(*GET)
    assert time.monotonic() - began < 0.5


async def test_what_needs_a_queue_is_refused_by_name(open_rest: OpenRest, double: RestDouble) -> None:
    link = await open_rest(double)
    with pytest.raises(RedisAway, match="REDIS_REST_ONLY"):
        link.queue_client(blocking=True)
    with pytest.raises(RedisRefused):
        await link.read("BLPOP", "none", "1")
    assert link.is_up
