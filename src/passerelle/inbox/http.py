"""The routes of the inbox: what linked phones agree to have kept, what is kept, and how it is erased."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.inbox.model import (
    DEFAULT_RETENTION_DAYS,
    LONGEST_RETENTION_DAYS,
    Capture,
    KeptMessage,
    MediaState,
)
from passerelle.inbox.ports import InboxFilter
from passerelle.inbox.service import Inbox
from passerelle.media.model import Media
from passerelle.media.service import MediaLibrary
from passerelle.whatsapp.names import read_person

_Name = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")]


class CaptureWish(BaseModel):
    """What a linked phone agrees to have kept."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")

    deleted: bool
    view_once: bool
    retention_days: int = Field(default=DEFAULT_RETENTION_DAYS, ge=1, le=LONGEST_RETENTION_DAYS)


class Page(BaseModel):
    """The query of a list of kept messages."""

    user_id: _Name = None
    session_id: _Name = None
    sender: _Name = None
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str = Field(default="", max_length=64, pattern=r"^\w*$")

    def wanted(self, *, deleted: bool = False, view_once: bool = False) -> InboxFilter:
        """What is looked for."""
        sender = None if self.sender is None else read_person(self.sender)
        return InboxFilter(self.user_id, self.session_id, sender, deleted, view_once)


def routes(inbox: Inbox, media: MediaLibrary, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/inbox`` and the consent of linked phones; `caller` tells who asks."""
    router = APIRouter(tags=["inbox"])
    _add_captures(router, inbox, caller)
    _add_lists(router, inbox, media, caller)
    return router


def _add_captures(router: APIRouter, inbox: Inbox, caller: Callable[..., Awaitable[Caller]]) -> None:
    asking = Annotated[Caller, Depends(caller)]
    path = "/api/whatsapp/sessions/{session_id}/capture"

    @router.get(path)
    async def get_capture(session_id: str, who: asking) -> dict[str, Any]:
        """What this linked phone agrees to have kept."""
        return _capture(await inbox.capture(who, session_id))

    @router.put(path)
    async def set_capture(session_id: str, wish: CaptureWish, who: asking) -> dict[str, Any]:
        """Agree to this from now on; what is kept already stays until its time."""
        capture = Capture(deleted=wish.deleted, view_once=wish.view_once, retention_days=wish.retention_days)
        await inbox.set_capture(who, session_id, capture)
        return _capture(capture)


def _add_lists(router: APIRouter, inbox: Inbox, media: MediaLibrary, caller: Callable[..., Awaitable[Caller]]) -> None:
    asking = Annotated[Caller, Depends(caller)]

    async def page(who: Caller, asked: Page, wanted: InboxFilter) -> dict[str, Any]:
        found = await inbox.page(who, wanted, before=asked.cursor, limit=asked.limit + 1)
        items = [_shown(message, kept, media) for message, kept in found[: asked.limit]]
        return {"items": items, "next_cursor": items[-1]["id"] if len(found) > asked.limit else None}

    @router.get("/api/inbox/messages")
    async def list_messages(who: asking, asked: Annotated[Page, Query()]) -> dict[str, Any]:
        """All kept messages, newest first."""
        return await page(who, asked, asked.wanted())

    @router.get("/api/inbox/deleted")
    async def list_deleted(who: asking, asked: Annotated[Page, Query()]) -> dict[str, Any]:
        """Those that their senders have deleted."""
        return await page(who, asked, asked.wanted(deleted=True))

    @router.get("/api/inbox/view-once")
    async def list_view_once(who: asking, asked: Annotated[Page, Query()]) -> dict[str, Any]:
        """Those that could be looked at once."""
        return await page(who, asked, asked.wanted(view_once=True))

    @router.delete("/api/inbox/messages/{message_id}", status_code=204)
    async def remove(message_id: str, who: asking) -> None:
        """Keep this message, and its medium, no longer."""
        await inbox.remove(who, message_id)


def _capture(capture: Capture) -> dict[str, Any]:
    return {
        "deleted": capture.deleted,
        "view_once": capture.view_once,
        "retention_days": capture.retention_days,
    }


def _shown(message: KeptMessage, kept: Media | None, media: MediaLibrary) -> dict[str, Any]:
    return {
        "id": message.id,
        "session_id": message.session_id,
        "user_id": message.user_id,
        "from": message.sender,
        "from_name": message.sender_name,
        "chat": message.chat,
        "type": message.type,
        "text": message.text,
        "view_once": message.view_once,
        "at": rfc3339(message.at),
        "deleted_at": message.deleted_at and rfc3339(message.deleted_at),
        "media": _medium(message, kept, media),
        "expires_at": rfc3339(message.expires_at),
    }


def _medium(message: KeptMessage, kept: Media | None, media: MediaLibrary) -> dict[str, Any] | None:
    """What there is to see of its medium; one that was removed by itself is unavailable."""
    medium = message.medium
    if medium.state is MediaState.NONE:
        return None
    gone = medium.state is MediaState.KEPT and kept is None
    return {
        "state": MediaState.UNAVAILABLE if gone else medium.state,
        "reason": "removed" if gone else medium.reason,
        "media_id": kept and kept.id,
        "url": kept and media.url(kept),
        "content_type": kept.content_type if kept else medium.attachment and medium.attachment.content_type,
        "size_bytes": kept.size_bytes if kept else medium.attachment and medium.attachment.size_bytes,
        "name": kept.name if kept else medium.attachment and medium.attachment.name,
    }
