"""Keeps how the gateway was: written by one worker for all, in memory while SQL is away."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from passerelle.db import Database, Tx
from passerelle.diagnostics.cached import Diagnosis
from passerelle.errors import Unavailable
from passerelle.history.model import Change, States, changes_of, states_of
from passerelle.history.ports import ChangeBook

KEPT = timedelta(days=30)
LEASE = timedelta(seconds=30)  # three looks
UNWRITTEN_AT_MOST = 1_000
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Changes with their ids, newest first; `written`: from SQL, else what this process saw since SQL is away."""

    changes: list[tuple[str, Change]]
    written: bool = True


class History:
    """How each check was, and when that changed."""

    def __init__(
        self,
        book: ChangeBook,
        *,
        diagnosis: Diagnosis,
        database: Database,
        worker_id: str,
        unwritten_at_most: int = UNWRITTEN_AT_MOST,
    ) -> None:
        """Look by `diagnosis`, write into `book`; while SQL is away remember the last `unwritten_at_most` changes."""
        self._book = book
        self._diagnosis = diagnosis
        self._database = database
        self._worker_id = worker_id
        self._known: States = {}
        self._unwritten = deque[Change](maxlen=unwritten_at_most)

    async def past(self, *, before: str = "", limit: int = 50) -> Past:
        """The changes before the id `before` (all, when it is empty); what is known here while SQL is away."""
        try:
            found = await self._database.read(partial(self._book.page, before=before, limit=limit))
            return Past(changes=found)
        except Unavailable:
            return Past(changes=[("", one) for one in list(self._unwritten)[: -limit - 1 : -1]], written=False)

    async def look(self) -> None:
        """Examine, if it is on this worker, and keep what changed. While SQL is away every worker looks for itself."""
        try:
            if not await self._is_watching():
                self._unwritten.clear()  # whoever watches saw it too
                return
        except Unavailable as away:
            log.debug("nobody can tell who watches health", code=away.code)
        report = await self._diagnosis.report()
        self._unwritten.extend(changes_of(report, self._known))
        self._known = {**self._known, **states_of(report)}
        changes = list(self._unwritten)
        write = partial(self._book.write, changes=changes, states=states_of(report), at=report.as_of)
        try:
            if await self._database.run(partial(write, worker_id=self._worker_id)):
                self._unwritten.clear()
        except Unavailable as away:
            log.debug("changes of health wait", code=away.code, changes=len(changes))

    async def forget(self) -> None:
        """Drop what is older than 30 days.

        Raises:
            Unavailable: SQL is away.
        """
        await self._database.run(partial(self._book.forget, older_than=datetime.now(UTC) - KEPT))

    async def _is_watching(self) -> bool:
        async def watch(tx: Tx) -> tuple[bool, States]:
            ours = await self._book.watch(tx, worker_id=self._worker_id, lease=LEASE)
            return ours, await self._book.states(tx)

        ours, states = await self._database.run(watch)
        if not self._unwritten:  # else what we saw since is newer
            self._known = states
        return ours
