"""The sandbox as a provider like the others."""

from collections.abc import Mapping
from datetime import datetime

from passerelle.sandbox.host import Sandbox
from passerelle.whatsapp.model import MessageType
from passerelle.whatsapp.ports import Abilities, Provider

ABILITIES = Abilities(types=frozenset(MessageType), template_language=True)


class SandboxConnections:
    """`whatsapp.ports.Connections`: the phones of the world are always reached, or are offline by themselves."""

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:
        """Nothing to connect."""

    async def release(self, *, session_id: str) -> None:
        """Nothing to close."""

    def evidence(self) -> Mapping[str, datetime]:
        """Nothing proves that a simulated phone lives."""
        return {}


def sandbox_provider(sandbox: Sandbox) -> Provider:
    """`sandbox` behind the contract of all providers."""
    return Provider(
        name="sandbox",
        abilities=ABILITIES,
        linker=sandbox.linker,
        sender=sandbox.sender,
        events=sandbox.events,
        connections=SandboxConnections(),
        incoming_media=sandbox.incoming_media,
        reach=sandbox.reach,
    )
