"""What a gateway that runs tells of itself, as checks of the doctor."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import httpx

from passerelle.cli.reach import is_there
from passerelle.diagnostics.model import Finding, Level
from passerelle.diagnostics.ports import Check
from passerelle.errors import Text
from passerelle.server import CONTROL_SOCKET
from passerelle.settings import Settings

ASK_LIMIT_S = 4.0  # its own examination takes up to 2.7 s
GROUPS = {
    "data_in_redis": Text("The gateway's records are in Redis", "Les données de la passerelle sont dans Redis"),
    "whatsapp": Text("The gateway reaches WhatsApp and its phones", "La passerelle atteint WhatsApp et ses téléphones"),
    "progress": Text("The gateway's work goes on", "Le travail de la passerelle avance"),
}
LEVELS = {"passed": Level.OK, "failed": Level.ERROR, "warning": Level.WARNING, "skipped": Level.SKIPPED}
NO_GATEWAY = Finding(
    id="NO_GATEWAY",
    level=Level.SKIPPED,
    what=Text("No gateway runs here.", "Aucune passerelle ne tourne ici."),
    cause=Text(
        "None holds this data directory, and PASSERELLE_URL is not set.",
        "Aucune ne tient ce répertoire de données, et PASSERELLE_URL n'est pas défini.",
    ),
    fix=Text(
        "To look at one: passerelle serve, then again.", "Pour en examiner une : passerelle serve, puis recommencez."
    ),
)
GATEWAY_AWAY = Finding(
    id="GATEWAY_AWAY",
    level=Level.ERROR,
    what=Text("The gateway does not answer.", "La passerelle ne répond pas."),
    cause=Text(
        "PASSERELLE_URL names a gateway that is stopped or overloaded, or something else.",
        "PASSERELLE_URL désigne une passerelle arrêtée ou surchargée, ou autre chose.",
    ),
    fix=Text(
        "Correct PASSERELLE_URL, or start that gateway.", "Corrigez PASSERELLE_URL, ou démarrez cette passerelle."
    ),
)
GATEWAY_KEY_MISSING = Finding(
    id="GATEWAY_KEY_MISSING",
    level=Level.SKIPPED,
    what=Text("The gateway does not show us its findings.", "La passerelle ne nous montre pas ses constats."),
    cause=Text("It shows them to the admin key alone.", "Elle ne les montre qu'à la clé d'administration."),
    fix=Text("Set PASSERELLE_ADMIN_KEY here too.", "Définissez aussi PASSERELLE_ADMIN_KEY ici."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the gateway said: how it is, and its groups, where it showed them."""

    finding: Finding
    groups: dict[str, dict[str, Any]]


class Beside:
    """The gateway, asked once however many want to know."""

    def __init__(self, settings: Settings, *, lang: str) -> None:
        """``PASSERELLE_URL``, else the control socket of the data directory."""
        self._url = settings.url
        self._control = settings.data_dir / CONTROL_SOCKET
        key = settings.secret("admin_key")
        self._headers: dict[bytes, bytes] = {b"Accept-Language": lang.encode()}
        if key:
            self._headers[b"Authorization"] = f"Bearer {key}".encode()
        self._lock = asyncio.Lock()
        self._told: Told | None = None

    async def told(self) -> Told:
        """What it says; never raises."""
        async with self._lock:
            if self._told is None:
                self._told = await self._ask()
            return self._told

    async def _ask(self) -> Told:
        if self._url is None and not is_there(self._control):
            return Told(finding=NO_GATEWAY, groups={})
        transport = None if self._url is not None else httpx.AsyncHTTPTransport(uds=str(self._control))
        try:
            async with httpx.AsyncClient(transport=transport, headers=self._headers, timeout=ASK_LIMIT_S) as client:
                body = (await client.get(f"{(self._url or 'http://passerelle').rstrip('/')}/api/health")).json()
                return _read(dict(body))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError) as error:
            if self._url is None:  # a socket file that a killed gateway left
                return Told(finding=NO_GATEWAY, groups={})
            return Told(finding=replace(GATEWAY_AWAY, evidence=type(error).__name__), groups={})


def _read(body: dict[str, Any]) -> Told:
    if "checks" not in body:
        known = GATEWAY_KEY_MISSING if "status" in body and len(body) == 1 else GATEWAY_AWAY
        return Told(finding=replace(known, evidence=str(body.get("status", ""))[:20]), groups={})
    what = Text("A gateway runs here.", "Une passerelle tourne ici.")
    answers = Finding(id="GATEWAY_ANSWERS", level=Level.OK, what=what, evidence=str(body["status"]))
    return Told(finding=answers, groups=dict(body["checks"]))


class GatewayCheck:
    """See `Check`: does a gateway run?"""

    name = "gateway"
    group = "environment"
    title = Text("A gateway runs and answers", "Une passerelle tourne et répond")
    needs: tuple[str, ...] = ()

    def __init__(self, beside: Beside) -> None:
        """Ask `beside`."""
        self._beside = beside

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        return [(await self._beside.told()).finding]


class GroupCheck:
    """See `Check`: what the gateway found in one group of its health."""

    needs: tuple[str, ...] = ()

    def __init__(self, beside: Beside, *, group: str) -> None:
        """Ask `beside`."""
        self.name = self.group = group
        self.title = GROUPS[group]
        self._beside = beside

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        told = await self._beside.told()
        seen = told.groups.get(self.group)
        return [replace(told.finding, level=Level.SKIPPED) if seen is None else self._finding(seen)]

    def _finding(self, seen: dict[str, Any]) -> Finding:
        def text(name: str) -> Text:  # in the reader's language already
            return Text(str(seen.get(name) or ""), str(seen.get(name) or ""))

        return Finding(
            id=str(seen.get("finding") or f"{self.group.upper()}_OK"),
            level=LEVELS.get(str(seen.get("status")), Level.SKIPPED),
            what=text("message"),
            cause=text("cause"),
            fix=text("fix"),
        )


def gateway_checks(settings: Settings, *, lang: str) -> list[Check]:
    """The checks that ask the running gateway."""
    beside = Beside(settings, lang=lang)
    return [GatewayCheck(beside), *(GroupCheck(beside, group=group) for group in GROUPS)]
