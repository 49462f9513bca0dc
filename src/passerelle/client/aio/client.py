"""The client of one gateway, a room for each of its subjects."""

from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from passerelle.client.admin_answers import Alive, Health
from passerelle.client.aio.audit import AsyncAudit
from passerelle.client.aio.clients import AsyncClients
from passerelle.client.aio.inbox import AsyncInbox
from passerelle.client.aio.leads import AsyncContractors, AsyncLeads
from passerelle.client.aio.media import AsyncMedia
from passerelle.client.aio.messages import AsyncMessages
from passerelle.client.aio.pairing import AsyncPairing
from passerelle.client.aio.people import AsyncPeople
from passerelle.client.aio.records import AsyncRecords
from passerelle.client.aio.sandbox import AsyncSandbox
from passerelle.client.aio.secrets import AsyncSecrets
from passerelle.client.aio.sessions import AsyncSessions
from passerelle.client.aio.webhooks import AsyncWebhooks
from passerelle.client.aio.wire import AsyncWire
from passerelle.client.requests import ANSWER_LIMIT_S, MORE_TRIES, bearer


class AsyncClient:
    """Talks to one gateway; a context manager. Every method raises `ApiProblem`."""

    def __init__(
        self,
        base_url: str = "http://passerelle",
        *,
        key: str | None = None,
        socket: Path | None = None,
        retries: int = MORE_TRIES,
        timeout_s: float = ANSWER_LIMIT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Reach `base_url`, through the control socket `socket` when given, with the `key` of a client or the admin.

        What may be repeated without harm is tried up to `retries` times more while the gateway is away or busy. No
        answer is waited for longer than `timeout_s`, but for those of large files. `transport`: another way to get
        there, as httpx has them; an application in this process, for instance.
        """
        if socket is not None:
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._http = httpx.AsyncClient(
            base_url=base_url, transport=transport, headers=bearer(key), timeout=timeout_s, follow_redirects=False
        )
        wire = self._wire = AsyncWire(self._http, retries=retries)
        self.pairing = AsyncPairing(wire)
        self.sessions = AsyncSessions(wire)
        self.messages = AsyncMessages(wire)
        self.leads = AsyncLeads(wire)
        self.contractors = AsyncContractors(wire)
        self.inbox = AsyncInbox(wire)
        self.people = AsyncPeople(wire)
        self.media = AsyncMedia(wire)
        self.webhooks = AsyncWebhooks(wire)
        self.clients = AsyncClients(wire)
        self.audit = AsyncAudit(wire)
        self.records = AsyncRecords(wire)
        self.secrets = AsyncSecrets(wire)
        self.sandbox = AsyncSandbox(wire)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def health(self) -> Health:
        """How the gateway is, also when it is unhealthy; everything about it for the admin."""
        return await self._wire.reported(Health, "/api/health")

    async def lives(self) -> Alive:
        """The process lives."""
        return await self._wire.ask(Alive, "GET", "/healthz")

    async def ready(self) -> Alive:
        """SQL answers."""
        return await self._wire.ask(Alive, "GET", "/readyz")

    async def metrics(self) -> str:
        """What Prometheus reads."""
        return (await self._wire.answered("GET", "/metrics")).text
