"""Redis over its REST interface: every row of reference/redis.md §2.2 as our client behaves."""

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from passerelle.redaction import Redactor
from passerelle.redis_link import FaultKind, RedisFault
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.rest import RestTransport
from passerelle.redis_link.rest_client import MOST_BYTES, RestClient, headers_for
from passerelle.redis_link.rest_faults import WORDS, fault_of_error, fault_of_words
from passerelle.redis_link.transport import Purpose

from rest_double import TOKEN, Mode, RestDouble
from servers import HOST, BlackHole, RedisServer, eventually, free_port, missing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E3")]
READ, WRITE, PROBE = Purpose
DISCARDED = [["SET", "a", "2"], ["NOPE"]]


@pytest.fixture
async def double(redis_server: RedisServer) -> AsyncIterator[RestDouble]:
    async with RestDouble(redis_server) as double:
        yield double


@pytest.fixture
async def transport(double: RestDouble) -> AsyncIterator[RestTransport]:
    transport = RestTransport(url=double.url, token=TOKEN, redactor=Redactor())
    yield transport
    await transport.close()


@pytest.fixture
async def client(double: RestDouble) -> AsyncIterator[RestClient]:
    client = client_at(double.url)
    yield client
    await client.close()


def client_at(url: str, token: str = TOKEN) -> RestClient:
    return RestClient(url=url, headers=headers_for(token), redactor=Redactor([token]), connections=4)


async def fault_of(call: Any, limit: float = 1.5) -> RedisFault:
    """The fault that `call` ends with, within `limit` seconds."""
    began = time.monotonic()
    with pytest.raises(Faulted) as caught:
        await call
    assert time.monotonic() - began < limit
    # What stood before it holds the request, and in it the token.
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value.fault


# --- well


async def test_every_kind_of_answer_comes_as_over_tcp(client: RestClient) -> None:
    assert await client.execute("SET", "k", "v é ☎\n\x00") == "OK"
    assert await client.execute("GET", "k") == "v é ☎\n\x00"
    assert await client.execute("GET", "none") is None
    assert await client.execute("INCR", "n") == 1
    assert await client.execute("PING") == "PONG"
    assert await client.execute("EVAL", "return {KEYS[1], {ARGV[1], 7}, false}", "1", "k", "") == ["k", ["", 7], None]
    for text in ("OK", "T0s=", "0", "", "null"):
        await client.execute("SET", "k", text)
        assert await client.execute("GET", "k") == text


async def test_a_pipeline_gives_every_result_and_the_fault_of_each_that_failed(client: RestClient) -> None:
    first, failed, last = await client.pipeline([["SET", "k", "v"], ["LPUSH", "k", "x"], ["GET", "k"]])
    assert (first, last) == ("OK", "v")
    assert isinstance(failed, RedisFault)
    assert failed.code == "REDIS_WRONGTYPE"


async def test_a_transaction_is_done_at_once_or_not_at_all(client: RestClient) -> None:
    assert await client.multi([["SET", "a", "1"], ["INCR", "a"], ["GET", "a"]]) == ["OK", 2, "2"]
    fault = await fault_of(client.multi(DISCARDED))
    assert (fault.code, fault.kind, fault.maybe_applied) == ("REDIS_UNKNOWN_CMD", FaultKind.REFUSED, False)
    assert await client.execute("GET", "a") == "2"
    done, failed = await client.multi([["INCR", "a"], ["LPUSH", "a", "x"]])
    assert (done, failed.code) == (3, "REDIS_WRONGTYPE")


async def test_a_server_that_encodes_everything_is_understood(redis_server: RedisServer) -> None:
    async with RestDouble(redis_server, encodes="all") as double:
        client = client_at(double.url)
        assert await client.pipeline([["SET", "k", "v"], ["GET", "k"]]) == ["OK", "v"]
        await client.close()


@pytest.mark.parametrize("words", [("PING",), ("GET", "k")])
async def test_a_server_that_does_not_encode_is_a_fault(redis_server: RedisServer, words: tuple[str, ...]) -> None:
    async with RestDouble(redis_server, encodes="nothing") as double:
        client = client_at(double.url)
        await client.execute("SET", "k", "plain text")
        fault = await fault_of(client.execute(*words))
        assert (fault.code, fault.kind) == ("REDIS_REST", FaultKind.AWAY)
        assert "base64" in fault.message
        await client.close()


