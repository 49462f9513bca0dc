"""The routes of linked phones."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.sessions.model import Session
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
