"""Strangers who are slow, greedy or many, on real sockets: they are let go, and everybody else is served."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from passerelle.connections import Limits
from passerelle.listening import Listener, tcp_socket

from servers import HOST, eventually

pytestmark = pytest.mark.anyio
QUICK = Limits(head_s=0.3, rest_s=0.3, look_s=0.3)
PATIENT = Limits()
PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
Answer = Callable[[Request], Awaitable[Response]]


def app_of(answer: Answer) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    return app


async def body_back(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def at_once(request: Request) -> Response:
    said = {"client": request.client and request.client.host, "scheme": request.url.scheme}
    return PlainTextResponse(json.dumps({**said, "names": sorted(request.headers)}))


@asynccontextmanager
async def served(
    answer: Answer = body_back, *, limits: Limits = QUICK, connections: int | None = None, trusted: str = ""
) -> AsyncIterator[tuple[Listener, int]]:
    """A listener of ours on a port of its own."""
    listens = tcp_socket(HOST, 0)
    listener = Listener(app_of(answer), limits=limits, connections=connections, trusted=trusted)
    task = asyncio.create_task(listener.serve([listens]))
    try:
        await listener.listens.wait()
        yield listener, listens.getsockname()[1]
    finally:
        listener.should_exit = True
        listener.force_exit = True
        await task


async def said(port: int, *parts: bytes, every_s: float = 0.0) -> bytes:
    """Everything that is answered to `parts` until the connection ends, within 30 s."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(HOST, port)
        heard = asyncio.create_task(all_of(reader))
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(every_s)
        answer = await heard
        writer.close()
        return answer


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes, also where the connection breaks in the end."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            came += part
    return came


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_a_head_that_comes_too_slowly_ends_with_408() -> None:
    async with served() as (_, port):
        answer = await said(port, b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 20, every_s=0.05)
    assert status(answer) == 408
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["status"], told["code"]) == (408, "head_too_slow")


@pytest.mark.parametrize("parts", [(), (b"\r\n",), (PLAIN, b"\r\n"), (PLAIN,)])
async def test_a_connection_that_says_nothing_is_closed(parts: tuple[bytes, ...]) -> None:
    async with served(at_once) as (listener, port):
        answer = await said(port, *parts)
        assert answer.count(b"HTTP/1.1 200") == parts.count(PLAIN)
        await eventually(lambda: not listener.server_state.connections)


async def test_a_second_head_that_is_slow_is_no_better() -> None:
    async with served(at_once) as (_, port):
        answer = await said(port, PLAIN, b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 20, every_s=0.05)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 408") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_ends_with_431(head: bytes) -> None:
    asked = list[str]()

    async def counted(request: Request) -> Response:
        asked.append(request.url.path)
        return PlainTextResponse("ok")

    async with served(counted, limits=PATIENT) as (_, port):
        assert status(await said(port, head)) == 431
        assert status(await said(port, LAST)) == 200
    assert asked == ["/"]


async def test_a_header_without_an_end_takes_no_memory() -> None:
    async with served(limits=PATIENT) as (_, port):
        endless = [b"GET / HTTP/1.1\r\nX: ", *[b"y" * 65_536] * 64]
        answer = await said(port, *endless)
        assert not answer or status(answer) == 431


async def test_what_follows_a_body_is_no_header() -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def after_the_body(request: Request) -> Response:
        await request.body()
        return await at_once(request)

    async with served(after_the_body, limits=PATIENT) as (_, port):
        answer = await said(port, chunked + b"1\r\na\r\n0\r\nX-API-Key: stolen\r\n" + b"Y: z\r\n" * 5000 + b"\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["names"] == ["connection", "host", "transfer-encoding"]


async def test_the_rest_of_a_body_that_was_answered_already_is_not_waited_for() -> None:
    async with served(at_once) as (listener, port):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        answer = await said(port, head, *[b"a"] * 40, every_s=0.05)
        assert status(answer) == 200
        await eventually(lambda: not listener.server_state.connections)


async def test_after_a_body_that_nobody_wanted_the_connection_goes_on() -> None:
    async with served(at_once, limits=PATIENT) as (_, port):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        answer = await said(port, head + b"a" * 100_000, b"a" * 100_000, LAST)
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("streamed", [True, False])
async def test_who_does_not_read_his_answer_is_let_go(streamed: bool) -> None:  # noqa: FBT001 -- pytest's own way
    sent = 0

    async def much() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 65_536
            yield b"x" * 65_536
            await asyncio.sleep(0)

    async def answer(_: Request) -> Response:
        return StreamingResponse(much()) if streamed else PlainTextResponse(b"x" * 30_000_000)

    async with served(answer) as (listener, port):
        reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
        writer.write(PLAIN)
        await eventually(lambda: len(listener.server_state.connections) == 1)
        await eventually(lambda: not listener.server_state.connections)
        assert sent < 1000 * 65_536
        writer.close()
        assert reader is not None


async def test_who_reads_slowly_but_reads_gets_it_all() -> None:
    async def answer(_: Request) -> Response:
        return PlainTextResponse(b"x" * 12_000_000, headers={"Connection": "close"})

    async with served(answer, limits=replace(QUICK, look_s=1.0, look_bytes=1000)) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(PLAIN)
        size = 0
        async with asyncio.timeout(60):
            while part := await reader.read(400_000):
                size += len(part)
                await asyncio.sleep(0.05)
        writer.close()
    assert size > 12_000_000


async def test_more_connections_than_allowed_are_told_so_and_the_others_are_served() -> None:
    async with served(at_once, limits=PATIENT, connections=4) as (listener, port):
        held = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        await eventually(lambda: len(listener.server_state.connections) == 3)
        refused = await said(port, b"")
        assert status(refused) == 503
        assert b"retry-after: 5\r\n" in refused
        held[0][1].write(PLAIN)
        assert status(await held[0][0].readuntil(b"\r\n\r\n")) == 200
        held[1][1].close()
        await eventually(lambda: len(listener.server_state.connections) == 2)
        assert status(await said(port, LAST)) == 200
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize(("trusted", "believed"), [("127.0.0.1,::1", True), ("127.0.0.0/8", True), ("10.0.0.1", False)])
async def test_a_forwarded_address_is_believed_of_a_trusted_proxy_alone(trusted: str, *, believed: bool) -> None:
    head = LAST[:-2] + b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n"
    async with served(at_once, trusted=trusted, limits=PATIENT) as (_, port):
        told = json.loads((await said(port, head)).partition(b"\r\n\r\n")[2])
    assert (told["client"], told["scheme"]) == (("192.0.2.7", "https") if believed else (HOST, "http"))


@pytest.mark.parametrize(
    "line", [b"\x00\x01\x02", b"GET / HTTP/9.9\r\n\r\n", b"NONSENSE / HTTP/1.1\r\n\r\n", b"GET\r\n\r\n"]
)
async def test_what_is_no_http_is_400_and_names_no_software(line: bytes) -> None:
    async with served(at_once) as (_, port):
        answer = await said(port, line)
    assert status(answer) == 400
    assert b"uvicorn" not in answer.lower()
