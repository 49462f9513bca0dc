"""Who keeps something of people, and where erasures are remembered."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from passerelle.db import Tx
from passerelle.people.model import Kind, Person


class Keeper(Protocol):
    """One kind of things that a client keeps of people."""

    @property
    def kind(self) -> Kind:
        """Which one."""
        ...

    async def count(self, person: Person) -> int:
        """How many there are, those included that cannot go just now. Raises `Unavailable`: nobody can tell."""
        ...

    async def erase(self, person: Person) -> int:
        """Remove what can go just now, in bounded units; how many went. May break anywhere, and be repeated.

        Raises:
            Unavailable, Rejected, Conflict: not now; what was removed stays removed.
        """
        ...


class ErasureBook(Protocol):
    """People who are being erased, until nothing is left; and which linked phones are theirs."""

    async def begin(self, tx: Tx, person: Person) -> None:
        """Remember it; may be repeated."""
        ...

    async def since(self, tx: Tx, person: Person) -> datetime | None:
        """Since when they are being erased, if they are."""
        ...

    async def open(self, tx: Tx) -> Sequence[Person]:
        """Those under way, at most 100, those first that were looked at longest ago; they go to the end of the row."""
        ...

    async def end(self, tx: Tx, person: Person) -> None:
        """Nothing is left; nor is the number here."""
        ...

    async def linked(self, tx: Tx, person: Person) -> tuple[str, ...]:
        """The linked phones of the client that are this person's, by session."""
        ...
