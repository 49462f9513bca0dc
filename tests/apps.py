"""A whole gateway inside a test: real parts, a sandbox whose clock can be moved, nothing on the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from passerelle.api import build_api
from passerelle.app import App, make_data_dir, open_app
from passerelle.clients.model import Caller
from passerelle.pairing.model import Attempt
from passerelle.redaction import Redactor
from passerelle.settings import read_settings
from passerelle.worker import Worker

ME = Caller(admin=True)
NUMBER = "+33639980001"


@asynccontextmanager
async def gateway(data_dir: Path, *, working: bool = True, **settings: Any) -> AsyncIterator[App]:
    """An open app on `data_dir` with a quick sandbox, its worker running unless told otherwise."""
    chosen = read_settings(data_dir=data_dir, **{"sandbox_latency": timedelta(milliseconds=5), **settings})
    make_data_dir(chosen)
    async with open_app(chosen, Redactor()) as app:
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


async def ended_as(app: App, attempt: Attempt, *, caller: Caller = ME) -> Attempt:
    """The attempt once it has ended, within 10 s."""
    async with asyncio.timeout(10):
        async for state in app.pairing.follow(caller, attempt.id):
            last = state
    return last
