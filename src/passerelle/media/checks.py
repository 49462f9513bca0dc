"""Do the stores of media take files?"""

from collections.abc import Sequence
from dataclasses import replace

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.media.chain import StoreChain
from passerelle.media.model import StoreName

STORE_AWAY = Finding(
    id="STORE_AWAY",
    level=Level.WARNING,
    what=Text("A media store does not answer.", "Un stockage de médias ne répond pas."),
    cause=Text(
        "It is away or the network to it is, or it asks us to wait; files go to the next store meanwhile.",
        "Il est absent, ou le réseau, ou il demande d'attendre ; les fichiers vont au stockage suivant.",
    ),
    fix=Text(
        "Wait: it is tried again by itself, and the files move to the first store when that is back.",
        "Attendez : il est réessayé tout seul, et les fichiers rejoignent le premier stockage à son retour.",
    ),
)
STORE_MISCONFIGURED = Finding(
    id="STORE_MISCONFIGURED",
    level=Level.WARNING,
    what=Text("A media store refuses the gateway.", "Un stockage de médias refuse la passerelle."),
    cause=Text(
        "Its key or secret is wrong, its bucket is missing, or the account is locked or over its quota.",
        "Sa clé ou son secret est faux, son bucket manque, ou le compte est bloqué ou au-delà de son quota.",
    ),
    fix=Text(
        "Mend the settings of that store or its account, and start again; files go to the next store meanwhile.",
        "Corrigez ses réglages ou son compte, puis redémarrez ; les fichiers vont au stockage suivant.",
    ),
)


def listed_stores(names: Sequence[StoreName]) -> str:
    """As a person reads them."""
    return ", ".join("local disk" if name is StoreName.LOCAL else name for name in names)


class StoresCheck:
    """See `Check`: what the last uploads told; nothing is sent to look."""

    name = "media"
    group = "media"
    title = Text("The stores of media take files", "Les stockages de médias acceptent les fichiers")
    needs = ("data_dir",)

    def __init__(self, chain: StoreChain) -> None:
        """Look at the breakers of `chain`."""
        self._chain = chain

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        bad = [self._bad(name) for name, breaker in self._chain.breakers.items() if not breaker.is_closed]
        listed = listed_stores(self._chain.names)
        what = Text(f"Media are kept in this order: {listed}.", f"Ordre des stockages de médias : {listed}.")
        return bad or [Finding(id="MEDIA_STORES_OK", level=Level.OK, what=what, evidence=listed)]

    def _bad(self, name: StoreName) -> Finding:
        breaker = self._chain.breakers[name]
        kind = STORE_MISCONFIGURED if breaker.is_misconfigured else STORE_AWAY
        return replace(kind, evidence=f"{name}: {breaker.reason}")
