"""The sandbox as a provider like the others."""

from passerelle.sandbox.host import Sandbox
from passerelle.whatsapp.model import MessageType
from passerelle.whatsapp.ports import Abilities, Provider

ABILITIES = Abilities(types=frozenset(MessageType))


def sandbox_provider(sandbox: Sandbox) -> Provider:
    """`sandbox` behind the contract of all providers."""
    return Provider(
        name="sandbox",
        abilities=ABILITIES,
        linker=sandbox.linker,
        sender=sandbox.sender,
        events=sandbox.events,
        connections=sandbox.connections,
        incoming_media=sandbox.incoming_media,
        reach=sandbox.reach,
    )
