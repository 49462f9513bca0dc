"""A whole gateway on linked devices: real hosts, in them a stand-in for neonize, and phones that a test plays."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from passerelle.app import App, make_data_dir, open_app
from passerelle.app.base import Ground
from passerelle.redaction import Redactor
from passerelle.settings import read_settings
from passerelle.whatsapp.adapters.multidevice.provider import MultideviceProvider
from passerelle.whatsapp.ports import OutgoingMedia, Provider
from passerelle.worker import Worker
from whatsapp.multidevice import conftest as _quiet  # noqa: F401
from whatsapp.multidevice import house as linked_devices
from whatsapp.multidevice import wire

from apps import http

# Last: its import is quiet only after that of `conftest`.
from neonize.proto.Neonize_pb2 import LOGGED_OUT, Receipt  # isort: skip
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import ImageMessage, Message  # isort: skip

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
MINE, THEIRS = "+33639980001", "+33639980002"
LIMIT_S = 30.0  # hosts are processes, and the machine may be busy
Json = dict[str, Any]


class Devices(linked_devices.House):
    """The strings that a test pulls, and a provider for one gateway."""

    @asynccontextmanager
    async def opened(self, _ground: Ground, media: OutgoingMedia) -> AsyncIterator[Provider]:
        """As `open_app` wants it."""
        async with MultideviceProvider(self.place, self.setup, media) as made:
            self.fleet = made.fleet
            yield made.provider()


@dataclass(frozen=True, kw_only=True)
class House:
    """A gateway, its API, and WhatsApp."""

    app: App
    api: httpx.AsyncClient
    devices: Devices

    async def pair(self) -> str:
        """Link `MINE` as people do; the session."""
        wish = {"user_id": "anna", "phone_number": MINE}
        answer = await self.api.post("/api/whatsapp/pairing-code", json=wish)
        assert answer.status_code == 200, answer.text
        attempt = answer.json()
        (child,) = self.devices.fleet.children
        assert await self.devices.pull(child, who=MINE[1:], do="type", code=attempt["code"]) == "done"
        path = f"/api/whatsapp/pairing-code/{attempt['attempt_id']}"
        await until(lambda: self.get(path), lambda found: found["status"] == "linked")
        await self.until_session(attempt["session_id"], "connected")
        return str(attempt["session_id"])

    async def get(self, path: str) -> Json:
        found: Json = (await self.api.get(path)).json()
        return found

    async def device(self) -> str:
        (row,) = await self.app.database.read(lambda tx: tx.sql("SELECT device FROM linked_phones"))
        return str(row["device"])

    async def until_session(self, session_id: str, state: str) -> Json:
        path = f"/api/whatsapp/sessions/{session_id}"
        return await until(lambda: self.get(path), lambda found: found.get("state") == state)

    async def send(self, text: str = "Bonjour") -> str:
        wish = {"user_id": "anna", "to": THEIRS, "type": "text", "text": text}
        answer = await self.api.post("/api/messages", json=wish)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def until_message(self, message_id: str, status: str) -> Json:
        return await until(lambda: self.get(f"/api/messages/{message_id}"), lambda found: found["status"] == status)

    def said(self) -> list[tuple[str, str]]:
        """WhatsApp's id and text of all that was handed over."""
        lines = self.devices.log("send")
        return [(one["id"], Message.FromString(base64.b64decode(one["message"])).conversation) for one in lines]


async def until(look: Callable[[], Awaitable[Json]], good: Callable[[Json], bool]) -> Json:
    """What is looked at, once it is good."""
    began = time.monotonic()
    while not good(found := await look()):
        assert time.monotonic() - began < LIMIT_S, found
        await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[House]:
    """A gateway in `folder`, its worker running."""
    devices = Devices(folder)
    more: Json = {"provider": "multidevice", "pacing": False, "probation": timedelta(milliseconds=50)}
    settings = read_settings(data_dir=folder / "data", **more)
    make_data_dir(settings)
    async with open_app(settings, Redactor(), provider=devices.opened) as app:
        worker = asyncio.create_task(Worker(app).run())
        try:
            async with http(app) as api:
                yield House(app=app, api=api, devices=devices)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as house:
        yield house


