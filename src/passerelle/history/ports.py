"""Where changes are kept, and who examines."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from passerelle.db import Tx
from passerelle.history.model import Change, States


class ChangeBook(Protocol):
    """The changes of all checks, and how each stands."""

    async def watch(self, tx: Tx, *, worker_id: str, lease: timedelta) -> bool:
        """Whether this worker is the one that examines, for the next `lease`, by the database's clock."""
        ...

    async def states(self, tx: Tx) -> States:
        """How each check stood when it was last looked at."""
        ...

    async def write(self, tx: Tx, *, worker_id: str, changes: Sequence[Change], states: States, at: datetime) -> bool:
        """Keep changes and how each check stands as of `at`, if this worker still has the watch; may be repeated."""
        ...

    async def page(self, tx: Tx, *, before: str, limit: int) -> list[tuple[str, Change]]:
        """At most `limit` changes with their ids, newest first, older than the id `before` (all, when it is empty)."""
        ...

    async def forget(self, tx: Tx, *, older_than: datetime) -> None:
        """Drop what was before; may be repeated."""
        ...
