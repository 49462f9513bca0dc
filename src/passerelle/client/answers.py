"""What the gateway answers, where its OpenAPI document does not say it: `tests/client` holds every answer against this.

Times are RFC 3339 in UTC. The rest is in `types.py`, which is written from that document.
"""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

from passerelle.client.types import Category, DeliveryState, MessageType, StoreName

T = TypeVar("T")
AttemptStatus = Literal["queued", "connecting", "code_issued", "confirming", "linked", "failed", "expired", "cancelled"]
SessionState = Literal["pairing", "connecting", "connected", "disconnected", "paused", "logged_out"]
Source = Literal["redis", "sql", "file", "memory"]
MessageStatus = Literal["pending", "sending", "sent", "delivered", "read", "failed", "unknown", "cancelled"]
LeadStatus = Literal["new", "assigned", "unassigned", "closed"]
NotificationStatus = Literal["pending", "whatsapp_sent", "whatsapp_failed"]
KeptState = Literal["waiting", "kept", "unavailable", "failed"]
MigrationState = Literal["running", "stopping", "done", "stopped", "failed"]
ImportOutcome = Literal["imported", "there_already", "number_taken"]


class Page(TypedDict, Generic[T]):
    """A part of a list; of what changes hands often also where it is known from, and of searches how many match."""

    items: list[T]
    next_cursor: str | None
    source: NotRequired[Source]
    as_of: NotRequired[str]
    count: NotRequired[int]
    sandbox: NotRequired[Literal[True]]


class Code(TypedDict):
    """What came of asking for a code; without one: follow the attempt. None: the phone is linked by now."""

    attempt_id: str
    session_id: str
    status: AttemptStatus
    code: NotRequired[str | None]
    expires_at: NotRequired[str | None]


class Attempt(TypedDict):
    """One try to link a phone."""

    attempt_id: str
    session_id: str
    user_id: str
    phone_number: str
    status: AttemptStatus
    code: str | None
    expires_at: str
    codes_issued: int
    reason: str | None


class Qr(TypedDict):
    """What a phone can scan: as text, and as a picture."""

    qr: str
    expires_at: str
    svg: str


class Pacing(TypedDict):
    """How fast a phone may speak."""

    per_minute: float
    first_contacts_today: int
    first_contacts_limit: int


class Session(TypedDict):
    """A linked phone."""

    id: str
    user_id: str
    phone_number: str
    provider: str
    state: SessionState
    state_reason: str | None
    worker: str | None
    proxy: str | None
    connected_at: str | None
    last_seen_at: str | None
    source: Source
    as_of: str
    pacing: Pacing | None


class Capture(TypedDict):
    """What a linked phone agrees to have kept."""

    deleted: bool
    view_once: bool
    retention_days: int


class Imported(TypedDict):
    """What became of one line of an export."""

    session_id: str
    outcome: ImportOutcome


class Compared(TypedDict):
    """A record, as it is on one side."""

    id: str
    user_id: str | None
    state: str | None
    version: int


class Side(TypedDict):
    """All records of one side."""

    count: int
    items: list[Compared]


class SideBySide(TypedDict):
    """Records in Redis against those in memory: the ids of those that are not alike."""

    redis: Side
    memory: Side
    only_in_redis: list[str]
    only_in_memory: list[str]
    different: list[str]
    in_step: bool


class SessionsCheck(SideBySide):
    """Linked phones, and the logins of the dashboard."""

    logins: SideBySide


class Happened(TypedDict):
    """One line of a message's history."""

    at: str
    event: str
    detail: str | None


class Message(TypedDict):
    """Something said to one recipient, and what became of it."""

    id: str
    status: MessageStatus
    user_id: str
    session_id: str
    to: str
    type: MessageType
    text: str | None
    media_id: str | None
    media_url: str | None
    caption: str | None
    template: dict[str, Any] | None
    attempts: int
    max_attempts: int
    claims: int
    created_at: str
    send_at: str | None
    due_at: str
    expires_at: str
    last_error: str | None
    history: list[Happened]


