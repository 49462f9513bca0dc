"""Which number is linked: a row per number, so that SQL decides."""

from typing import Protocol

from passerelle.db import Tx


class PhoneBook(Protocol):
    """The linked numbers of every client; one session per number and client."""

    async def session_of(self, tx: Tx, *, client_id: str, phone_number: str) -> str | None:
        """The id of the session the number is linked with."""
        ...

    async def put(self, tx: Tx, *, client_id: str, phone_number: str, session_id: str, user_id: str) -> None:
        """The number is linked with this session now, whatever it was linked with before."""
        ...

    async def remove(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """The session is linked no more; whether it was."""
        ...
