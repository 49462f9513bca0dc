"""Where messages are written down, who may send them, and who hears what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from passerelle.db import Tx
from passerelle.messages.model import Message, Settled, Status
from passerelle.whatsapp.model import Receipt

CHANNEL = "passerelle_outbox"
"""Where a commit tells every process which sessions have something to say: their ids; nothing means look yourself."""


class Outbox(Protocol):
    """The messages of every client."""

    async def insert(self, tx: Tx, messages: Sequence[Message]) -> None:
        """Write new ones down; those for one recipient are sent in this order."""
        ...

    async def find(self, tx: Tx, *, client_id: str, ids: Sequence[str]) -> dict[str, Message]:
        """These messages of one client, by id, as far as they exist, with their whole history."""
        ...

    async def page(
        self, tx: Tx, *, client_id: str, status: Status | None, to: str | None, before: str, limit: int
    ) -> list[Message]:
        """At most `limit`, newest first, from those older than the id `before` (all, when it is empty)."""
        ...

    async def change(self, tx: Tx, message: Message, *, expected: Status) -> bool:
        """Save status, due time, expiry, limit of attempts and the last event, if the row is still `expected`."""
        ...

    async def bind(self, tx: Tx, *, client_id: str, user_id: str, session_id: str, replaced: str | None) -> int:
        """A phone was linked: what waited for it, or was to be said by the session it `replaced`, is its own now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A linked phone that may send, and when its next message is due."""

    client_id: str
    session_id: str
    device: str
    due_at: datetime | None
    paused_until: datetime | None
    linked_at: datetime


class Contact(NamedTuple):
    """Somebody that a linked phone speaks with."""

    session_id: str
    recipient: str


class PhonePace(NamedTuple):
    """Since when a phone is linked, and how many it spoke to first today."""

    linked_at: datetime
    first_contacts: int


class ContactBook(Protocol):
    """Whom each number has spoken with: strangers that it writes to are what WhatsApp counts."""

    async def admit(
        self, tx: Tx, wanted: Sequence[Contact], *, caps: Mapping[str, int], since: datetime, now: datetime
    ) -> set[Contact]:
        """Those of `wanted` that must wait: strangers, beyond the cap of their session `since` then.

        The others are known from `now` on. May be repeated.
        """
        ...

    async def heard(self, tx: Tx, told: Sequence[Contact], *, now: datetime) -> None:
        """These wrote to the phone: no strangers any more."""
        ...

    async def paces(self, tx: Tx, *, client_id: str, since: datetime) -> dict[str, PhonePace]:
        """By session, for every linked phone of the client."""
        ...


class Claim(NamedTuple):
    """A wish to send up to `limit` messages of one session."""

    session_id: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one claimed message is put down again. A later claim (a higher `fence`) makes it void.

    `attempt` is 1 when a try was burnt, 0 for a snooze (which gives the claim back too).
    """

    id: str
    fence: int
    status: Status
    at: datetime
    attempt: int = 1
    due_at: datetime | None = None
    provider_id: str | None = None
    error: str | None = None
    whole_lane: bool = False


class OutboxQueue(Protocol):
    """Messages as work. Times are business time: the database's clock plus `offset`."""

    async def agenda(self, tx: Tx, *, worker_id: str, offset: timedelta) -> list[Speaker]:
        """Every phone that this worker holds; first, unknown messages whose time to go again has come wait anew."""
        ...

    async def claim(self, tx: Tx, wanted: Sequence[Claim], *, worker_id: str, offset: timedelta) -> list[Message]:
        """Take what is due, the earliest of each session first. Two workers never get the same.

        Nothing of a phone that another worker holds by now.

        Of one lane only the first message that was not tried yet, and none while that one is being tried or, for 75 s,
        unknown; messages that wait for a retry neither block nor wait for others.
        """
        ...

    async def mark_sending(self, tx: Tx, messages: Sequence[Message], *, worker_id: str) -> set[str]:
        """These claims are about to be handed over; which are still this worker's. May be repeated."""
        ...

    async def settle(self, tx: Tx, outcomes: Sequence[Outcome]) -> list[Settled]:
        """Put claimed messages down again, those whose claim is still good; early receipts count at once."""
        ...


class OutboxSweep(Protocol):
    """What time and dead workers do to messages."""

    async def reclaim(self, tx: Tx, *, now: datetime, lapsed_us: int | None, but: str = "") -> list[Settled]:
        """Free what workers silent for `lapsed_us` hold, or try for too long (all, when not given), `but` one.

        Claimed ones wait again, after five such claims they fail (`interrupted`); sending ones are unknown. What
        comes back are those that changed for their readers: the unknown and the failed.
        """
        ...

    async def give_back(self, tx: Tx, *, worker_id: str) -> int:
        """This worker stops: what it has claimed and not handed over waits again, as if never claimed."""
        ...

    async def take_over(self, tx: Tx, *, session_ids: Sequence[str], worker_id: str) -> int:
        """What others have claimed of these sessions, and not begun to hand over, waits again; how many."""
        ...

    async def expire(self, tx: Tx, *, now: datetime) -> list[Settled]:
        """Fail what waits beyond its expiry (`expired`, or `too_late` when it was scheduled); at most 500."""
        ...

    async def bind_waiting(self, tx: Tx) -> int:
        """Give messages whose phone is linked no more, or that wait for any, to their user's one; pumps hear of it."""
        ...


class ReceiptBook(Protocol):
    """The receipts of every message, append-only. They move a status forward only, in whatever order they come."""

    async def add(self, tx: Tx, receipts: Sequence[Receipt], *, now: datetime) -> list[Settled]:
        """Keep them, and move the messages they tell of; one for a message not known yet waits for its settling.

        An id of ours that nobody knows, in a lane with exactly one unknown message, is that message's.
        """
        ...

    async def join_leftovers(self, tx: Tx, *, now: datetime) -> list[Settled]:
        """Look once more for receipts of messages that have become unknown since."""
        ...


class SettleListener(Protocol):
    """Somebody above who wants to hear of messages that carry a `reference`."""

    async def settled(self, tx: Tx, outcomes: Sequence[Settled]) -> None:
        """Write down what follows, in the transaction that settles; may be called again for the same news."""
        ...

    def told(self, outcomes: Sequence[Settled]) -> None:
        """The same, once that is committed: the time to log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much of the outbox waits longer than it should, and for how long."""

    late: int
    """Messages that a phone could send and that are late, counted up to 1,000."""
    longest: timedelta
    """How long the latest of them is due; zero where none is late."""
    longest_untouched: timedelta
    """The same, among phones of which no worker has anything in hand."""
    longest_in_hand: timedelta
    """How long a worker has had one in hand, claimed or sending."""


class OutboxGauge(Protocol):
    """What an operator must know of the outbox."""

    async def backlog(self, tx: Tx, *, now: datetime, late_after: timedelta) -> Backlog:
        """What is due for longer than `late_after` by the business time `now`, though its phone could send it."""
        ...
