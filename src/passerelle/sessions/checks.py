"""Is WhatsApp there, and are the phones connected?"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from passerelle.clients.model import Caller
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import PasserelleError, Text, Unavailable
from passerelle.sessions.model import Session, SessionState
from passerelle.sessions.service import Sessions

REACH_LIMIT_S = 2.0
PROVIDER_AWAY = Finding(
    id="PROVIDER_AWAY",
    level=Level.ERROR,
    what=Text("WhatsApp cannot be reached.", "WhatsApp est injoignable."),
    cause=Text(
        "It is away, the network between is, or PASSERELLE_SANDBOX_URL names a sandbox that does not run.",
        "Il est absent, ou le réseau, ou PASSERELLE_SANDBOX_URL désigne un bac à sable qui ne tourne pas.",
    ),
    fix=Text(
        "Wait, or start the sandbox: messages wait meanwhile and burn no attempt.",
        "Attendez, ou démarrez le bac à sable : les messages attendent sans perdre d'essai.",
    ),
)
SESSIONS_DISCONNECTED = Finding(
    id="SESSIONS_DISCONNECTED",
    level=Level.WARNING,
    what=Text("Most linked phones are disconnected.", "La plupart des téléphones liés sont déconnectés."),
    cause=Text(
        "WhatsApp or the network is away for them, or the phones have been off for long.",
        "WhatsApp ou le réseau leur manque, ou les téléphones sont éteints depuis longtemps.",
    ),
    fix=Text(
        "They connect again by themselves; look at GET /api/whatsapp/sessions which they are.",
        "Ils se reconnectent d'eux-mêmes ; voyez lesquels avec GET /api/whatsapp/sessions.",
    ),
)
SESSIONS_UNREADABLE = Finding(
    id="SESSIONS_UNREADABLE",
    level=Level.WARNING,
    what=Text("The linked phones cannot be read.", "Les téléphones liés ne peuvent pas être lus."),
    cause=Text(
        "Where they are kept does not answer, and nothing is remembered.",
        "L'endroit où ils sont conservés ne répond pas, et rien n'est en mémoire.",
    ),
    fix=Text(
        "Mend what the groups of Redis and of the database say.",
        "Corrigez ce que disent les groupes de Redis et de la base.",
    ),
)


class SessionsCheck:
    """See `Check`."""

    name = "sessions"
    group = "whatsapp"
    title = Text("The linked phones are connected", "Les téléphones liés sont connectés")
    needs = ("database",)

    def __init__(self, sessions: Sessions, *, provider: str) -> None:
        """Count `sessions`; `provider` is what stands for WhatsApp, as readers know it."""
        self._sessions = sessions
        self._provider = provider

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        try:
            reading = await self._sessions.read_all(Caller(admin=True))
        except PasserelleError as error:
            return [replace(SESSIONS_UNREADABLE, evidence=error.code)]
        return [self._judged(reading.sessions, f"from {reading.source}")]

    def _judged(self, sessions: Sequence[Session], source: str) -> Finding:
        states = Counter(session.state for session in sessions)
        linked = len(sessions) - states[SessionState.LOGGED_OUT]
        seen = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "0"
        if 2 * states[SessionState.DISCONNECTED] > linked:
            return replace(SESSIONS_DISCONNECTED, evidence=f"{seen} ({source})")
        what = Text(f"{self._provider}: linked phones: {seen}.", f"{self._provider} : téléphones liés : {seen}.")
        return Finding(id="SESSIONS_OK", level=Level.OK, what=what, evidence=source)


class ProviderCheck:
    """See `Check`."""

    name = "provider"
    group = "whatsapp"
    title = Text("WhatsApp answers", "WhatsApp répond")
    needs: tuple[str, ...] = ()

    def __init__(self, reach: Callable[[], Awaitable[object]], *, found: Sequence[Finding]) -> None:
        """`reach` returns when WhatsApp answers and raises `Unavailable` when not; `found` is known already."""
        self._reach = reach
        self._found = list(found)

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        try:
            async with asyncio.timeout(REACH_LIMIT_S):
                await self._reach()
        except TimeoutError:
            return [replace(PROVIDER_AWAY, evidence=f"no answer within {REACH_LIMIT_S:g} s"), *self._found]
        except Unavailable as away:
            return [replace(PROVIDER_AWAY, evidence=away.code), *self._found]
        answers = Text("WhatsApp answers.", "WhatsApp répond.")
        return self._found or [Finding(id="PROVIDER_OK", level=Level.OK, what=answers)]
