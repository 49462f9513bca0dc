"""What a host can be asked, and whom it asks for it: its phones and linkings by name."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.multidevice.answers import download_fault, upload_fault
from passerelle.whatsapp.adapters.multidevice.dialling import Tools
from passerelle.whatsapp.adapters.multidevice.engine import EngineError
from passerelle.whatsapp.adapters.multidevice.frames import Frames
from passerelle.whatsapp.adapters.multidevice.linking import HostLinking
from passerelle.whatsapp.adapters.multidevice.members import fault_members, linking_members, read_outgoing
from passerelle.whatsapp.adapters.multidevice.outgoing import upload_kind, wire_message, with_medium
from passerelle.whatsapp.adapters.multidevice.phone import Phone
from passerelle.whatsapp.faults import MediumGone, ProviderUnavailable
from passerelle.whatsapp.model import Connection, LinkingEvent
from passerelle.whatsapp.sending import PhoneOffline

MEDIA_AT_ONCE = 8  # each is in memory, whole, on both sides of the library
UNLINK_LIMIT_S = 20.0
Verb = Callable[..., Awaitable[dict[str, Any] | None]]


class Desk:
    """The phones and linkings of one host."""

    def __init__(self, tools: Tools, frames: Frames, *, code_life: timedelta, keep_s: float) -> None:
        """`keep_s` is how long a phone that was just linked waits for somebody to hold it."""
        self._tools = tools
        self._frames = frames
        self._code_life = code_life
        self._keep_s = keep_s
        self._loop = asyncio.get_running_loop()
        self._phones: dict[str, Phone] = {}
        self._runs: dict[Phone, asyncio.Task[None]] = {}
        self._linkings: dict[str, HostLinking] = {}
        self._media = asyncio.Semaphore(MEDIA_AT_ONCE)
        self.verbs: dict[str, Verb] = {
            verb.__name__: verb
            for verb in (
                *(self.link, self.code, self.qr, self.hang_up, self.hold, self.release),
                *(self.unlink, self.upload, self.send, self.fetch),
            )
        }

    async def link(self, asked: dict[str, Any], **_: Any) -> None:
        """Open a linking; answered with its first QR code."""
        name = asked["linking"]
        linking = HostLinking(
            self._tools,
            session_id=asked["session_id"],
            phone_number=asked["phone_number"],
            proxy=asked["proxy"],
            say=partial(self._say, name),
            became=self._take,
            code_life=self._code_life,
        )
        self._linkings[name] = linking
        try:
            await linking.open()
        except BaseException:
            self._linkings.pop(name, None)
            with suppress(asyncio.CancelledError):
                await asyncio.shield(linking.close())
            raise

    async def code(self, asked: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Ask WhatsApp for a code."""
        code = await self._linking(asked).code()
        return {"code": code.code, "expires_at": code.expires_at.isoformat()}

    async def qr(self, asked: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The QR code that can be scanned just now."""
        return {"qr": self._linking(asked).qr}

    async def hang_up(self, asked: dict[str, Any], **_: Any) -> None:
        """Give a linking up; what it has become stays for a while, until somebody holds it."""
        linking = self._linkings.pop(asked["linking"], None)
        if linking is not None:
            await linking.close()
            if linking.phone is not None:
                linking.phone.watcher = None

    async def hold(self, asked: dict[str, Any], **_: Any) -> None:
        """Connect a phone and keep it connected."""
        session_id, device = asked["session_id"], asked["device"]
        before = self._phones.get(session_id)
        if before is not None and before.device == device and before in self._runs:
            before.held = True
            return
        if before is not None:
            await self._drop(before)
        self._take(Phone(self._tools, session_id=session_id, device=device, proxy=asked["proxy"]))

    async def release(self, asked: dict[str, Any], **_: Any) -> None:
        """Close the connection of a phone."""
        phone = self._phones.get(asked["session_id"])
        if phone is not None:
            await phone.quiet()
            await self._drop(phone)

    async def unlink(self, asked: dict[str, Any], **_: Any) -> None:
        """Take a device off its phone; one that nobody holds is connected for it."""
        phone = self._by_device(asked["device"])
        if phone is None:
            phone = Phone(self._tools, session_id="", device=asked["device"], proxy=asked["proxy"])
            connected = asyncio.Event()
            phone.watcher = lambda state, _: connected.set() if state is not Connection.DISCONNECTED else None
            self._take(phone)
            with suppress(TimeoutError):
                async with asyncio.timeout(UNLINK_LIMIT_S):
                    await connected.wait()
        await phone.logout()
        await self._drop(phone)

    async def upload(self, asked: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Bring the medium of a message to WhatsApp; answered with the message, ready to be sent."""
        outgoing = read_outgoing(asked["outgoing"])
        client = self._phone(outgoing.device).client()
        kind = upload_kind(outgoing, asked["content_type"])
        async with self._media:
            data = await asyncio.to_thread(Path(asked["path"]).read_bytes)
            try:
                uploaded = await client.upload(data, kind)
            except EngineError as error:
                raise upload_fault(str(error)) from error
        named = {"content_type": asked["content_type"], "name": asked["name"]}
        return {"prepared": with_medium(outgoing, kind=kind, uploaded=uploaded, **named)}

    async def send(self, asked: dict[str, Any], *, handing: Callable[[], None]) -> dict[str, Any]:
        """Hand a message over."""
        outgoing = read_outgoing(asked["outgoing"])
        message = wire_message(outgoing, asked["prepared"])
        return {"id": await self._phone(outgoing.device).send(outgoing.to, message, handing=handing)}

    async def fetch(self, asked: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Write a medium that came in into a file of the parent's."""
        client = self._phone(asked["device"]).client()
        async with self._media:
            try:
                data = await client.download(bytes.fromhex(asked["message"]))
            except EngineError as error:
                raise download_fault(str(error)) from error
            if not data:
                raise MediumGone
            await asyncio.to_thread(Path(asked["path"]).write_bytes, data)
        return {"size_bytes": len(data)}

    def needs_passkey(self) -> None:
        """The library said so, without saying which linking it is: clear only when there is one."""
        waiting = [linking for linking in self._linkings.values() if linking.has_code and linking.phone is None]
        if len(waiting) == 1:
            waiting[0].needs_passkey()

    def evidence(self) -> dict[str, str]:
        """When each phone was last heard of."""
        return {
            phone.session_id: phone.heard_at.isoformat()
            for phone in self._phones.values()
            if phone.heard_at is not None and phone.session_id
        }

    async def close(self) -> None:
        """Close every connection."""
        for linking in tuple(self._linkings.values()):
            await linking.close()
        for phone in tuple(self._runs):
            await self._drop(phone)

    def _take(self, phone: Phone) -> None:
        self._phones[_name(phone)] = phone
        run = self._runs[phone] = asyncio.create_task(phone.run())
        run.add_done_callback(partial(self._ended, phone))
        if not phone.held:
            self._frames.write(push="linked", session_id=phone.session_id, device=phone.device)
            self._loop.call_later(self._keep_s, self._let_go, phone)

    def _let_go(self, phone: Phone) -> None:
        if not phone.held and (run := self._runs.get(phone)) is not None:
            run.cancel()

    async def _drop(self, phone: Phone) -> None:
        if self._phones.get(_name(phone)) is phone:
            del self._phones[_name(phone)]
        run = self._runs.pop(phone, None)
        if run is not None:
            run.cancel()
            await asyncio.wait({run})

    def _ended(self, phone: Phone, run: asyncio.Task[None]) -> None:
        """By itself (logged out, replaced) or because it was dropped."""
        self._runs.pop(phone, None)
        if not run.cancelled() and run.exception() is not None:
            self._tools.note("error", "❌ A phone is held no more", error=repr(run.exception())[:200])
        if self._phones.get(_name(phone)) is phone and phone.state is not Connection.LOGGED_OUT:
            del self._phones[_name(phone)]
        self._frames.write(push="ended", session_id=phone.session_id, device=phone.device, state=phone.state)

    def _say(self, name: str, event: LinkingEvent | PasserelleError) -> None:
        if isinstance(event, PasserelleError):
            self._frames.write(push="linking", linking=name, fault=fault_members(event))
        else:
            self._frames.write(push="linking", linking=name, event=linking_members(event))

    def _linking(self, asked: dict[str, Any]) -> HostLinking:
        linking = self._linkings.get(asked["linking"])
        if linking is None:
            raise ProviderUnavailable
        return linking

    def _by_device(self, device: str) -> Phone | None:
        return next((phone for phone in self._phones.values() if phone.device == device), None)

    def _phone(self, device: str) -> Phone:
        phone = self._by_device(device)
        if phone is None:
            raise PhoneOffline
        return phone


def _name(phone: Phone) -> str:
    return phone.session_id or phone.device