async def test_a_value_that_is_no_text_is_refused_as_over_tcp(client: RestClient) -> None:
    await client.execute("EVAL", r"return redis.call('SET', KEYS[1], '\255\254')", "1", "k")
    fault = await fault_of(client.execute("GET", "k"))
    assert (fault.code, fault.kind) == ("REDIS_ERROR", FaultKind.REFUSED)


async def test_the_mark_of_the_last_write_is_sent_with_every_question_after_it(
    transport: RestTransport, double: RestDouble
) -> None:
    await transport.ask(WRITE, "SET", "k", "v")
    await transport.ask(READ, "GET", "k")
    await transport.ask(PROBE, "PING")
    assert double.sync_tokens == [None, "sync-1", "sync-2"]


# --- what Redis refuses


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("LPUSH", "k", "x"), "REDIS_WRONGTYPE", FaultKind.REFUSED),
        (("NOPE",), "REDIS_UNKNOWN_CMD", FaultKind.REFUSED),
        (("BLPOP", "none", "1"), "REDIS_ERROR", FaultKind.REFUSED),
        (("INCR", "k"), "REDIS_ERROR", FaultKind.REFUSED),
    ],
)
async def test_a_command_that_redis_refuses_is_sent_once(
    transport: RestTransport, double: RestDouble, words: tuple[str, ...], code: str, kind: FaultKind
) -> None:
    await transport.ask(WRITE, "SET", "k", "v")
    fault = await fault_of(transport.ask(READ, *words))
    assert (fault.code, fault.kind, fault.maybe_applied) == (code, kind, False)
    assert len(double.asked) == 2


async def test_a_wrong_token_is_named_for_every_way_to_ask_and_never_quoted(double: RestDouble) -> None:
    client = client_at(double.url, "some-wrong-token")
    for call in (client.execute("GET", "k"), client.pipeline([["GET", "k"]]), client.multi([["GET", "k"]])):
        fault = await fault_of(call)
        assert (fault.code, fault.heals, fault.maybe_applied) == ("REDIS_WRONGPASS", False, False)
        assert "KV_REST_API_TOKEN" in fault.fix.en
        assert "some-wrong-token" not in repr(fault)
    await client.close()


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (401, "Unauthorized", "REDIS_WRONGPASS"),
        (401, "NOAUTH Authentication required.", "REDIS_NOAUTH"),
        (403, "Forbidden", "REDIS_WRONGPASS"),
        (429, "Too Many Requests", "REDIS_QUOTA"),
        (400, "ERR max requests limit exceeded. Limit: 500000, Usage: 500000.", "REDIS_QUOTA"),
        (400, "ERR DB capacity quota exceeded", "REDIS_OOM"),
        (400, "ERR max concurrent connections exceeded", "REDIS_MAXCLIENTS"),
        (400, "OOM command not allowed when used memory > 'maxmemory'.", "REDIS_OOM"),
        (400, "NOPERM this user has no permissions to run the 'set' command", "REDIS_NOPERM"),
        (400, "ERR syntax error", "REDIS_ERROR"),
        (500, "SRH: Unable to connect to the Redis server: connection refused", "REDIS_REST"),
        (500, "LOADING Redis is loading the dataset in memory", "REDIS_LOADING"),
        (599, "", "REDIS_REST"),
    ],
)
def test_the_words_of_redis_are_named_by_the_same_table(status: int, words: str, code: str) -> None:
    fault = fault_of_words(words, status=status, redactor=Redactor())
    assert fault.code == code
    assert fault.message


# --- what goes wrong on the way


@pytest.mark.parametrize(
    ("mode", "code", "maybe_applied"),
    [
        (Mode.HANG, "REDIS_SILENT", True),
        (Mode.HANG_IN_BODY, "REDIS_SILENT", True),
        (Mode.CUT, "REDIS_CLOSED_EARLY", True),
        (Mode.CUT_IN_BODY, "REDIS_CLOSED_EARLY", True),
        (Mode.BAD_GATEWAY, "REDIS_REST", True),
        (Mode.QUOTA, "REDIS_QUOTA", False),
        (Mode.HTML, "REDIS_NOT_REDIS", False),
        (Mode.JSON, "REDIS_NOT_REDIS", False),
        (Mode.REDIRECT, "REDIS_NOT_REDIS", False),
    ],
)
async def test_a_fault_of_the_interface_is_named_in_time_for_every_way_to_ask(
    client: RestClient,
    double: RestDouble,
    mode: Mode,
    code: str,
    maybe_applied: bool,  # noqa: FBT001 -- pytest's own way
) -> None:
    double.mode = mode
    calls = (client.execute("GET", "k"), client.pipeline([["GET", "k"]]), client.multi([["GET", "k"]]))
    for fault in await asyncio.gather(*map(fault_of, calls)):
        assert (fault.code, fault.kind, fault.maybe_applied) == (code, FaultKind.AWAY, maybe_applied)
        assert fault.message
        assert "<" not in fault.message
    double.mode = Mode.WELL
    assert await client.execute("PING") == "PONG"


