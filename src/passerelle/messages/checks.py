"""Does the outbox move?"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.messages.ports import Backlog, OutboxGauge

BEHIND_AFTER, STUCK_AFTER = timedelta(seconds=60), timedelta(minutes=5)
OUTBOX_BEHIND = Finding(
    id="OUTBOX_BEHIND",
    level=Level.WARNING,
    what=Text("Messages wait longer than a minute.", "Des messages attendent plus d'une minute."),
    cause=Text(
        "More is written than sent: the workers are too few, or WhatsApp is slow or away.",
        "On écrit plus qu'on n'envoie : trop peu de workers, ou WhatsApp est lent ou absent.",
    ),
    fix=Text(
        "Wait if it was a large batch; else look into the log of the workers, or start more of them.",
        "Attendez s'il s'agit d'un gros lot ; sinon consultez le journal des workers, ou démarrez-en d'autres.",
    ),
)
OUTBOX_STUCK = Finding(
    id="OUTBOX_STUCK",
    level=Level.ERROR,
    what=Text(
        "Messages have been waiting for more than five minutes, and nobody works on them.",
        "Des messages attendent depuis plus de cinq minutes, et personne ne s'en occupe.",
    ),
    cause=Text(
        "No worker runs or one hangs, or WhatsApp has been away all the while.",
        "Aucun worker ne tourne ou l'un est bloqué, ou WhatsApp est absent depuis.",
    ),
    fix=Text(
        "Restart the workers; nothing is lost. If WhatsApp is away, they go on by themselves when it is back.",
        "Redémarrez les workers ; rien n'est perdu. Si WhatsApp est absent, ils reprendront d'eux-mêmes.",
    ),
)


class OutboxCheck:
    """See `Check`."""

    name = "outbox"
    group = "progress"
    title = Text("Messages that are due are sent", "Les messages dus sont envoyés")
    needs = ("database",)

    def __init__(self, gauge: OutboxGauge, *, database: Database, clock: Clock, lease: timedelta) -> None:
        """No worker has a message in hand for longer than `lease`."""
        self._gauge = gauge
        self._database = database
        self._clock = clock
        self._lease = lease

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        look = partial(self._gauge.backlog, now=self._clock.now(), late_after=BEHIND_AFTER)
        return [_judged(await self._database.read(look), self._lease)]


def _judged(backlog: Backlog, lease: timedelta) -> Finding:
    too_long_in_hand = backlog.longest_in_hand - lease
    if max(backlog.longest_untouched, too_long_in_hand) > STUCK_AFTER:
        return replace(OUTBOX_STUCK, evidence=_seen(backlog))
    if max(backlog.longest, too_long_in_hand) > BEHIND_AFTER:
        return replace(OUTBOX_BEHIND, evidence=_seen(backlog))
    what = Text("No message waits longer than it should.", "Aucun message n'attend plus que prévu.")
    return Finding(id="OUTBOX_OK", level=Level.OK, what=what)


def _seen(backlog: Backlog) -> str:
    return (
        f"{backlog.late} due, the oldest for {backlog.longest.total_seconds():.0f} s;"
        f" in hand for {backlog.longest_in_hand.total_seconds():.0f} s at most"
    )
