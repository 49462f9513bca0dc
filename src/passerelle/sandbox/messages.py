"""A message as WhatsApp keeps it, and how one looks for messages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passerelle.errors import NotFound, Text
from passerelle.sandbox.samples import major_type
from passerelle.whatsapp.model import STATUS_RECIPIENT, MessageType, Outgoing

_MAJOR_TYPES = frozenset({MessageType.IMAGE, MessageType.VIDEO, MessageType.AUDIO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What WhatsApp took. `session_id` is whose linked device said it; nothing: somebody typed it on the phone.

    `at` is when it was taken, and once it is on the recipient's phone, when it arrived there.
    """

    id: int = 0
    message_id: str
    sender: str
    recipient: str
    session_id: str | None = None
    type: MessageType
    text: str | None = None
    media: str | None = None
    caption: str | None = None
    template: dict[str, Any] | None = None
    view_once: bool = False
    revoked: bool = False
    at: datetime

    @property
    def is_status(self) -> bool:
        """Whether it is for everybody, so arrives at no phone."""
        return self.recipient == STATUS_RECIPIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The messages that arrived at `recipient` (E.164, or `STATUS_RECIPIENT` for the statuses)."""

    recipient: str
    text: str | None = None
    sender: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of what was looked for, oldest first; `count` is how many there are in all, `more`: behind this page."""

    messages: list[Message]
    count: int
    more: bool


class UnknownMessage(NotFound):
    """This phone has written no such message."""

    code = "message_not_found"
    text = Text("This phone has written no such message.", "Ce téléphone n'a pas écrit ce message.")
    hint = Text(
        "Take the id of the answer to POST /sandbox/phones/{number}/messages.",
        "Prenez l'id de la réponse à POST /sandbox/phones/{number}/messages.",
    )


def said(outgoing: Outgoing, *, message_id: str, sender: str, at: datetime) -> Message:
    """What a linked device of `sender` says."""
    return Message(
        message_id=message_id,
        sender=sender,
        recipient=outgoing.to,
        session_id=outgoing.session_id,
        type=MessageType.STATUS if outgoing.to == STATUS_RECIPIENT else outgoing.type,
        text=outgoing.text,
        media=outgoing.media_url,
        caption=outgoing.caption,
        template=outgoing.template,
        at=at,
    )


def type_of(media: str | None, *, view_once: bool) -> MessageType:
    """What sort of message carries `media`, as far as its name tells."""
    if media is None:
        return MessageType.IMAGE if view_once else MessageType.TEXT
    major = major_type(media)
    return MessageType(major) if major in _MAJOR_TYPES else MessageType.DOCUMENT
