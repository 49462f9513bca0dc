"""Where acts are written down."""

from datetime import datetime
from typing import Protocol

from passerelle.audit.model import Entry, Wanted
from passerelle.db import Tx


class AuditBook(Protocol):
    """The acts of everybody."""

    async def put(self, tx: Tx, entry: Entry) -> None:
        """Write it down, or how it ended and what it was about; one that has ended never begins again."""
        ...

    async def page(self, tx: Tx, wanted: Wanted, *, before: str, limit: int) -> list[Entry]:
        """At most `limit`, newest first, from those older than the id `before` (all, when it is empty)."""
        ...

    async def forget(self, tx: Tx, *, before: datetime, limit: int) -> int:
        """Drop those from before then, at most `limit`; how many."""
        ...
