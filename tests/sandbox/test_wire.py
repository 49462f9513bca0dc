"""Several processes, one world: what happens when one of them is gone."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.routing import Route

from linkings import told
from passerelle.clock import Clock
from passerelle.sandbox.lines import read_fault
from passerelle.sandbox.phones import CodeNotValid
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_linker import RemoteLinker
from passerelle.sandbox.routes import proxy_routes
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import FAULTS, ProviderRateLimited, ProviderUnavailable
from passerelle.whatsapp.model import CodeTyped, ConnectionLost

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

Serve = Callable[..., AbstractAsyncContextManager[str]]
Host = Any
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

NUMBER = "+33639980001"

# Asks for a code, says it, and waits to be killed.
CLIENT = """
import asyncio, sys
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_linker import RemoteLinker


async def main():
    async with Remote(sys.argv[1]) as remote:
        linking = await RemoteLinker(remote).connect(session_id="s", phone_number=sys.argv[2])
        print((await linking.request_code()).code, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.mission("Z1")
async def test_a_code_dies_with_the_process_that_asked_for_it(
    world: World, serve: Serve, eventually: Eventually
) -> None:
    async with serve(world) as url:
        command = [sys.executable, "-c", CLIENT, url, NUMBER]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:  # noqa: ASYNC220  # killed below
            assert client.stdout is not None
            code = (await asyncio.to_thread(client.stdout.readline)).strip()
            assert world.phone(NUMBER).code_expires_at is not None
            client.kill()
            await eventually(lambda: world.phone(NUMBER).code_expires_at is None)
        with pytest.raises(CodeNotValid):
            world.enter_code(NUMBER, code)


async def test_a_linking_left_without_closing_dies_with_its_remote(
    world: World, serve: Serve, eventually: Eventually
) -> None:
    async with serve(world) as url:
        async with Remote(url) as remote:
            await (await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)).request_code()
        await eventually(lambda: world.phone(NUMBER).code_expires_at is None)


async def test_a_connection_is_lost_when_the_worlds_server_is_gone(tmp_path: Path, world: World, serve: Serve) -> None:
    async with Remote(f"unix://{tmp_path / 'w.sock'}") as remote:
        async with serve(world):
            linking = await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
            await linking.request_code()
            waiting = asyncio.ensure_future(told(linking))
        assert isinstance(await asyncio.wait_for(waiting, 5), ConnectionLost)
        with pytest.raises(ProviderUnavailable):
            await linking.request_code()
        await linking.close()


async def test_a_server_that_dies_loses_its_linkings(tmp_path: Path) -> None:
    """Not even a last line is sent: the connection breaks, as after kill -9."""
    asked = asyncio.Event()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b'd\r\n{"id": "it"}\n\r\n')
        await writer.drain()
        await asked.wait()
        writer.transport.abort()

    server = await asyncio.start_unix_server(die, tmp_path / "dying.sock")
    async with server, Remote(f"unix://{tmp_path / 'dying.sock'}") as remote:
        linking = await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
        waiting = asyncio.ensure_future(told(linking))
        asked.set()
        assert isinstance(await asyncio.wait_for(waiting, 5), ConnectionLost)


async def test_half_a_line_is_kept_when_waiting_for_the_rest_was_given_up(tmp_path: Path) -> None:
    given_up = asyncio.Event()

    async def stutter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b'HTTP/1.1 200 OK\r\n\r\n{"id": "it"}\n{"event":"code')
        await given_up.wait()
        writer.write(b'_typed"}\n')
        writer.close()

    server = await asyncio.start_unix_server(stutter, tmp_path / "half.sock")
    async with server, Remote(f"unix://{tmp_path / 'half.sock'}") as remote:
        linking = await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(told(linking), 0.05)
        given_up.set()
        assert await asyncio.wait_for(told(linking), 5) == CodeTyped()
        assert isinstance(await asyncio.wait_for(told(linking), 5), ConnectionLost)


