"""One linking in a host: a connection without a device yet, its codes, and what it becomes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from neonize.events import ConnectedEv, LoggedOutEv, PairStatusEv
from neonize.proto.Neonize_pb2 import ConnectFailureReason

from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.multidevice.answers import CLIENT_OUTDATED, masked, pairing_fault
from passerelle.whatsapp.adapters.multidevice.dialling import Relay, Tools, dial, stop_client, why
from passerelle.whatsapp.adapters.multidevice.engine import EngineError, LoginStatus, QrText
from passerelle.whatsapp.adapters.multidevice.jids import jid_text, phone_number
from passerelle.whatsapp.adapters.multidevice.phone import Phone
from passerelle.whatsapp.faults import PasskeyRequired, ProviderUnavailable
from passerelle.whatsapp.model import (
    CodeTyped,
    Connection,
    ConnectionLost,
    DeviceLinked,
    LinkingEvent,
    LoggedOut,
    PairingCode,
    QrShown,
)

# The socket closes 160 s after the first QR code, and every code with it (reference §0.1); nothing tells of it.
CODE_LIFE = timedelta(seconds=155)
FIRST_QR_LIMIT_S = 60.0
FIRST_QR_LIFE, QR_LIFE = timedelta(seconds=60), timedelta(seconds=20)  # whatsmeow's qrchan.go; nothing tells of it
LOOK_EVERY_S, LOOK_LIMIT_S = 5.0, 5.0
# After pairing WhatsApp has us connect again (515); should that hang, the device is linked nevertheless.
CONFIRM_LIMIT_S = 10.0
# How a login ends badly (whatsmeow's qrchan.go); "success" is told again, with the device, by a PairStatus.
LOGIN_ENDS = {
    "timeout": "code expired",
    "error": "pairing refused",
    "err-client-outdated": CLIENT_OUTDATED,
    "err-unexpected-state": "unexpected state",
}
_PAIRED = 2  # PairStatus.SUCCESS


class HostLinking:
    """One linking, until it is closed or has become a phone."""

    def __init__(
        self,
        tools: Tools,
        *,
        session_id: str,
        phone_number: str,
        proxy: str | None,
        say: Callable[[LinkingEvent | PasserelleError], None],
        became: Callable[[Phone], None],
        code_life: timedelta = CODE_LIFE,
    ) -> None:
        """Nothing is opened before `open`. `say` hears what happens, `became` what phone it has become."""
        self.qr: str | None = None
        self.phone: Phone | None = None
        self.has_code = False
        self._tools = tools
        self._session_id = session_id
        self._number = phone_number
        self._proxy = proxy
        self._say = say
        self._became = became
        self._life = code_life
        self._loop = asyncio.get_running_loop()
        self._relay = Relay()
        self._relay.to = self._told
        self._client = tools.engine.client(store=tools.store.name, device=None, told=self._relay)
        self._first_qr = asyncio.Event()
        self._expires_at = datetime.now(UTC)
        self._task: asyncio.Task[Any] | None = None
        self._look: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._device: str | None = None
        self._over = False
        self._closed = False

    async def open(self) -> None:
        """Connect, until the first QR code: before it no code can be asked for.

        Raises:
            ProviderUnavailable: there is no connection to be had.
        """
        task = self._task = await dial(self._client, self._tools, proxy=self._proxy, dialled=self._first_qr)
        shown = asyncio.ensure_future(self._first_qr.wait())
        try:
            await asyncio.wait({task, shown}, timeout=FIRST_QR_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            shown.cancel()
        if self._over or self.qr is None:
            reason = why(task) if task.done() else "no QR code"
            await self.close()
            raise pairing_fault(reason)
        self._look = asyncio.create_task(self._look_for_ever(task))

    async def code(self) -> PairingCode:
        """A code that WhatsApp acknowledged; it kills the one before.

        Raises:
            PasserelleError: a leaf of `whatsapp.faults`.
        """
        if self._over or self.phone is not None:
            raise ProviderUnavailable
        try:
            code = await self._client.pair_phone(self._number)
        except EngineError as error:
            raise pairing_fault(str(error)) from error
        if self._over:
            raise ProviderUnavailable
        self.has_code = True
        return PairingCode(code=code, expires_at=self._expires_at)

    async def close(self) -> None:
        """Give it up, unless it has become a phone, or is about to."""
        self._end()
        if self._device is not None:
            self._become()
        if self.phone is None and not self._closed:
            self._closed = True
            await stop_client(self._client, self._tools)

    def needs_passkey(self) -> None:
        """The account must show its passkey: neonize cannot."""
        if not self._over and self._device is None:
            self._end()
            self._say(PasskeyRequired())

    def _told(self, event: Any) -> None:
        self._loop.call_soon_threadsafe(self._hear, event)

    def _hear(self, event: Any) -> None:
        match event:
            case QrText(text):
                self._show(text)
            case LoginStatus(word):
                self._login(word)
            case PairStatusEv() if event.Status == _PAIRED:
                self._paired(jid_text(event.ID))
            case PairStatusEv():
                if "passkey" in event.Error.lower():
                    self.needs_passkey()
                self._lose(masked(event.Error) or "pairing refused")
            case ConnectedEv():
                self._become()
            case LoggedOutEv():
                self._removed(ConnectFailureReason.Name(event.Reason).lower())
            case _:
                pass

    def _show(self, text: str) -> None:
        now = datetime.now(UTC)
        life = QR_LIFE if self.qr is not None else FIRST_QR_LIFE
        if self.qr is None:
            self._expires_at = now + self._life
            self._timers.append(self._loop.call_later(self._life.total_seconds(), self._lose, "code expired"))
        self.qr = text
        self._first_qr.set()
        if not self._over:
            self._say(QrShown(qr=text, expires_at=min(now + life, self._expires_at)))

    def _login(self, word: str) -> None:
        if word.startswith("passkey"):
            self.needs_passkey()
        elif word in LOGIN_ENDS:
            if LOGIN_ENDS[word] == CLIENT_OUTDATED:
                self._tools.note("error", "❌ WhatsApp refuses this version of neonize: update Passerelle")
            self._lose(LOGIN_ENDS[word])

    def _paired(self, device: str) -> None:
        if self._device is not None:
            return
        self._device = device
        for timer in self._timers:
            timer.cancel()
        if not self._over:
            self._say(CodeTyped())
            self._timers.append(self._loop.call_later(CONFIRM_LIMIT_S, self._become))
        else:  # given up in the same moment
            self._become()

    def _become(self) -> None:
        if self._device is None or self.phone is not None or self._task is None:
            return
        phone = Phone(self._tools, session_id=self._session_id, device=self._device, proxy=self._proxy)
        phone.held = False
        phone.take_over(self._client, self._relay, self._task)
        phone.watcher = self._watch
        self.phone = phone
        if self._look is not None:
            self._look.cancel()
        self._became(phone)
        if not self._over:
            self._say(DeviceLinked(device=self._device, phone_number=phone_number(self._device)))

    def _watch(self, state: Connection, reason: str | None) -> None:
        if state is Connection.LOGGED_OUT:
            self._removed(reason or "logged out")

    def _removed(self, reason: str) -> None:
        if not self._over:
            self._say(LoggedOut(reason=reason))
            self._end()

    def _lose(self, reason: str) -> None:
        """The connection is gone, and with it its code; one that is paired goes on by itself."""
        if not self._over and self._device is None:
            self._end()
            self._first_qr.set()
            self._say(ConnectionLost(reason=reason))

    def _end(self) -> None:
        self._over = True
        for timer in self._timers:
            timer.cancel()
        if self._look is not None and self.phone is None:
            self._look.cancel()

    async def _look_for_ever(self, task: asyncio.Task[Any]) -> None:
        """Is the socket still open? An end of it is not always told."""
        while not self._over and self._device is None:
            done, _ = await asyncio.wait({task}, timeout=LOOK_EVERY_S)
            if done:
                self._lose(why(task))
                return
            try:
                async with asyncio.timeout(LOOK_LIMIT_S):
                    open_ = await self._client.is_connected()
            except TimeoutError:
                continue
            if not open_ and not await self._opens_again():
                self._lose("disconnected")

    async def _opens_again(self) -> bool:
        """Between pairing and its confirmation the socket closes and opens (515)."""
        await asyncio.sleep(LOOK_LIMIT_S)
        return self._device is not None or await self._client.is_connected()
