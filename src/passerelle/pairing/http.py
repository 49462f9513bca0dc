"""The routes of pairing."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from io import BytesIO
from typing import Annotated, Any

import segno
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.db import DatabaseAway
from passerelle.errors import PasserelleError
from passerelle.pairing.model import Attempt, AttemptEnded, Interrupted, PairingBroke, PairingInProgress, Status
from passerelle.pairing.service import Pairing
from passerelle.whatsapp.faults import FAULTS, ProviderUnavailable

PATH = "/api/whatsapp/pairing-code"
ANSWER_LIMIT = timedelta(seconds=25)  # API.md: no code within 25 s is a 202; real time, as every limit of a socket
SVG, EVENTS = "image/svg+xml", "text/event-stream"
QR_SCALE, QR_BORDER = 4, 4  # pixels of a module; a border of four modules is the standard's (ISO 18004)
_UNKEPT = {"Cache-Control": "no-store"}
_HEADERS = [  # read by hand: as parameters they would cost each request a tenth of its time
    {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": 200}},
    {"in": "header", "name": "Prefer", "schema": {"type": "string"}, "description": "respond-async: do not wait"},
]
_NO_CODE_YET: dict[int | str, dict[str, Any]] = {202: {"description": "No code yet: follow Location"}}
_FAULTS = FAULTS | {fault.code: fault for fault in (PairingInProgress, Interrupted, PairingBroke)}


class CodeWish(BaseModel):
    """Whose phone is to be linked."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(validation_alias=AliasChoices("user_id", "userId"))
    phone_number: str = Field(validation_alias=AliasChoices("phone_number", "phoneNumber"), max_length=64)
    force: bool = False


def routes(pairing: Pairing, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/whatsapp/pairing-code``; `caller` tells who asks."""
    router = APIRouter(prefix=PATH, tags=["pairing"])
    asking = Annotated[Caller, Depends(caller)]

    @router.post("", openapi_extra={"parameters": _HEADERS}, responses=_NO_CODE_YET)
    async def request_code(wish: CodeWish, who: asking, request: Request) -> JSONResponse:
        """Link a phone: the code to type, or where to follow."""
        try:
            attempt = await pairing.request(
                who,
                user_id=wish.user_id,
                phone_number=wish.phone_number,
                force=wish.force,
                idempotency_key=request.headers.get("idempotency-key"),
                wait=timedelta(0) if "respond-async" in request.headers.get("prefer", "") else ANSWER_LIMIT,
            )
        except DatabaseAway as away:  # API.md: to whom asks for a code, SQL is a part of what gives it
            raise ProviderUnavailable(retry_after=away.retry_after) from away
        return _answer(attempt)

    @router.get("/{attempt_id}")
    async def get_attempt(attempt_id: str, who: asking) -> dict[str, Any]:
        """The attempt as it stands."""
        return _shown(await pairing.get(who, attempt_id))

    @router.get("/{attempt_id}/events", response_class=EventSourceResponse, responses={200: {"content": {EVENTS: {}}}})
    async def follow_attempt(attempt_id: str, who: asking) -> EventSourceResponse:
        """Server-sent events: ``status`` at every change, ``code`` for every code, until the attempt has ended."""
        await pairing.get(who, attempt_id)
        return EventSourceResponse(_events(pairing, who, attempt_id))

    @router.delete("/{attempt_id}")
    async def cancel_attempt(attempt_id: str, who: asking) -> dict[str, Any]:
        """Give the attempt up."""
        return _shown(await pairing.cancel(who, attempt_id))

    return router


def qr_routes(pairing: Pairing, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/whatsapp/sessions/{id}/qr``; `caller` tells who asks."""
    router = APIRouter(prefix="/api/whatsapp/sessions", tags=["pairing"])
    asking = Annotated[Caller, Depends(caller)]

    @router.get("/{session_id}/qr", responses={200: {"content": {SVG: {}}}})
    async def get_qr(session_id: str, who: asking, request: Request) -> Response:
        """What a phone can scan instead of typing the code: as text and picture, or as ``image/svg+xml`` alone."""
        shown = await pairing.qr(who, session_id)
        svg = _picture(shown.qr)
        if SVG in request.headers.get("accept", ""):
            return Response(svg, media_type=SVG, headers=_UNKEPT)
        body = {"qr": shown.qr, "expires_at": rfc3339(shown.expires_at), "svg": svg}
        return JSONResponse(body, headers=_UNKEPT)

    return router


def _picture(qr: str) -> str:
    drawn = BytesIO()
    segno.make_qr(qr).save(drawn, kind="svg", xmldecl=False, nl=False, scale=QR_SCALE, border=QR_BORDER, light="#fff")
    return drawn.getvalue().decode()


async def _events(pairing: Pairing, who: Caller, attempt_id: str) -> AsyncIterator[dict[str, str]]:
    told, code = "", None
    async for attempt in pairing.follow(who, attempt_id):
        data = json.dumps(_shown(attempt))
        if data != told:
            yield {"event": "status", "data": data}
        if attempt.code is not None and attempt.code != code:
            yield {"event": "code", "data": data}
        told, code = data, attempt.code


def _answer(attempt: Attempt) -> JSONResponse:
    """200 with a code (or linked by now), 202 while there is none yet.

    Raises:
        PasserelleError: why the attempt failed, or that it has ended.
    """
    if attempt.status is Status.FAILED:
        raise _fault(attempt)
    if attempt.status in {Status.EXPIRED, Status.CANCELLED}:
        raise AttemptEnded(attempt_id=attempt.id)
    known = {"attempt_id": attempt.id, "session_id": attempt.session_id, "status": attempt.status}
    if attempt.code is not None or attempt.ended:
        expires_at = attempt.code_expires_at and rfc3339(attempt.code_expires_at)
        return JSONResponse(known | {"code": attempt.code, "expires_at": expires_at})
    return JSONResponse(known, status_code=202, headers={"Location": f"{PATH}/{attempt.id}"})


def _fault(attempt: Attempt) -> PasserelleError:
    fault = _FAULTS.get(attempt.reason or "", ProviderUnavailable)
    return fault(
        retry_after=attempt.retry_after,
        attempt_id=attempt.id,
        expires_at=rfc3339(attempt.expires_at),
        attempt_url=f"{PATH}/{attempt.id}",
    )


def _shown(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt_id": attempt.id,
        "session_id": attempt.session_id,
        "user_id": attempt.user_id,
        "phone_number": attempt.phone_number,
        "status": attempt.status,
        "code": attempt.code,
        "expires_at": rfc3339(attempt.code_expires_at or attempt.expires_at),
        "codes_issued": attempt.codes_issued,
        "reason": attempt.reason,
    }
