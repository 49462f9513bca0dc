"""The worker's side: claim attempts, run them, take up what dead workers left."""

import asyncio
from functools import partial

import structlog

from passerelle.coordination.lookout import LAPSED_US, Lookout
from passerelle.db import Tx
from passerelle.errors import Unavailable
from passerelle.pairing.model import INTERRUPTED, Attempt, Status
from passerelle.pairing.ports import AttemptQueue
from passerelle.pairing.run import AttemptRun
from passerelle.pairing.tools import Tools

POLL_EVERY_S = 0.5
SWEEP_EVERY_S = 3.0
CLAIM_AT_ONCE = 500
log = structlog.get_logger()


class JobFailedError(Exception):
    """The attempt ended without a code; its text is what the queue's own pages show."""


class PairingJobs:
    """Runs this worker's attempts. What arrives by the queue and what the poller finds is claimed alike."""

    def __init__(self, *, queue: AttemptQueue, due: asyncio.Event, tools: Tools) -> None:
        """Claim from `queue` for `tools.worker_id`; whoever sets `due` says that something may be due."""
        self._queue = queue
        self._tools = tools
        self._runs: dict[asyncio.Task[None], AttemptRun] = {}
        self._due = due
        self._stopping = False
        self._lookout = Lookout(every_s=SWEEP_EVERY_S)

    async def handle(self, attempt_id: str) -> None:
        """A job of the queue: take the attempt up if nobody has, and stay until it has its code.

        Raises:
            JobFailedError: it ended without one.
        """
        if self._stopping:
            return
        # shielded: a queue that gives up between the claim and the run would leave a row that nobody runs
        for run in await asyncio.shield(asyncio.create_task(self._claim_one(attempt_id))):
            await run.answered.wait()
            if run.attempt.status is Status.FAILED:
                raise JobFailedError(run.attempt.reason)

    async def recover(self) -> None:
        """At the start of the only process: nobody else lives, so every claim is free."""
        if not self._tools.database.shared:
            freed = await self._tools.database.run(partial(self._queue.reclaim, lapsed_us=None))
            if freed:
                log.info("🔄 Attempts taken up again after a restart", attempts=freed)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.poll_for_ever())
            group.create_task(self.sweep_for_ever())

    async def poll_for_ever(self) -> None:
        """Claim what is due, also what was announced to nobody's ears."""
        while True:
            self._due.clear()
            try:
                claimed = await self._claim_due()
            except Unavailable:
                claimed = 0
            except Exception:
                log.exception("❌ Attempts could not be claimed")
                claimed = 0
            if claimed < CLAIM_AT_ONCE:
                await self._pause()

    async def sweep_for_ever(self) -> None:
        """End what is overdue and free what silent workers hold."""
        while True:
            try:
                await self.sweep()
            except Unavailable as away:
                self._lookout.blinded()
                log.debug("sweep skipped", code=away.code)
            except Exception:
                log.exception("❌ Sweep broke")
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """One round of `sweep_for_ever`."""
        database, now = self._tools.database, self._tools.clock.now()
        if database.shared and self._lookout.sees_long_enough():
            silent = partial(self._queue.reclaim, lapsed_us=LAPSED_US, but=self._tools.worker_id)
            await database.run(silent)
        for attempt in await database.read(partial(self._queue.overdue, now=now)):
            ended = attempt.expired() if attempt.expires_at <= now else attempt.failed(INTERRUPTED)
            if await database.run(partial(self._end, ended=ended)):
                self._tools.news.tell(ended.id, ended)
                await self._tools.pairing.release(ended)

    async def _end(self, tx: Tx, *, ended: Attempt) -> bool:
        """Whether it was open still; then its client's systems hear of it, as from the worker that has lost it."""
        saved = await self._tools.book.save(tx, [ended])
        if saved:
            await self._tools.tell(tx, [ended])
        return bool(saved)

    async def stop(self) -> None:
        """Give everything back, so that another worker, or the next start, goes on with it."""
        self._stopping = True
        for task in self._runs:
            task.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        await self._tools.database.run(self._give_back)

    async def _give_back(self, tx: Tx) -> None:
        await self._queue.give_back(tx, worker_id=self._tools.worker_id)

    async def _claim_one(self, attempt_id: str) -> list[AttemptRun]:
        claim = partial(self._queue.claim, worker_id=self._tools.worker_id, attempt_id=attempt_id)
        return [self._start(attempt) for attempt in await self._tools.database.run(claim)]

    async def _claim_due(self) -> int:
        claim = partial(self._queue.claim_due, worker_id=self._tools.worker_id, limit=CLAIM_AT_ONCE)
        claimed = await self._tools.database.run(claim)
        for attempt in claimed:
            self._start(attempt)
        return len(claimed)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_EVERY_S):
                await self._due.wait()
        except TimeoutError:
            return

    def _start(self, attempt: Attempt) -> AttemptRun:
        run = AttemptRun(attempt, self._tools)
        task = asyncio.create_task(self._run(run), name=attempt.id)
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        return run

    async def _run(self, run: AttemptRun) -> None:
        task = asyncio.current_task()

        def give_up(attempt: Attempt) -> None:
            if attempt.ended and not run.settling and task is not None:
                task.cancel()

        try:
            with self._tools.news.following(run.attempt.id, give_up):
                await run.run()
        except asyncio.CancelledError:
            if self._stopping:
                raise
        except Exception:
            log.exception("❌ Pairing attempt broke", attempt=run.attempt.id)
            await run.give_up()
        finally:
            run.answered.set()
