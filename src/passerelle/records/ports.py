"""Where records live, where facts wait, where the shadow lies."""

from collections.abc import Collection, Sequence
from typing import Protocol

from passerelle.db import Tx
from passerelle.records.model import Change, CollectionKey, Fact, Record, Source


class RecordStore(Protocol):
    """The one home of records."""

    source: Source

    def takes_writes(self) -> bool:
        """Whether a save makes sense just now, as far as is known without asking."""
        ...

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        """Every record of the collection, those that were removed too, or only the ones with these `ids`.

        Raises:
            Unavailable: the home is away; nothing is made up.
        """
        ...

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """Save each change whose record still has the expected version; which ones are saved now.

        A change whose operation was saved before counts as saved.

        Raises:
            Unavailable: the home is away; some may be saved, asking again with the same operations is harmless.
        """
        ...

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """Forget that these were removed, those that still have this version; may be repeated.

        Raises:
            Unavailable: the home is away.
        """
        ...

    async def keys(self) -> list[CollectionKey]:
        """Every collection that holds something, of every client.

        Raises:
            Unavailable: the home is away.
        """
        ...


class FactBook(Protocol):
    """Facts on their way into their records."""

    async def add(self, tx: Tx, fact: Fact) -> None:
        """Write `fact` down in the transaction of what caused it; every process hears of it with the commit."""
        ...

    async def waiting(
        self, tx: Tx, key: CollectionKey | None = None, *, but: Collection[CollectionKey] = ()
    ) -> list[Fact]:
        """The facts not applied yet, in order: all of one collection, or at most 1,000 of whichever, `but` these."""
        ...

    async def forget(self, tx: Tx, seqs: list[int]) -> None:
        """They are applied."""
        ...


class Shadow(Protocol):
    """The last state seen of each record; a memory that survives a restart."""

    async def keep(self, tx: Tx, key: CollectionKey, records: Sequence[Record]) -> None:
        """Remember these states where they are newer than what is remembered."""
        ...

    async def recall(self, tx: Tx, key: CollectionKey) -> tuple[dict[str, Record], int]:
        """What is remembered, and when the newest of it was seen (microseconds since 1970, 0: never)."""
        ...

    async def drop(self, tx: Tx, key: CollectionKey, ids: Collection[str]) -> None:
        """Remember these no more."""
        ...

    async def keys(self, tx: Tx) -> list[CollectionKey]:
        """Every collection of which something is remembered."""
        ...


class LossListener(Protocol):
    """Somebody above who must hear that records are given up for good."""

    async def given_up(self, key: CollectionKey, ids: set[str]) -> None:
        """These are lost and nobody wants them back; may be told again.

        Raises:
            Unavailable: then they are not given up yet.
        """
        ...
