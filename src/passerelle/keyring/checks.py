"""Can everything that is sealed be opened, and with the key of today?"""

from collections.abc import Mapping
from dataclasses import replace

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.keyring.model import Tally
from passerelle.keyring.service import Keyring

SECRET_KEY_LOST = Finding(
    id="SECRET_KEY_LOST",
    level=Level.ERROR,
    what=Text(
        "Something is sealed with a key that is not here any more.",
        "Quelque chose est scellé avec une clé qui n'est plus là.",
    ),
    cause=Text(
        "PASSERELLE_SECRET_KEY was changed without keeping the old one, secret.key was lost, or machines differ.",
        "PASSERELLE_SECRET_KEY a changé sans garder l'ancienne, secret.key est perdu, ou les machines diffèrent.",
    ),
    fix=Text(
        "Add the old key to PASSERELLE_SECRET_KEY_FALLBACKS; where it is gone, set the proxies and make new webhook"
        " secrets.",
        "Ajoutez l'ancienne clé à PASSERELLE_SECRET_KEY_FALLBACKS ; si elle est perdue, redéfinissez les proxys et"
        " recréez les secrets des webhooks.",
    ),
)
SECRET_KEY_EARLIER = Finding(
    id="SECRET_KEY_EARLIER",
    level=Level.WARNING,
    what=Text(
        "Something is sealed with an earlier key still.", "Quelque chose est encore scellé avec une ancienne clé."
    ),
    cause=Text(
        "PASSERELLE_SECRET_KEY was changed, and what was there is opened with a fallback.",
        "PASSERELLE_SECRET_KEY a changé, et l'existant est ouvert avec une clé de secours.",
    ),
    fix=Text(
        "Run: passerelle secrets rotate. Keep the fallback until then.",
        "Lancez : passerelle secrets rotate. Gardez la clé de secours jusque-là.",
    ),
)
OPENS = Text("What is sealed opens with the key of today.", "Ce qui est scellé s'ouvre avec la clé actuelle.")


class KeyringCheck:
    """See `Check`."""

    name = "secret_key"
    group = "progress"  # what cannot be opened stops phones and deliveries; the doctor asks the gateway for this group
    title = Text("What is sealed can be opened", "Ce qui est scellé peut être ouvert")
    needs = ("database",)

    def __init__(self, keyring: Keyring) -> None:
        """Ask `keyring`."""
        self._keyring = keyring

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        seen = await self._keyring.seen()
        lost = {name: tally.lost for name, tally in seen.items() if tally.lost}
        earlier = {name: tally.earlier for name, tally in seen.items() if tally.earlier}
        found = [replace(SECRET_KEY_LOST, evidence=_counted(lost))] if lost else []
        found += [replace(SECRET_KEY_EARLIER, evidence=_counted(earlier))] if earlier else []
        return found or [Finding(id="SECRET_KEY_OK", level=Level.OK, what=OPENS, evidence=_all(seen))]


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in numbers.items())


def _all(seen: Mapping[str, Tally]) -> str:
    return _counted({name: tally.current for name, tally in seen.items()})
