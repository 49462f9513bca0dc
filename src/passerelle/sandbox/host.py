"""Who holds the world: this process, or the first of several that share one data directory."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter, FastAPI, params

from passerelle import problems
from passerelle.clock import Clock
from passerelle.errors import Misconfigured
from passerelle.listening import Listener, held, unix_socket
from passerelle.sandbox import routes, wire
from passerelle.sandbox.holding import SandboxConnections
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.media import SandboxMedia
from passerelle.sandbox.sender import SandboxSender
from passerelle.sandbox.telling import SandboxEvents, Together
from passerelle.sandbox.world import World
from passerelle.tracing.http import FRAMEWORK_SILENT
from passerelle.whatsapp.ports import Connections, EventSource, IncomingMedia, Linker, Sender

if TYPE_CHECKING:
    from passerelle.sandbox.remote import Remote

WORLD_FILE, LOCK_FILE, SOCKET = "sandbox.sqlite3", "sandbox.lock", "sandbox.sock"
TAKE_OVER_EVERY_S = 0.5
FIRST_CLOCK_LIMIT_S = 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The simulated WhatsApp as this process reaches it; `world` when this process holds it for itself alone."""

    clock: Clock
    linker: Linker
    sender: Sender
    events: EventSource
    connections: Connections
    incoming_media: IncomingMedia
    router: APIRouter
    reach: Callable[[], Awaitable[object]]
    """Returns when the simulated WhatsApp answers, raises `ProviderUnavailable` when it is away."""
    world: World | None = None


@asynccontextmanager
async def open_sandbox(
    data_dir: Path, *, url: str | None, key: str | None, shared: bool, latency: timedelta
) -> AsyncIterator[Sandbox]:
    """The world in this process; or at `url`; or, when `shared`, with whichever process of `data_dir` holds it."""
    if url is None and not shared:
        world = World(data_dir / WORLD_FILE, latency=latency)
        try:
            connections = SandboxConnections(world)
            yield Sandbox(
                clock=world.clock,
                linker=SandboxLinker(world),
                sender=SandboxSender(world),
                events=Together(SandboxEvents(world), connections),
                connections=connections,
                incoming_media=SandboxMedia(world),
                router=routes.routes(world),
                reach=_here,
                world=world,
            )
        finally:
            world.close()
        return
    async with _open_remote(data_dir, url=url, key=key, latency=latency) as sandbox:
        yield sandbox


@asynccontextmanager
async def _open_remote(
    data_dir: Path, *, url: str | None, key: str | None, latency: timedelta
) -> AsyncIterator[Sandbox]:
    # The client takes 0.1 s to import, which a process with a world of its own spares.
    from passerelle.sandbox.remote import Remote  # noqa: PLC0415 -- see above
    from passerelle.sandbox.remote_events import RemoteEvents  # noqa: PLC0415 -- the same
    from passerelle.sandbox.remote_holding import RemoteConnections  # noqa: PLC0415 -- the same
    from passerelle.sandbox.remote_linker import RemoteLinker  # noqa: PLC0415 -- the same
    from passerelle.sandbox.remote_media import RemoteMedia  # noqa: PLC0415 -- the same
    from passerelle.sandbox.remote_sender import RemoteSender  # noqa: PLC0415 -- the same

    keeper = None if url else asyncio.create_task(_hold_when_free(data_dir, latency))
    headers = {"x-api-key": key} if key else None
    clock = Clock()
    try:
        async with Remote(url or f"unix://{data_dir / SOCKET}", headers=headers) as remote:
            follower = asyncio.create_task(remote.follow_clock(clock))
            try:
                await _first_clock(remote, keeper)
                connections = RemoteConnections(remote, clock)
                yield Sandbox(
                    clock=clock,
                    linker=RemoteLinker(remote),
                    sender=RemoteSender(remote),
                    events=Together(RemoteEvents(remote), connections),
                    connections=connections,
                    incoming_media=RemoteMedia(remote),
                    router=routes.proxy_routes(remote),
                    reach=partial(remote.ask, "GET", "/sandbox/clock"),
                )
            finally:
                await _end(follower)
    finally:
        await _end(keeper)


async def _first_clock(remote: "Remote", keeper: asyncio.Task[None] | None) -> None:
    """Wait until the world's time is known, or for 5 s: a world that is away may come later.

    Raises:
        Misconfigured: `keeper`, which would serve it from here, cannot.
    """
    known = asyncio.create_task(remote.clock_known.wait())
    ends = {known} if keeper is None else {known, keeper}
    try:
        await asyncio.wait(ends, timeout=FIRST_CLOCK_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        known.cancel()
    if keeper is not None and keeper.done():
        keeper.result()


@contextmanager
def hold_world(data_dir: Path, *, latency: timedelta) -> Iterator[World | None]:
    """The world of `data_dir`, for this process alone; nothing when another process holds it."""
    with held(data_dir / LOCK_FILE) as ours:
        if not ours:
            yield None
            return
        world = World(data_dir / WORLD_FILE, latency=latency)
        try:
            yield world
        finally:
            world.close()


async def serve_world(app: FastAPI, world: World, listening: socket.socket, *, until: Awaitable[object]) -> None:
    """Serve `app` over `world` on one socket until `until` is there, or until cancelled."""
    listener = Listener(app)
    task = asyncio.create_task(listener.serve([listening]))
    try:
        await until
    finally:
        world.close()  # first: whoever follows the world has a stream open, and the listener would wait for it
        listener.should_exit = True
        await task


async def _hold_when_free(data_dir: Path, latency: timedelta) -> None:
    """Serve the world to all processes of `data_dir` as soon as nobody else does.

    Raises:
        Misconfigured: it cannot be served from here; said in the log, too, for whoever has opened it already.
    """
    while True:
        try:
            with hold_world(data_dir, latency=latency) as world:
                if world is not None:
                    await _serve_here(data_dir, world)
        except Misconfigured as wrong:
            log.error("❌ This process cannot serve the sandbox's world", reason=str(wrong))
            raise
        await asyncio.sleep(TAKE_OVER_EVERY_S)


async def _serve_here(data_dir: Path, world: World) -> None:
    """Until cancelled."""
    log.info("🔄 This process serves the sandbox's world")
    never = asyncio.get_running_loop().create_future()
    with unix_socket(data_dir / SOCKET) as listens:
        await serve_world(world_app(world), world, listens, until=never)


def world_app(world: World, *, guards: Sequence[params.Depends] = ()) -> FastAPI:
    """The world over HTTP: its routes for people and the wire for other processes, behind `guards`."""
    app = FastAPI(title="Passerelle SANDBOX", dependencies=list(guards), telemetry=FRAMEWORK_SILENT)
    app.include_router(wire.routes(world))
    app.include_router(routes.routes(world))
    problems.install(app, lang="en")
    return app


async def _here() -> None:
    """The world is in this process."""


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
