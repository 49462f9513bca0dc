"""Hearing what happens to linked phones of a simulated WhatsApp that another process holds."""

import json

from passerelle.sandbox.remote import Remote
from passerelle.sandbox.telling import Bring, bring_for_ever
from passerelle.whatsapp.ports import EventSink

_EVENTS = "/sandbox/wire/events"


class RemoteEvents:
    """`whatsapp.ports.EventSource` over the wire. Several processes share the events; each is told to one of them."""

    def __init__(self, remote: Remote) -> None:
        """Tell what happens to the phones of the world behind `remote`."""
        self._remote = remote

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring events to `sink` as soon as they are there; what it refuses is the server's again."""
        await bring_for_ever(self._listen, sink)

    async def _listen(self, bring: Bring) -> None:
        stream = await self._remote.open("GET", _EVENTS)
        try:
            path = f"{_EVENTS}/{json.loads(await stream.next_line())['id']}"
            while True:
                await bring(json.loads(await stream.next_line())["rows"])
                await self._remote.ask("POST", f"{path}/kept")
        finally:
            stream.close()
