"""Keeping phones connected in a simulated WhatsApp that another process holds."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from passerelle.clock import Clock
from passerelle.errors import PasserelleError
from passerelle.sandbox.holding import FIRST_PAUSE_S, LONGEST_PAUSE_S, keep
from passerelle.sandbox.lines import read_change
from passerelle.sandbox.remote import Remote, Stream
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Connection, ConnectionChanged
from passerelle.whatsapp.ports import EventSink

AWAY_AFTER_S = 3.0  # another process takes a world over in half a second: nobody need hear of that
_CONNECTIONS = "/sandbox/wire/connections"


class RemoteConnections:
    """`whatsapp.ports.Connections` over the wire, and the `EventSource` that tells how they are.

    Each process has a stream of its own: its phones are held as long as that lasts, then held anew on the next one.
    """

    def __init__(self, remote: Remote, clock: Clock) -> None:
        """Hold phones of the world behind `remote`, whose time `clock` shows."""
        self._remote = remote
        self._clock = clock
        self._held: dict[str, str] = {}
        self._connected: set[str] = set()
        self._stream: Stream | None = None
        self._path = ""

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:  # noqa: ARG002 -- the port's
        """Hear how this phone is, now or as soon as there is a stream."""
        self._held[session_id] = device
        await self._ask("PUT", "", {session_id: device})

    async def release(self, *, session_id: str) -> None:
        """Hear no more of it."""
        self._connected.discard(session_id)
        if self._held.pop(session_id, None) is not None:
            await self._ask("DELETE", f"/{quote(session_id, safe='')}")

    def evidence(self) -> Mapping[str, datetime]:
        """A phone that is connected proves it as long as there is a stream."""
        return {} if self._stream is None else dict.fromkeys(self._connected, datetime.now(UTC))

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every change to `sink`, in order, until it is kept; that the world stays away is one, too."""
        loop = asyncio.get_running_loop()
        while True:
            lost_at, pause_s = loop.time(), FIRST_PAUSE_S
            while not await self._followed(sink):
                if loop.time() - lost_at >= AWAY_AFTER_S:
                    await self._tell_away(sink)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(FIRST_PAUSE_S)

    async def _followed(self, sink: EventSink) -> bool:
        """Whether there was a stream; it has ended by now."""
        try:
            stream = await self._remote.open("GET", _CONNECTIONS)
        except PasserelleError:
            return False
        try:
            self._path = f"{_CONNECTIONS}/{json.loads(await stream.next_line())['id']}"
            self._stream = stream
            await self._ask("PUT", "", self._held)
            while True:
                await self._tell(sink, read_change(await stream.next_line()))
        except ProviderUnavailable:
            return True
        finally:
            self._stream = None
            stream.close()

    async def _ask(self, method: str, path: str, wish: Mapping[str, str] | None = None) -> None:
        """What cannot be asked is made good by the next stream."""
        stream = self._stream
        if stream is None:
            return
        try:
            await self._remote.ask(method, self._path + path, wish=wish)
        except PasserelleError:
            stream.close()

    async def _tell(self, sink: EventSink, change: ConnectionChanged) -> None:
        if change.session_id not in self._held:
            return
        if change.connection is Connection.CONNECTED:
            self._connected.add(change.session_id)
        else:
            self._connected.discard(change.session_id)
        await keep(sink, change)

    async def _tell_away(self, sink: EventSink) -> None:
        for session_id in sorted(self._connected):
            change = ConnectionChanged(
                session_id=session_id,
                connection=Connection.DISCONNECTED,
                at=self._clock.now(),
                reason=ProviderUnavailable.code,
            )
            await self._tell(sink, change)
