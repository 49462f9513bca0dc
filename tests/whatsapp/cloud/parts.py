"""A shelf of media, a sink, and the parts of the Cloud API over a Graph server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from graph_server import APP_SECRET, PHONE_ID, THEIR_NUMBER, TOKEN, GraphServer, zeros
from passerelle.clock import Clock
from passerelle.errors import PasserelleError
from passerelle.redaction import Redactor
from passerelle.whatsapp.adapters.cloud_api import CloudApi
from passerelle.whatsapp.adapters.cloud_connections import CloudAccounts, CloudConnections
from passerelle.whatsapp.adapters.cloud_limits import Limits
from passerelle.whatsapp.adapters.cloud_media import CloudMedia
from passerelle.whatsapp.adapters.cloud_sender import CloudSender
from passerelle.whatsapp.adapters.cloud_webhook import CloudWebhook
from passerelle.whatsapp.model import Medium, MessageType, Outgoing, SessionEvent

SESSION = "sess_1"
VERIFY_TOKEN = "agreed-on-in-the-dashboard"
NOON = datetime.fromisoformat("2026-11-21T12:00:00+00:00")


def outgoing(type_: MessageType = MessageType.TEXT, **more: Any) -> Outgoing:
    """A message of ours."""
    parts = {"to": f"+{THEIR_NUMBER}", "text": "Bonjour" if type_ is MessageType.TEXT else None, **more}
    return Outgoing(session_id=SESSION, device=PHONE_ID, reference="msg_1", type=type_, **parts)


class Shelf:
    """`OutgoingMedia`: zeros of any size, and whatever goes wrong with them."""

    def __init__(self) -> None:
        self.content_type: str | None = "image/jpeg"
        self.name: str | None = "Photo du chantier.jpg"
        self.size: int | None = 1000
        self.missing = 0  # bytes that are promised and do not come
        self.fault: PasserelleError | None = None
        self.fault_in_bytes: PasserelleError | None = None
        self.opened = 0

    @asynccontextmanager
    async def open(self, outgoing: Outgoing) -> AsyncIterator[Medium]:  # noqa: ARG002  # the port's signature
        self.opened += 1
        if self.fault is not None:
            raise self.fault
        yield Medium(chunks=self._chunks(), content_type=self.content_type, size_bytes=self.size, name=self.name)

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for piece in zeros((self.size or 0) - self.missing):
            yield piece
            if self.fault_in_bytes is not None:
                raise self.fault_in_bytes


@dataclass
class Kept:
    """An `EventSink` that remembers; `faults` come first."""

    events: list[SessionEvent] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.events += events


def make_webhook(*, app_secret: str = APP_SECRET, verify_token: str = VERIFY_TOKEN) -> CloudWebhook:
    """A webhook for one number of one account."""
    return CloudWebhook(
        app_secret=app_secret,
        verify_token=verify_token,
        redactor=Redactor(),
        session_of=lambda device: SESSION if device == PHONE_ID else None,
        sessions_of_account=lambda _: [SESSION],
        heard=lambda _: None,
    )


class House:
    """Everything over one Graph server."""

    def __init__(self, *, token: str = TOKEN, base_url: str | None = None, answer_limit: float = 10) -> None:
        self.graph = GraphServer()
        self.shelf = Shelf()
        self.clock = Clock()
        self.redactor = Redactor()
        self._token, self._base_url, self._limit = token, base_url, answer_limit
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.graph)
        url = self._base_url or self.graph.url
        api = CloudApi(token=self._token, redactor=self.redactor, base_url=url, answer_limit=self._limit)
        self.api = await self._stack.enter_async_context(api)
        self.accounts = CloudAccounts(api)
        self.connections = CloudConnections(self.accounts, clock=self.clock, check_every_s=0.05)
        self._stack.push_async_callback(self.connections.close)
        self.limits = Limits(self.clock)
        self.sender = CloudSender(api, media=self.shelf, limits=self.limits, heard=self.connections.heard)
        self.media = CloudMedia(api)
        return self

    def hurry(self) -> None:
        """Wait half a second only; for answers that never come."""
        self.api._answer_limit = 0.5

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
