# Written by scripts/typed_client.py from ../aio/client.py: change that, and run it.
"""The client of one gateway, a room for each of its subjects."""

from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from passerelle.client.admin_answers import Alive, Health
from passerelle.client.requests import ANSWER_LIMIT_S, MORE_TRIES, bearer
from passerelle.client.sync.audit import Audit
from passerelle.client.sync.clients import Clients
from passerelle.client.sync.inbox import Inbox
from passerelle.client.sync.leads import Contractors, Leads
from passerelle.client.sync.media import Media
from passerelle.client.sync.messages import Messages
from passerelle.client.sync.pairing import Pairing
from passerelle.client.sync.people import People
from passerelle.client.sync.records import Records
from passerelle.client.sync.sandbox import Sandbox
from passerelle.client.sync.secrets import Secrets
from passerelle.client.sync.sessions import Sessions
from passerelle.client.sync.webhooks import Webhooks
from passerelle.client.sync.wire import Wire


class Client:
    """Talks to one gateway; a context manager. Every method raises `ApiProblem`."""

    def __init__(
        self,
        base_url: str = "http://passerelle",
        *,
        key: str | None = None,
        socket: Path | None = None,
        retries: int = MORE_TRIES,
        timeout_s: float = ANSWER_LIMIT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Reach `base_url`, through the control socket `socket` when given, with the `key` of a client or the admin.

        What may be repeated without harm is tried up to `retries` times more while the gateway is away or busy. No
        answer is waited for longer than `timeout_s`, but for those of large files. `transport`: another way to get
        there, as httpx has them; an application in this process, for instance.
        """
        if socket is not None:
            transport = httpx.HTTPTransport(uds=str(socket))
        self._http = httpx.Client(
            base_url=base_url, transport=transport, headers=bearer(key), timeout=timeout_s, follow_redirects=False
        )
        wire = self._wire = Wire(self._http, retries=retries)
        self.pairing = Pairing(wire)
        self.sessions = Sessions(wire)
        self.messages = Messages(wire)
        self.leads = Leads(wire)
        self.contractors = Contractors(wire)
        self.inbox = Inbox(wire)
        self.people = People(wire)
        self.media = Media(wire)
        self.webhooks = Webhooks(wire)
        self.clients = Clients(wire)
        self.audit = Audit(wire)
        self.records = Records(wire)
        self.secrets = Secrets(wire)
        self.sandbox = Sandbox(wire)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def health(self) -> Health:
        """How the gateway is, also when it is unhealthy; everything about it for the admin."""
        return self._wire.reported(Health, "/api/health")

    def lives(self) -> Alive:
        """The process lives."""
        return self._wire.ask(Alive, "GET", "/healthz")

    def ready(self) -> Alive:
        """SQL answers."""
        return self._wire.ask(Alive, "GET", "/readyz")

    def metrics(self) -> str:
        """What Prometheus reads."""
        return (self._wire.answered("GET", "/metrics")).text