class Sent(TypedDict):
    """Messages that were written down together, in their order."""

    items: list[Message]


class Lead(TypedDict):
    """A customer who asked; `adopted`: a row that somebody else wrote, of which little is known."""

    id: str
    status: LeadStatus
    name: str | None
    phone: str | None
    trade: str | None
    area: str | None
    description: str | None
    contractor_id: str | None
    notification_status: NotificationStatus
    notification_attempts: int
    confirm_url: str | None
    confirmed_at: str | None
    created_at: str | None
    adopted: bool


class Contractor(TypedDict):
    """Who gets leads."""

    id: str
    name: str
    phone: str
    trades: list[str]
    areas: list[str]
    capacity: int
    open_leads: int
    active: bool
    created_at: str


class KeptMedium(TypedDict):
    """What there is to see of a kept message's medium."""

    state: KeptState
    reason: str | None
    media_id: str | None
    url: str | None
    content_type: str | None
    size_bytes: int | None
    name: str | None


# `from` is no name in Python, so this one is not a class: a message that was written to a linked phone.
KeptMessage = TypedDict(
    "KeptMessage",
    {
        "id": str,
        "session_id": str,
        "user_id": str,
        "from": str,
        "from_name": str | None,
        "chat": str | None,
        "type": str,
        "text": str | None,
        "view_once": bool,
        "at": str,
        "deleted_at": str | None,
        "media": KeptMedium | None,
        "expires_at": str,
    },
)


class Person(TypedDict):
    """How many things of each kind are kept of a person; None: cannot be told just now."""

    kept: dict[str, int | None]
    linked_phones: list[str]
    erasing_since: str | None


class Erased(TypedDict):
    """What was erased, and what goes later by itself."""

    erased: dict[str, int]
    pending: dict[str, int | None]
    linked_phones: list[str]


class Medium(TypedDict):
    """A kept file."""

    id: str
    user_id: str
    category: Category
    name: str | None
    url: str
    store: StoreName | None
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: str
    thumbnail_url: NotRequired[str]
    cloud_url: NotRequired[str]


class ImportedFile(TypedDict):
    """A file in a store, and the media that it is; none where it was but found."""

    state: Literal["imported", "already_there", "found"]
    key: str
    size_bytes: int
    media_id: str | None


class FileFault(TypedDict):
    """A file that stays where it is, and why."""

    key: str
    code: str
    reason: str


# As `KeptMessage`: how far a migration is.
Migration = TypedDict(
    "Migration",
    {
        "from": StoreName | None,
        "to": StoreName,
        "dry_run": bool,
        "state": MigrationState,
        "reason": str | None,
        "files": int,
        "done": int,
        "moved": int,
        "imported": int,
        "already_there": int,
        "let_go": int,
        "bytes": int,
        "done_bytes": int,
        "refused": int,
        "refused_files": list[FileFault],
        "failed_count": int,
        "failed": list[FileFault],
        "rate_bytes_s": int,
        "seconds_left": float | None,
    },
)


class Webhook(TypedDict):
    """An address that hears of events."""

    id: str
    url: str
    events: list[str]
    active: bool
    off_reason: str | None
    off_at: str | None
    failing_since: str | None
    paused_until: str | None
    last_error: str | None
    previous_secret_until: str | None
    created_at: str


class NewWebhook(Webhook):
    """The same with its secret, which is shown this once."""

    secret: str


class Delivery(TypedDict):
    """One event on its way to one address."""

    id: str
    type: str
    timestamp: str
    seq: int
    session_id: str | None
    status: DeliveryState
    attempts: int
    due_at: str | None
    settled_at: str | None
    last_status: int | None
    last_error: str | None
    last_answer: str | None
    data: dict[str, Any]
