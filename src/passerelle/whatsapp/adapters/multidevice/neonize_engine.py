"""The engine that is neonize: everything untyped, name-mangled and blocking about it stays in this module."""

import asyncio
import ctypes
import itertools
import logging
from typing import Any

import structlog
from neonize._binder import ProxySettings, func_callback_bytes2, gocode
from neonize.aioze.client import NewAClient
from neonize.events import (
    EVENT_TO_INT,
    INT_TO_EVENT,
    ClientOutdatedEv,
    ConnectedEv,
    ConnectFailureEv,
    DisconnectedEv,
    KeepAliveRestoredEv,
    KeepAliveTimeoutEv,
    LoggedOutEv,
    MessageEv,
    PairStatusEv,
    ReceiptEv,
    StreamErrorEv,
    StreamReplacedEv,
    TemporaryBanEv,
    UndecryptableMessageEv,
)
from neonize.exc import NeonizeError
from neonize.proto.Neonize_pb2 import JID, GetJIDFromStoreReturnFunction
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message
from neonize.utils.enum import ClientName, ClientType, MediaType
from neonize.utils.log import log_whatsmeow

from passerelle.whatsapp.adapters.multidevice.engine import Dialled, EngineError, LoginStatus, QrText, Told
from passerelle.whatsapp.adapters.multidevice.jids import read_jid

WANTED = (
    *(MessageEv, UndecryptableMessageEv, ReceiptEv, PairStatusEv, ConnectedEv, DisconnectedEv, LoggedOutEv),
    *(StreamReplacedEv, TemporaryBanEv, ConnectFailureEv, ClientOutdatedEv, StreamErrorEv),
    *(KeepAliveTimeoutEv, KeepAliveRestoredEv),
)
# What phones list under "linked devices": some accounts refuse a name that no browser has (OpenWA PR 1672).
PROPS = DeviceProps(os="Ubuntu", platformType=DeviceProps.CHROME)
_numbers = itertools.count()
log = structlog.get_logger()


class NeonizeEngine:
    """`engine.Engine` over the real library; neonize keeps the first event loop it sees, so one per process."""

    def __init__(self) -> None:
        """Let whatsmeow say its warnings to our standard error only."""
        logging.getLogger("neonize").setLevel(logging.WARNING)
        logging.getLogger("whatsmeow").setLevel(logging.WARNING)

    def prepare(self, store: str) -> None:
        """Open the device store once, alone: two that make its tables in the same moment hinder each other."""
        ear = func_callback_bytes2(log_whatsmeow)
        found = gocode.GetAllDevices(store.encode(), ear).decode(errors="replace")
        if found.startswith("error: "):
            raise EngineError(found)

    def client(self, *, store: str, device: str | None, told: Told) -> "NeonizeClient":
        """A client of `device`, which must be in `store`: the library ends the process for one that is not."""
        return NeonizeClient(store=store, device=device, told=told)


class NeonizeClient:
    """`engine.Client` over one neonize client."""

    def __init__(self, *, store: str, device: str | None, told: Told) -> None:
        """Nothing is opened before `connect`."""
        name = f"passerelle-{next(_numbers)}"
        jid = None if device is None else JID(**read_jid(device))
        made: Any = NewAClient(store, jid=jid, props=PROPS, uuid=name, new_device=device is None)
        # It would call Go from the garbage collector's thread, while another one connects: Go's maps do not bear that.
        made._stop_finalizer.detach()  # noqa: SLF001
        # Else it is the phone number, and a second device of the same phone takes the first one's place.
        made.uuid = name.encode()
        made._NewAClient__onQr = self._on_qr  # noqa: SLF001  # read by `connect`; its own asks for a loop of its own
        made._NewAClient__onLoginStatus = self._on_login  # noqa: SLF001  # its own drops what it hears
        made.event.list_func = {EVENT_TO_INT[wanted]: None for wanted in WANTED}
        made.event.execute = self._on_event
        self._made = made
        self._told = told
        self._task: asyncio.Task[Any] | None = None

    async def connect(self, proxy: str | None) -> asyncio.Task[Any]:
        """Begin to connect."""
        self._task = await self._made.connect(None if proxy is None else ProxySettings(proxy))
        return self._task

    async def is_connected(self) -> bool:
        """Whether the socket is open."""
        return bool(await self._made.is_connected)

    async def pair_phone(self, phone_number: str) -> str:
        """A code, as ``Chrome (Linux)``: WhatsApp refuses the names of products."""
        named = {"client_name": ClientName.LINUX, "client_type": ClientType.CHROME}
        return str(await _said(self._made.PairPhone(phone_number, show_push_notification=True, **named)))

    async def logout(self) -> None:
        """Take the device off its phone."""
        await _said(self._made.logout())

    async def stop(self) -> None:
        """Close the connection."""
        await self._made.stop()

    async def send(self, to: str, message: bytes) -> str:
        """Hand a message over."""
        answer = await _said(self._made.send_message(JID(**read_jid(to)), Message.FromString(message)))
        return str(answer.ID)

    async def upload(self, data: bytes, kind: int) -> Any:
        """Bring a medium to WhatsApp."""
        return await _said(self._made.upload(data, MediaType(kind)))

    async def download(self, message: bytes) -> bytes:
        """Fetch a medium."""
        return bytes(await _said(self._made.download_any(Message.FromString(message))))

    async def is_on_whatsapp(self, phone_number: str) -> bool:
        """Ask WhatsApp for a number."""
        return any(answer.IsIn for answer in await _said(self._made.is_on_whatsapp(phone_number)))

    def number_of(self, lid: str) -> str | None:
        """Look a LID up."""
        asked = JID(**read_jid(f"{lid}@lid")).SerializeToString()
        answer = GetJIDFromStoreReturnFunction.FromString(gocode.GetPNFromLID(self._made.uuid, asked, len(asked)))
        return str(answer.Jid.User) or None

    def _on_qr(self, _uuid: int, text: int) -> None:
        self._tell(QrText(ctypes.string_at(text).decode()))

    def _on_login(self, _uuid: int, word: int) -> None:
        self._tell(LoginStatus(ctypes.string_at(word).decode()))

    def _on_event(self, _uuid: int, data: int, size: int, code: int) -> None:
        if code == 0:
            self._tell(Dialled())
        elif code in INT_TO_EVENT:
            self._tell(INT_TO_EVENT[code].FromString(ctypes.string_at(data, size)))

    def _tell(self, event: Any) -> None:
        try:
            self._told(event)
        except Exception:  # nobody stands above: the caller is Go
            log.exception("❌ An event of neonize was not understood")


async def _said(call: Any) -> Any:
    try:
        return await call
    except NeonizeError as error:
        raise EngineError(str(error)) from error


def engine() -> NeonizeEngine:
    """The engine of a host."""
    return NeonizeEngine()
