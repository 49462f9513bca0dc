"""The verbs of the keyring: see what is sealed with which key, and bring all of it under the key of today."""

import time
from collections.abc import Sequence
from functools import partial

import structlog

from passerelle.db import Database
from passerelle.keyring.model import Tally
from passerelle.keyring.ports import Sealed

AT_ONCE = 200  # of one unit: opening them takes about 10 ms
SEEN_PAGES = 5  # for health, which looks at the first thousand of each sort
REMEMBERED_S = 60.0
log = structlog.get_logger()


class Keyring:
    """What is sealed in SQL."""

    def __init__(self, *, key_id: str, sealed: Sequence[Sealed], database: Database) -> None:
        """`key_id` names the key of today."""
        self.key_id = key_id
        self._sealed = sealed
        self._database = database
        self._seen: tuple[float, dict[str, Tally]] | None = None

    async def tallies(self) -> dict[str, Tally]:
        """How much of each sort is sealed with which key."""
        return {sealed.name: await self._look(sealed) for sealed in self._sealed}

    async def seen(self) -> dict[str, Tally]:
        """The same of the first thousand of each sort, a minute old at most."""
        if self._seen is None or time.monotonic() - self._seen[0] > REMEMBERED_S:
            found = {sealed.name: await self._look(sealed, pages=SEEN_PAGES) for sealed in self._sealed}
            self._seen = time.monotonic(), found
        return self._seen[1]

    async def rotate(self) -> dict[str, Tally]:
        """Seal anew what an earlier key sealed; how it stands then. What is lost stays as it is."""
        for sealed in self._sealed:
            await self._look(sealed, renew=True)
        self._seen = None
        found = await self.tallies()
        counts = {name: tally._asdict() for name, tally in found.items()}
        log.info("🔄 Sealed with the key of today", key=self.key_id, **counts)
        return found

    async def _look(self, sealed: Sealed, *, renew: bool = False, pages: int | None = None) -> Tally:
        tally, after, left = Tally(), "", pages
        while left is None or left > 0:
            look = partial(sealed.look, after=after, limit=AT_ONCE, renew=renew)
            page = await (self._database.run(look) if renew else self._database.read(look))
            tally = tally.and_(page.tally)
            if page.last is None:
                break
            after, left = page.last, None if left is None else left - 1
        return tally
