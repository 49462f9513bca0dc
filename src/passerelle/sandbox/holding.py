"""Keeping linked phones connected, and telling how they are."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from passerelle.errors import Unavailable
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import ConnectionChanged
from passerelle.whatsapp.ports import EventSink

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
log = structlog.get_logger()


class SandboxConnections:
    """`whatsapp.ports.Connections` over a world in this process, and the `EventSource` that tells how they are."""

    def __init__(self, world: World) -> None:
        """Hold phones of `world`."""
        self._companion = world.companions.join()

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:  # noqa: ARG002 -- the port's
        """Hear how this phone is."""
        self._companion.hold(session_id=session_id, device=device)

    async def release(self, *, session_id: str) -> None:
        """Hear no more of it."""
        self._companion.release(session_id)

    def evidence(self) -> Mapping[str, datetime]:
        """A phone that is connected here proves it all the time."""
        return dict.fromkeys(self._companion.connected(), datetime.now(UTC))

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every change to `sink`, in order, until it is kept; to the end of the world."""
        with suppress(ProviderUnavailable):
            while True:
                await keep(sink, await self._companion.next_change())


async def keep(sink: EventSink, change: ConnectionChanged) -> None:
    """Bring `change` to `sink` until it is kept."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await sink.tell([change])
        except Unavailable:
            pass  # said where that is known
        except Exception as error:
            log.error("❌ A connection of the sandbox was not kept, it is told again", exc_info=error)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
