"""The running gateway: its API on a port and on the control socket, its worker beside it or in children."""

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI

from passerelle.api import build_api, build_metrics_api, build_world_api
from passerelle.app import App, make_data_dir, open_app
from passerelle.db.url import SqliteTarget, read_url
from passerelle.errors import Misconfigured
from passerelle.listening import Listener, held, tcp_socket, unix_socket
from passerelle.logs import tell_if_broken
from passerelle.processes import Children
from passerelle.redaction import Redactor
from passerelle.sandbox.host import hold_world
from passerelle.sandbox.host import serve_world as serve_held_world
from passerelle.settings import Settings
from passerelle.worker import Worker

CONTROL_SOCKET = "control.sock"
CONTROL_RETRY_S = 1.0
METRICS_PORTS, HIGHEST_PORT = 32, 65_535  # workers of one machine
METRICS_CONNECTIONS = 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
log = structlog.get_logger()


async def serve(
    settings: Settings,
    redactor: Redactor,
    *,
    stop: asyncio.Event,
    workers: int = 0,
    worker_here: bool = True,
    on_port: bool = True,
    ready: Callable[[], object] = lambda: None,
) -> None:
    """Serve until `stop`, then let open requests end and give the work back; `ready` is called once it listens.

    Raises:
        Misconfigured: a setting is wrong, the port is taken, or the data directory is.
    """
    _check(settings, workers)
    if not worker_here and not workers:
        _check_shared(settings, "--no-worker")
    make_data_dir(settings)
    async with (
        open_app(settings, redactor) as app,
        _beside(_workers(app, workers, worker_here=worker_here)),
        listening(app, on_port=on_port),
    ):
        log.info(f"✅ Passerelle listens on http://{settings.host}:{settings.port}", provider=settings.provider_name)
        tune_interpreter()
        ready()
        await stop.wait()
        log.info("🔄 Stopping")


async def work(settings: Settings, redactor: Redactor, *, stop: asyncio.Event) -> None:
    """Work without an API until `stop` (PostgreSQL, beside other processes).

    Raises:
        Misconfigured: a setting is wrong, or SQL is not shared.
    """
    _check_shared(settings, "A worker of its own")
    if settings.metrics_port is not None:
        _check(settings, 0)
    make_data_dir(settings)
    async with open_app(settings, redactor) as app, _beside(Worker(app).run()), _telling_metrics(app):
        await stop.wait()


async def serve_world(settings: Settings, *, stop: asyncio.Event) -> None:
    """Serve the simulated WhatsApp to gateways elsewhere until `stop`.

    Raises:
        Misconfigured: the port is taken, another process holds the world, or a key is missing.
    """
    _check(settings, 0)
    make_data_dir(settings)
    with hold_world(settings.data_dir, latency=settings.sandbox_latency) as world:
        if world is None:
            raise Misconfigured("Another process holds the sandbox's world of this data directory.")
        api = build_world_api(world, settings.secret("admin_key"))
        listens = tcp_socket(settings.host, settings.port)
        log.info(f"✅ SANDBOX world on http://{settings.host}:{settings.port}")
        await serve_held_world(api, world, listens, until=stop.wait())


@asynccontextmanager
async def listening(app: App, *, on_port: bool) -> AsyncIterator[None]:
    """The API on the port of the settings (if `on_port`) and on the control socket, until the block ends."""
    settings = app.settings
    control = settings.data_dir / CONTROL_SOCKET
    api = build_api(app, control=control)
    async with AsyncExitStack() as stack:
        if on_port:
            listener = Listener(api, trusted=settings.trusted_proxies, connections=settings.max_connections)
            await stack.enter_async_context(_served(listener, tcp_socket(settings.host, settings.port)))
        await stack.enter_async_context(_control(api, control))
        stack.callback(app.news.let_go)
        yield


@asynccontextmanager
async def _telling_metrics(app: App) -> AsyncIterator[None]:
    """``/metrics`` of a worker, where a port is set for it: the first free one from there, since workers are many."""
    settings = app.settings
    if settings.metrics_port is None:
        yield
        return
    listens = _first_free(settings.host, settings.metrics_port)
    log.info(f"✅ Metrics on http://{settings.host}:{listens.getsockname()[1]}/metrics", worker=app.worker_id)
    async with _served(Listener(build_metrics_api(app), connections=METRICS_CONNECTIONS), listens):
        yield


def _first_free(host: str, port: int) -> socket.socket:
    """Raises `Misconfigured` where none of them is."""
    last = min(port + METRICS_PORTS, HIGHEST_PORT + 1) - 1
    for tried in range(port, last):
        with suppress(Misconfigured):
            return tcp_socket(host, tried)
    return tcp_socket(host, last)


@asynccontextmanager
async def _served(listener: Listener, listens: socket.socket) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.serve([listens]))
    try:
        await listener.listens.wait()
        yield
    finally:
        listener.should_exit = True
        await task


@asynccontextmanager
async def _control(api: FastAPI, path: Path) -> AsyncIterator[None]:
    """The control socket, now or as soon as no other process of the data directory has it."""
    known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_hold_control(api, path, known))
    try:
        await asyncio.wait([task, known], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        tell_if_broken(task, f"Serving {path.name}")
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _hold_control(api: FastAPI, path: Path, known: asyncio.Future[None]) -> None:
    while True:
        with held(path.with_suffix(".lock")) as ours:
            if ours:
                with unix_socket(path) as listens:
                    async with _served(Listener(api), listens):
                        if not known.done():
                            known.set_result(None)
                        await asyncio.get_running_loop().create_future()
        if not known.done():
            known.set_result(None)
        await asyncio.sleep(CONTROL_RETRY_S)


def _check(settings: Settings, workers: int) -> None:
    if settings.admin_key is None and settings.host not in LOOPBACK:
        raise Misconfigured(
            f"Without a key the gateway listens on loopback only, not on {settings.host}. "
            "Set PASSERELLE_ADMIN_KEY to a long random text (for instance: openssl rand -hex 32)."
        )
    if workers:
        _check_shared(settings, "--workers")


def _check_shared(settings: Settings, what: str) -> None:
    if isinstance(read_url(settings.secret("database_url"), data_dir=settings.data_dir), SqliteTarget):
        raise Misconfigured(f"{what} needs DATABASE_URL to name a PostgreSQL: SQLite serves one process.")


def _workers(app: App, count: int, *, worker_here: bool) -> Coroutine[Any, Any, None] | None:
    if count:
        return Children(["worker", "--child"], count=count).run()
    return Worker(app).run() if worker_here else None


def tune_interpreter() -> None:
    """Fit for thousands of open requests beside one thread that writes.

    What is here now stays, and open requests are no garbage to look for at every turn: with Python's own 700 objects a
    turn, a third of the time of 6,000 requests at once went to the collector. And the writer gets its turn within
    0.5 ms instead of 5: for 60 requests at once the slowest waits a fifth less (both measured).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.0005)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Run `work` beside the block; when the block ends it is cancelled and awaited, when it breaks the block does."""
    if work is None:
        yield
        return
    task = asyncio.create_task(work)
    breaks = _breaker(asyncio.current_task())
    task.add_done_callback(breaks)
    try:
        yield
    finally:
        task.remove_done_callback(breaks)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def _breaker(owner: asyncio.Task[Any] | None) -> Callable[[asyncio.Task[None]], None]:
    def told(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and owner is not None:
            owner.cancel()

    return told
