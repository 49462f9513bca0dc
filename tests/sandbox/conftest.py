import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from passerelle.errors import Conflict, Denied, Invalid, NotFound, PasserelleError, Rejected, Unavailable
from passerelle.sandbox import routes, wire
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_events import RemoteEvents
from passerelle.sandbox.remote_linker import RemoteLinker
from passerelle.sandbox.remote_sender import RemoteSender
from passerelle.sandbox.sender import SandboxSender
from passerelle.sandbox.telling import SandboxEvents
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import MessageType, Outgoing, SessionEvent
from passerelle.whatsapp.ports import EventSource, Linker, Sender

_STATUS = {Invalid: 422, NotFound: 404, Conflict: 409, Denied: 403, Rejected: 502, Unavailable: 503}


Serve = Callable[..., AbstractAsyncContextManager[str]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "sandbox.sqlite", latency=timedelta(milliseconds=5))
    yield world
    world.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # servers and sockets set no events here
            await asyncio.sleep(0.005)


@pytest.fixture
def eventually() -> Eventually:
    return until


def app_of(*routers: APIRouter) -> FastAPI:
    app = FastAPI()
    for router in routers:
        app.include_router(router)

    @app.exception_handler(PasserelleError)
    async def problem(_: Request, error: PasserelleError) -> JSONResponse:
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        body: dict[str, object] = {"code": error.code, "hint": error.hint.en, "status": status}
        if error.retry_after is not None:
            body["retry_after"] = error.retry_after.total_seconds()
        return JSONResponse(body, status_code=status, media_type="application/problem+json")

    @app.exception_handler(RequestValidationError)
    async def wrong_fields(_: Request, error: RequestValidationError) -> JSONResponse:
        status = 400 if any(found["type"] == "json_invalid" for found in error.errors()) else 422
        return JSONResponse({"code": "wrong_fields", "status": status}, status_code=status)

    return app


class Server(uvicorn.Server):
    """One of several in this process: Ctrl-C belongs to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, socket: Path | None) -> AsyncIterator[str]:
    """A real server of `app` at `socket`, else at a free port."""
    uds = None if socket is None else str(socket)
    config = uvicorn.Config(app, uds=uds, port=0, log_level="critical", lifespan="off", ws="none", loop="none")
    server = Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"unix://{uds}" if uds else f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 5)


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """A server of a world, for tests in which it starts or ends."""

    @asynccontextmanager
    async def serve(world: World, *, socket: Path | None = tmp_path / "w.sock") -> AsyncIterator[str]:
        app = app_of(routes.routes(world), wire.routes(world))
        async with serving(app, socket) as url:
            try:
                yield url
            finally:
                world.close()

    return serve


class Host:
    """One server for all tests that only need one (stopping uvicorn takes 0.2 s); `app` is the test's own."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    host = Host()
    async with serving(host, tmp_path_factory.mktemp("host") / "w.sock") as host.url:
        yield host


@pytest.fixture
async def remote(host: Host, world: World) -> AsyncIterator[Remote]:
    host.app = app_of(routes.routes(world), wire.routes(world))
    async with Remote(host.url) as remote:
        yield remote


@pytest.fixture(params=["in this process", "over the wire"])
def linker(request: pytest.FixtureRequest, world: World, remote: Remote) -> Linker:
    return SandboxLinker(world) if request.param == "in this process" else RemoteLinker(remote)


class Ear:
    """An `EventSink` that remembers; `fails` is what it does first, error by error."""

    def __init__(self) -> None:
        self.batches: list[list[SessionEvent]] = []
        self.fails: list[Exception] = []
        self.refused = 0

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        if self.fails:
            self.refused += 1
            raise self.fails.pop(0)
        self.batches.append(list(events))

    @property
    def events(self) -> list[SessionEvent]:
        return [event for batch in self.batches for event in batch]

    async def until(self, count: int) -> list[SessionEvent]:
        """The first `count` events, once they are there; and no more than those."""
        await until(lambda: len(self.events) >= count)
        assert len(self.events) == count
        return self.events


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """What a gateway has of a world, and an ear that listens to it."""

    world: World
    sender: Sender
    source: EventSource
    ear: Ear

    async def link(self, number: str, session_id: str = "s") -> str:
        linking = await SandboxLinker(self.world).connect(session_id=session_id, phone_number=number)
        return self.world.enter_code(number, (await linking.request_code()).code).device

    async def send(self, device: str, to: str, text: str = "hello", **more: Any) -> str:
        kind = more.pop("type", MessageType.TEXT)
        return await self.sender.send(
            Outgoing(session_id="s", device=device, reference="r", to=to, type=kind, text=text, **more), prepared=None
        )

    @asynccontextmanager
    async def listening(self, ear: Ear | None = None) -> AsyncIterator[Ear]:
        ear = ear or self.ear
        task = asyncio.create_task(self.source.tell_for_ever(ear))
        try:
            yield ear
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=["in this process", "over the wire"])
def gateway(request: pytest.FixtureRequest, world: World, remote: Remote) -> Gateway:
    if request.param == "in this process":
        return Gateway(world=world, sender=SandboxSender(world), source=SandboxEvents(world), ear=Ear())
    return Gateway(world=world, sender=RemoteSender(remote), source=RemoteEvents(remote), ear=Ear())


@pytest.fixture(params=["here", "through another process's API"])
async def api(request: pytest.FixtureRequest, world: World, remote: Remote) -> AsyncIterator[httpx.AsyncClient]:
    app = app_of(routes.routes(world) if request.param == "here" else routes.proxy_routes(remote))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        yield client
