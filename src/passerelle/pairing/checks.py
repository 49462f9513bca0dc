"""Are wishes to link a phone taken up, and do they end?"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.pairing.ports import AttemptGauge

TOO_LONG = timedelta(seconds=30)
PAIRING_BEHIND = Finding(
    id="PAIRING_BEHIND",
    level=Level.WARNING,
    what=Text(
        "Somebody has been waiting for a pairing code for more than 30 s.",
        "Quelqu'un attend un code de liaison depuis plus de 30 s.",
    ),
    cause=Text(
        "No worker takes attempts up, or all are busy.", "Aucun worker ne prend les tentatives, ou tous sont pris."
    ),
    fix=Text("Start a worker, or one more.", "Démarrez un worker, ou un de plus."),
)
PAIRING_STUCK = Finding(
    id="PAIRING_STUCK",
    level=Level.ERROR,
    what=Text("A pairing attempt has outlived its time.", "Une tentative de liaison a dépassé son temps."),
    cause=Text(
        "The worker that held it is gone or hangs, and no other one sweeps.",
        "Le worker qui la tenait a disparu ou est bloqué, et aucun autre ne fait le ménage.",
    ),
    fix=Text(
        "Restart the workers: it is taken up or ended, and its user may ask again.",
        "Redémarrez les workers : elle est reprise ou terminée, et l'utilisateur peut redemander.",
    ),
)


class PairingCheck:
    """See `Check`."""

    name = "pairing"
    group = "progress"
    title = Text("Pairing attempts are taken up and end", "Les tentatives de liaison sont prises et se terminent")
    needs = ("database",)

    def __init__(self, gauge: AttemptGauge, *, database: Database, clock: Clock) -> None:
        """Ask `gauge`."""
        self._gauge = gauge
        self._database = database
        self._clock = clock

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        waiting = await self._database.read(partial(self._gauge.waiting, now=self._clock.now(), longer_than=TOO_LONG))
        longest_s = waiting.longest_queued.total_seconds()
        found = []
        if waiting.overdue:
            found.append(replace(PAIRING_STUCK, evidence=f"{waiting.overdue} beyond their time"))
        if waiting.queued:
            found.append(
                replace(PAIRING_BEHIND, evidence=f"{waiting.queued} waiting, the longest for {longest_s:.0f} s")
            )
        what = Text("No pairing attempt waits longer than it should.", "Aucune tentative n'attend plus que prévu.")
        return found or [Finding(id="PAIRING_OK", level=Level.OK, what=what)]
