"""Which number is linked: a row per number, so that SQL decides."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from passerelle.db import Tx
from passerelle.sessions.model import Session


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


class SpeakerBook(Protocol):
    """Who can say something for whom, by the linked numbers."""

    async def find(self, tx: Tx, voices: Sequence[Voice]) -> dict[Voice, Voice]:
        """Each wish with user and session filled in, for those that have a linked phone; of several the oldest."""
        ...

    async def pause(self, tx: Tx, *, session_id: str, until: datetime) -> bool:
        """Nothing may be said before `until`; whether that is later than what was known."""
        ...

    async def resume(self, tx: Tx, *, session_id: str, until: datetime) -> bool:
        """The pause that was to last until then is over; false where there is none, or a later one."""
        ...


class PhoneBook(Protocol):
    """The linked numbers of every client; one session per number and client."""

    async def find(self, tx: Tx, numbers: list[Number]) -> dict[Number, LinkedPhone]:
        """What these numbers are linked with, for those that are."""
        ...

    async def put(self, tx: Tx, number: Number, linked: LinkedPhone, *, user_id: str) -> None:
        """The number is linked with this session now, whatever it was linked with before."""
        ...

    async def remove(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """The session is linked no more; whether it was."""
        ...
