"""The routes of linked phones."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from passerelle.clients.model import LOGINS, Caller
from passerelle.clock import rfc3339
from passerelle.errors import Text
from passerelle.problems import BodyTooLarge
from passerelle.records.care import Care, SideBySide
from passerelle.records.model import Record
from passerelle.sessions.backup import Backup
from passerelle.sessions.model import COLLECTION, Proxy, Session
from passerelle.sessions.ports import Sighting
from passerelle.sessions.service import Sessions, SessionsReading
from passerelle.whatsapp.faults import NotOffered

PREFIX = "/api/whatsapp/sessions"
IMPORT_PATH = f"{PREFIX}/import"
# One phone of multidevice: 56 KB when fresh, 1.5 MB with 500 people and 5,000 messages, 19 MB with 5,000 and 100,000.
IMPORT_LIMIT = 64_000_000
PASSPHRASE_LIMIT = 1000
LINES = "application/x-ndjson"
NEVER_SEEN = Sighting(None, None)


class ImportTooLarge(BodyTooLarge):
    """A phone with more than any has."""

    hint = Text("Send one phone in each request, at most 64 MB.", "Envoyez un téléphone par requête, au plus 64 Mo.")


class Glance(NamedTuple):
    """What is known of phones beside their records: who holds them, and how fast they may speak."""

    sightings: Mapping[str, Sighting]
    paces: Mapping[str, dict[str, Any]]


Paces = Callable[[Caller], Awaitable[Mapping[str, dict[str, Any]]]]


def routes(sessions: Sessions, caller: Callable[..., Awaitable[Caller]], paces: Paces | None = None) -> APIRouter:
    """``/api/whatsapp/sessions``; `caller` tells who asks, `paces` how fast each phone may speak, where that is set."""
    router = APIRouter(prefix=PREFIX, tags=["sessions"])
    asking = Annotated[Caller, Depends(caller)]

    async def glance(who: Caller, reading: SessionsReading) -> Glance:
        return Glance(reading.sightings, {} if paces is None else await paces(who))

    async def shown(who: Caller, session_id: str) -> dict[str, Any]:
        session, reading = await sessions.get(who, session_id)
        return _shown(session, reading, await glance(who, reading))

    @router.get("")
    async def list_sessions(
        who: asking, limit: Annotated[int, Query(ge=1, le=1000)] = 50, cursor: str = ""
    ) -> dict[str, Any]:
        """The linked phones by id, those after `cursor` first, and where that is known from."""
        reading = await sessions.read_all(who)
        seen = await glance(who, reading)
        after = [session for session in reading.sessions if session.id > cursor]
        return {
            "items": [_shown(session, reading, seen) for session in after[:limit]],
            "next_cursor": after[limit - 1].id if len(after) > limit else None,
            "source": reading.source,
            "as_of": rfc3339(reading.as_of),
        }

    @router.get("/{session_id}")
    async def get_session(session_id: str, who: asking) -> dict[str, Any]:
        """One linked phone."""
        return await shown(who, session_id)

    @router.post("/{session_id}/reconnect", status_code=202)
    async def reconnect(session_id: str, who: asking) -> dict[str, Any]:
        """Close its connection and open it again, within a second or so."""
        await sessions.reconnect(who, session_id)
        return await shown(who, session_id)

    @router.delete("/{session_id}", status_code=204)
    async def end_session(session_id: str, who: asking) -> None:
        """Unlink the phone."""
        await sessions.end(who, session_id)

    return router


def _shown(session: Session, reading: SessionsReading, glance: Glance) -> dict[str, Any]:
    sighting = glance.sightings.get(session.id, NEVER_SEEN)
    seen_at = sighting.seen_at or session.connected_at
    return {
        "id": session.id,
        "user_id": session.user_id,
        "phone_number": session.phone_number,
        "provider": session.provider,
        "state": session.state,
        "state_reason": session.state_reason,
        "worker": sighting.worker,
        "proxy": sighting.proxy,
        "connected_at": session.connected_at and rfc3339(session.connected_at),
        "last_seen_at": seen_at and rfc3339(seen_at),
        "source": reading.source,
        "as_of": rfc3339(reading.as_of),
        "pacing": glance.paces.get(session.id),
    }


class ExportWish(BaseModel):
    """Under which passphrase."""

    model_config = ConfigDict(extra="forbid")

    passphrase: Annotated[SecretStr, Field(max_length=PASSPHRASE_LIMIT)]


class ImportWish(ExportWish):
    """One line of an export, with its head."""

    head: Annotated[str, Field(max_length=1000)]
    line: str


_IMPORT_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ImportWish.model_json_schema()}},
    }
}


def backup_routes(backup: Backup) -> APIRouter:
    """``/api/whatsapp/sessions/export`` and ``import``; that the caller is the admin is the caller's business."""
    router = APIRouter(prefix=PREFIX, tags=["sessions"])

    @router.post("/export", response_class=StreamingResponse, responses={200: {"content": {LINES: {}}}})
    async def export(wish: ExportWish) -> StreamingResponse:
        """Every linked phone with its keys, sealed: lines, the first of them the head."""
        lines = await backup.export(wish.passphrase.get_secret_value())
        return StreamingResponse(lines, media_type=LINES)

    @router.post("/import", openapi_extra=_IMPORT_BODY)
    async def restore(request: Request) -> dict[str, str]:
        """Bring one line of an export; it may be larger than other requests."""
        wish = _import_wish(await _body(request))
        passphrase = wish.passphrase.get_secret_value()
        session_id, outcome = await backup.restore(passphrase, head=wish.head, line=wish.line)
        return {"session_id": session_id, "outcome": outcome.value}

    return router


