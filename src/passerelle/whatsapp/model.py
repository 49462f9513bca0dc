"""Codes, devices, messages, and what a connection tells."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingCode:
    """A code that WhatsApp acknowledged: typed on the phone before `expires_at`, it links the phone.

    It dies earlier when its connection closes or when another code is asked for.
    """

    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTyped:
    """Somebody typed the code; WhatsApp is confirming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QrShown:
    """Scanned as a picture before `expires_at`, this text links the phone too; the next one replaces it."""

    qr: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLinked:
    """The phone is linked; `device` is the provider's name of the new companion device.

    `phone_number` (E.164) is whose it is, where the provider says: a QR code may be scanned by any phone.
    """

    device: str
    phone_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """WhatsApp took the device away again; `reason` is the provider's word."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost:
    """The connection is gone, and with it its code; `reason` is the provider's word."""

    reason: str


LinkingEvent = QrShown | CodeTyped | DeviceLinked | LoggedOut | ConnectionLost

STATUS_RECIPIENT = "status@broadcast"  # WhatsApp's own name of "everybody who may see my status"


class MessageType(StrEnum):
    """What sort of message it is."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    TEMPLATE = "template"  # a text that the official API has approved
    STATUS = "status"  # seen by one's contacts for a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message as a provider gets it. `device` is the linked device that says it, `to` E.164 or `STATUS_RECIPIENT`.

    `reference` is our own id of it: a provider that can give it back with a receipt does. A medium has a `media_url`;
    one of ours its `media_id` too, and then the address is our own signed link to it.
    """

    client_id: str = "default"
    session_id: str
    device: str
    reference: str
    to: str
    type: MessageType
    text: str | None = None
    media_id: str | None = None
    media_url: str | None = None
    caption: str | None = None
    template: dict[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """An open medium, on its way from us to a provider or the other way. `chunks` can be read once, while it is open.

    `size_bytes` is exact when it is known; `content_type` is what the other side says of it, nothing more.
    """

    chunks: AsyncIterator[bytes]
    content_type: str | None = None
    size_bytes: int | None = None
    name: str | None = None


class ReceiptKind(StrEnum):
    """What became of a message that WhatsApp took."""

    SENT = "sent"  # WhatsApp took it: tells something only where the answer got lost, and with a `reference`
    FAILED = "failed"  # WhatsApp gave it up
    DELIVERED = "delivered"  # it is on the phone
    READ = "read"  # somebody has seen it


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The news about a message of ours; comes late, twice, in any order. `detail` is the provider's own word.

    `reference` is our own id of it, where the provider gives it back.
    """

    session_id: str
    provider_id: str
    to: str
    kind: ReceiptKind
    at: datetime
    detail: str | None = None
    reference: str | None = None


class IncomingType(StrEnum):
    """What sort of message came in."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    STICKER = "sticker"
    REACTION = "reaction"  # `text` is the emoji; empty when it was taken back
    LOCATION = "location"
    CONTACT = "contact"
    OTHER = "other"  # something that this version does not read; `raw` holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A medium that came in, still at the provider's: `ref` is what `IncomingMedia.open` needs, a string to keep.

    It lapses there, after days or minutes: fetch it soon.
    """

    ref: str
    content_type: str | None = None
    name: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Somebody wrote to a linked phone. `sender` is E.164, or the provider's own id of somebody without a number.

    `chat` is the group or broadcast list it was written in; nothing: to the phone alone. `view_once` without an
    `attachment` is the notice of a medium that WhatsApp keeps from linked devices. `raw` is the provider's own event.
    """

    session_id: str
    provider_id: str
    sender: str
    at: datetime
    type: IncomingType = IncomingType.TEXT
    text: str | None = None
    attachment: Attachment | None = None
    view_once: bool = False
    sender_name: str | None = None
    chat: str | None = None
    raw: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """An incoming message was deleted for everybody by `sender`: who wrote it, or who may do so in its group."""

    session_id: str
    provider_id: str
    sender: str
    at: datetime
    by_admin: bool = False


class Connection(StrEnum):
    """How the connection of a linked phone is."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # the provider tries again by itself
    REPLACED = "replaced"  # another connection of this device took over; nothing is tried by itself
    RESTRICTED = "restricted"  # WhatsApp restricts the account until `until`
    LOGGED_OUT = "logged_out"  # the phone has removed the device: it must be linked again


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionChanged:
    """The connection of a linked phone is another one now; `reason` is the provider's word."""

    session_id: str
    connection: Connection
    at: datetime
    reason: str | None = None
    until: datetime | None = None


SessionEvent = Receipt | Incoming | Revoked | ConnectionChanged
