"""The routes of messages."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.errors import PasserelleError
from passerelle.idempotency.model import checked, fingerprint
from passerelle.messages.faults import InvalidContent, InvalidRecipient, InvalidSchedule, NobodySpeaks
from passerelle.messages.model import Content, Draft, Message, Status
from passerelle.messages.service import Messages
from passerelle.whatsapp.faults import InvalidPhone
from passerelle.whatsapp.model import STATUS_RECIPIENT, MessageType
from passerelle.whatsapp.names import is_business_scoped, is_name, read_phone_number

PATH = "/api/messages"
BATCH_LIMIT = 1000
TEMPLATE_DEPTH = 32
TEXT_LIMIT = 65_536  # WhatsApp's own limit of a text
_SHOWN = {Status.CLAIMED: Status.PENDING}
ShownStatus = Literal["pending", "sending", "sent", "delivered", "read", "failed", "unknown", "cancelled"]
_HEADERS = [  # read by hand: as a parameter it would cost each request a tenth of its time
    {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": 200}},
]

_REPEATED: dict[int | str, dict[str, Any]] = {200: {"description": "Written before, with this Idempotency-Key"}}


def _plain(template: dict[str, Any]) -> dict[str, Any]:
    """The template, if it can be kept and shown: JSON of numbers that are some, text that is text, not too deep."""
    if _depth(template) > TEMPLATE_DEPTH:
        raise ValueError(f"nested deeper than {TEMPLATE_DEPTH}")
    json.dumps(template, allow_nan=False, ensure_ascii=False).encode()
    return template


def _depth(value: Any) -> int:
    """How deep `value` is nested, looked at level by level: a recursion would break at what it shall refuse."""
    depth, level = 0, [value]
    while level and depth <= TEMPLATE_DEPTH:
        parts = [part for one in level if isinstance(one, dict | list) for part in _parts(one)]
        depth, level = depth + 1, parts
    return depth


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


class MessageWish(BaseModel):
    """What is to be said, by whom, to whom, when."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")

    user_id: str | None = Field(default=None, max_length=200)
    session_id: str | None = Field(default=None, max_length=200)
    to: str = Field(default="", max_length=64)
    type: MessageType
    text: str | None = Field(default=None, max_length=TEXT_LIMIT)
    media_id: str | None = Field(default=None, max_length=200, pattern=r"^\w+$")
    media_url: str | None = Field(default=None, max_length=2000, pattern=r"^https?://\S+$")
    caption: str | None = Field(default=None, max_length=TEXT_LIMIT)
    template: Annotated[dict[str, Any], AfterValidator(_plain)] | None = None
    send_at: AwareDatetime | None = None
    max_attempts: int | None = Field(default=None, ge=1, le=20)
    retry_delay_s: float | None = Field(default=None, ge=0, le=86_400, allow_inf_nan=False)

    def as_draft(self) -> Draft:
        """This wish as a draft.

        Raises:
            Invalid, NotFound: its parts do not make a message.
        """
        speakers = [name for name in (self.user_id, self.session_id) if name is not None]
        if len(speakers) != 1 or not is_name(speakers[0]):
            raise NobodySpeaks
        return Draft(
            user_id=self.user_id,
            session_id=self.session_id,
            to=self._recipient(),
            content=self._content(),
            send_at=self._time(),
            max_attempts=self.max_attempts,
            retry_delay=None if self.retry_delay_s is None else timedelta(seconds=self.retry_delay_s),
        )

    def _time(self) -> datetime | None:
        try:
            return self.send_at and self.send_at.astimezone(UTC)
        except OverflowError:
            raise InvalidSchedule from None

    def _recipient(self) -> str:
        if self.type is MessageType.STATUS:
            return STATUS_RECIPIENT
        return _read_recipient(self.to)

    def _content(self) -> Content:
        content = Content(
            type=self.type,
            text=self.text,
            media_id=self.media_id,
            media_url=self.media_url,
            caption=self.caption,
            template=self.template,
        )
        if not content.is_complete:
            raise InvalidContent
        return content


class BatchWish(BaseModel):
    """Many messages: all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    messages: list[MessageWish] = Field(min_length=1, max_length=BATCH_LIMIT)


def routes(messages: Messages, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/messages``; `caller` tells who asks."""
    router = APIRouter(prefix=PATH, tags=["messages"])
    _add_sending(router, messages, caller)
    _add_following(router, messages, caller)
    return router


