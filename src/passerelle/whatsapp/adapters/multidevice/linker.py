"""Linking phones through the hosts."""

import asyncio
import secrets
from contextlib import suppress
from datetime import datetime
from typing import Any

from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.multidevice.child import Child
from passerelle.whatsapp.adapters.multidevice.fleet import Fleet
from passerelle.whatsapp.adapters.multidevice.members import read_fault, read_linking
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import ConnectionLost, LinkingEvent, PairingCode
from passerelle.whatsapp.names import read_phone_number


class MultideviceLinker:
    """`whatsapp.ports.Linker`."""

    def __init__(self, fleet: Fleet) -> None:
        """Link in the hosts of `fleet`."""
        self._fleet = fleet

    async def connect(self, *, session_id: str, phone_number: str) -> "MultideviceLinking":
        """A connection that has shown its first QR code: now codes can be asked for. The caller brings the limit."""
        number = read_phone_number(phone_number)
        child = await self._fleet.place()
        linking = MultideviceLinking(self._fleet, child, name=secrets.token_hex(8))
        try:
            proxy = self._fleet.setup.proxy
            await child.ask("link", linking=linking.name, session_id=session_id, phone_number=number, proxy=proxy)
        except BaseException:
            linking.forget()
            raise
        return linking

    async def unlink(self, *, device: str) -> None:
        """Take the device off its phone: by its own connection, or by one that is made for it."""
        with suppress(PasserelleError):
            child = self._fleet.host_of(device) or await self._fleet.place()
            await child.ask("unlink", device=device, proxy=self._fleet.setup.proxy)


class MultideviceLinking:
    """`whatsapp.ports.Linking` in one host."""

    def __init__(self, fleet: Fleet, child: Child, *, name: str) -> None:
        """Hear what is told under `name`."""
        self.name = name
        self._fleet = fleet
        self._child = child
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._lost: ConnectionLost | None = None
        fleet.linkings[name] = self._events
        child.linkings.add(name)

    async def request_code(self) -> PairingCode:
        """A code that WhatsApp acknowledged."""
        answer = await self._child.ask("code", linking=self.name)
        return PairingCode(code=answer["code"], expires_at=datetime.fromisoformat(answer["expires_at"]))

    async def qr(self) -> str | None:
        """The QR code that can be scanned just now, as a text; WhatsApp changes it every 20 seconds.

        Raises:
            ProviderUnavailable: the connection is gone.
        """
        qr: str | None = (await self._child.ask("qr", linking=self.name))["qr"]
        return qr

    async def next_event(self) -> LinkingEvent:
        """What the connection tells next.

        Raises:
            PasskeyRequired: WhatsApp wants this account's passkey, which cannot be shown here.
        """
        if self._lost is not None:
            return self._lost
        frame = await self._events.get()
        if "fault" in frame:
            raise read_fault(frame["fault"])
        event = ConnectionLost(reason=frame["lost"]) if "lost" in frame else read_linking(frame["event"])
        if isinstance(event, ConnectionLost):
            self._lost = event
        return event

    async def close(self) -> None:
        """Give the connection up; what is linked stays, connected, until somebody holds it or a minute has passed."""
        if self.name not in self._fleet.linkings:
            return
        self.forget()
        with suppress(ProviderUnavailable):
            await asyncio.shield(self._child.ask("hang_up", linking=self.name))

    def forget(self) -> None:
        """Hear no more of it."""
        self._fleet.linkings.pop(self.name, None)
        self._child.linkings.discard(self.name)
        self._lost = self._lost or ConnectionLost(reason="closed")
