"""When each key was used last: in memory at once, in SQL within a minute."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from passerelle.clients.ports import KeyName, UseBook
from passerelle.clock import Clock
from passerelle.db import Database


class Uses:
    """Never a write per request: a crash forgets the last minute."""

    def __init__(self, *, book: UseBook, database: Database, clock: Clock) -> None:
        """Kept in `book`."""
        self._book = book
        self._database = database
        self._clock = clock
        self._fresh: dict[KeyName, datetime] = {}

    def note(self, key: KeyName) -> None:
        """It was used just now."""
        self._fresh[key] = self._clock.now()

    async def flush(self) -> None:
        """Bring into SQL what is only known here.

        Raises:
            Unavailable: SQL is away; what is known here stays known.
        """
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, {}
        try:
            await self._database.run(partial(self._book.note, uses=fresh))
        except BaseException:
            self._fresh = fresh | self._fresh
            raise

    async def last(self, client_ids: Sequence[str]) -> dict[KeyName, datetime]:
        """The last use of each key of these clients, as far as there was one; another process' within a minute.

        Raises:
            Unavailable: SQL is away.
        """
        known = await self._database.read(partial(self._book.last, client_ids=client_ids))
        return known | {key: at for key, at in self._fresh.items() if key.client_id in client_ids}