async def test_no_server_means_that_whatsapp_is_away(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for url in (f"unix://{tmp_path / 'none.sock'}", f"http://127.0.0.1:{nobody.getsockname()[1]}"):
            async with Remote(url) as remote:
                with pytest.raises(ProviderUnavailable):
                    await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
                with pytest.raises(ProviderUnavailable):
                    await remote.forward("GET", "/sandbox/clock", headers={}, body=b"")


@pytest.mark.parametrize("answer", [b"not http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"])
async def test_a_server_that_talks_nonsense_is_away(tmp_path: Path, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(talk, tmp_path / "odd.sock")
    async with server, Remote(f"unix://{tmp_path / 'odd.sock'}") as remote:
        with pytest.raises(ProviderUnavailable):
            await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)


async def test_other_processes_follow_the_clock(world: World, serve: Serve, eventually: Eventually) -> None:
    clock = Clock()
    world.advance(timedelta(hours=1))
    async with serve(world) as url, Remote(url) as remote:
        following = asyncio.create_task(remote.follow_clock(clock))
        await asyncio.wait_for(remote.clock_known.wait(), 5)
        assert clock.offset == timedelta(hours=1)
        due = asyncio.create_task(clock.sleep_until(clock.now() + timedelta(days=3)))
        world.advance(timedelta(days=3))
        await asyncio.wait_for(due, 5)
        world.reset()
        await eventually(lambda: clock.offset == timedelta(0))
        following.cancel()


async def test_the_clock_is_found_again_when_the_server_is_replaced(
    tmp_path: Path, world: World, serve: Serve, eventually: Eventually
) -> None:
    clock = Clock()
    path = tmp_path / "w.sock"
    async with Remote(f"unix://{path}") as remote:
        following = asyncio.create_task(remote.follow_clock(clock))
        async with serve(world, socket=path):
            world.advance(timedelta(hours=1))
            await eventually(lambda: clock.offset == timedelta(hours=1))
        next_world = World(tmp_path / "sandbox.sqlite")
        next_world.advance(timedelta(hours=1))
        async with serve(next_world, socket=path):
            await eventually(lambda: clock.offset == timedelta(hours=2))
            linking = await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
            assert (await linking.request_code()).expires_at > clock.now()
        following.cancel()


async def test_a_server_stops_at_once_when_its_world_is_closed(world: World, serve: Serve) -> None:
    async with AsyncExitStack() as clients, asyncio.timeout(5), serve(world) as url:
        remote = await clients.enter_async_context(Remote(url))
        await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
        await remote.open("GET", "/sandbox/wire/clock")


async def test_a_world_is_reached_over_tcp_too(world: World, serve: Serve) -> None:
    async with serve(world, socket=None) as url, Remote(f"{url}/") as remote:
        linking = await RemoteLinker(remote).connect(session_id="s", phone_number=NUMBER)
        assert world.enter_code(NUMBER, (await linking.request_code()).code)
        answer = await remote.forward("GET", "/sandbox/phones?limit=1", headers={}, body=b"")
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert json.loads(answer.body)["items"][0]["number"] == NUMBER


async def test_keys_and_languages_go_with_a_request_and_nothing_else(host: Host) -> None:
    async def echo(request: Request) -> JSONResponse:
        path = request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode()
        return JSONResponse([*request.headers.items(), ["path", path]])

    host.app = Starlette(routes=[Route("/{path:path}", echo, methods=["POST"])])
    async with Remote(host.url, headers={"x-api-key": "ours"}) as remote:
        app = FastAPI()
        app.include_router(proxy_routes(remote))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            sent = {"accept-language": "fr", "cookie": "secret=1", "x-forwarded-for": "1.2.3.4"}
            plain = dict((await client.post("/sandbox/a%2Bb?c=d%20e", headers=sent, content=b"x")).json())
            keyed = dict((await client.post("/sandbox/a", headers={"x-api-key": "theirs"})).json())
    assert (plain["accept-language"], plain["x-api-key"], plain["path"]) == ("fr", "ours", "/sandbox/a%2Bb?c=d%20e")
    assert not {"cookie", "x-forwarded-for"} & set(plain)
    assert keyed["x-api-key"] == "theirs"


async def test_asking_on_a_linking_that_the_server_never_saw_is_refused(world: World, serve: Serve) -> None:
    async with serve(world) as url, Remote(url) as remote:
        with pytest.raises(ProviderUnavailable):
            await remote.ask("POST", "/sandbox/wire/linkings/none/code")
        assert await remote.ask("DELETE", "/sandbox/wire/linkings/none") == b""


async def test_a_connection_is_not_used_again_when_the_server_may_have_hung_up(world: World, serve: Serve) -> None:
    async with serve(world) as url, Remote(url) as remote:
        connector = remote._http.connector
        assert isinstance(connector, aiohttp.UnixConnector)
        assert vars(connector)["_keepalive_timeout"] < uvicorn.Config(app="").timeout_keep_alive


def test_every_fault_of_the_port_crosses_the_wire() -> None:
    for code, leaf in FAULTS.items():
        assert type(read_fault(json.dumps({"code": code}).encode())) is leaf
    limited = read_fault(b'{"code": "provider_rate_limited", "retry_after": 900}')
    assert isinstance(limited, ProviderRateLimited)
    assert limited.retry_after == timedelta(minutes=15)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"{}", b'{"code": "new"}', b'{"code": []}', b"\xff"])
def test_an_answer_that_is_not_ours_means_away(body: bytes) -> None:
    assert type(read_fault(body)) is ProviderUnavailable


async def test_the_wire_is_not_open_to_the_world_through_a_proxy(api: httpx.AsyncClient) -> None:
    for path in ("/sandbox/wire/clock", "/sandbox/%77ire/clock", "/sandbox/wire"):
        assert (await api.get(path)).status_code == 404
