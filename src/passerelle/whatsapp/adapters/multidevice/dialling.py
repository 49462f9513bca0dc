"""Making and stopping clients, one at a time."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from passerelle.whatsapp.adapters.multidevice.answers import masked
from passerelle.whatsapp.adapters.multidevice.engine import Client, Engine
from passerelle.whatsapp.adapters.multidevice.store import Store
from passerelle.whatsapp.model import SessionEvent

# Go's maps are written while a client is made, before it dials: that is over by then, and a dial may hang for long.
DIAL_ALONE_S = 2.0
STOP_LIMIT_S = 10.0
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What every phone and linking of a host works with."""

    engine: Engine
    store: Store
    tell: Callable[[Sequence[SessionEvent]], None]
    note: Callable[..., None]
    look_every_s: float
    first_pause_s: float
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a client is made or stopped: Go's maps bear one writer."""


class Relay:
    """Where a client tells; a linking hands it over to the phone that it has become."""

    def __init__(self) -> None:
        """To nobody yet."""
        self.to: Callable[[Any], None] = lambda _event: None

    def __call__(self, event: Any) -> None:
        """Pass `event` on."""
        self.to(event)


async def dial(client: Client, tools: Tools, *, proxy: str | None, dialled: asyncio.Event) -> asyncio.Task[Any]:
    """Connect `client`, alone until it is made; the task ends, and raises, with its connection."""
    async with tools.one_at_a_time:
        task: asyncio.Task[Any] = await client.connect(proxy)
        until = asyncio.ensure_future(dialled.wait())
        try:
            await asyncio.wait({task, until}, timeout=DIAL_ALONE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            until.cancel()
    return task


def why(task: asyncio.Task[Any]) -> str:
    """What ended the connection of a task that has ended."""
    error = None if task.cancelled() else task.exception()
    return masked(str(error)) if error else "closed"


async def stop_client(client: Client, tools: Tools) -> None:
    """Close the connection of `client`; waits for its turn."""
    async with tools.one_at_a_time:
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await client.stop()
        except Exception as error:
            log.warning("⚠️ A client did not stop", error=masked(str(error)))
