"""What a linking tells, for tests that are about something else than its QR codes."""

from passerelle.whatsapp.model import LinkingEvent, QrShown
from passerelle.whatsapp.ports import Linking


async def told(linking: Linking) -> LinkingEvent:
    """The next event that is no QR code."""
    while isinstance(event := await linking.next_event(), QrShown):
        pass
    return event
