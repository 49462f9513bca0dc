"""The benches: each provider over the wire that it speaks, and how its other side is played."""

import asyncio
import base64
import itertools
import time
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any, ClassVar

import httpx
from fastapi import APIRouter, FastAPI

from contracts.provider_parts import MEDIA, MINE, PICTURE, SESSION, THEIRS, Bench, Mishap, Said, Shelf
from graph_server import (
    APP_SECRET,
    OUR_NUMBER,
    PHONE_ID,
    THEIR_NUMBER,
    TOKEN,
    GraphServer,
    WebhookCaller,
    envelope,
)
from graph_server import Mishap as GraphMishap
from passerelle import problems
from passerelle.clock import Clock
from passerelle.listening import unix_socket
from passerelle.redaction import Redactor
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.host import hold_world, open_sandbox, serve_world, world_app
from passerelle.sandbox.provider import sandbox_provider
from passerelle.whatsapp import http as whatsapp_http
from passerelle.whatsapp.adapters.cloud_provider import CloudSetting, OurSessions, open_cloud_provider
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import STATUS_RECIPIENT, Attachment, IncomingType, MessageType
from passerelle.whatsapp.ports import Provider
from whatsapp.multidevice import conftest as _quiet  # noqa: F401
from whatsapp.multidevice import wire
from whatsapp.multidevice.house import House

from servers import HOST

# Last: its import is quiet only after that of `conftest`.
from neonize.events import ConnectedEv, DisconnectedEv  # isort: skip
from neonize.proto.Neonize_pb2 import LOGGED_OUT, Receipt  # isort: skip
from neonize.proto.waCommon.WACommon_pb2 import MessageKey  # isort: skip
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import (  # isort: skip
    DocumentMessage,
    ImageMessage,
    Message,
    ProtocolMessage,
)

LATENCY = timedelta(milliseconds=5)
VERIFY_TOKEN = "agreed-on-in-the-dashboard"
CONTENT_TYPES = {IncomingType.IMAGE: "image/png", IncomingType.DOCUMENT: "application/pdf"}


async def client_of(stack: AsyncExitStack, *routers: APIRouter) -> httpx.AsyncClient:
    """A client of an app of these, as the gateway's API serves them."""
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    problems.install(app, lang="en")
    transport = httpx.ASGITransport(app)
    return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=20))


class SandboxBench(Bench):
    """The simulated WhatsApp in this process, driven by its own routes."""

    mishaps: ClassVar = frozenset(Mishap) - {Mishap.THROTTLED}
    can_be_away: ClassVar = False
    url: str | None = None
    _faults: ClassVar = {
        Mishap.ANSWER_LOST: FaultKind.SEND_TIMEOUT_AFTER,
        Mishap.RESTRICTED: FaultKind.RESTRICTED_463,
        Mishap.NOT_ON_WHATSAPP: FaultKind.NOT_ON_WHATSAPP,
        Mishap.HANG: FaultKind.HANG,
    }

    async def open(self, stack: AsyncExitStack) -> Provider:
        opened = open_sandbox(self.folder, url=self.url, key=None, shared=False, latency=LATENCY)
        sandbox = await stack.enter_async_context(opened)
        self._api = await client_of(stack, sandbox.router)
        self._written: dict[str, str] = {}
        return sandbox_provider(sandbox)

    async def ask(self, method: str, path: str, **wish: Any) -> Any:
        answer = await self._api.request(method, f"/sandbox{path}", json=wish or None)
        assert answer.is_success, answer.text
        return answer.json()

    async def types(self, code: str) -> None:
        await self.ask("POST", f"/phones/{MINE}/enter-code", code=code)

    async def arrived(self) -> list[Said]:
        on_phone = await self.ask("GET", f"/phones/{THEIRS}/messages")
        statuses = await self.ask("GET", "/statuses")
        return [
            Said(MessageType(one["type"]), one["text"] or one["caption"] or (one["template"] or {}).get("name"))
            for one in on_phone["items"] + statuses["items"]
        ]

    async def delivers(self, provider_id: str) -> None:
        """By itself: the phone is online."""

    async def reads(self, provider_id: str) -> None:  # noqa: ARG002  # all that is there
        await self.ask("POST", f"/phones/{THEIRS}/read")

    async def writes(self, type_: IncomingType, text: str | None = None) -> str:
        kind = CONTENT_TYPES.get(type_)
        media = kind and f"data:{kind};base64,{base64.b64encode(PICTURE).decode()}"
        return await self._write(text=text, media=media)

    async def writes_view_once(self) -> str:
        return await self._write(view_once=True)

    async def _write(self, **wish: Any) -> str:
        told = await self.ask("POST", f"/phones/{THEIRS}/messages", to=MINE, **wish)
        self._written[told["message_id"]] = told["id"]
        return str(told["message_id"])

    async def revokes(self, provider_id: str) -> None:
        await self.ask("DELETE", f"/phones/{THEIRS}/messages/{self._written[provider_id]}")

    def bytes_of(self, attachment: Attachment) -> bytes:  # noqa: ARG002
        return PICTURE

    async def forgets_media(self) -> None:
        await self.ask("POST", "/reset")

    async def suffers(self, mishap: Mishap) -> None:
        if mishap is Mishap.AWAY:
            await self.ask("POST", "/phones", number=MINE, online=False)
        else:
            await self.ask("POST", "/faults", kind=self._faults[mishap], number=MINE)

    async def removes_device(self) -> None:
        await self.provider.linker.unlink(device=self.device)

    async def loses_connection(self) -> None:
        for online in (False, True):
            await self.ask("POST", "/phones", number=MINE, online=online)

    async def goes_away(self) -> None:
        raise NotImplementedError("a world in this process is always there")


