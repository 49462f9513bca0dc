"""What is known of keys beside their records: tokens, last uses, quotas; and who removes a client's data."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from passerelle.clients.rate import Rate
from passerelle.db import Tx


class KeyName(NamedTuple):
    """One key of one client."""

    client_id: str
    key_id: str


class Spending(NamedTuple):
    """What one process spent of a key since its last report, and how many `tokens` it believes to be left."""

    key: KeyName
    spent: int
    tokens: float


class SharedBuckets(Protocol):
    """The buckets of all processes together. Away means: each process goes on by itself."""

    async def spend(self, spendings: Sequence[Spending], rate: Rate) -> list[float]:
        """The tokens left of each, in order; negative where processes together spent more than there was.

        Raises:
            Unavailable, Rejected: nobody can be asked; what was reported may be counted all the same.
        """
        ...


class UseBook(Protocol):
    """When keys were used last, and when their home was last seen to agree with what we know."""

    async def note(self, tx: Tx, uses: Mapping[KeyName, datetime]) -> None:
        """They were used then; an earlier time changes nothing."""
        ...

    async def last(self, tx: Tx, client_ids: Sequence[str]) -> dict[KeyName, datetime]:
        """The last use of each key of these clients, as far as there was one."""
        ...

    async def confirm(self, tx: Tx, at: datetime) -> None:
        """All keys were read from their home then; an earlier time changes nothing."""
        ...

    async def confirmed_at(self, tx: Tx) -> datetime | None:
        """When that was last, by any process."""
        ...


class QuotaBook(Protocol):
    """How many messages each client has written today."""

    async def spend(self, tx: Tx, *, client_id: str, messages: int, day: int, at_most: int) -> bool:
        """Count so many more on `day`, if they stay within `at_most`; negative ones are given back."""
        ...


class Removal(NamedTuple):
    """A client whose data is being removed, and since when."""

    client_id: str
    age: timedelta


class RemovalBook(Protocol):
    """Clients that were removed, until nothing is left of them."""

    async def begin(self, tx: Tx, *, client_id: str) -> None:
        """Write it down, in the transaction that ends its keys; may be repeated."""
        ...

    async def open(self, tx: Tx) -> list[Removal]:
        """Those under way, the oldest first, at most 100."""
        ...

    async def end(self, tx: Tx, *, client_id: str) -> None:
        """Nothing is left."""
        ...


class ClientEraser(Protocol):
    """Removes what one room keeps of a client. The rooms are above: the app brings them."""

    async def erase(self, client_id: str) -> int:
        """Remove all there is, in bounded units; how much that was. May break anywhere, and be repeated.

        Raises:
            Unavailable, Rejected: something is away; what was removed stays removed.
        """
        ...
