"""All that WhatsApp knows: phones, their links, open connections and codes, faults to come, the time."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from passerelle.clock import Clock
from passerelle.errors import Invalid, Text
from passerelle.sandbox.companions import Companions
from passerelle.sandbox.connections import Connection, Connections
from passerelle.sandbox.faults import HITS_A_LINK, FaultScript
from passerelle.sandbox.mail import Mail
from passerelle.sandbox.phones import MAX_LINKS, CodeNotValid, Link, Phone, PhoneState, TooManyDevices
from passerelle.sandbox.storage import WorldFile
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import CodeTyped, DeviceLinked, LoggedOut, PairingCode

_LOGOUT_DELAY_S = 0.5
_MAX_OFFSET = timedelta(days=36_525)


class ClockOutOfRange(Invalid):
    """The sandbox's clock only goes forwards, and not for ever."""

    code = "clock_out_of_range"
    text = Text(
        "The clock only goes forwards, at most 100 years in all.",
        "L'horloge ne fait qu'avancer, de 100 ans au plus en tout.",
    )
    hint = Text("Reset the sandbox to go back to real time.", "Réinitialisez le bac à sable pour revenir à l'heure.")


class World:
    """The simulated WhatsApp. One process holds it; the others reach it over the wire.

    Phones, links, messages, events, faults and the clock's offset outlive the process; connections and codes do not.
    All calls are made on one event loop.
    """

    def __init__(
        self, path: Path, *, latency: timedelta = timedelta(milliseconds=300), clock: Clock | None = None
    ) -> None:
        """The world kept at `path`; WhatsApp takes `latency` of real time to make a code.

        `clock` (its own, unless given) is set as the world remembers it, and moved by the world from then on.
        """
        self._file = WorldFile(path)
        self.latency = latency
        self.clock = clock or Clock()
        self.clock.set_offset(self._file.offset())
        self.faults = FaultScript(self._file)
        self.mail = Mail(self._file, clock=self.clock, faults=self.faults)
        self.companions = Companions(self.mail.speaker, self.clock)
        self._connections = Connections(self.clock)
        self._moved = asyncio.Event()
        self._closed = False

    def phone(self, number: str) -> PhoneState:
        """The phone with this number (E.164), made on first use."""
        self._file.add_phone(number)
        return self._state(self._file.phone(number) or Phone(number=number))

    def phones(self, *, after: str = "", limit: int = 50) -> list[PhoneState]:
        """At most `limit` phones, by number, from the one behind `after`."""
        return [self._state(phone) for phone in self._file.phones(after=after, limit=limit)]

    def set_phone(
        self, number: str, *, name: str | None = None, online: bool | None = None, read_receipts: bool | None = None
    ) -> PhoneState:
        """Change what is not None of the phone, made on first use."""
        known = self._file.phone(number) or Phone(number=number)
        phone = replace(
            known,
            name=known.name if name is None else name,
            online=known.online if online is None else online,
            read_receipts=known.read_receipts if read_receipts is None else read_receipts,
        )
        self._file.save_phone(phone)
        self.companions.look({link.device for link in self._file.links(number)})
        if phone.online:
            self.mail.deliver(number)
        return self._state(phone)

    def read(self, number: str) -> int:
        """Read all that is on the phone, made on first use; how many messages were new."""
        return self.mail.read(number, receipts=self.phone(number).phone.read_receipts)

    def connect(self, *, number: str, session_id: str) -> Connection:
        """Open a companion's connection; WhatsApp closes it when nobody was linked on it in time.

        Raises:
            ProviderUnavailable: this world is closed.
        """
        if self._closed:
            raise ProviderUnavailable
        return self._connections.connect(number=number, session_id=session_id)

    def drop(self, connection: Connection, reason: str) -> None:
        """End a connection, its code with it; `reason` is what the companion hears. May be repeated."""
        self._connections.drop(connection, reason)

    def new_code(self, connection: Connection) -> PairingCode:
        """A code for the phone of `connection`, made on first use; the phone's code before it is dead."""
        self._file.add_phone(connection.number)
        return self._connections.new_code(connection)

    def enter_code(self, number: str, code: str) -> Link:
        """Type `code` on the phone, dash and case as one likes, or scan a QR code with it; the device that it accepts.

        Raises:
            CodeNotValid: it is not the code that waits for this phone. The gateway hears nothing, as in reality.
            TooManyDevices: the phone has all the devices it may have.
        """
        state = self.phone(number)
        connection = self._connections.waiting_for(number, code) or self._connections.showing(code)
        if connection is None:
            raise CodeNotValid
        if len(state.links) >= MAX_LINKS:
            raise TooManyDevices
        return self._link(connection, number)

    def unlink(self, device: str) -> None:
        """Take the device off its phone; unknown: nothing happens."""
        self._file.remove_link(device)
        self.companions.look({device})

    def advance(self, by: timedelta) -> None:
        """Move the clock forwards; what becomes due by that is due at once, also after a crash.

        Raises:
            ClockOutOfRange: backwards, or too far.
        """
        if not timedelta(0) <= by <= _MAX_OFFSET - self.clock.offset:
            raise ClockOutOfRange
        offset = self.clock.offset + by
        self._file.set_offset(offset)
        self._move(offset)

    async def offsets(self) -> AsyncGenerator[timedelta, None]:
        """The clock's offset, and again whenever it was moved; ends when the world is closed."""
        while not self._closed:
            moved = self._moved
            yield self.clock.offset
            await moved.wait()

    def reset(self) -> None:
        """Forget everything: phones, links, connections, messages, events, faults, the clock's offset."""
        self._connections.drop_all("reset")
        self._file.clear()
        self.companions.look()
        self.mail.clear()
        self.faults.clear()
        self._move(timedelta(0))

    def close(self) -> None:
        """Drop every connection and close the file, as a crash would; may be repeated.

        A server that serves this world calls it when it begins to stop: the streams of `wire` end by that.
        """
        self._closed = True
        self._connections.drop_all("closed")
        self._moved.set()
        self.companions.close()
        self.mail.close()
        self._file.close()

    def _state(self, phone: Phone) -> PhoneState:
        connection = self._connections.waiting_for(phone.number)
        return PhoneState(
            phone=phone,
            links=self._file.links(phone.number),
            code_expires_at=connection.expires_at if connection else None,
        )

    def _link(self, connection: Connection, number: str) -> Link:
        device = f"{number.removeprefix('+')}:{self._file.next_device(number)}@s.whatsapp.net"
        link = Link(device=device, number=number, session_id=connection.session_id, linked_at=self.clock.now())
        self._file.add_link(link)
        self._connections.forget_code(connection)
        connection.link()
        connection.tell(CodeTyped())
        connection.tell(DeviceLinked(device=device, phone_number=number))
        if self.faults.take(HITS_A_LINK, number):
            asyncio.get_running_loop().call_later(_LOGOUT_DELAY_S, self._remove, link, connection)
        return link

    def _remove(self, link: Link, connection: Connection) -> None:
        if self._closed or link not in self._file.links(link.number):
            return
        self.unlink(link.device)
        connection.tell(LoggedOut(reason="device_removed"))
        self.drop(connection, "device_removed")

    def _move(self, offset: timedelta) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        self.clock.set_offset(offset)
