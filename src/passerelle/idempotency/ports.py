"""Where keys are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from passerelle.db import Tx
from passerelle.idempotency.model import Key


class KeyBook(Protocol):
    """The keys of every client; unique per client, verb and key until they expire."""

    async def find(self, tx: Tx, keys: Sequence[Key], *, now: datetime) -> list[Key | None]:
        """For each, the one that was used before and has not expired."""
        ...

    async def use(self, tx: Tx, keys: Sequence[Key], *, now: datetime) -> list[Key]:
        """For each: itself when it was free and is taken now, else the one that was used before."""
        ...

    async def forget(self, tx: Tx, *, now: datetime) -> int:
        """Drop those that have expired, at most 5,000; how many."""
        ...
