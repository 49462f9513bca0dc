"""Bringing events to whoever keeps them, again and again until they are kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from passerelle.errors import Unavailable
from passerelle.sandbox.events import EventQueue, Row, event_of
from passerelle.sandbox.world import World
from passerelle.whatsapp.ports import EventSink, EventSource

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
log = structlog.get_logger()

Bring = Callable[[Sequence[Row]], Awaitable[None]]


class SandboxEvents:
    """`whatsapp.ports.EventSource` over a world in this process."""

    def __init__(self, world: World) -> None:
        """Tell what happens to the phones of `world`."""
        self._queue: EventQueue = world.mail.events

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every event to `sink`, as soon as it is there."""
        await bring_for_ever(self._listen, sink)

    async def _listen(self, bring: Bring) -> None:
        while True:
            loan = await self._queue.borrow()
            try:
                await bring(loan.rows)
                self._queue.acknowledge(loan)
            finally:
                self._queue.give_back(loan)


class Together:
    """`whatsapp.ports.EventSource`: several as one."""

    def __init__(self, *sources: EventSource) -> None:
        """Tell what `sources` tell."""
        self._sources = sources

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every event of each to `sink`."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.tell_for_ever(sink))


async def bring_for_ever(listen: Callable[[Bring], Awaitable[None]], sink: EventSink) -> None:
    """Run `listen` with what brings a batch to `sink`, and anew after a pause whenever it breaks, until cancelled."""
    pause_s = FIRST_PAUSE_S

    async def bring(rows: Sequence[Row]) -> None:
        nonlocal pause_s
        await sink.tell([event_of(row) for row in rows])
        pause_s = FIRST_PAUSE_S

    while True:
        try:
            await listen(bring)
        except Unavailable:
            pass  # the world's server or the sink's database is away: said where that is known
        except Exception as error:
            log.error("❌ Events of the sandbox were not kept, they are brought again", exc_info=error)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
