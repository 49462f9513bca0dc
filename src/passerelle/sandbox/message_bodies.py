"""What the sandbox's routes about messages take and give, as JSON."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from passerelle.sandbox.bodies import Answer, Wish
from passerelle.sandbox.messages import Found, Message
from passerelle.whatsapp.model import MessageType

# WhatsApp's own limit of a text; of an address, browsers' usual one
_TEXT_LIMIT, _URL_LIMIT = 65_536, 2_048

# what is called the same here and in `Message`
_SHARED = ("message_id", "type", "text", "media", "caption", "template", "view_once", "revoked", "at")


class MessageWish(Wish):
    """A message as somebody types it on a phone."""

    to: str
    text: str | None = Field(default=None, max_length=_TEXT_LIMIT)
    media: str | None = Field(default=None, max_length=_URL_LIMIT)
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
        return cls.model_validate(ends | {name: getattr(message, name) for name in _SHARED})


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