async def test_a_living_proxy_with_a_dead_redis_behind_it_is_named(
    client: RestClient, redis_server: RedisServer
) -> None:
    redis_server.kill()
    for call in (client.execute("GET", "k"), client.pipeline([["GET", "k"]]), client.multi([["GET", "k"]])):
        fault = await fault_of(call)
        assert (fault.code, fault.heals) == ("REDIS_REST", True)


async def test_an_answer_without_an_end_is_not_kept_in_memory(double: RestDouble) -> None:
    client = RestClient(url=double.url, headers=headers_for(TOKEN), redactor=Redactor(), connections=1, limit=20)
    double.mode = Mode.FLOOD
    fault = await fault_of(client.execute("GET", "k"), 20)
    assert (fault.code, fault.maybe_applied) == ("REDIS_REST", True)
    assert str(MOST_BYTES) in fault.message
    await eventually(lambda: double.open == 0)
    await client.close()


async def test_a_redirection_is_not_followed_with_the_token(client: RestClient, double: RestDouble) -> None:
    double.mode = Mode.REDIRECT
    await fault_of(client.execute("GET", "k"))
    assert len(double.sync_tokens) == 1


async def test_an_answer_of_another_length_is_none(client: RestClient, double: RestDouble) -> None:
    double.mode = Mode.JSON
    assert (await fault_of(client.pipeline([]))).code == "REDIS_NOT_REDIS"
    double.mode = Mode.WELL
    assert await client.pipeline([]) == []


@pytest.mark.parametrize("purpose", [WRITE, PROBE])
async def test_a_write_whose_answer_got_lost_is_not_sent_again(
    transport: RestTransport, double: RestDouble, redis_server: RedisServer, purpose: Purpose
) -> None:
    await transport.ask(purpose, "SET", "n", "0")  # the connection is open
    double.mode = Mode.CUT
    fault = await fault_of(transport.ask(purpose, "INCR", "n"))
    assert fault.maybe_applied
    await asyncio.sleep(0.2)
    assert double.count("INCR") == 1
    assert redis_server.ask("GET", "n").startswith("$1\r\n1")


@pytest.mark.parametrize(("mode", "tries"), [(Mode.HANG, 3), (Mode.CUT, 3), (Mode.QUOTA, 1), (Mode.HTML, 1)])
async def test_a_read_is_tried_three_times_where_that_may_help_and_the_caller_is_told_each_time(
    double: RestDouble, mode: Mode, tries: int
) -> None:
    met: list[str] = []
    transport = RestTransport(url=double.url, token=TOKEN, redactor=Redactor(), on_fault=lambda: met.append("a fault"))
    double.mode = mode
    began = time.monotonic()
    await fault_of(transport.ask(READ, "GET", "k"), 5)
    assert len(double.sync_tokens) == len(met) == tries
    assert time.monotonic() - began >= (1.1 if tries > 1 else 0)  # half a second, then 0.6 s, at least
    await fault_of(transport.ask(PROBE, "PING"))
    assert len(met) == tries
    await transport.close()


async def test_a_read_rides_out_a_fault_that_heals(transport: RestTransport, double: RestDouble) -> None:
    await transport.ask(WRITE, "SET", "k", "v")
    double.mode = Mode.BAD_GATEWAY
    reading = asyncio.ensure_future(transport.ask(READ, "GET", "k"))
    await asyncio.sleep(0.2)
    double.mode = Mode.WELL
    assert await reading == "v"


async def test_a_large_answer_may_take_longer_than_a_silence(transport: RestTransport) -> None:
    text = "é" * 2_000_000
    assert await transport.ask(WRITE, "SET", "k", text) == "OK"
    assert await transport.ask(READ, "GET", "k") == text
    assert len(text) < MOST_BYTES


# --- the way there


async def test_a_closed_port_is_refused_and_nothing_was_applied() -> None:
    client = client_at(f"http://{HOST}:{free_port()}")
    fault = await fault_of(client.execute("SET", "k", "v"))
    assert (fault.code, fault.maybe_applied) == ("REDIS_REFUSED", False)
    assert "111" in fault.message
    await client.close()


