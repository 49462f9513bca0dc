"""Which requests are acts, and ``/api/audit``, where the admin reads of them."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import get_contextvars

from passerelle.audit.model import UNDER_WAY, Act, Action, Entry, Outcome, Wanted
from passerelle.audit.service import Audit
from passerelle.clock import rfc3339
from passerelle.redaction import MASK

_SESSIONS, _PAGES = "/api/whatsapp/sessions", "/dashboard"
ACTS = {
    "POST /api/clients": Action.CLIENT_MADE,
    "DELETE /api/clients/{id}": Action.CLIENT_REMOVED,
    "POST /api/clients/{id}/keys": Action.KEY_MADE,
    "POST /api/clients/{id}/keys/{key}/rotate": Action.KEY_ROTATED,
    "DELETE /api/clients/{id}/keys/{key}": Action.KEY_REVOKED,
    "POST /api/webhooks": Action.WEBHOOK_MADE,
    "PATCH /api/webhooks/{id}": Action.WEBHOOK_CHANGED,
    "POST /api/webhooks/{id}/secret": Action.WEBHOOK_SECRET_ROTATED,
    "DELETE /api/webhooks/{id}": Action.WEBHOOK_REMOVED,
    f"POST {_SESSIONS}/export": Action.SESSIONS_EXPORTED,
    f"POST {_SESSIONS}/import": Action.SESSION_IMPORTED,
    f"DELETE {_SESSIONS}/{{id}}": Action.SESSION_UNLINKED,
    f"PUT {_SESSIONS}/{{id}}/proxy": Action.PROXY_SET,
    "POST /api/records/restore": Action.RECORDS_RESTORED,
    "POST /api/records/accept": Action.RECORDS_ACCEPTED,
    "POST /api/records/import": Action.RECORDS_IMPORTED,
    "POST /api/media/migrations": Action.MEDIA_MIGRATED,
    "DELETE /api/media/migrations/current": Action.MEDIA_MIGRATION_STOPPED,
    "POST /api/secrets/rotate": Action.SECRETS_SEALED_ANEW,
    "DELETE /api/people/{phone}": Action.PERSON_ERASED,
    f"POST {_PAGES}/login": Action.LOGGED_IN,
    f"POST {_PAGES}/logout": Action.LOGGED_OUT,
    f"POST {_PAGES}/clients": Action.CLIENT_MADE,
    f"POST {_PAGES}/clients/{{id}}/keys": Action.KEY_MADE,
    f"POST {_PAGES}/clients/{{id}}/rotate": Action.KEY_ROTATED,
    f"POST {_PAGES}/clients/{{id}}/revoke": Action.KEY_REVOKED,
    f"POST {_PAGES}/clients/{{id}}/remove": Action.CLIENT_REMOVED,
    f"POST {_PAGES}/webhooks": Action.WEBHOOK_MADE,
    f"POST {_PAGES}/webhooks/{{id}}/switch": Action.WEBHOOK_CHANGED,
    f"POST {_PAGES}/webhooks/{{id}}/rotate": Action.WEBHOOK_SECRET_ROTATED,
    f"POST {_PAGES}/webhooks/{{id}}/remove": Action.WEBHOOK_REMOVED,
    f"POST {_PAGES}/sessions/{{id}}/unlink": Action.SESSION_UNLINKED,
    f"POST {_PAGES}/media/promote": Action.MEDIA_MIGRATED,
    f"POST {_PAGES}/work/media": Action.MEDIA_MIGRATED,
    f"POST {_PAGES}/work/media/go-on": Action.MEDIA_MIGRATED,
    f"POST {_PAGES}/work/media/stop": Action.MEDIA_MIGRATION_STOPPED,
}
_PATTERNS = [(re.compile(re.sub(r"\{\w+\}", "([^/]+)", route)), action) for route, action in ACTS.items()]
_STEMS = tuple({route.split()[1].partition("/{")[0] for route in ACTS})  # looking for all patterns takes 12 µs
_TARGET_LENGTH = 200
_REFUSED, _FAILED = 400, 500


def _written_out(text: str) -> str:
    if not re.match(r"\d{4}-", text):
        raise ValueError("a time as 2026-11-21T12:00:00Z")
    return text


_Moment = Annotated[AwareDatetime, BeforeValidator(_written_out, str)]
_Word = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")]


class Trail:
    """Tells acts from other requests, and how they ended, before their answer is sent."""

    def __init__(self, app: ASGIApp, *, audit: Audit) -> None:
        """In front of `app`."""
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        act = _act(scope) if scope["type"] == "http" and scope["method"] not in {"GET", "HEAD"} else None
        if act is None:
            await self._app(scope, receive, send)
            return

        async def settled(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._audit.settle(act, _outcome(message["status"]))
            await send(message)

        token = UNDER_WAY.set(act)
        try:
            await self._app(scope, receive, settled)
        except Exception:
            await self._audit.settle(act, Outcome.FAILED)
            raise
        finally:
            UNDER_WAY.reset(token)


class Page(BaseModel):
    """The query of the list."""

    model_config = ConfigDict(extra="ignore")

    what: _Word = None
    who: _Word = None
    since: _Moment | None = None
    until: _Moment | None = None
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str = Field(default="", max_length=64, pattern=r"^\w*$")


def routes(audit: Audit) -> APIRouter:
    """``/api/audit``; that the caller is the admin is the caller's business."""
    router = APIRouter(tags=["audit"])

    @router.get("/api/audit")
    async def list_acts(asked: Annotated[Page, Query()]) -> dict[str, Any]:
        """Who did what, newest first. `what` is an action, `who` as it is shown, `since` and `until` are times."""
        wanted = Wanted(asked.what, asked.who, asked.since, asked.until)
        found = await audit.page(wanted, before=asked.cursor, limit=asked.limit + 1)
        items = [_shown(entry) for entry in found[: asked.limit]]
        return {"items": items, "next_cursor": items[-1]["id"] if len(found) > asked.limit else None}

    return router


def _act(scope: Scope) -> Act | None:
    if not scope["path"].startswith(_STEMS):
        return None
    asked = f"{scope['method']} {scope['path']}"
    for pattern, action in _PATTERNS:
        match = pattern.fullmatch(asked)
        if match is not None:
            target = MASK if action is Action.PERSON_ERASED else "/".join(match.groups())[:_TARGET_LENGTH]
            address = (scope.get("client") or ("",))[0]
            request_id = get_contextvars().get("request")
            return Act(action=action, target=target, address=address, request_id=request_id)
    return None


def _outcome(status: int) -> Outcome:
    if status >= _FAILED:
        return Outcome.FAILED
    return Outcome.REFUSED if status >= _REFUSED else Outcome.DONE


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "client_id": entry.client_id,
        "who": entry.who,
        "address": entry.address,
        "what": entry.action,
        "target": entry.target,
        "outcome": entry.outcome,
        "request_id": entry.request_id,
    }
