"""BullMQ behind our two words: announce a job, work on announced jobs."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import structlog

from passerelle.coalesce import Coalesced
from passerelle.coordination.ports import Job, JobHandler
from passerelle.redis_link import RedisLink

QUEUE = "passerelle-pairing"
ADD_LIMIT_S = 2.0
ADDED_TOGETHER = 50
CONCURRENCY = 100  # jobs end with the first code; the worker's loop costs O(jobs in hand) per job
LOCK_MS, STALLED_MS = 12_000, 5_000  # measured: re-run 8 s after a kill -9, instead of 73 s with the defaults
KEEP_DONE = {"age": 3600, "count": 1000}
RESTART_DELAY_S = 1.0
log = structlog.get_logger()


def _options(job: Job) -> dict[str, Any]:
    return {
        "jobId": job.id,
        "deduplication": {"id": job.key},
        "removeOnComplete": KEEP_DONE,
        "removeOnFail": KEEP_DONE,
    }


class BullAnnouncer:
    """See `Announcer`: one active job per key, by BullMQ's deduplication."""

    def __init__(self, link: RedisLink) -> None:
        """Add to the queue on the Redis behind `link`."""
        self._link = link
        self._queue: Any = None
        self._add = Coalesced(self._add_together, limit=ADDED_TOGETHER)

    @property
    def is_heard(self) -> bool:
        """See `Announcer.is_heard`."""
        return self._link.status.writable

    async def announce(self, job: Job) -> bool:
        """See `Announcer.announce`."""
        if not self.is_heard:
            return False
        try:
            async with asyncio.timeout(ADD_LIMIT_S):
                await self._add(job)
        except Exception as error:  # whatever the library meets, the poller finds the row
            log.warning("[PairingQueue] Job not added, the poller takes it", job=job.id, error=type(error).__name__)
            return False
        return True

    async def _add_together(self, jobs: list[Job]) -> list[None]:
        await self._open().addBulk([{"name": "pair", "data": {"attempt_id": j.id}, "opts": _options(j)} for j in jobs])
        return [None] * len(jobs)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._queue is not None:
            with contextlib.suppress(Exception):
                await self._queue.close()

    def _open(self) -> Any:
        if self._queue is None:
            from bullmq import Queue  # noqa: PLC0415 -- 0.2 s that a gateway without Redis spares

            self._queue = Queue(QUEUE, {"connection": self._link.queue_client(blocking=False)})
        return self._queue


class BullWorker:
    """Hands announced jobs to a handler; started again whenever the library's loop ends by itself."""

    def __init__(self, link: RedisLink, handler: JobHandler, *, job_limit: timedelta) -> None:
        """Call `handler` with the id of every job, for at most `job_limit` each."""
        self._link = link
        self._handler = handler
        self._job_limit_s = job_limit.total_seconds()
        self._worker: Any = None

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._link.wait_up()
                await self._run_once()
                await asyncio.sleep(RESTART_DELAY_S)
        finally:
            await self._close()

    async def _run_once(self) -> None:
        from bullmq import Worker  # noqa: PLC0415 -- 0.2 s that a gateway without Redis spares

        self._worker = Worker(
            QUEUE,
            self._process,
            {
                "connection": self._link.queue_client(blocking=True),
                "autorun": False,
                "concurrency": CONCURRENCY,
                "lockDuration": LOCK_MS,
                "stalledInterval": STALLED_MS,
                "runRetryDelay": 500,
            },
        )
        try:
            await self._worker.run()
        except Exception as error:  # the loop must outlive whatever ends the library's
            log.warning("[PairingQueue] Queue worker ended, starts again", error=type(error).__name__)
        await self._close()

    async def _process(self, job: Any, _token: str) -> None:
        try:
            async with asyncio.timeout(self._job_limit_s):
                await self._handler(job.data["attempt_id"])
        except TimeoutError:
            raise RuntimeError("the job took longer than its limit") from None  # BullMQ keeps the text, not the class

    async def _close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.suppress(Exception):
                await worker.close(force=True)
