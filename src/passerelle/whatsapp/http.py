"""The route that Meta calls: public, its signature is the right."""

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.requests import ClientDisconnect

from passerelle.errors import Text
from passerelle.problems import BodyTooLarge
from passerelle.whatsapp.model import SessionEvent
from passerelle.whatsapp.ports import EventSink

PATH = "/webhooks/cloud-api"
BODY_LIMIT = 3 * 1024 * 1024  # Meta's own limit; a call that is refused for its size comes again for days, in vain
TEXT_LIMIT = 1000


class CallTooLarge(BodyTooLarge):
    """More than Meta ever sends."""

    hint = Text("Send at most 3 MiB.", "Envoyez au plus 3 Mio.")


class Webhook(Protocol):
    """Believes and reads what a provider calls with."""

    def answer(self, *, mode: str, token: str, challenge: str) -> str:
        """What the provider wants to read when it asks whether this address is ours.

        Raises:
            Denied: it is somebody else who asks.
        """
        ...

    def read(self, body: bytes, *, signature: str) -> Sequence[SessionEvent]:
        """What has happened.

        Raises:
            Denied: it is somebody else who calls.
            Invalid: it says nothing that could be read.
        """
        ...


def routes(webhook: Webhook, sink: EventSink) -> APIRouter:
    """``/webhooks/cloud-api``; what comes is brought to `sink`."""
    router = APIRouter(tags=["webhooks"])

    @router.get(PATH, response_class=PlainTextResponse)
    async def verify(
        mode: Annotated[str, Query(alias="hub.mode", max_length=TEXT_LIMIT)] = "",
        token: Annotated[str, Query(alias="hub.verify_token", max_length=TEXT_LIMIT)] = "",
        challenge: Annotated[str, Query(alias="hub.challenge", max_length=TEXT_LIMIT)] = "",
    ) -> PlainTextResponse:
        """Prove to Meta that this address is ours."""
        return PlainTextResponse(webhook.answer(mode=mode, token=token, challenge=challenge))

    @router.post(PATH)
    async def take(
        request: Request, signature: Annotated[str, Header(alias="X-Hub-Signature-256")] = ""
    ) -> dict[str, int]:
        """Keep what Meta tells: 200 once it is kept, else Meta calls again, for up to seven days."""
        events = webhook.read(await _body(request), signature=signature)
        if events:
            await sink.tell(events)
        return {"events": len(events)}

    return router


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_LIMIT:
                raise CallTooLarge(limit_bytes=BODY_LIMIT)
    except ClientDisconnect:
        return b""  # nobody reads the answer
    return bytes(body)