def _add_sending(router: APIRouter, messages: Messages, caller: Callable[..., Awaitable[Caller]]) -> None:
    asking = Annotated[Caller, Depends(caller)]

    @router.post("", status_code=202, openapi_extra={"parameters": _HEADERS}, responses=_REPEATED)
    async def send(wish: MessageWish, who: asking, request: Request) -> JSONResponse:
        """Write a message down: it is sent at once, or at `send_at`, and tracked until it is read."""
        sent, again = await _enqueued(messages, who, [wish], wish, request)
        return JSONResponse(_shown(sent[0]), status_code=200 if again else 202)

    @router.post("/batch", status_code=202, openapi_extra={"parameters": _HEADERS}, responses=_REPEATED)
    async def send_all(wish: BatchWish, who: asking, request: Request) -> JSONResponse:
        """Write many messages down: all of them, or none."""
        sent, again = await _enqueued(messages, who, wish.messages, wish, request)
        return JSONResponse({"items": [_shown(one) for one in sent]}, status_code=200 if again else 202)


def _add_following(router: APIRouter, messages: Messages, caller: Callable[..., Awaitable[Caller]]) -> None:
    asking = Annotated[Caller, Depends(caller)]

    @router.get("")
    async def list_messages(
        who: asking,
        status: ShownStatus | None = None,
        to: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: Annotated[str, Query(max_length=64, pattern=r"^\w*$")] = "",
    ) -> dict[str, Any]:
        """The messages, newest first."""
        recipient = _wanted(to)
        found = await messages.page(who, status=status and Status(status), to=recipient, before=cursor, limit=limit + 1)
        return {
            "items": [_shown(one) for one in found[:limit]],
            "next_cursor": found[limit - 1].id if len(found) > limit else None,
        }

    @router.get("/{message_id}")
    async def get_message(message_id: str, who: asking) -> dict[str, Any]:
        """The message as it stands, with its history."""
        return _shown(await messages.get(who, message_id))

    @router.post("/{message_id}/cancel")
    async def cancel_message(message_id: str, who: asking) -> dict[str, Any]:
        """Give a pending message up."""
        return _shown(await messages.cancel(who, message_id))

    @router.post("/{message_id}/retry")
    async def retry_message(message_id: str, who: asking) -> dict[str, Any]:
        """Try it again now, also beyond its attempts."""
        return _shown(await messages.retry(who, message_id))


async def _enqueued(
    messages: Messages, who: Caller, wishes: list[MessageWish], body: BaseModel, request: Request
) -> tuple[list[Message], bool]:
    """The messages, and whether an earlier request with this key had written them."""
    key = checked(request.headers.get("idempotency-key"))
    mark = "" if key is None else fingerprint(body.model_dump(mode="json"))
    of_batch = isinstance(body, BatchWish)
    try:
        answer = await messages.enqueue(who, _drafts(wishes, of_batch=of_batch), key=key, fingerprint=mark)
    except PasserelleError as error:
        if not of_batch:
            error.members.pop("index", None)
        raise
    return answer.messages, answer.repeated


def _drafts(wishes: list[MessageWish], *, of_batch: bool) -> list[Draft]:
    """The wishes as drafts; the error of one in a batch tells its place (`index`, from 0)."""
    drafts = list[Draft]()
    for index, wish in enumerate(wishes):
        try:
            drafts.append(wish.as_draft())
        except PasserelleError as error:
            if of_batch:
                error.members["index"] = index
            raise
    return drafts


def _wanted(to: str) -> str | None:
    """The recipient to look for, however it was written; the ``+`` of a query is a space."""
    if not to or to == STATUS_RECIPIENT:
        return to or None
    return _read_recipient(to.strip())


def _read_recipient(text: str) -> str:
    """A phone number in E.164, or Meta's own id of somebody who shows none."""
    if is_business_scoped(text):
        return text
    try:
        return read_phone_number(text)
    except InvalidPhone:
        raise InvalidRecipient from None


def _shown(message: Message) -> dict[str, Any]:
    content = message.content
    return {
        "id": message.id,
        "status": _SHOWN.get(message.status, message.status),
        "user_id": message.user_id,
        "session_id": message.session_id,
        "to": message.to,
        "type": content.type,
        "text": content.text,
        "media_id": content.media_id,
        "media_url": content.media_url,
        "caption": content.caption,
        "template": content.template,
        "attempts": message.attempts,
        "max_attempts": message.max_attempts,
        "claims": message.claims,
        "created_at": rfc3339(message.created_at),
        "send_at": message.send_at and rfc3339(message.send_at),
        "due_at": rfc3339(message.due_at),
        "expires_at": rfc3339(message.expires_at),
        "last_error": message.last_error,
        "history": [
            {"at": rfc3339(event.at), "event": event.event, "detail": event.detail} for event in message.history
        ],
    }
