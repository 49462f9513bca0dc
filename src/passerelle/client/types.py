# Written by scripts/typed_client.py from the OpenAPI document: change that, and run it.
"""What the gateway takes, and what its sandbox answers."""

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

Category = Literal["deleted-messages", "view-once", "scheduled-status"]
DeliveryState = Literal["pending", "delivered", "failed", "parked"]
FaultKind = Literal[
    "invalid_phone",
    "already_linked",
    "pairing_in_progress",
    "rate_overlimit",
    "passkey_required",
    "bad_display_name",
    "provider_unavailable",
    "no_code",
    "slow_code",
    "disconnect_while_pairing",
    "logged_out_after_link",
    "send_error",
    "send_timeout_before",
    "send_timeout_after",
    "restricted_463",
    "not_on_whatsapp",
    "temporary_ban",
    "hang",
    "duplicate_event",
    "reordered_receipts",
    "media_unavailable",
]
MessageType = Literal["text", "image", "video", "audio", "document", "template", "status"]
StoreName = Literal["cloudinary", "supabase", "s3", "local"]


class Answer(TypedDict):
    """Every answer says that nothing of it is real."""

    sandbox: NotRequired[Literal[True]]


class BroughtRecord(TypedDict):
    """A record as a JSON file has it."""

    id: str
    version: int
    data: dict[str, Any]


class CaptureWish(TypedDict):
    """What a linked phone agrees to have kept."""

    deleted: bool
    view_once: bool
    retention_days: NotRequired[int]


class ClockAnswer(TypedDict):
    """The sandbox's time."""

    sandbox: NotRequired[Literal[True]]
    now: str
    offset_s: float


class ContractorChange(TypedDict):
    """What of a contractor is to change; what is not given stays."""

    name: NotRequired[str | None]
    phone: NotRequired[str | None]
    trades: NotRequired[list[str] | None]
    areas: NotRequired[list[str] | None]
    capacity: NotRequired[int | None]
    active: NotRequired[bool | None]


class ContractorWish(TypedDict):
    """Who gets leads."""

    name: str
    phone: str
    trades: NotRequired[list[str]]
    areas: NotRequired[list[str]]
    capacity: int
    active: NotRequired[bool]


class FaultAnswer(TypedDict):
    """One fault."""

    sandbox: NotRequired[Literal[True]]
    id: int
    kind: FaultKind
    number: str | None
    times: int
    what: str


class FaultBody(TypedDict):
    """A misfortune to come."""

    id: int
    kind: FaultKind
    number: str | None
    times: int
    what: str


class FaultWish(TypedDict):
    """A misfortune to come."""

    kind: FaultKind
    number: NotRequired[str | None]
    times: NotRequired[int]


class LeadChange(TypedDict):
    """One thing that is to become of a lead."""

    status: NotRequired[Literal["closed", "unassigned"] | None]
    contractor_id: NotRequired[str | None]


class LeadWish(TypedDict):
    """What a customer asks for."""

    name: str
    phone: str
    trade: str
    area: str
    description: NotRequired[str]


class LinkBody(TypedDict):
    """A linked device."""

    device: str
    session_id: str
    linked_at: str


class LinkedAnswer(TypedDict):
    """The device that a typed code linked."""

    sandbox: NotRequired[Literal[True]]
    device: str
    session_id: str
    linked_at: str
    number: str


# One message.
MessageAnswer = TypedDict(
    "MessageAnswer",
    {
        "sandbox": NotRequired[Literal[True]],
        "id": str,
        "message_id": str,
        "from": str,
        "to": str,
        "type": MessageType,
        "text": str | None,
        "media": str | None,
        "caption": str | None,
        "template": dict[str, Any] | None,
        "view_once": bool,
        "revoked": bool,
        "at": str,
    },
)

# A message on a phone.
MessageBody = TypedDict(
    "MessageBody",
    {
        "id": str,
        "message_id": str,
        "from": str,
        "to": str,
        "type": MessageType,
        "text": str | None,
        "media": str | None,
        "caption": str | None,
        "template": dict[str, Any] | None,
        "view_once": bool,
        "revoked": bool,
        "at": str,
    },
)


class MessageWish(TypedDict):
    """What is to be said, by whom, to whom, when."""

    user_id: NotRequired[str | None]
    session_id: NotRequired[str | None]
    to: NotRequired[str]
    type: MessageType
    text: NotRequired[str | None]
    media_id: NotRequired[str | None]
    media_url: NotRequired[str | None]
    caption: NotRequired[str | None]
    template: NotRequired[dict[str, Any] | None]
    send_at: NotRequired[str | datetime | None]
    max_attempts: NotRequired[int | None]
    retry_delay_s: NotRequired[float | None]


class PendingCode(TypedDict):
    """A code waits to be typed; the phone does not know which."""

    expires_at: str | datetime


class PhoneWish(TypedDict):
    """A phone as it should be."""

    number: str
    name: NotRequired[str | None]
    read_receipts: NotRequired[bool | None]
    online: NotRequired[bool | None]


class ReadAnswer(TypedDict):
    """How many messages were read for the first time."""

    sandbox: NotRequired[Literal[True]]
    read: int


class RemovedAnswer(TypedDict):
    """How much was forgotten."""

    sandbox: NotRequired[Literal[True]]
    removed: int


class SandboxMessageWish(TypedDict):
    """A message as somebody types it on a phone."""

    to: str
    text: NotRequired[str | None]
    media: NotRequired[str | None]
    view_once: NotRequired[bool]


# A file in a store, and whose it is; what is not said follows from its folders.
WantedImport = TypedDict(
    "WantedImport",
    {
        "from": StoreName,
        "key": str,
        "user_id": NotRequired[str | None],
        "category": NotRequired[Category | None],
        "client_id": NotRequired[str],
        "dry_run": NotRequired[bool],
    },
)

# From where to where, and how.
WantedMigration = TypedDict(
    "WantedMigration",
    {
        "from": NotRequired[StoreName | None],
        "to": NotRequired[StoreName | None],
        "dry_run": NotRequired[bool],
        "limit": NotRequired[int | None],
        "jobs": NotRequired[int],
        "bandwidth": NotRequired[int | None],
        "delete_source": NotRequired[bool],
    },
)


class WebhookChange(TypedDict):
    """What is to change; what is not given stays."""

    url: NotRequired[str | None]
    events: NotRequired[list[str] | None]
    active: NotRequired[bool | None]


class WebhookWish(TypedDict):
    """An address, and what it wants to hear of; no events: all of them."""

    url: str
    events: NotRequired[list[str]]


class PhoneAnswer(TypedDict):
    """One phone."""

    sandbox: NotRequired[Literal[True]]
    number: str
    name: str | None
    online: bool
    read_receipts: bool
    links: list[LinkBody]
    pending_code: PendingCode | None


class PhoneBody(TypedDict):
    """A virtual phone."""

    number: str
    name: str | None
    online: bool
    read_receipts: bool
    links: list[LinkBody]
    pending_code: PendingCode | None
