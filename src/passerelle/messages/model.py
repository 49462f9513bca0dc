"""A message, and how it may change."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from passerelle.errors import Conflict, NotFound, Text
from passerelle.whatsapp.model import MessageType

CONTENT_VERSION = 1
DEFAULT_LIFE = timedelta(hours=24)  # DESIGN §3: `expires_at`
UNKNOWN_BLOCKS = timedelta(seconds=75)  # whatsmeow waits that long for an answer (reference/whatsapp.md §3.5)
NEEDS = dict.fromkeys(MessageType, "has_medium") | {MessageType.TEXT: "text", MessageType.TEMPLATE: "template"}
UNBOUND = ""  # the session of a message that waits until a phone is linked
RESTORED = "restored"  # who has a message in hand that waited in a backup: nobody knows what became of it since


class Status(StrEnum):
    """Where a message stands."""

    PENDING = "pending"  # written down: now, later, or again after a failure
    CLAIMED = "claimed"  # a worker has it, nothing is handed over yet; shown as pending
    SENDING = "sending"  # about to be handed over: a crash leaves it unknown
    SENT = "sent"  # WhatsApp took it
    DELIVERED = "delivered"  # it is on the recipient's phone
    READ = "read"  # the recipient has seen it
    FAILED = "failed"  # given up, `last_error` says why
    UNKNOWN = "unknown"  # handed over, the answer got lost: a receipt may still tell
    CANCELLED = "cancelled"  # given up by its client


ARRIVED = frozenset({Status.SENT, Status.DELIVERED, Status.READ})


class UnknownMessage(NotFound):
    """No message of this client has that id."""

    code = "message_not_found"
    text = Text("There is no such message.", "Ce message n'existe pas.")
    hint = Text("List them with GET /api/messages.", "Listez-les avec GET /api/messages.")


class MessageBeyondRecall(Conflict):
    """It cannot be cancelled: it is on its way, or has ended."""

    code = "message_not_cancellable"
    text = Text("This message cannot be cancelled any more.", "Ce message ne peut plus être annulé.")
    hint = Text("Only a pending message can be cancelled.", "Seul un message en attente peut être annulé.")


class MessageOfLead(Conflict):
    """It tells a contractor of a lead; the lead decides."""

    code = "message_of_lead"
    text = Text("This message belongs to a lead.", "Ce message appartient à une demande.")
    hint = Text(
        "Close the lead, or take it away from its contractor: PATCH /api/leads/{id}.",
        "Clôturez la demande, ou retirez-la à son artisan : PATCH /api/leads/{id}.",
    )


class NothingToRetry(Conflict):
    """It was sent, or is just being sent, or its client gave it up."""

    code = "message_not_retryable"
    text = Text("This message is not one to try again.", "Ce message n'est pas à réessayer.")
    hint = Text(
        "Only a failed, unknown or waiting message can be tried again.",
        "Seul un message échoué, incertain ou en attente peut être réessayé.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message says. A medium is one of ours (`media_id`) or lies at an address (`media_url`), never both."""

    type: MessageType
    text: str | None = None
    media_id: str | None = None
    media_url: str | None = None
    caption: str | None = None
    template: dict[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the parts make a message of this type."""
        if self.media_id is not None and self.media_url is not None:
            return False
        if self.type is MessageType.STATUS:
            return bool(self.text) or self.has_medium
        return bool(getattr(self, NEEDS[self.type]))

    @property
    def has_medium(self) -> bool:
        """Whether a medium must be brought to the provider first."""
        return self.media_id is not None or self.media_url is not None

    def as_document(self) -> dict[str, Any]:
        """This content as it is kept; `v` tells later versions how to read it."""
        parts = {name: getattr(self, name) for name in ("text", "media_id", "media_url", "caption", "template")}
        return {"v": CONTENT_VERSION, "type": self.type.value} | {k: v for k, v in parts.items() if v is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message as somebody asks for it. Exactly one of `session_id` and `user_id` says who speaks.

    Neither: the client's oldest linked phone, or, when there is none, the first one that will be linked.
    `reference` names what it is for, and makes the `SettleListener` hear of it. `every_failure_counts`: refusals that
    nothing helps are tried again too (a lead's message; MISSION C4).
    """

    to: str
    content: Content
    user_id: str | None = None
    session_id: str | None = None
    send_at: datetime | None = None
    max_attempts: int | None = None
    retry_delay: timedelta | None = None
    life: timedelta = DEFAULT_LIFE
    resend_unknown: bool | None = None
    every_failure_counts: bool = False
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a message's history."""

    at: datetime
    event: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing said to one recipient."""

    id: str
    client_id: str
    user_id: str
    session_id: str
    to: str
    content: Content
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    send_at: datetime | None = None
    max_attempts: int
    retry_delay: timedelta
    resend_unknown: bool = False
    every_failure_counts: bool = False
    reference: str | None = None
    request_id: str | None = None
    trace: str | None = None  # the ``traceparent`` of who asked for it, where that is traced
    status: Status = Status.PENDING
    attempts: int = 0
    claims: int = 0
    fence: int = 0  # grows with every claim and is never given back
    provider_id: str | None = None
    last_error: str | None = None
    history: tuple[Event, ...] = ()

    def cancelled(self) -> "Message":
        """Its client gave it up.

        Raises:
            MessageBeyondRecall: it is on its way, or has ended.
        """
        if self.status not in {Status.PENDING, Status.CLAIMED, Status.CANCELLED}:
            raise MessageBeyondRecall
        return replace(self, status=Status.CANCELLED)

    def retried(self, now: datetime) -> "Message":
        """A person wants it tried again, now, even beyond `max_attempts`.

        Raises:
            NothingToRetry: it was sent, is being sent, or was cancelled.
        """
        if self.status is Status.CLAIMED:  # it is being tried already
            return self
        if self.status not in {Status.PENDING, Status.FAILED, Status.UNKNOWN}:
            raise NothingToRetry
        return replace(
            self,
            status=Status.PENDING,
            due_at=now,
            expires_at=max(self.expires_at, now + DEFAULT_LIFE),
            max_attempts=max(self.max_attempts, self.attempts + 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What has become of a message: told to the `SettleListener`, in the transaction that wrote it down."""

    id: str
    client_id: str
    session_id: str
    reference: str | None
    status: Status
    attempts: int
    max_attempts: int
    due_at: datetime
    last_error: str | None
    user_id: str = ""
    to: str = ""
    trace: str | None = None

    @property
    def arrived(self) -> bool:
        """WhatsApp has it."""
        return self.status in ARRIVED

    @property
    def will_be_tried_again(self) -> bool:
        """Another attempt comes by itself."""
        return self.status is Status.PENDING or (self.status is Status.UNKNOWN and self.attempts < self.max_attempts)
