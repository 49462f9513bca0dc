"""Where the inbox writes down what it heard and what it keeps, and who else hears of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from passerelle.db import Tx
from passerelle.inbox.model import Capture, Heard, KeptMessage, MediaState, Owner
from passerelle.media.model import Category
from passerelle.whatsapp.model import Attachment

CHANNEL = "passerelle_inbox"
"""Where a commit tells every process that a medium waits to be fetched."""


class CaptureBook(Protocol):
    """What each linked phone has agreed to have kept."""

    async def owners(self, tx: Tx, session_ids: Sequence[str]) -> dict[str, Owner]:
        """Whose these are, those that are linked just now; one that was never asked has agreed to nothing."""
        ...

    async def find(self, tx: Tx, *, client_id: str, session_id: str) -> Capture:
        """What this one has agreed to."""
        ...

    async def put(self, tx: Tx, *, client_id: str, session_id: str, capture: Capture) -> None:
        """It agrees to this now, and to nothing else."""
        ...

    async def clean(self, tx: Tx) -> None:
        """Forget those of phones that are linked no more."""
        ...


class EventKey(NamedTuple):
    """What tells one inbound event from all others."""

    client_id: str
    session_id: str
    provider_id: str
    kind: str
    sender: str  # of a revocation, where one may be honoured: anybody in a group may claim to be the sender


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundEvent:
    """An inbound event without what it says."""

    key: EventKey
    at: datetime
    by_admin: bool = False


class EventBook(Protocol):
    """Which inbound events were heard, for as long as a provider may tell them again."""

    async def add(self, tx: Tx, events: Sequence[InboundEvent], *, now: datetime) -> set[EventKey]:
        """Which of these are new; nobody else decides about them, or about their messages, until this unit ends."""
        ...

    async def clean(self, tx: Tx, *, before: datetime, limit: int) -> int:
        """Forget those heard before then, at most `limit`; how many."""
        ...


class Given(NamedTuple):
    """A kept message that was marked, or given up, and its medium."""

    id: str
    client_id: str
    session_id: str
    provider_id: str
    media_state: MediaState
    media_id: str | None


class InboxFilter(NamedTuple):
    """Which kept messages are wanted; nothing: all."""

    user_id: str | None = None
    session_id: str | None = None
    sender: str | None = None
    deleted: bool = False
    view_once: bool = False


class InboxBook(Protocol):
    """The kept messages of every client."""

    async def add(self, tx: Tx, messages: Sequence[KeptMessage]) -> None:
        """Keep these, but none twice."""
        ...

    async def mark_deleted(self, tx: Tx, keys: Sequence[EventKey]) -> list[Given]:
        """Mark the messages of these events that were revoked by whoever may, as far as heard; those marked now."""
        ...

    async def page(self, tx: Tx, *, client_id: str, wanted: InboxFilter, before: str, limit: int) -> list[KeptMessage]:
        """At most `limit`, newest first, from those older than the id `before` (all, when it is empty)."""
        ...

    async def remove(self, tx: Tx, *, client_id: str, message_id: str) -> list[Given]:
        """Give this one up, if it is there."""
        ...


class InboxSweep(Protocol):
    """What time and people take away from the inbox."""

    async def expire(self, tx: Tx, *, now: datetime, limit: int) -> list[Given]:
        """Give up what is kept beyond its time, at most `limit`."""
        ...

    async def erase(self, tx: Tx, *, client_id: str, message_ids: Sequence[str]) -> list[Given]:
        """Give these up, those of them that are this client's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A medium that this worker fetches. A later claim (a higher `fence`) makes it void. `device`: nothing, unlinked.

    `media_id` is what it will be kept as; `stale_id` what an earlier claim may have kept it as.
    """

    id: str
    client_id: str
    user_id: str
    session_id: str
    device: str | None
    attachment: Attachment
    category: Category
    waits: bool
    media_id: str
    stale_id: str | None
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of a claim; with `due_at` it waits again until then."""

    state: MediaState
    reason: str | None = None
    due_at: datetime | None = None


class MediaQueue(Protocol):
    """Media of kept messages as work. When they are due is business time, a lease is real time."""

    async def is_due(self, tx: Tx, *, now: datetime) -> bool:
        """Whether any waits to be fetched."""
        ...

    async def claim(
        self, tx: Tx, *, worker_id: str, now: datetime, media_ids: Sequence[str], but: Sequence[str]
    ) -> list[Claim]:
        """Take what is due, the earliest first, one for each of `media_ids`, none of `but`.

        Two workers never get the same, nor one that came to a phone that another worker holds. What its worker dies
        with waits a while: it may be what has killed it.
        """
        ...

    async def renew(self, tx: Tx, *, worker_id: str, ids: Sequence[str]) -> None:
        """This worker lives, and is still at these."""
        ...

    async def settle(self, tx: Tx, claim: Claim, fetched: Fetched) -> bool | None:
        """Write down what became of it: whether its message was revoked by now; nothing when the claim is void.

        May be repeated: the answer to a COMMIT may get lost.
        """
        ...

    async def give_back(self, tx: Tx, *, worker_id: str | None) -> None:
        """What this worker (none: any) has in hand is free again."""
        ...


class InboundListener(Protocol):
    """Somebody above who wants to hear of inbound events, each once."""

    async def heard(self, tx: Tx, events: Sequence[Heard]) -> None:
        """Write down what follows, in the transaction that keeps them."""
        ...
