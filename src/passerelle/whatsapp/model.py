"""Codes, devices, messages, and what a connection tells."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
class DeviceLinked:
    """The phone is linked; `device` is the provider's name of the new companion device."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """WhatsApp took the device away again; `reason` is the provider's word."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost:
    """The connection is gone, and with it its code; `reason` is the provider's word."""

    reason: str


LinkingEvent = CodeTyped | DeviceLinked | LoggedOut | ConnectionLost

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

    `reference` is our own id of it: a provider that can give it back with a receipt does.
    """

    session_id: str
    device: str
    reference: str
    to: str
    type: MessageType
    text: str | None = None
    media_url: str | None = None
    caption: str | None = None
    template: dict[str, object] | None = None


class ReceiptKind(StrEnum):
    """What became of a message that WhatsApp took."""

    FAILED = "failed"  # WhatsApp gave it up
    DELIVERED = "delivered"  # it is on the phone
    READ = "read"  # somebody has seen it


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The news about a message of ours; comes late, twice, in any order. `detail` is the provider's own word."""

    session_id: str
    provider_id: str
    to: str
    kind: ReceiptKind
    at: datetime
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Somebody wrote to a linked phone. `media_url` is where the provider keeps the medium, if it supplies it."""

    session_id: str
    provider_id: str
    sender: str
    at: datetime
    text: str | None = None
    media_url: str | None = None
    view_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Its sender deleted an incoming message for everybody."""

    session_id: str
    provider_id: str
    sender: str
    at: datetime


SessionEvent = Receipt | Incoming | Revoked
