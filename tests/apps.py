"""A whole gateway inside a test: real parts, a sandbox whose clock can be moved, nothing on the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from passerelle.api import build_api
from passerelle.app import App, make_data_dir, open_app
from passerelle.clients.model import Caller
from passerelle.pairing.model import Attempt
from passerelle.redaction import Redactor
from passerelle.sessions.model import Session, SessionState
from passerelle.settings import read_settings
from passerelle.whatsapp.ports import Sender
from passerelle.worker import Worker

ME = Caller(admin=True)
NUMBER = "+33639980001"
QUICK: dict[str, Any] = {"sandbox_latency": timedelta(milliseconds=5), "probation": timedelta(milliseconds=20)}


@asynccontextmanager
async def gateway(
    data_dir: Path, *, working: bool = True, sender: Sender | None = None, **settings: Any
) -> AsyncIterator[App]:
    """An open app on `data_dir` with a quick sandbox, its worker running unless told otherwise."""
    chosen = read_settings(data_dir=data_dir, **QUICK | settings)
    make_data_dir(chosen)
    async with open_app(chosen, Redactor(), sender=sender) as app:
        worker = asyncio.create_task(Worker(app).run()) if working else None
        try:
            yield app
        finally:
            if worker is not None:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)


@asynccontextmanager
async def http(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app's API, without a socket between."""
    transport = httpx.ASGITransport(build_api(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=40) as client:
        yield client


async def linked(app: App, user_id: str = "anna", number: str = NUMBER) -> Session:
    """A phone that is linked already, without the pairing; where another process has the world, by our word alone."""
    world, now = None if app.sandbox is None else app.sandbox.world, app.clock.now()
    session_id, device = app.clock.new_id("sess"), f"{number.removeprefix('+')}:1@s.whatsapp.net"
    if world is not None:
        code = world.new_code(world.connect(number=number, session_id=session_id)).code
        device = world.enter_code(number, code).device
    session = Session(
        id=session_id,
        client_id=ME.client_id,
        user_id=user_id,
        phone_number=number,
        provider="sandbox",
        device=device,
        state=SessionState.CONNECTED,
        connected_at=now,
    )
    replaced = await app.database.run(partial(app.sessions.linked, session=session, holder=app.worker_id))
    await app.sessions.settled(replaced=replaced)
    return session


async def ended_as(app: App, attempt: Attempt, *, caller: Caller = ME) -> Attempt:
    """The attempt once it has ended, within 10 s."""
    async with asyncio.timeout(10):
        async for state in app.pairing.follow(caller, attempt.id):
            last = state
    return last