async def test_a_port_that_accepts_and_never_answers_is_silent() -> None:
    with BlackHole() as hole:
        client = client_at(f"http://{HOST}:{hole.port}")
        fault = await fault_of(client.execute("SET", "k", "v"))
        assert (fault.code, fault.maybe_applied) == ("REDIS_SILENT", True)
        await client.close()


async def test_a_port_that_does_not_accept_is_a_connect_timeout_and_nothing_was_applied() -> None:
    with socket.create_server((HOST, 0), backlog=0) as hole:
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.settimeout(0)
            with suppress(BlockingIOError):
                each.connect(hole.getsockname())
        client = client_at(f"http://{HOST}:{hole.getsockname()[1]}")
        fault = await fault_of(client.execute("SET", "k", "v"))
        assert (fault.code, fault.maybe_applied) == ("REDIS_CONNECT_TIMEOUT", False)
        await client.close()
        for each in held:
            each.close()


@pytest.mark.parametrize(
    ("greeting", "code"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n", "REDIS_NOT_REDIS"), (b"-ERR unknown command\r\n", "REDIS_NOT_REDIS")],
)
async def test_what_does_not_even_speak_http_is_named(greeting: bytes, code: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, HOST, 0)
    async with server:
        client = client_at(f"http://{HOST}:{server.sockets[0].getsockname()[1]}")
        assert (await fault_of(client.execute("GET", "k"))).code == code
        await client.close()


async def test_the_port_of_redis_itself_closes_early(redis_server: RedisServer) -> None:
    client = client_at(f"http://{HOST}:{redis_server.port}")
    assert (await fault_of(client.execute("GET", "k"))).code == "REDIS_CLOSED_EARLY"
    await client.close()


async def test_a_certificate_of_nobody_and_the_wrong_scheme_are_named(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with RestDouble(redis_server, tls=_certificate(tmp_path)) as double:
        for url, code in ((double.url, "REDIS_TLS_CA"), (double.url.replace("https", "http"), "REDIS_CLOSED_EARLY")):
            client = client_at(url)
            fault = await fault_of(client.execute("GET", "k"))
            assert fault.code == code
            assert "https" in fault.fix.en or "SSL_CERT_FILE" in fault.fix.en
            await client.close()
    async with RestDouble(redis_server) as double:
        client = client_at(double.url.replace("http", "https"))
        assert (await fault_of(client.execute("GET", "k"))).code == "REDIS_TLS_TO_PLAIN"
        await client.close()


def _certificate(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={HOST}", "-days", "1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        missing("openssl")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


_PLACE = ConnectionKey("rest.test", 443, True, True, None, None, None)  # noqa: FBT003 -- aiohttp's own
_VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
ROWS: list[tuple[BaseException, str, bool]] = [
    (
        aiohttp.ClientConnectorDNSError(_PLACE, OSError(None, "Timeout while asking")),
        "REDIS_DNS",
        False,
    ),
    (aiohttp.ClientConnectorDNSError(_PLACE, OSError(-2, "Name or service not known")), "REDIS_DNS", False),
    (aiohttp.ClientConnectorError(_PLACE, OSError(113, "No route to host")), "REDIS_NO_ROUTE", False),
    (aiohttp.ClientConnectorError(_PLACE, OSError(99, "something new")), "REDIS_UNREACHABLE", False),
    (
        aiohttp.ClientConnectorCertificateError(_PLACE, ssl.SSLCertVerificationError(1, f"{_VERIFY}Hostname mismatch")),
        "REDIS_TLS_NAME",
        False,
    ),
    (
        aiohttp.ClientConnectorCertificateError(
            _PLACE, ssl.SSLCertVerificationError(1, f"{_VERIFY}certificate has expired")
        ),
        "REDIS_TLS_EXPIRED",
        False,
    ),
    (aiohttp.ClientConnectorSSLError(_PLACE, ssl.SSLError(1, "[SSL: INTERNAL_ERROR]")), "REDIS_TLS", False),
    (aiohttp.ConnectionTimeoutError("Connection timeout to host https://rest.test"), "REDIS_CONNECT_TIMEOUT", False),
    (aiohttp.SocketTimeoutError("Timeout on reading data from socket"), "REDIS_SILENT", True),
    (TimeoutError(), "REDIS_SILENT", True),
    (aiohttp.ClientOSError(104, "Connection reset by peer"), "REDIS_CLOSED_EARLY", True),
    (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), "REDIS_CLOSED_EARLY", True),
    (aiohttp.ClientConnectionError("something new"), "REDIS_UNREACHABLE", True),
    (OSError("something new"), "REDIS_UNREACHABLE", True),
]


@pytest.mark.parametrize(("error", "code", "maybe_applied"), ROWS, ids=[f"{row[1]}-{n}" for n, row in enumerate(ROWS)])
def test_the_row_is_named(error: BaseException, code: str, *, maybe_applied: bool) -> None:
    fault = fault_of_error(error, Redactor())
    assert (fault.code, fault.kind, fault.maybe_applied) == (code, FaultKind.AWAY, maybe_applied)
    assert fault.message


@pytest.mark.parametrize("code", list(WORDS))
def test_a_fault_over_rest_says_what_to_do_about_the_rest_interface_in_both_languages(code: str) -> None:
    cause, fix = WORDS[code]
    assert all(len(text) > 10 for text in (cause.en, cause.fr, fix.en, fix.fr))
    assert "redis://" not in fix.en + fix.fr


# --- connections


async def test_two_hundred_reads_at_once_share_four_connections(transport: RestTransport, double: RestDouble) -> None:
    await transport.ask(WRITE, "SET", "k", "v")
    assert await asyncio.gather(*(transport.ask(READ, "GET", "k") for _ in range(200))) == ["v"] * 200
    assert double.open == 4 + 1


async def test_where_all_connections_are_busy_for_too_long_redis_is_busy_and_not_away(
    transport: RestTransport, double: RestDouble
) -> None:
    double.mode = Mode.HANG
    ends = await asyncio.gather(*(transport.ask(WRITE, "INCR", "n") for _ in range(8)), return_exceptions=True)
    faults = [end.fault for end in ends if isinstance(end, Faulted)]
    assert 2 <= [fault.code for fault in faults].count("REDIS_POOL_BUSY") <= 4
    busy = next(fault for fault in faults if fault.code == "REDIS_POOL_BUSY")
    assert (busy.kind, busy.maybe_applied) == (FaultKind.BUSY, False)
    double.mode = Mode.WELL
    assert await transport.ask(READ, "PING") == "PONG"


async def test_renewed_connections_end_at_once_where_idle_and_after_their_answer_where_busy(
    transport: RestTransport, double: RestDouble
) -> None:
    await asyncio.gather(*(transport.ask(READ, "PING") for _ in range(4)))
    await transport.ask(WRITE, "SET", "k", "v")
    assert double.open == 5
    slow = asyncio.ensure_future(transport.ask(READ, "EVAL", SLOW, "0"))
    await eventually(lambda: double.count("EVAL") == 1)
    await transport.renew(READ, PROBE)
    assert await slow == 1
    await eventually(lambda: double.open == 1)
    assert await transport.ask(READ, "GET", "k") == "v"


SLOW = """
local began = redis.call('TIME')
repeat local now = redis.call('TIME')
until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 200000
return 1
"""


async def test_cancelled_callers_are_cancelled_and_leave_nothing_behind(
    transport: RestTransport, double: RestDouble
) -> None:
    for number in range(20):
        await transport.ask(WRITE, "SET", f"k{number}", str(number))
    for number in range(300):
        task = asyncio.ensure_future(transport.ask(READ, "GET", f"k{number % 20}"))
        for _ in range(number % 25):
            await asyncio.sleep(0)
        asked = task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() == asked
    answers = await asyncio.gather(*(transport.ask(READ, "GET", f"k{n}") for n in range(20)))
    assert answers == [str(number) for number in range(20)]
    await eventually(lambda: double.open <= 4 + 1)


FAULTS = (Mode.CUT, Mode.CUT_IN_BODY, Mode.BAD_GATEWAY, Mode.QUOTA, Mode.HTML, Mode.REDIRECT)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_leaks_after_three_hundred_faults(transport: RestTransport, double: RestDouble) -> None:
    await transport.ask(WRITE, "PING")
    tasks, files = asyncio.all_tasks(), _open_files()
    for number in range(300):
        double.mode = FAULTS[number % len(FAULTS)]
        with pytest.raises(Faulted):
            await transport.ask(WRITE, "INCR", "n")
    double.mode = Mode.HANG
    hanging = [asyncio.ensure_future(transport.ask(WRITE, "INCR", "n")) for _ in range(2)]
    await asyncio.sleep(0.1)
    await transport.close()
    async with asyncio.timeout(0.3):
        await asyncio.gather(*hanging, return_exceptions=True)
    await eventually(lambda: double.open == 0)
    await eventually(lambda: _open_files() <= files - 2)  # both ends of the first connection
    assert asyncio.all_tasks() <= tasks
