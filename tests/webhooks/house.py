"""The room of webhooks on a migrated database, with a clock that can be moved and real requests to this machine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
from fastapi import FastAPI, Request

from outgoing.receiver import Receiver
from passerelle import problems
from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Row, Tx
from passerelle.outgoing import Outgoing
from passerelle.webhooks import http
from passerelle.webhooks.adapters.books import SqlDeliveryBook, SqlEndpointBook
from passerelle.webhooks.adapters.queue import SqlDeliveryQueue, SqlDeliverySweep
from passerelle.webhooks.jobs import WebhookJobs
from passerelle.webhooks.keys import EndpointKeys
from passerelle.webhooks.model import Delivery, Endpoint, Event, EventType
from passerelle.webhooks.run import DeliveryPump, Tools
from passerelle.webhooks.service import Webhooks

ME, OTHER = Caller(admin=True), Caller(client_id="client_other")
SECRET = "the gateway's own key"


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that a test of webhooks asks."""

    database: Database
    clock: Clock
    outgoing: Outgoing
    webhooks: Webhooks
    pump: DeliveryPump
    jobs: WebhookJobs

    async def rows(self, text: str, **params: object) -> list[Row]:
        """What a statement of the test finds."""

        async def read(tx: Tx) -> list[Row]:
            return await tx.sql(text, **params)

        return await self.database.run(read)

    def event(self, number: int = 0, *, session: str | None = None, caller: Caller = ME, **other: Any) -> Event:
        """Something that has happened just now."""
        known: dict[str, Any] = {
            "client_id": caller.client_id,
            "type": EventType.MESSAGE_SENT,
            "data": {"number": number},
            "at": self.clock.now(),
            "session_id": session,
        }
        return Event(**known | other)

    async def happened(self, *events: Event) -> None:
        """Recorded, in one transaction."""
        await self.database.run(partial(self.webhooks.record, events=events))

    async def endpoint(self, receiver: Receiver | str, path: str = "/", caller: Caller = ME) -> tuple[Endpoint, str]:
        """One that wants everything, and its secret."""
        url = receiver if isinstance(receiver, str) else f"{receiver.url}{path}"
        return await self.webhooks.add(caller, url=url, events=[])

    async def now_of(self, endpoint: Endpoint, caller: Caller = ME) -> Endpoint:
        """As it stands."""
        return await self.webhooks.get(caller, endpoint.id)

    async def deliveries(self, endpoint: Endpoint, caller: Caller = ME) -> list[Delivery]:
        """What was sent there or waits, the oldest first."""
        found, _ = await self.webhooks.history(caller, endpoint.id, state=None, limit=1000)
        return found[::-1]

    async def states(self, endpoint: Endpoint) -> list[str]:
        """How they stand, the oldest first."""
        return [one.state.value for one in await self.deliveries(endpoint)]

    async def deliver(self) -> int:
        """Send until nothing more may be sent now; how many tries that took."""
        tries = 0
        while claimed := await self.pump.claim_due():
            tries += claimed
            await self.settled()
        return tries

    async def settled(self) -> None:
        """Once every try on its way has ended."""
        while self.pump._going:
            await asyncio.gather(*self.pump._going)

    def later(self, **span: float) -> None:
        """Move the clock."""
        self.clock.set_offset(self.clock.offset + timedelta(**span))

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the routes; the header X-Client says whose."""

        async def caller(request: Request) -> Caller:
            return Caller(client_id=request.headers.get("x-client", "default"))

        app = FastAPI()
        app.include_router(http.routes(self.webhooks, caller))
        problems.install(app, lang="en")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@asynccontextmanager
async def open_house(
    database: Database, *, secret: str = SECRET, allow_private: bool = True, **tools: Any
) -> AsyncIterator[House]:
    """The room over `database`, as `app.py` builds it."""
    clock, outgoing, keys = Clock(), Outgoing(allow_private=allow_private), EndpointKeys(secret)
    endpoints, queue = SqlEndpointBook(), SqlDeliveryQueue()
    pump = DeliveryPump(
        Tools(
            queue=queue, endpoints=endpoints, post=outgoing, keys=keys, database=database, clock=clock,
            **{"answer_limit_s": 0.5, **tools},
        )
    )  # fmt: skip
    webhooks = Webhooks(
        endpoints=endpoints,
        deliveries=SqlDeliveryBook(),
        post=outgoing,
        keys=keys,
        database=database,
        clock=clock,
    )
    jobs = WebhookJobs(pump=pump, queue=queue, sweep=SqlDeliverySweep(), database=database, clock=clock)
    try:
        yield House(database=database, clock=clock, outgoing=outgoing, webhooks=webhooks, pump=pump, jobs=jobs)
    finally:
        await jobs.stop()
        await outgoing.close()


def numbers(receiver: Receiver, path: str = "/") -> list[int]:
    """Which events came, in the order in which they came."""
    return [json.loads(body)["data"]["number"] for body in receiver.bodies(path)]
