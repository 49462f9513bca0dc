"""The worker's side of the inbox: media are fetched, what has had its time is given up."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import Unavailable
from passerelle.inbox.ports import CHANNEL, CaptureBook, Claim, EventBook, InboxSweep, MediaQueue
from passerelle.inbox.run import Fetch
from passerelle.inbox.service import forget_media
from passerelle.media.service import MediaLibrary

AT_ONCE = 4
LOOK_EVERY_S = 1.0  # the net under notices that got lost
RENEW_EVERY_S = 20.0  # a claim lapses after 90 s
SWEEP_EVERY = timedelta(seconds=30)
SWEPT_AT_ONCE = 500
HEARD_FOR = timedelta(days=8)  # Meta tells an event again for up to 7 days
log = structlog.get_logger()


class InboxJobs:
    """See `coordination.ports.Jobs`."""

    def __init__(
        self,
        *,
        worker_id: str,
        fetch: Fetch,
        queue: MediaQueue,
        captures: CaptureBook,
        events: EventBook,
        sweep: InboxSweep,
        media: MediaLibrary,
        database: Database,
        clock: Clock,
    ) -> None:
        """Claim from `queue` as `worker_id`, and let `fetch` do the work."""
        self._worker_id = worker_id
        self._fetch = fetch
        self._queue = queue
        self._captures = captures
        self._events = events
        self._sweep = sweep
        self._media = media
        self._database = database
        self._clock = clock
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def recover(self) -> None:
        """At the start of the only process: nobody else lives, so every claim is free."""
        if not self._database.shared:
            await self._database.run(partial(self._queue.give_back, worker_id=None))

    async def run(self) -> None:
        """Work until cancelled."""
        self._database.listen(CHANNEL, lambda _: self._wake.set())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fetch_for_ever())
            group.create_task(self._renew_for_ever())
            group.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """Break off what is under way: it is fetched anew."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._database.run(partial(self._queue.give_back, worker_id=self._worker_id))

    async def sweep(self) -> None:
        """Give up what has had its time. Raises `DatabaseAway`."""
        while await self._database.run(self._expire) == SWEPT_AT_ONCE:
            pass
        before = self._clock.now() - HEARD_FOR
        clean = partial(self._events.clean, before=before, limit=SWEPT_AT_ONCE)
        while await self._database.run(clean) == SWEPT_AT_ONCE:
            pass
        await self._database.run(self._captures.clean)

    async def _expire(self, tx: Tx) -> int:
        gone = await self._sweep.expire(tx, now=self._clock.now(), limit=SWEPT_AT_ONCE)
        await forget_media(tx, self._media, gone)
        return len(gone)

    async def _fetch_for_ever(self) -> None:
        while True:
            self._wake.clear()
            try:
                started = await self._start_due()
            except Unavailable:
                started = 0
            except Exception:
                log.exception("❌ Media that came in could not be claimed")
                started = 0
            if not started:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._wake.wait()

    async def _start_due(self) -> int:
        """Begin with what is due, as far as there is room; how many."""
        room, now = AT_ONCE - len(self._tasks), self._clock.now()
        if not room or not await self._database.read(partial(self._queue.is_due, now=now)):
            return 0
        ids = [self._clock.new_id("media") for _ in range(room)]
        claim_due = partial(self._claim, media_ids=ids, but=list(self._tasks))
        claims = await self._database.run(claim_due)
        for claim in claims:
            self._tasks[claim.id] = asyncio.create_task(self._run(claim))
        return len(claims)

    async def _claim(self, tx: Tx, *, media_ids: list[str], but: list[str]) -> list[Claim]:
        """Take what is due; what a claim of before may have kept goes first, so that nothing is kept twice."""
        claims = await self._queue.claim(
            tx, worker_id=self._worker_id, now=self._clock.now(), media_ids=media_ids, but=but
        )
        for claim in claims:
            if claim.stale_id is not None:
                await self._media.forget(tx, client_id=claim.client_id, media_ids=[claim.stale_id])
        return claims

    async def _run(self, claim: Claim) -> None:
        try:
            await self._fetch.run(claim)
        except Exception:
            log.exception("❌ What became of a medium could not be written", message=claim.id)
        finally:
            del self._tasks[claim.id]
            self._wake.set()

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            if self._tasks:
                with suppress(Unavailable):
                    renew = partial(self._queue.renew, worker_id=self._worker_id, ids=list(self._tasks))
                    await self._database.run(renew)

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Unavailable as away:
                log.debug("inbox cannot be swept", code=away.code)
            except Exception:
                log.exception("❌ The inbox could not be swept")
            await self._clock.sleep_until(self._clock.now() + SWEEP_EVERY)