class RemoteSandboxBench(SandboxBench):
    """The simulated WhatsApp that another process holds."""

    can_be_away: ClassVar = True

    async def open(self, stack: AsyncExitStack) -> Provider:
        path, self._over, self._serving = self.folder / "world.sock", asyncio.Event(), asyncio.Event()
        self._world = asyncio.create_task(self._serve(stack))
        stack.push_async_callback(self.goes_away)
        await self._serving.wait()
        self.url = f"unix://{path}"
        return await super().open(stack)

    async def _serve(self, stack: AsyncExitStack) -> None:
        world = stack.enter_context(hold_world(self.folder, latency=LATENCY))
        assert world is not None
        with unix_socket(self.folder / "world.sock") as listens:
            self._serving.set()
            await serve_world(world_app(world), world, listens, until=self._over.wait())

    async def goes_away(self) -> None:
        self._over.set()
        await self._world


class CloudBench(Bench):
    """Meta's Graph API on loopback, and Meta calling our own route."""

    refers: ClassVar = True
    coexistence: ClassVar = False
    secrets: ClassVar = (TOKEN, APP_SECRET, VERIFY_TOKEN)
    _answers: ClassVar[dict[Mishap, GraphMishap | int]] = {
        Mishap.ANSWER_LOST: GraphMishap.RESET_AFTER,
        Mishap.RESTRICTED: 368,
        Mishap.NOT_ON_WHATSAPP: 131026,
        Mishap.THROTTLED: 130429,
        Mishap.HANG: GraphMishap.HANG_BEFORE,
    }

    async def open(self, stack: AsyncExitStack) -> Provider:
        self.graph = await stack.enter_async_context(GraphServer())
        self._ids = itertools.count(1)
        setting = CloudSetting(
            token=TOKEN,
            app_secret=APP_SECRET,
            verify_token=VERIFY_TOKEN,
            base_url=self.graph.url,
            coexistence=self.coexistence,
        )
        sessions = OurSessions(
            of_number=lambda device: SESSION if device == PHONE_ID else None, of_account=lambda _: [SESSION]
        )
        opened = open_cloud_provider(setting, media=Shelf(), sessions=sessions, clock=Clock(), redactor=Redactor())
        cloud = await stack.enter_async_context(opened)
        self._api = await client_of(stack, whatsapp_http.routes(cloud.webhook, self.ear))
        self._meta = WebhookCaller(self._post)
        return cloud

    async def linked(self) -> str:
        """At Meta."""
        await self.provider.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
        await self.connected()
        return PHONE_ID

    async def types(self, code: str) -> None:
        raise NotImplementedError("there is no code")

    async def arrived(self) -> list[Said]:
        return [Said(MessageType(body["type"]), _words_of(body[body["type"]])) for body in self.graph.messages]

    async def delivers(self, provider_id: str) -> None:
        self._status(provider_id, "delivered")

    async def reads(self, provider_id: str) -> None:
        self._status(provider_id, "read")

    async def writes(self, type_: IncomingType, text: str | None = None) -> str:
        content: dict[str, Any] = {"body": text}
        if type_ in CONTENT_TYPES:
            media_id = f"13104632029{next(self._ids):05}"
            self.graph.media[media_id] = (CONTENT_TYPES[type_], len(PICTURE))
            content = {"id": media_id, "mime_type": CONTENT_TYPES[type_], "caption": text}
        return self._message(type_, content)

    async def writes_view_once(self) -> str:
        raise NotImplementedError("Meta tells of none")

    async def revokes(self, provider_id: str) -> None:
        self._message("revoke", {"original_message_id": provider_id})

    def bytes_of(self, attachment: Attachment) -> bytes:
        return bytes(self.graph.media[attachment.ref][1])

    async def forgets_media(self) -> None:
        self.graph.media.clear()

    async def suffers(self, mishap: Mishap) -> None:
        if mishap is Mishap.AWAY:
            await self.goes_away()
        else:
            self.graph.script(self._answers[mishap], on="/messages")

    async def removes_device(self) -> None:
        self._tell(envelope({"event": "ACCOUNT_DELETED"}, field_name="account_update", at=int(time.time())))

    async def loses_connection(self) -> None:
        """Meta has an error of its own when it is asked next: that is after five minutes, or for who holds anew."""
        await self.provider.connections.release(session_id=SESSION)
        self.graph.script(2, on=PHONE_ID)
        await self.provider.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)

    async def goes_away(self) -> None:
        await self.graph.__aexit__()
        with suppress(ProviderUnavailable):  # a request that may be repeated finds out which connections are dead
            await self.provider.reach()

    def _status(self, provider_id: str, status: str) -> None:
        said = {"id": provider_id, "status": status, "recipient_id": THEIR_NUMBER, "biz_opaque_callback_data": "msg_1"}
        self._value(statuses=[{**said, "timestamp": str(int(time.time()))}])

    def _message(self, kind: str, content: dict[str, Any]) -> str:
        message_id = f"wamid.HBgL{next(self._ids):08}"
        known = {"from": THEIR_NUMBER, "id": message_id, "timestamp": str(int(time.time())), "type": str(kind)}
        contact = {"profile": {"name": "Camille Exemple"}, "wa_id": THEIR_NUMBER}
        self._value(contacts=[contact], messages=[{**known, str(kind): content}])
        return message_id

    def _value(self, **parts: Any) -> None:
        metadata = {"display_phone_number": OUR_NUMBER, "phone_number_id": PHONE_ID}
        self._tell(envelope({"messaging_product": "whatsapp", "metadata": metadata, **parts}))

    def _tell(self, payload: dict[str, Any]) -> None:
        """Again and again until we take it, as Meta does."""

        async def call() -> None:
            while not await self._meta.deliver(payload, tries=1):  # noqa: ASYNC110 -- Meta waits for nothing else
                await asyncio.sleep(0.05)

        self.go(call())

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        return (await self._api.post(whatsapp_http.PATH, content=body, headers=headers)).status_code