async def _body(request: Request) -> bytes:
    """Read by hand, once we know that it is the admin's. Raises `ImportTooLarge`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > IMPORT_LIMIT:
            raise ImportTooLarge(limit_bytes=IMPORT_LIMIT)
    return bytes(body)


def _import_wish(body: bytes) -> ImportWish:
    try:
        return ImportWish.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


class ProxyWish(BaseModel):
    """The address of a proxy, with its user and password; null: none."""

    model_config = ConfigDict(extra="forbid")

    url: SecretStr | None


def proxy_routes(sessions: Sessions, *, offered: bool) -> APIRouter:
    """``/api/whatsapp/sessions/{id}/proxy``; that the caller is the admin is the caller's business.

    `offered`: this provider's phones have connections of their own.
    """
    router = APIRouter(prefix=PREFIX, tags=["sessions"])

    @router.put("/{session_id}/proxy", status_code=204)
    async def set_proxy(session_id: str, wish: ProxyWish) -> None:
        """Connect this phone by a proxy from now on; its password is never shown again."""
        if not offered:
            raise NotOffered
        await sessions.set_proxy(session_id, None if wish.url is None else Proxy.read(wish.url.get_secret_value()))

    return router


def check_routes(care: Care) -> APIRouter:
    """``/api/database/check-sessions``; that the caller is the admin is the caller's business."""
    router = APIRouter(tags=["sessions"])

    @router.get("/api/database/check-sessions")
    async def check_sessions() -> dict[str, Any]:
        """Linked phones, and logins of the dashboard, in Redis against those in memory."""
        return {**_compared(*await care.compare(COLLECTION)), "logins": _compared(*await care.compare(LOGINS))}

    return router


def _compared(reached: bool, sides: list[SideBySide]) -> dict[str, Any]:  # noqa: FBT001 -- as `compare` tells it
    home = {one: record for side in sides for one, record in side.home.items()}
    memory = {one: record for side in sides for one, record in side.memory.items()}
    different = sorted(one for one in home.keys() & memory if home[one] != memory[one])
    return {
        "redis": _side(home),
        "memory": _side(memory),
        "only_in_redis": sorted(home.keys() - memory),
        "only_in_memory": sorted(memory.keys() - home),
        "different": different,
        "in_step": reached and not different and home.keys() == memory.keys(),
    }


def _side(records: dict[str, Record]) -> dict[str, Any]:
    items = [
        {
            "id": record.id,
            "user_id": record.data.get("user_id"),
            "state": record.data.get("state"),
            "version": record.version,
        }
        for _, record in sorted(records.items())
    ]
    return {"count": len(items), "items": items}
