"""Does anybody work?"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from passerelle.coordination.lookout import LAPSED_US
from passerelle.coordination.ports import WorkerBook, WorkerCount
from passerelle.db import Database
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text

NO_WORKER = Finding(
    id="NO_WORKER",
    level=Level.ERROR,
    what=Text("Nobody works: messages and pairing codes wait.", "Personne ne travaille : messages et codes attendent."),
    cause=Text(
        "The last worker has stopped, crashed or lost the database, or only APIs (--no-worker) were started.",
        "Le dernier worker s'est arrêté, a planté ou perdu la base, ou seules des API (--no-worker) tournent.",
    ),
    fix=Text(
        "Start one: passerelle worker, or passerelle serve without --no-worker. Nothing is lost meanwhile.",
        "Démarrez-en un : passerelle worker, ou passerelle serve sans --no-worker. Rien n'est perdu d'ici là.",
    ),
)


class WorkersCheck:
    """See `Check`: a heartbeat of whatever process that works on this database."""

    name = "workers"
    group = "progress"
    title = Text("A worker lives", "Un worker est vivant")
    needs = ("database",)

    def __init__(self, book: WorkerBook, *, database: Database) -> None:
        """Ask `book`."""
        self._book = book
        self._database = database

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        within = timedelta(microseconds=LAPSED_US)
        count = await self._database.read(partial(self._book.count, within=within))
        if not count.living:
            return [replace(NO_WORKER, evidence=_seen(count))]
        what = Text(f"{count.living} worker(s) at work.", f"{count.living} worker(s) au travail.")
        return [Finding(id="WORKERS_OK", level=Level.OK, what=what, evidence=_seen(count))]


def _seen(count: WorkerCount) -> str:
    silent = "never" if count.silent_for is None else f"{count.silent_for.total_seconds():.0f} s ago"
    of = f" (version {' and '.join(count.versions)})" if count.versions else ""
    return f"{count.living} living{of}, the last sign of one: {silent}"
