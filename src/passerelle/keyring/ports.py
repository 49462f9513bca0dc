"""What the keyring asks of the rooms that keep something sealed."""

from typing import Protocol

from passerelle.db import Tx
from passerelle.keyring.model import Page


class Sealed(Protocol):
    """One sort of things that are sealed in SQL."""

    @property
    def name(self) -> str:
        """What an operator calls them: a word of the API."""
        ...

    async def look(self, tx: Tx, *, after: str, limit: int, renew: bool) -> Page:
        """See which key sealed at most `limit` of them, by id, those after the id `after`.

        With `renew` what an earlier key sealed is sealed anew, and counted as current. What somebody else changes
        meanwhile is left to him. May be repeated.
        """
        ...
