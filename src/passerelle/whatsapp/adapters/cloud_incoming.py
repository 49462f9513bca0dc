"""Reads messages that came in by the Cloud API, one at a time."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from passerelle.whatsapp.adapters.cloud_about import about
from passerelle.whatsapp.model import Attachment, Incoming, IncomingType, Revoked

Json = Mapping[str, Any]
UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, OSError)
log = structlog.get_logger()


class Content(NamedTuple):
    """What a message says, whoever wrote it."""

    type: IncomingType
    text: str | None = None
    attachment: Attachment | None = None


def read_message(message: Json, contacts: Json, *, session_id: str) -> Incoming | Revoked:
    """`message` of a webhook, beside whose `contacts` (by number and by id) it stood.

    Raises:
        UNREADABLE: it does not say what it is, who wrote it, or when.
    """
    sender, at = sender_of(message), time_of(message)
    if message["type"] == "revoke":  # only for numbers that the WhatsApp Business app uses too
        original = str(message["revoke"]["original_message_id"])
        return Revoked(session_id=session_id, provider_id=original, sender=sender, at=at)
    content = _content(message)
    return Incoming(
        session_id=session_id,
        provider_id=str(message["id"]),
        sender=sender,
        at=at,
        type=content.type,
        text=content.text,
        attachment=content.attachment,
        sender_name=_name(message, contacts),
        chat=words(message.get("group_id")),
        raw=dict(message),
    )


def sender_of(message: Json) -> str:
    """E.164; Meta's own id of somebody whose number we may not know."""
    return person(message.get("from") or message["from_user_id"])


def person(identifier: Any) -> str:
    """A number, which Meta writes without its ``+``, or an id."""
    text = str(identifier)
    return f"+{text}" if text.isdecimal() else text


def time_of(event: Json) -> datetime:
    """When Meta says that it happened."""
    return datetime.fromtimestamp(int(event["timestamp"]), UTC)


def by_identifier(contacts: Any) -> dict[str, Any]:
    """The contacts of a webhook, each by all that it may be called."""
    found: dict[str, Any] = {}
    for contact in contacts if isinstance(contacts, list) else []:
        if isinstance(contact, dict):
            found |= {str(contact[key]): contact for key in ("wa_id", "user_id") if contact.get(key)}
    return found


def _name(message: Json, contacts: Json) -> str | None:
    for key in ("from", "from_user_id"):
        profile = contacts.get(str(message.get(key)), {}).get("profile")
        if isinstance(profile, dict) and profile.get("name"):
            return str(profile["name"])
    return None


def _content(message: Json) -> Content:
    """What it says; what this version cannot read is kept whole in `raw`, and never lost."""
    kind = str(message["type"])
    read = READERS.get(kind)
    try:
        return read(message[kind]) if read else Content(IncomingType.OTHER)
    except UNREADABLE:
        log.warning("⚠️ A message of the Cloud API is not as Meta describes it", **about(message))
        return Content(IncomingType.OTHER)


def words(value: Any) -> str | None:
    """The text; nothing where something else stands, on which the whole call would fail, again and again."""
    return value if isinstance(value, str) else None


def _medium(type_: IncomingType) -> Callable[[Json], Content]:
    def read(medium: Json) -> Content:
        kind, name = words(medium.get("mime_type")), words(medium.get("filename"))
        attachment = Attachment(ref=str(medium["id"]), content_type=kind, name=name)
        return Content(type_, words(medium.get("caption")), attachment)

    return read


def _location(place: Json) -> Content:
    told = (f"{place['latitude']},{place['longitude']}", place.get("name"), place.get("address"))
    return Content(IncomingType.LOCATION, " ".join(str(word) for word in told if word))


def _people(people: Any) -> Content:
    return Content(IncomingType.CONTACT, ", ".join(str(one["name"]["formatted_name"]) for one in people))


def _interactive(reply: Json) -> Content:
    """A button or a line of a list by its words; the answers of a form stay in `raw`."""
    answer = reply[reply["type"]]
    return Content(IncomingType.TEXT, str(answer.get("title") or answer["body"]))


READERS: dict[str, Callable[[Any], Content]] = {
    "text": lambda text: Content(IncomingType.TEXT, str(text["body"])),
    "button": lambda button: Content(IncomingType.TEXT, str(button["text"])),
    "interactive": _interactive,
    "reaction": lambda reaction: Content(IncomingType.REACTION, str(reaction.get("emoji") or "")),
    "image": _medium(IncomingType.IMAGE),
    "video": _medium(IncomingType.VIDEO),
    "audio": _medium(IncomingType.AUDIO),
    "voice": _medium(IncomingType.AUDIO),
    "document": _medium(IncomingType.DOCUMENT),
    "sticker": _medium(IncomingType.STICKER),
    "location": _location,
    "contacts": _people,
}
