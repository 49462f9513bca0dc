"""Which number is linked: a row per number, so that SQL decides."""

from typing import NamedTuple, Protocol

from passerelle.db import Tx


class Number(NamedTuple):
    """A phone number (E.164) as one client sees it."""

    client_id: str
    phone_number: str


class LinkedPhone(NamedTuple):
    """What a number is linked with."""

    session_id: str
    device: str


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
