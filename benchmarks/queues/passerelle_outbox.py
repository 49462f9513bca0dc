"""Passerelle's own run: enqueue through the service, send through a stub provider, all in this one process."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import uvloop
from fastapi import FastAPI

from passerelle.app import App, make_data_dir, open_app
from passerelle.clients.model import Caller
from passerelle.db import Tx
from passerelle.logs import set_up_logs
from passerelle.messages.model import Content, Draft
from passerelle.messages.service import Messages
from passerelle.redaction import Redactor
from passerelle.server import tune_interpreter
from passerelle.sessions.model import Session, SessionState
from passerelle.settings import read_settings
from passerelle.whatsapp.model import MessageType, Outgoing
from passerelle.whatsapp.ports import Sender
from passerelle.worker import Worker
from queues.audit import SENT
from queues.work import TEXT, WARM_UP, Result, batches, now_us, read_order, recipient, report

CALLER = Caller(admin=True)
SESSION_ID = "session_bench"
SPEAKER = "+33639980000"


class StubSender:
    """A provider that takes every message after `latency_s`; `called` hears of each call when it comes."""

    def __init__(self, latency_s: float, *, called: Callable[[Outgoing], None] | None = None) -> None:
        self._latency_s = latency_s
        self._called = called
        self.taken = 0

    async def prepare(self, outgoing: Outgoing) -> str | None:  # noqa: ARG002 - the port's signature
        """Nothing to prepare."""
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 - the port's signature
        """An id of the provider's own."""
        if self._called is not None:
            self._called(outgoing)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        self.taken += 1
        return f"provider_{outgoing.reference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """An open app whose worker runs, with one linked phone."""

    app: App
    messages: Messages

    async def enqueue(self, numbers: range) -> None:
        """One call of the service; its limit is 1,000."""
        await self.messages.enqueue(CALLER, [draft(number) for number in numbers])

    async def wait_for(self, count: int, stop_s: float) -> None:
        """Returns when `count` are settled, or at `stop_s`: the audit will tell."""
        while await self.app.database.read(_sent) < count and time.monotonic() < stop_s:  # noqa: ASYNC110 - what counts is what SQL says
            await asyncio.sleep(0.25)


@asynccontextmanager
async def open_gateway(
    sender: Sender, *, data_dir: Path, database_url: str | None, port: int = 0
) -> AsyncIterator[Gateway]:
    """The gateway that is measured: as `passerelle serve` opens it, but for its provider."""
    settings = read_settings(
        data_dir=data_dir, database_url=database_url, port=port, sandbox_latency=timedelta(0), provider="sandbox"
    )
    make_data_dir(settings)
    redactor = Redactor()
    set_up_logs(redactor, as_json=settings.json_logs)
    async with open_app(settings, redactor, sender=sender) as app:
        await _link(app)
        worker = asyncio.create_task(Worker(app).run())
        tune_interpreter()
        try:
            yield Gateway(app=app, messages=app.messages)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


async def _link(app: App) -> None:
    """A phone that may speak, without the pairing that is measured elsewhere; one that nobody linked is logged out."""
    if app.sandbox is None:
        raise RuntimeError("this is measured on the simulated WhatsApp")
    linking = await app.sandbox.linker.connect(session_id=SESSION_ID, phone_number=SPEAKER)
    code, phones = await linking.request_code(), FastAPI()
    phones.include_router(app.sandbox.router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(phones), base_url="http://phones") as http:
        typed = await http.post(f"/sandbox/phones/{SPEAKER}/enter-code", json={"code": code.code})
    device = typed.raise_for_status().json()["device"]
    session = Session(
        id=SESSION_ID,
        client_id=CALLER.client_id,
        user_id="bench",
        phone_number=SPEAKER,
        provider="sandbox",
        device=device,
        state=SessionState.CONNECTED,
        connected_at=app.clock.now(),
    )

    async def link(tx: Tx) -> None:
        await app.sessions.linked(tx, session, holder=app.worker_id)

    await app.database.run(link)
    await app.sessions.settled(replaced=None)


def draft(number: int) -> Draft:
    content = Content(type=MessageType.TEXT, text=f"{number}: {TEXT}")
    return Draft(to=recipient(number), content=content, session_id=SESSION_ID)


async def _sent(tx: Tx) -> int:
    return int((await tx.sql(SENT.replace("count(*)", "count(*) AS sent")))[0]["sent"])


async def run(
    count: int, latency_s: float, database_url: str | None, *, data_dir: Path, limit_s: float = 300.0
) -> Result:
    """`count` messages from the first call of `enqueue` to the last one settled, after a warm-up."""
    stop_s = time.monotonic() + limit_s
    async with open_gateway(StubSender(latency_s), data_dir=data_dir, database_url=database_url) as gateway:
        await gateway.enqueue(range(WARM_UP))
        await gateway.wait_for(WARM_UP, stop_s)
        began_us = now_us()
        for numbers in batches(count):
            await gateway.enqueue(numbers)
        enqueued_us = now_us()
        await gateway.wait_for(WARM_UP + count, stop_s)
    return Result(began_us=began_us, enqueued_us=enqueued_us)


def main() -> None:
    order = read_order()
    data_dir = Path(os.environ["BENCH_DATA_DIR"])
    url = os.environ.get("BENCH_DATABASE_URL")
    report(uvloop.run(run(order.count, order.latency_s, url, data_dir=data_dir, limit_s=order.limit_s)))


if __name__ == "__main__":
    main()
