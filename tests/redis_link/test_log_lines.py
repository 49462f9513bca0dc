"""The lines about Redis: each once per change of state, never the password (MISSION D1)."""

import asyncio
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from passerelle.redaction import Redactor
from passerelle.redis_link import RedisAway, RedisLink, examine
from passerelle.redis_link.transport import Purpose

from servers import RedisServer, eventually, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("D1")]


def events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


async def test_every_line_comes_once_per_change_of_state(open_link: Any, redis_server: RedisServer) -> None:
    with capture_logs() as lines:
        link = await open_link(redis_server.url, probe_every=0.05)
        redis_server.kill()
        await eventually(lambda: not link.is_up)
        await asyncio.sleep(0.4)  # several probes more: nothing new to say
        redis_server.start()
        await eventually(lambda: link.is_up)
        await asyncio.sleep(0.2)
    assert events(lines) == [
        "🔄 Redis connecting...",
        "✅ Redis ready and connected",
        "❌ Redis connection error",
        "✅ Redis ready and connected",
    ]
    error = lines[2]
    assert error["log_level"] == "error"
    assert error["code"] == "REDIS_REFUSED"
    assert error["url_set"] is True
    assert "111" in error["message"]
    assert "Nothing listens" in error["cause"]


async def test_a_start_that_fails_says_that_the_test_failed(open_link: Any) -> None:
    with capture_logs() as lines:
        await open_link(f"redis://127.0.0.1:{free_port()}", probe_every=0.05)
        await asyncio.sleep(0.3)
    assert events(lines) == [
        "🔄 Redis connecting...",
        "❌ Redis connection test failed",
        "❌ Redis connection error",
    ]
    assert all(line["code"] == "REDIS_REFUSED" and line["url_set"] for line in lines[1:])


async def test_reads_only_is_a_warning(open_link: Any, redis_server: RedisServer) -> None:
    with capture_logs() as lines:
        link = await open_link(redis_server.url, probe_every=0.05)
        redis_server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        await eventually(lambda: not link.status.writable)
        await asyncio.sleep(0.2)
    assert events(lines)[2:] == ["⚠️ Redis not writable"]
    assert lines[2]["log_level"] == "warning"
    assert lines[2]["code"] == "REDIS_NOREPLICAS"


async def test_absent_and_malformed_are_one_line_each(open_link: Any) -> None:
    with capture_logs() as lines:
        await open_link(None)
        await open_link("redis://:secret-part#x@host")
    assert events(lines) == ["Redis is not configured", "❌ Redis connection error"]
    assert lines[0]["url_set"] is False
    assert lines[1]["code"] == "REDIS_URL_PASSWORD_CHARS"
    assert "secret-part" not in repr(lines)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(min_size=4, max_size=16, alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])),
    st.booleans(),
    st.sampled_from(["closed", "wrong", "unknown"]),
)
def test_the_password_is_in_no_line_and_no_exception(password: str, raw: bool, where: str) -> None:  # noqa: FBT001
    secret = f"Zq9{password}9qZ"
    with capture_logs() as lines:
        told = asyncio.run(_live_with(secret if raw else quote(secret, safe=""), where))
    for text in (repr(lines), *told):
        assert "Zq9" not in text
        assert "9qZ" not in text


async def _live_with(password: str, where: str) -> list[str]:
    """Every text that comes out of a link with this password to a server that refuses, or knows no AUTH at all."""
    server = await asyncio.start_server(_answers(where), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if where == "closed":
        server.close()
        await server.wait_closed()
    link = RedisLink(setting=examine(f"redis://:{password}@127.0.0.1:{port}"), redactor=Redactor(), probe_every=9)
    told = [repr(link.status), repr(link._setting)]
    await link.start()
    told.append(repr(link.status))
    for call in (link.read, link.write):
        try:
            await call("GET", "k")
        except RedisAway as away:
            told += [str(away), repr(away), repr(away.fault), "".join(traceback.format_exception(away))]
    if link._transport is not None:  # as if it were up
        try:
            await link._transport.ask(Purpose.WRITE, "GET", "k")
        except Exception as error:
            told += [repr(error), "".join(traceback.format_exception(error))]
    await link.close()
    server.close()
    await server.wait_closed()
    return told


def _answers(where: str) -> Any:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(1000)
        sent = asked.split(b"\r\n")[4] if asked.count(b"\r\n") > 4 else asked
        wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        unknown = b"-ERR unknown command 'AUTH', with args beginning with: '" + sent + b"' \r\n"
        writer.write(wrong if where == "wrong" else unknown)
        await writer.drain()
        writer.close()

    return answer