class CoexistenceBench(CloudBench):
    """The same for a number that the WhatsApp Business app uses too."""

    coexistence: ClassVar = True


class MultideviceBench(Bench):
    """Linked devices in real hosts, on the stand-in of neonize."""

    needs_connection: ClassVar = True
    _errors: ClassVar[dict[Mishap, dict[str, Any]]] = {
        Mishap.ANSWER_LOST: {"send_error": "timed out waiting for message send response"},
        Mishap.RESTRICTED: {"send_error": "server returned error 463"},
        Mishap.THROTTLED: {"send_error": "server returned error 429"},
        Mishap.NOT_ON_WHATSAPP: {"not_on_whatsapp": [THEIRS]},
        Mishap.HANG: {"send_s": 40.0},
    }

    async def open(self, stack: AsyncExitStack) -> Provider:
        # A proxy stands for the way to WhatsApp, which no test may go.
        self._way = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
        stack.push_async_callback(self.goes_away)
        host, port = self._way.sockets[0].getsockname()
        self.house = House(self.folder, proxy=f"http://{host}:{port}")
        await stack.enter_async_context(self.house)
        self.house.tell_to(self.ear)
        self._ids = itertools.count(1)
        return self.house.provider.provider()

    async def types(self, code: str) -> None:
        (child,) = self.house.fleet.children
        assert await self.house.pull(child, who=MINE[1:], do="type", code=code) == "done"

    async def arrived(self) -> list[Said]:
        return [_said(line) for line in self.house.log("send")]

    async def delivers(self, provider_id: str) -> None:
        await self.house.event(self.device, wire.receipt(Receipt.DELIVERED, provider_id))

    async def reads(self, provider_id: str) -> None:
        await self.house.event(self.device, wire.receipt(Receipt.READ, provider_id))

    async def writes(self, type_: IncomingType, text: str | None = None) -> str:
        known = {"mediaKey": b"k" * 32, "directPath": "/v/1", "caption": text or "", "mimetype": "image/png"}
        match type_:
            case IncomingType.IMAGE:
                content = Message(imageMessage=ImageMessage(**known))
            case IncomingType.DOCUMENT:
                content = Message(documentMessage=DocumentMessage(**{**known, "mimetype": "application/pdf"}))
            case _:
                content = Message(conversation=text or "")
        return await self._hear(content)

    async def writes_view_once(self) -> str:
        message_id = f"3A{next(self._ids):08}"
        await self.house.event(self.device, wire.unavailable(Info=wire.info(message_id)))
        return message_id

    async def revokes(self, provider_id: str) -> None:
        key = MessageKey(ID=provider_id)
        await self._hear(Message(protocolMessage=ProtocolMessage(type=ProtocolMessage.REVOKE, key=key)), Edit="7")

    async def _hear(self, content: Message, **about: Any) -> str:
        message_id = f"3A{next(self._ids):08}"
        await self.house.event(self.device, wire.message(content, about=wire.info(message_id, **about)))
        return message_id

    def bytes_of(self, attachment: Attachment) -> bytes:
        return b"medium:" + base64.b64decode(attachment.ref)

    async def forgets_media(self) -> None:
        self.house.flags(download_error="download failed with status code 410")

    async def suffers(self, mishap: Mishap) -> None:
        if mishap is Mishap.AWAY:
            (child,) = self.house.fleet.children
            await self.house.pull(child, who=self.device, do="drop")
        else:
            self.house.flags(**self._errors[mishap])

    async def removes_device(self) -> None:
        await self.house.event(self.device, wire.logged_out(LOGGED_OUT))

    async def loses_connection(self) -> None:
        await self.house.event(self.device, DisconnectedEv(status=True))
        await self.house.event(self.device, ConnectedEv(status=True))

    async def goes_away(self) -> None:
        self._way.close()
        await self._way.wait_closed()


def _words_of(content: dict[str, Any]) -> str | None:
    return content.get("body") or content.get("caption") or content.get("name")


def _said(line: dict[str, Any]) -> Said:
    message = Message.FromString(base64.b64decode(line["message"]))
    if line["to"] == STATUS_RECIPIENT:
        return Said(MessageType.STATUS, message.extendedTextMessage.text)
    for kind in MEDIA:
        if message.HasField(f"{kind}Message"):
            medium = getattr(message, f"{kind}Message")
            return Said(kind, getattr(medium, "caption", "") or None)
    return Said(MessageType.TEXT, message.conversation)


BENCHES: dict[str, type[Bench]] = {
    "sandbox": SandboxBench,
    "sandbox over the wire": RemoteSandboxBench,
    "cloud_api": CloudBench,
    "cloud_api beside the app": CoexistenceBench,
    "multidevice": MultideviceBench,
}
