"""One linked phone in a host: connected, connected again, and listened to."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from neonize.events import (
    ConnectedEv,
    KeepAliveRestoredEv,
    KeepAliveTimeoutEv,
    MessageEv,
    ReceiptEv,
    UndecryptableMessageEv,
)

from passerelle.whatsapp.adapters.multidevice.answers import CLIENT_OUTDATED, masked, sending_fault
from passerelle.whatsapp.adapters.multidevice.changes import REFUSED_PAUSE_S, change_of
from passerelle.whatsapp.adapters.multidevice.dialling import Relay, Tools, dial, stop_client, why
from passerelle.whatsapp.adapters.multidevice.engine import Client, Dialled, EngineError
from passerelle.whatsapp.adapters.multidevice.incoming import message_events, receipt_events, unavailable_events
from passerelle.whatsapp.adapters.multidevice.jids import recipient
from passerelle.whatsapp.model import STATUS_RECIPIENT, Connection, ConnectionChanged, SessionEvent
from passerelle.whatsapp.sending import DeviceGone, NotHandedOver, PhoneOffline, Remedy, SendRefused

LONGEST_PAUSE_S = 60.0
LOOK_LIMIT_S = 5.0
SILENT_LIMIT_S = 300.0  # whatsmeow dials again by itself; after this we no longer believe it
CHECK_LIMIT_S = 5.0
SEND_LIMIT_S = 20.0
REMEMBERED = 10_000
log = structlog.get_logger()


class Remembered(OrderedDict[str, str]):
    """The last few thousand of something."""

    def keep(self, key: str, value: str = "") -> None:
        """Remember `key`; the oldest is forgotten."""
        self[key] = value
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Phone:
    """One phone, from `hold` to `release`; it tells how its connection is and what comes in."""

    def __init__(self, tools: Tools, *, session_id: str, device: str, proxy: str | None) -> None:
        """Nothing happens before `run`."""
        self.session_id = session_id
        self.device = device
        self.state = Connection.DISCONNECTED
        self.heard_at: datetime | None = None
        self.held = True
        self.watcher: Callable[[Connection, str | None], None] | None = None
        self._tools = tools
        self._proxy = proxy
        self._client: Client | None = None
        self._task: asyncio.Task[Any] | None = None
        self._dialled = asyncio.Event()
        self._fate: asyncio.Future[float | None] | None = None
        self._since = 0.0
        self._doubt = False
        self._turn = asyncio.Semaphore(1)  # an unanswered send keeps a thread for 75 s: one for each phone, no more
        self._known = Remembered()
        self._sent = Remembered()
        self._loop = asyncio.get_running_loop()

    def take_over(self, client: Client, relay: Relay, task: asyncio.Task[Any]) -> None:
        """Go on with the connection that a linking has made, and that ends with `task`."""
        self._client, self._task = client, task
        relay.to = self._told
        self._become(Connection.CONNECTED)

    async def run(self) -> None:
        """Connect, again after every loss, until cancelled or until trying again does not help."""
        pause_s = self._tools.first_pause_s
        try:
            while True:
                began = self._loop.time()
                fate = await self._live()
                if fate is None:
                    return
                await self._stop()
                if self._loop.time() - began > LONGEST_PAUSE_S:
                    pause_s = self._tools.first_pause_s
                await asyncio.sleep(spread_s(max(fate, pause_s)))
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            await asyncio.shield(self._stop())

    async def send(self, to: str, message: bytes, *, handing: Callable[[], None]) -> str:
        """Hand `message` over; `handing` is called just before it can no longer be held back.

        Raises:
            PasserelleError: as `whatsapp.sending` says.
        """
        async with self._turn:
            client = self._connected()
            if to != STATUS_RECIPIENT and to not in self._known:
                await self._check(client, to)
                client = self._connected()
            handing()
            try:
                message_id = await client.send(recipient(to), message)
            except EngineError as error:
                raise sending_fault(str(error)) from error
            self._known.keep(to)
            self._sent.keep(message_id, to)
            self._heard()
            return message_id

    def client(self) -> Client:
        """The client of a phone that is connected.

        Raises:
            PhoneOffline: it is not.
            DeviceGone: it will not be.
        """
        return self._connected()

    async def quiet(self) -> None:
        """Wait until no message of it is on its way, but not longer than a send may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_LIMIT_S), self._turn:
                pass

    async def logout(self) -> None:
        """Take the device off its phone, if it is connected."""
        with suppress(EngineError, PhoneOffline, DeviceGone):
            await self._connected().logout()

    def _connected(self) -> Client:
        if self.state is Connection.LOGGED_OUT:
            raise DeviceGone
        if self._client is None or self.state is not Connection.CONNECTED:
            raise PhoneOffline
        return self._client

    async def _check(self, client: Client, to: str) -> None:
        """Ask WhatsApp for a first contact: it takes messages for numbers it does not know, and never delivers them.

        When the question is not answered the message goes nevertheless.
        """
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                known = not to.startswith("+") or await client.is_on_whatsapp(to)
        except EngineError as error:
            fault = sending_fault(str(error))
            if isinstance(fault, (PhoneOffline, DeviceGone, NotHandedOver)):
                raise fault from error
            return
        except TimeoutError:
            return
        if not known:
            raise SendRefused("not_on_whatsapp", Remedy.PERMANENT)
        self._known.keep(to)

    async def _live(self) -> float | None:
        """One connection, from its dial to its end: the seconds until the next, or nothing when there shall be none."""
        self._fate = self._loop.create_future()
        if self._client is None:
            known = await self._in_store()
            if known is not True:
                return known
            relay = Relay()
            relay.to = self._told
            self._dialled.clear()
            self._client = self._tools.engine.client(store=self._tools.store.name, device=self.device, told=relay)
            self._task = await dial(self._client, self._tools, proxy=self._proxy, dialled=self._dialled)
        return await self._until_fate(self._fate, self._task)

    async def _in_store(self) -> bool | float | None:
        """True when the device can be connected; the library ends the process for one that is not there."""
        try:
            there = await self._tools.store.has(self.device)
        except Exception as error:
            self._become(Connection.DISCONNECTED, reason="device_store_unreachable")
            log.warning("⚠️ The device store cannot be read", error=masked(str(error)))
            return 0.0
        if there is None:  # no device at all: rather a folder that is not mounted than a phone that is gone
            self._become(Connection.DISCONNECTED, reason="device_store_empty")
            self._tools.note("error", "❌ The device store is empty, the phones cannot be connected")
            return REFUSED_PAUSE_S
        if not there:
            self._become(Connection.LOGGED_OUT, reason="unknown_device")
            return None
        return True

    async def _until_fate(self, fate: asyncio.Future[float | None], task: asyncio.Task[Any] | None) -> float | None:
        ends: set[asyncio.Future[Any]] = {fate} if task is None else {fate, task}
        while True:
            done, _ = await asyncio.wait(ends, timeout=self._tools.look_every_s, return_when=asyncio.FIRST_COMPLETED)
            if fate in done:
                return fate.result()
            if task is not None and task in done:
                self._become(Connection.DISCONNECTED, reason=why(task))
                return 0.0
            await self._look()

    async def _look(self) -> None:
        """Is it still there? Not asked during a dial: the answer would wait for it."""
        client = self._client
        if client is None or self._fate is None or self._fate.done():
            return
        if self.state is not Connection.CONNECTED:
            if self._loop.time() - self._since > SILENT_LIMIT_S:
                self._fate.set_result(0.0)
            return
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                open_ = await client.is_connected()
        except TimeoutError:
            return
        if open_ and not self._doubt:
            self._heard()
        elif not open_:
            self._become(Connection.DISCONNECTED, reason="not connected any more")

    def _told(self, event: Any) -> None:
        """In a thread of the library's: kept on disk before it goes on."""
        self._heard()
        events: list[SessionEvent] = []
        client = self._client
        number_of = client.number_of if client is not None else lambda _lid: None
        match event:
            case MessageEv():
                events = message_events(event, session_id=self.session_id, number_of=number_of)
            case UndecryptableMessageEv():
                events = unavailable_events(event, session_id=self.session_id, number_of=number_of)
            case ReceiptEv():
                events = receipt_events(event, session_id=self.session_id, number_of=number_of, told_to=self._sent.get)
            case _:
                self._loop.call_soon_threadsafe(self._changed, event)
        if events and self.session_id:
            self._tools.tell(events)

    def _changed(self, event: Any) -> None:
        """In the loop: what an event means for the connection."""
        if isinstance(event, Dialled):
            self._dialled.set()
            return
        if isinstance(event, (KeepAliveTimeoutEv, KeepAliveRestoredEv, ConnectedEv)):
            self._doubt = isinstance(event, KeepAliveTimeoutEv)
        change = change_of(event, now=datetime.now(UTC))
        if change is None:
            return
        if change.reason == CLIENT_OUTDATED:
            self._tools.note("error", "❌ WhatsApp refuses this version of neonize: update Passerelle")
        self._become(change.connection, reason=change.reason, until=change.until)
        if change.ends and self._fate is not None and not self._fate.done():
            self._fate.set_result(change.pause_s)

    def _become(self, state: Connection, *, reason: str | None = None, until: datetime | None = None) -> None:
        if state is self.state and state is not Connection.RESTRICTED and self._since:
            return
        self.state = state
        self._since = self._loop.time()
        now = datetime.now(UTC)
        changed = ConnectionChanged(session_id=self.session_id, connection=state, at=now, reason=reason, until=until)
        if self.session_id:  # else it is connected only to be unlinked
            self._tools.tell([changed])
        if self.watcher is not None:
            self.watcher(state, reason)

    def _heard(self) -> None:
        self.heard_at = datetime.now(UTC)

    async def _stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await stop_client(client, self._tools)


def spread_s(wait_s: float) -> float:
    """A little longer than `wait_s`, never shorter: WhatsApp may have said it, and a dial during a ban makes it longer.

    Fifty phones that lost their network together shall not come back in the same moment.
    """
    return wait_s + min(wait_s, LONGEST_PAUSE_S) * random.uniform(0.0, 0.4)  # noqa: S311
