"""The routes of linked phones."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from passerelle.clients.model import LOGINS, Caller
from passerelle.clock import rfc3339
from passerelle.records.care import Care, SideBySide
from passerelle.records.model import Record
from passerelle.sessions.model import COLLECTION, Session
from passerelle.sessions.service import Sessions, SessionsReading


def routes(sessions: Sessions, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/whatsapp/sessions``; `caller` tells who asks."""
    router = APIRouter(prefix="/api/whatsapp/sessions", tags=["sessions"])
    asking = Annotated[Caller, Depends(caller)]

    @router.get("")
    async def list_sessions(
        who: asking, limit: Annotated[int, Query(ge=1, le=1000)] = 50, cursor: str = ""
    ) -> dict[str, Any]:
        """The linked phones by id, those after `cursor` first, and where that is known from."""
        reading = await sessions.read_all(who)
        after = [session for session in reading.sessions if session.id > cursor]
        return {
            "items": [_shown(session, reading) for session in after[:limit]],
            "next_cursor": after[limit - 1].id if len(after) > limit else None,
            "source": reading.source,
            "as_of": rfc3339(reading.as_of),
        }

    @router.get("/{session_id}")
    async def get_session(session_id: str, who: asking) -> dict[str, Any]:
        """One linked phone."""
        return _shown(*await sessions.get(who, session_id))

    @router.delete("/{session_id}", status_code=204)
    async def end_session(session_id: str, who: asking) -> None:
        """Unlink the phone."""
        await sessions.end(who, session_id)

    return router


def _shown(session: Session, reading: SessionsReading) -> dict[str, Any]:
    return {
        "id": session.id,
        "user_id": session.user_id,
        "phone_number": session.phone_number,
        "provider": session.provider,
        "state": session.state,
        "state_reason": session.state_reason,
        "worker": None,
        "connected_at": session.connected_at and rfc3339(session.connected_at),
        "last_seen_at": session.connected_at and rfc3339(session.connected_at),
        "source": reading.source,
        "as_of": rfc3339(reading.as_of),
    }


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
