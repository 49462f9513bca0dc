"""Which number is linked, and who holds it: a row per number, so that SQL decides."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from passerelle.db import Tx
from passerelle.sessions.model import Proxy, Session

CHANNEL = "passerelle_phones"
"""Where a commit tells every worker that somebody must look after a phone: linked, unlinked, to be reconnected."""


class Number(NamedTuple):
    """A phone number (E.164) as one client sees it."""

    client_id: str
    phone_number: str


class LinkedPhone(NamedTuple):
    """What a number is linked with."""

    session_id: str
    device: str


class Voice(NamedTuple):
    """Who shall speak: a session, or a user's phone, or, when both are empty, any phone of the client."""

    client_id: str
    user_id: str
    session_id: str


class LinkListener(Protocol):
    """Somebody above who wants to hear that a phone was linked or unlinked, in the transaction that does it."""

    async def linked(self, tx: Tx, session: Session, *, replaced: str | None) -> None:
        """`session` is connected now; `replaced` is the id of the session that had its number before."""
        ...

    async def unlinked(self, tx: Tx, *, client_id: str, session_id: str) -> None:
        """This session can say nothing any more; may be told again."""
        ...


class NumberForgetter(Protocol):
    """Somebody above who keeps something of a number for as long as its sessions are known."""

    async def forget(self, tx: Tx, number: Number, *, limit: int) -> int:
        """Remove at most `limit` of it, unless the number is linked; how many."""
        ...


class SpeakerBook(Protocol):
    """Who can say something for whom, by the linked numbers."""

    async def find(self, tx: Tx, voices: Sequence[Voice]) -> dict[Voice, Voice]:
        """Each wish with user and session filled in, for those that have a linked phone; of several the oldest."""
        ...

    async def pause(self, tx: Tx, *, session_id: str, until: datetime, guessed: bool = False) -> bool:
        """Nothing may be said before `until`, which may be `guessed`; whether that is later than what was known."""
        ...

    async def resume(self, tx: Tx, *, session_id: str, until: datetime) -> bool:
        """The pause that was to last until then is over; false where there is none, or a later one."""
        ...


class PhoneBook(Protocol):
    """The linked numbers of every client; one session per number and client."""

    async def find(self, tx: Tx, numbers: list[Number]) -> dict[Number, LinkedPhone]:
        """What these numbers are linked with, for those that are."""
        ...

    async def put(
        self, tx: Tx, number: Number, linked: LinkedPhone, *, user_id: str, holder: str | None = None
    ) -> None:
        """The number is linked with this session now, whatever it was linked with before; worker `holder` has it."""
        ...

    async def remove(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """The session is linked no more; whether it was."""
        ...


class Held(NamedTuple):
    """A linked phone that a worker holds. `fence` grows whenever it changes hands, and is never given back."""

    session_id: str
    client_id: str
    device: str
    fence: int
    proxy: str | None
    """Sealed: see `ProxyBook.open`."""
    reconnect_us: int | None
    """When somebody last wished that it be connected anew."""


class Census(NamedTuple):
    """The linked phones, those that nobody living holds, and the living workers."""

    linked: int
    free: int
    living: int


class Portable(NamedTuple):
    """A linked phone as it leaves for another machine."""

    client_id: str
    user_id: str
    phone_number: str
    session_id: str
    device: str
    proxy: str | None
    """Sealed: see `ProxyBook.open`."""


class ProxyBook(Protocol):
    """By which proxy each linked phone is connected; kept so that the database alone tells nobody its password."""

    async def put(self, tx: Tx, *, session_id: str, proxy: Proxy | None) -> bool:
        """This phone is connected by `proxy`, or directly; whether there is such a phone."""
        ...

    def open(self, sealed: str) -> Proxy:
        """What `Held.proxy` and `Portable.proxy` hold.

        Raises:
            ProxyLost: it was sealed with another key of the gateway's.
        """
        ...


class BackupBook(Protocol):
    """All linked phones, page by page."""

    async def page(self, tx: Tx, *, after: str, limit: int) -> list[Portable]:
        """At most `limit`, by session id, those after the id `after`."""
        ...


class HolderBook(Protocol):
    """Which worker keeps the connection of which linked phone. Two living workers never both read that it is theirs."""

    async def census(self, tx: Tx, *, worker_id: str, lapse: timedelta | None) -> Census:
        """As `worker_id`, which lives, sees it. Who is silent for `lapse` is dead; not given: nobody is."""
        ...

    async def held(self, tx: Tx, *, worker_id: str) -> list[Held]:
        """What this worker holds."""
        ...

    async def adopt(self, tx: Tx, *, worker_id: str, lapse: timedelta | None, limit: int) -> list[str]:
        """Take up to `limit` sessions that nobody living holds; their ids."""
        ...

    async def give_up(self, tx: Tx, *, worker_id: str, session_ids: Sequence[str] | None = None) -> int:
        """This worker holds these no more (all, when not given); how many."""
        ...

    async def free_all(self, tx: Tx) -> None:
        """Nobody lives: nobody holds anything."""
        ...


class Owner(NamedTuple):
    """Whose a linked phone is, and until when WhatsApp restricts it."""

    client_id: str
    holder: str | None
    paused_until: datetime | None
    guessed: bool
    """WhatsApp did not say until when: it may be sooner."""
    just_linked: bool
    """Nothing was heard of it since it was linked, which was told then."""


class SeenBook(Protocol):
    """Signs of life, and who holds what, for those who look."""

    async def owner(self, tx: Tx, *, session_id: str) -> Owner | None:
        """Of a linked phone; nothing when it is linked no more."""
        ...

    async def seen(self, tx: Tx, *, worker_id: str, times: Mapping[str, datetime]) -> None:
        """These sessions of this worker last proved then that they live."""
        ...

    async def connected(self, tx: Tx, *, session_id: str) -> None:
        """It has a connection now, by its holder: that proves that it lives."""
        ...

    async def sightings(self, tx: Tx, *, client_id: str) -> dict[str, "Sighting"]:
        """By session, for every linked phone of the client."""
        ...

    async def wish_reconnect(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """Its holder shall connect it anew; whether there is such a phone."""
        ...


class Sighting(NamedTuple):
    """Who holds a phone, and when it last proved that it lives."""

    worker: str | None
    seen_at: datetime | None
    proxy: str | None = None
    """As it may be shown."""
    connected: bool = False
    """Its holder lives, and has had a connection since it holds it."""


class HoldListener(Protocol):
    """Somebody above whose work follows the holding."""

    async def adopted(self, tx: Tx, *, session_ids: Sequence[str], worker_id: str) -> None:
        """`worker_id` holds these now: what others had claimed and not begun is free again."""
        ...

    def is_busy(self, session_id: str) -> bool:
        """Whether something of this session is in the air."""
        ...

    def back(self, session_id: str) -> None:
        """This phone, held here, is connected: what was put off because it was not need not wait any more."""
        ...

    def changed(self) -> None:
        """Other phones are held here than before."""
        ...