async def test_a_phone_is_linked_and_what_it_says_is_sent_delivered_and_read(house: House) -> None:
    await house.pair()
    message_id = await house.send()
    await house.until_message(message_id, "sent")
    ((provider_id, text),) = house.said()
    assert text == "Bonjour"
    device = await house.device()
    await house.devices.event(device, wire.receipt(Receipt.DELIVERED, provider_id))
    await house.until_message(message_id, "delivered")
    await house.devices.event(device, wire.receipt(Receipt.READ, provider_id))
    await house.until_message(message_id, "read")
    assert [line["device"] for line in house.devices.log("connect")] == [None], "linked and held by one connection"


async def test_a_picture_that_comes_in_is_kept_where_the_session_agrees(house: House) -> None:
    session_id = await house.pair()
    agreed = {"deleted": True, "view_once": True}
    answer = await house.api.put(f"/api/whatsapp/sessions/{session_id}/capture", json=agreed)
    assert answer.status_code == 200
    known = {"mediaKey": b"k" * 32, "directPath": "/v/1", "mimetype": "image/png", "caption": "regarde"}
    picture = wire.message(Message(imageMessage=ImageMessage(**known)), about=wire.info("M1"))
    for _ in range(2):  # a host that was killed brings it twice
        await house.devices.event(await house.device(), picture)

    async def look() -> Json:
        found = await house.get("/api/inbox/messages")
        return found["items"][0] if found["items"] else {"media": {}}

    kept = await until(look, lambda found: (found["media"] or {}).get("url") is not None)
    assert (kept["from"], kept["text"], kept["deleted_at"]) == (THEIRS, "regarde", None)
    assert (await house.api.get(kept["media"]["url"])).content.startswith(b"medium:")
    assert len((await house.get("/api/inbox/messages"))["items"]) == 1


async def test_a_phone_that_removes_the_device_ends_its_session(house: House) -> None:
    session_id = await house.pair()
    await house.devices.event(await house.device(), wire.logged_out(LOGGED_OUT))
    session = await house.until_session(session_id, "logged_out")
    assert session["state_reason"] == "removed_by_phone"
    wish = {"user_id": "anna", "to": THEIRS, "type": "text", "text": "Bonjour"}
    answer = await house.api.post("/api/messages", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_linked")
    assert (await house.api.get("/api/whatsapp/sessions")).json()["items"]


async def test_a_host_that_is_killed_is_replaced_and_messages_go_on(house: House) -> None:
    session_id = await house.pair()
    (before,) = house.devices.fleet.children
    linked_devices.kill(before)
    await house.until_session(session_id, "disconnected")
    message_id = await house.send("in between")
    await house.until_session(session_id, "connected")
    await house.until_message(message_id, "sent")
    (after,) = house.devices.fleet.children
    assert after.pid != before.pid
    assert [text for _, text in house.said()] == ["in between"]
    assert house.devices.log("connect")[-1]["device"] == await house.device()


async def test_a_message_in_a_host_that_is_killed_is_unknown_and_not_sent_again(house: House) -> None:
    await house.pair()
    house.devices.flags(send_s=5.0)
    message_id = await house.send()
    await until(lambda: house.get("/healthz"), lambda _: bool(house.said()))
    (child,) = house.devices.fleet.children
    linked_devices.kill(child)
    await house.until_message(message_id, "unknown")
    assert len(house.said()) == 1


async def test_a_gateway_that_is_started_again_goes_on_with_its_phones(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        session_id = await house.pair()
        device = await house.device()
        pids = [child.pid for child in house.devices.fleet.children]
    assert not any(map(linked_devices.alive, pids))
    async with opened(tmp_path) as house:
        await house.until_session(session_id, "connected")
        message_id = await house.send("again")
        await house.until_message(message_id, "sent")
        assert house.devices.log("connect")[-1]["device"] == device, "by its JID, without a code"


async def test_a_template_is_refused_at_the_door(house: House) -> None:
    template = {"name": "lead", "language": {"code": "fr"}}
    wish = {"user_id": "anna", "to": THEIRS, "type": "template", "template": template}
    answer = await house.api.post("/api/messages", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_offered")
    assert answer.json()["message_type"] == "template"
    assert (await house.api.post("/webhooks/cloud-api")).status_code == 404, "nobody calls us"
