"""What the sandbox's routes about messages take and give, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from passerelle.sandbox.bodies import Answer, Wish
from passerelle.sandbox.messages import Found, Message
from passerelle.sandbox.samples import INLINE, sample_of
from passerelle.whatsapp.model import MessageType

# WhatsApp's own limit of a text; of an address, browsers' usual one
_TEXT_LIMIT, _URL_LIMIT = 65_536, 2_048
_INLINE_LIMIT = 1_000_000  # what a body may hold
_SHOWN = 64

# what is called the same here and in `Message`
_SHARED = ("message_id", "type", "text", "media", "caption", "template", "view_once", "revoked", "at")


def _readable(media: str) -> str:
    """A whole medium (``data:image/png;base64,…``), or a name or an address that stands for one."""
    if not media.startswith(INLINE) and len(media) > _URL_LIMIT:
        raise ValueError(f"longer than {_URL_LIMIT} characters")
    sample_of(media)
    return media


class MessageWish(Wish):
    """A message as somebody types it on a phone."""

    to: str
    text: str | None = Field(default=None, max_length=_TEXT_LIMIT)
    media: Annotated[str, AfterValidator(_readable)] | None = Field(default=None, max_length=_INLINE_LIMIT)
    view_once: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.text or self.media or self.view_once):
            raise ValueError("one of text, media and view_once is needed")
        return self


class MessageBody(BaseModel):
    """A message on a phone."""

    id: str
    message_id: str
    from_: str = Field(serialization_alias="from")
    to: str
    type: MessageType
    text: str | None
    media: str | None
    caption: str | None
    template: dict[str, Any] | None
    view_once: bool
    revoked: bool
    at: datetime

    @classmethod
    def of(cls, message: Message) -> Self:
        """`message` as JSON."""
        ends = {"id": str(message.id), "from_": message.sender, "to": message.recipient}
        parts = {name: getattr(message, name) for name in _SHARED}
        return cls.model_validate(ends | parts | {"media": message.media and _short(message.media)})


def _short(media: str) -> str:
    """Of a whole medium its beginning: a list of a thousand would be a gigabyte."""
    return media if len(media) <= _URL_LIMIT else f"{media[:_SHOWN]}…"


class MessageAnswer(MessageBody, Answer):
    """One message."""


class MessagesAnswer(Answer):
    """Messages in the order in which they arrived; `count`: how many match in all."""

    items: list[MessageBody]
    count: int
    next_cursor: str | None

    @classmethod
    def of(cls, found: Found) -> Self:
        """`found` as JSON."""
        next_cursor = str(found.messages[-1].id) if found.more else None
        items = [MessageBody.of(message) for message in found.messages]
        return cls(items=items, count=found.count, next_cursor=next_cursor)


class ReadAnswer(Answer):
    """How many messages were read for the first time."""

    read: int
