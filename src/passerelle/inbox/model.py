"""What a session agreed to have kept, a kept message, and what became of its medium."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from passerelle.errors import NotFound, Text
from passerelle.whatsapp.model import Attachment, Incoming, IncomingType, Revoked

DEFAULT_RETENTION_DAYS, LONGEST_RETENTION_DAYS = 30, 365
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=10), timedelta(hours=1)


class Kind(StrEnum):
    """What sort of inbound event it is."""

    MESSAGE = "message"
    REVOKED = "revoked"


class UnknownKeptMessage(NotFound):
    """Nothing of this client is kept under that id."""

    code = "inbox_message_not_found"
    text = Text("There is no such kept message.", "Ce message conservé n'existe pas.")
    hint = Text("List them with GET /api/inbox/messages.", "Listez-les avec GET /api/inbox/messages.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What a session has agreed to have kept; nothing, unless it was asked.

    `deleted`: every message, so that it can be shown after its sender deleted it. `view_once`: messages that can be
    looked at once. What is kept stays for `retention_days`.
    """

    deleted: bool = False
    view_once: bool = False
    retention_days: int = DEFAULT_RETENTION_DAYS

    def wants(self, message: Incoming) -> bool:
        """Whether this is to be kept."""
        return self.view_once if message.view_once else self.deleted

    @property
    def retention(self) -> timedelta:
        """How long."""
        return timedelta(days=self.retention_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a linked phone is, and what may be kept of what it hears."""

    client_id: str
    user_id: str
    session_id: str
    capture: Capture


class MediaState(StrEnum):
    """What has become of the medium of a kept message."""

    NONE = "none"  # it had none, or WhatsApp kept it to itself (view-once)
    WAITING = "waiting"  # still at the provider's: it is fetched soon
    KEPT = "kept"
    UNAVAILABLE = "unavailable"  # it could not be had any more
    FAILED = "failed"  # it is one that nobody may keep: too large, empty, a program


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMedium:
    """The medium of a kept message; `media_id` once it is kept, `reason` why it is not."""

    state: MediaState = MediaState.NONE
    media_id: str | None = None
    reason: str | None = None
    attachment: Attachment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """A message that somebody wrote to a linked phone, kept until `expires_at`."""

    id: str
    client_id: str
    session_id: str
    user_id: str
    provider_id: str
    sender: str
    sender_name: str | None
    chat: str | None
    type: IncomingType
    text: str | None
    view_once: bool
    at: datetime
    received_at: datetime
    expires_at: datetime
    deleted_at: datetime | None = None
    medium: KeptMedium = KeptMedium()
    raw: str | None = None


def delay_after(tries: int) -> timedelta:
    """How long a medium that could not be had waits, growing; for as long as its message is kept."""
    return min(FIRST_DELAY * int(2 ** min(tries - 1, 20)), LONGEST_DELAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An inbound event that was not known before, whose it is, and the kept message that it made or marked."""

    owner: Owner
    event: Incoming | Revoked
    message_id: str | None = None
