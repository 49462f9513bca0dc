"""Linking phones of the simulated WhatsApp, in the process that holds the world."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from passerelle.sandbox.connections import Connection
from passerelle.sandbox.faults import HITS_A_CODE, HITS_CONNECTING, REFUSALS, FaultKind, refusal
from passerelle.sandbox.phones import accepted_by_whatsapp
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import AlreadyLinked, InvalidPhone, ProviderUnavailable
from passerelle.whatsapp.model import LinkingEvent, PairingCode

# Two steps of 15 s: each stays below the 20 s that a single call may take, the whole does not.
_SLOW_STEP = timedelta(seconds=15)
_DISCONNECT_DELAY_S = 0.2


class SandboxLinker:
    """`whatsapp.ports.Linker` over a world in this process."""

    def __init__(self, world: World) -> None:
        """Link the phones of `world`."""
        self._world = world

    async def connect(self, *, session_id: str, phone_number: str) -> "SandboxLinking":
        """Open a connection, unless a fault forbids it."""
        fault = self._world.faults.take(HITS_CONNECTING, phone_number)
        if fault is FaultKind.PROVIDER_UNAVAILABLE:
            raise ProviderUnavailable
        slow = fault is FaultKind.SLOW_CODE
        if slow:
            await self._world.clock.sleep_until(self._world.clock.now() + _SLOW_STEP)
        return SandboxLinking(self._world, self._world.connect(number=phone_number, session_id=session_id), slow=slow)

    async def unlink(self, *, device: str) -> None:
        """Take the device off its phone."""
        with suppress(ProviderUnavailable):
            self._world.unlink(device)


class SandboxLinking:
    """`whatsapp.ports.Linking` over one connection of the world."""

    def __init__(self, world: World, connection: Connection, *, slow: bool) -> None:
        """Speak over `connection`; `slow`: its first code takes its time."""
        self._world = world
        self._connection = connection
        self._slow = slow

    async def request_code(self) -> PairingCode:
        """A code, acknowledged after the world's latency, unless a fault hits."""
        connection = self._connection
        if connection.linked:
            raise AlreadyLinked
        fault = self._world.faults.take(HITS_A_CODE, connection.number)
        await connection.answered(self._answer_time(fault))
        if connection.linked:
            raise AlreadyLinked
        if fault in REFUSALS:
            raise refusal(fault)
        if not accepted_by_whatsapp(connection.number):
            raise InvalidPhone
        code = self._world.new_code(connection)
        if fault is FaultKind.DISCONNECT_WHILE_PAIRING:
            later = asyncio.get_running_loop().call_later
            later(_DISCONNECT_DELAY_S, self._world.drop, connection, "stream closed while pairing")
        return code

    async def next_event(self) -> LinkingEvent:
        """What the connection tells next."""
        return await self._connection.next_event()

    async def close(self) -> None:
        """Give the connection up."""
        self._world.drop(self._connection, "closed")

    def _answer_time(self, fault: FaultKind | None) -> Callable[[Callable[[], None]], object]:
        if fault is FaultKind.NO_CODE:
            return lambda answer: None  # noqa: ARG005  # never
        if self._slow:
            self._slow = False
            due = self._world.clock.now() + _SLOW_STEP
            return lambda answer: self._world.clock.call_at(due, answer)
        latency_s = self._world.latency.total_seconds()
        return lambda answer: asyncio.get_running_loop().call_later(latency_s, answer)
