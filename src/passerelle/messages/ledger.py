"""What tries ended with, kept in memory until the database has it: results settle before anything new is claimed."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from passerelle.db import Database, Tx
from passerelle.errors import Unavailable
from passerelle.messages.model import Settled
from passerelle.messages.policy import Verdict
from passerelle.messages.ports import OutboxQueue
from passerelle.messages.settlements import Settlements

WRITTEN_TOGETHER = 500
RETRY_S = 0.5
log = structlog.get_logger()
Written = Callable[[Sequence[Verdict], Sequence[Settled]], None]


class Ledger:
    """Writes verdicts down, many at once, in the order they came."""

    def __init__(self, *, queue: OutboxQueue, settlements: Settlements, database: Database, written: Written) -> None:
        """Call `written` after each commit."""
        self._queue = queue
        self._settlements = settlements
        self._database = database
        self._written = written
        self._verdicts: list[Verdict] = []
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def behind(self) -> int:
        """How many verdicts are not written down yet."""
        return len(self._verdicts)

    def put(self, verdict: Verdict) -> None:
        """Write it down soon."""
        self._verdicts.append(verdict)
        self._empty.clear()
        self._news.set()

    async def emptied(self) -> None:
        """Return once everything is written down."""
        await self._empty.wait()

    async def write_for_ever(self) -> None:
        """Write what comes; while the database is away it waits here."""
        while True:
            if not self._verdicts:
                self._news.clear()
                await self._news.wait()
            while self._verdicts:
                batch = self._verdicts[:WRITTEN_TOGETHER]
                if await self._write(batch):
                    del self._verdicts[: len(batch)]
                else:
                    await asyncio.sleep(RETRY_S)
            self._empty.set()

    async def _write(self, batch: Sequence[Verdict]) -> bool:
        """Whether it is done; a batch that breaks for a reason nobody thought of is written one by one."""
        try:
            self._tell(batch, await self._database.run(partial(self._settle, batch=batch)))
        except Unavailable:
            return False
        except Exception:
            log.exception("❌ Results could not be written together", results=len(batch))
            for verdict in batch:
                await self._write_alone(verdict)
        return True

    async def _settle(self, tx: Tx, batch: Sequence[Verdict], *, tell: bool = True) -> Sequence[Settled]:
        settled = await self._queue.settle(tx, [verdict.outcome for verdict in batch])
        return await self._settlements.record(tx, settled) if tell else settled

    async def _write_alone(self, verdict: Verdict) -> None:
        """Told to its listener if that can be, not told if it is the listener that breaks: the message comes first."""
        tell = True
        while True:
            try:
                settled = await self._database.run(partial(self._settle, batch=[verdict], tell=tell))
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("❌ A result could not be written", message=verdict.outcome.id, told=tell)
                if not tell:
                    return
                tell = False
            else:
                self._tell([verdict], settled if tell else [])
                return

    def _tell(self, batch: Sequence[Verdict], settled: Sequence[Settled]) -> None:
        self._settlements.announce(settled)
        self._written(batch, settled)
