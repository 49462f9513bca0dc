"""Does everybody still hear who wanted to?"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.webhooks.ports import EndpointGauge

TOLD_FOR = timedelta(days=7)  # it is a client's own system: a gateway is not unwell for ever because of it
WEBHOOKS_OFF = Finding(
    id="WEBHOOKS_OFF",
    level=Level.WARNING,
    what=Text("Webhooks were switched off.", "Des webhooks ont été désactivés."),
    cause=Text(
        "Their receivers answered 410, or did nothing but fail for three days.",
        "Leurs destinataires ont répondu 410, ou n'ont fait qu'échouer pendant trois jours.",
    ),
    fix=Text(
        "Mend the receiver, then PATCH /api/webhooks/{id} with active: true; or delete the webhook.",
        "Réparez le destinataire, puis PATCH /api/webhooks/{id} avec active: true ; ou supprimez le webhook.",
    ),
)


class WebhooksCheck:
    """See `Check`."""

    name = "webhooks"
    group = "progress"
    title = Text("Webhooks are heard", "Les webhooks sont entendus")
    needs = ("database",)

    def __init__(self, gauge: EndpointGauge, *, database: Database, clock: Clock) -> None:
        """What was switched off lately, by the time of `clock`."""
        self._gauge = gauge
        self._database = database
        self._clock = clock

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        off = await self._database.read(partial(self._gauge.switched_off, since=self._clock.now() - TOLD_FOR))
        if any(off):
            return [replace(WEBHOOKS_OFF, evidence=f"{off.failing} failing, {off.gone} gone, within seven days")]
        what = Text("No webhook was switched off lately.", "Aucun webhook n'a été désactivé récemment.")
        return [Finding(id="WEBHOOKS_OK", level=Level.OK, what=what)]
