"""The worker's side of media: what is half done is cleaned, what must go goes, what lies elsewhere moves home."""

from datetime import timedelta
from functools import partial

import structlog

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.errors import NotFound, Rejected, Unavailable
from passerelle.media.chain import StoreChain
from passerelle.media.model import StoreName
from passerelle.media.moving import Mover
from passerelle.media.ports import CopyBook, Leaving, MediaBook, MediaSweep

EVERY = timedelta(seconds=30)
AT_ONCE = 50
HALF_DONE = timedelta(hours=3)  # 2 GB through every store at 256 KB/s, each
GRACE = timedelta(minutes=2)  # for readers that were sent there, and for bytes on their way whose answer got lost
log = structlog.get_logger()


class MediaJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(
        self,
        *,
        chain: StoreChain,
        book: MediaBook,
        copies: CopyBook,
        sweep: MediaSweep,
        mover: Mover,
        database: Database,
        clock: Clock,
        grace: timedelta = GRACE,
        half_done: timedelta = HALF_DONE,
    ) -> None:
        """Sweep the rows, and move by `mover`; copies go `grace` after they may, `half_done` is nobody's work."""
        self._chain = chain
        self._book = book
        self._copies = copies
        self._sweep = sweep
        self._mover = mover
        self._database = database
        self._clock = clock
        self._grace = grace
        self._half_done = half_done
        self._since = ""

    async def recover(self) -> None:
        """Nothing is in hand: rows tell what was."""

    async def run(self) -> None:
        """Sweep now and then until cancelled."""
        while True:
            try:
                await self.sweep()
            except (Unavailable, Rejected) as away:
                log.debug("media cannot be swept", code=away.code)
            except Exception:
                log.exception("❌ Media could not be swept")
            await self._clock.sleep_until(self._clock.now() + EVERY)

    async def stop(self) -> None:
        """Nothing to give back."""

    async def sweep(self) -> None:
        """Once. Raises `DatabaseAway`."""
        half_done = await self._database.read(partial(self._sweep.half_done, older=self._half_done, limit=AT_ONCE))
        if half_done:
            await self._database.run(partial(self._book.give_up, media_ids=half_done))
            log.warning(f"⚠️ {len(half_done)} media were never stored whole and are cleaned away")
        await self._let_go()
        first = self._chain.names[0]
        if not self._chain.breakers[first].is_resting:  # the first one that moves tells whether the store is back
            # On from where the last sweep ended, so that a few that cannot move keep nobody else back.
            moved = await self._mover.move_home(first, limit=AT_ONCE, since=self._since)
            self._since = moved.last

    async def _let_go(self) -> None:
        """Delete the copies that must go, from the stores that answer."""
        for name in self._chain.names:
            if not self._chain.breakers[name].is_resting:
                await self._let_go_of(name)

    async def _let_go_of(self, name: StoreName) -> None:
        """One store, until it fails: fifty that hang for ten seconds each would keep the others waiting."""
        leaving = partial(self._copies.leaving, stores=[name], older=self._grace, limit=AT_ONCE)
        gone = []
        for one in await self._database.read(leaving):
            if not await self._deleted(one):
                break
            gone.append(one)
        if gone:
            await self._database.run(partial(self._copies.left, gone=gone))

    async def _deleted(self, leaving: Leaving) -> bool:
        try:
            await self._chain.store(leaving.copy.store).delete(leaving.copy)
        except NotFound:
            return True
        except (Unavailable, Rejected) as away:
            log.warning(f"⚠️ A copy could not be deleted yet: {leaving.copy.key}", code=away.code)
            return False
        return True
