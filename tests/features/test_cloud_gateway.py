"""A whole gateway on the Cloud API: one number, Meta's Graph API on loopback, and Meta calling us."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from graph_server import (
    ACCOUNT_ID,
    APP_SECRET,
    OUR_NUMBER,
    PHONE_ID,
    THEIR_NUMBER,
    TOKEN,
    GraphServer,
    Mishap,
    WebhookCaller,
    envelope,
    signature,
)
from media.samples import picture
from passerelle.app import App
from passerelle.errors import Misconfigured
from passerelle.whatsapp.http import BODY_LIMIT, PATH

from apps import gateway, http
from servers import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
SESSION, VERIFY_TOKEN = f"sess_cloud_{PHONE_ID}", "agreed-on-in-the-dashboard"
WISH = {"user_id": "cloud_api", "to": f"+{THEIR_NUMBER}", "type": "text", "text": "Bonjour"}
LIMIT_S = 15.0
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class House:
    """The gateway, its API, and Meta."""

    app: App
    api: httpx.AsyncClient
    graph: GraphServer
    meta: WebhookCaller

    async def session(self) -> Json:
        answer = await self.api.get(f"/api/whatsapp/sessions/{SESSION}")
        return answer.json() if answer.is_success else {"state": None}

    async def until_session(self, state: str) -> Json:
        return await until(self.session, lambda found: found["state"] == state)

    async def send(self, **more: Any) -> str:
        answer = await self.api.post("/api/messages", json=WISH | more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def until_message(self, message_id: str, status: str) -> Json:
        async def look() -> Json:
            found: Json = (await self.api.get(f"/api/messages/{message_id}")).json()
            return found

        return await until(look, lambda found: found["status"] == status)

    async def items(self, path: str) -> list[Json]:
        found: list[Json] = (await self.api.get(path)).json()["items"]
        return found

    async def tells(self, status: str, provider_id: str, reference: str) -> None:
        """Meta tells what became of a message."""
        said = {"id": provider_id, "status": status, "timestamp": now(), "recipient_id": THEIR_NUMBER}
        await self.delivers(statuses=[said | {"biz_opaque_callback_data": reference}])

    async def hears(self, type_: str, content: Json, message_id: str = "wamid.1") -> None:
        """Somebody writes to us."""
        message = {"from": THEIR_NUMBER, "id": message_id, "timestamp": now(), "type": type_, type_: content}
        contact = {"profile": {"name": "Camille Exemple"}, "wa_id": THEIR_NUMBER}
        await self.delivers(contacts=[contact], messages=[message])

    async def delivers(self, **parts: Any) -> None:
        """Meta calls."""
        assert await self.meta.deliver(webhook(**parts))


async def until(look: Callable[[], Awaitable[Json]], good: Callable[[Json], bool]) -> Json:
    """What is looked at, once it is good."""
    began = time.monotonic()
    while not good(found := await look()):
        assert time.monotonic() - began < LIMIT_S, found
        await asyncio.sleep(0.02)
    return found


def webhook(**parts: Any) -> Json:
    metadata = {"display_phone_number": OUR_NUMBER, "phone_number_id": PHONE_ID}
    return envelope({"messaging_product": "whatsapp", "metadata": metadata, **parts})


def now() -> str:
    return str(int(time.time()))


def settings(graph: GraphServer) -> Json:
    return {
        "provider": "cloud_api",
        "whatsapp_cloud_token": SecretStr(TOKEN),
        "whatsapp_cloud_phone_number_id": PHONE_ID,
        "whatsapp_cloud_app_secret": SecretStr(APP_SECRET),
        "whatsapp_cloud_verify_token": SecretStr(VERIFY_TOKEN),
        "whatsapp_cloud_account_id": ACCOUNT_ID,
        "whatsapp_cloud_base_url": graph.url,
    }


@asynccontextmanager
async def opened(folder: Path, graph: GraphServer, **more: Any) -> AsyncIterator[House]:
    """A gateway for this Graph server."""
    async with gateway(folder, **settings(graph) | more) as app, http(app) as api:

        async def post(body: bytes, headers: dict[str, str]) -> int:
            return (await api.post(PATH, content=body, headers=headers)).status_code

        yield House(app=app, api=api, graph=graph, meta=WebhookCaller(post))


@pytest.fixture
async def graph() -> AsyncIterator[GraphServer]:
    async with GraphServer() as graph:
        yield graph


@pytest.fixture
async def house(tmp_path: Path, graph: GraphServer) -> AsyncIterator[House]:
    """Whose number is registered."""
    async with opened(tmp_path, graph) as house:
        await house.until_session("connected")
        yield house


async def test_the_number_is_a_session_by_itself_and_only_one_after_a_restart(
    tmp_path: Path, graph: GraphServer
) -> None:
    for _ in range(2):
        async with opened(tmp_path, graph) as house:
            session = await house.until_session("connected")
            expected = {"id": SESSION, "user_id": "cloud_api", "provider": "cloud_api", "state_reason": None}
            assert expected.items() <= session.items()
            assert session["phone_number"] == f"+{OUR_NUMBER}"
            assert len(await house.items("/api/whatsapp/sessions")) == 1
            message_id = await house.send()
            await house.until_message(message_id, "sent")
    assert len(graph.messages) == 2


async def test_a_number_that_meta_refuses_is_tried_again(tmp_path: Path, graph: GraphServer) -> None:
    graph.script(190, on=f"GET /v23.0/{PHONE_ID}")
    with capture_logs() as lines:
        async with opened(tmp_path, graph) as house:
            await eventually(lambda: any(line.get("code") == "cloud_api_refused" for line in lines))
            assert await house.items("/api/whatsapp/sessions") == []
            await house.until_session("connected")  # after five seconds
    assert TOKEN not in str(lines)


async def test_a_message_is_sent_delivered_and_read(house: House) -> None:
    message_id = await house.send()
    await house.until_message(message_id, "sent")
    (body,) = house.graph.messages
    assert (body["to"], body["text"]["body"]) == (THEIR_NUMBER, "Bonjour")
    assert body["biz_opaque_callback_data"] == message_id
    provider_id = await provider_id_of(house, message_id)
    await house.tells("delivered", provider_id, message_id)
    await house.until_message(message_id, "delivered")
    await house.tells("read", provider_id, message_id)
    await house.tells("delivered", provider_id, message_id)  # late, and again
    await house.until_message(message_id, "read")


async def provider_id_of(house: House, message_id: str) -> str:
    """Meta's id of it."""
    sql = "SELECT provider_id FROM messages WHERE id = :id"
    (row,) = await house.app.database.read(lambda tx: tx.sql(sql, id=message_id))
    return str(row["provider_id"])


async def test_a_picture_of_ours_is_uploaded_and_sent(house: House) -> None:
    files = {"file": ("a.png", picture("PNG"), "image/png")}
    uploaded = await house.api.post("/api/media", files=files, data={"category": "scheduled-status", "user_id": "anna"})
    assert uploaded.status_code == 201, uploaded.text
    message_id = await house.send(type="image", text=None, media_id=uploaded.json()["id"], caption="Avant")
    await house.until_message(message_id, "sent")
    ((media_id, upload),) = house.graph.uploads.items()
    assert house.graph.messages[-1]["image"] == {"id": media_id, "caption": "Avant"}
    assert (upload.content_type, upload.data) == ("image/png", picture("PNG"))


async def test_a_lost_answer_is_unknown_until_meta_tells_of_our_reference(house: House) -> None:
    house.graph.script(Mishap.RESET_AFTER, on="/messages")
    message_id = await house.send()
    await house.until_message(message_id, "unknown")
    await house.tells("sent", "wamid.OfTheLostAnswer", message_id)
    await house.until_message(message_id, "sent")
    await house.tells("delivered", "wamid.OfTheLostAnswer", message_id)
    await house.until_message(message_id, "delivered")
    assert len(house.graph.messages) == 1, "nothing is sent twice"


async def test_what_comes_in_is_kept_with_its_medium_where_the_session_agrees(
    tmp_path: Path, graph: GraphServer
) -> None:
    async with opened(tmp_path, graph, whatsapp_cloud_coexistence=True) as house:
        await house.until_session("connected")
        house.graph.media["1310463202926571"] = ("image/png", 1000)
        medium = {"id": "1310463202926571", "mime_type": "image/png", "caption": "regarde"}
        await house.hears("image", medium, "wamid.before")
        agreed = {"deleted": True, "view_once": False}
        answer = await house.api.put(f"/api/whatsapp/sessions/{SESSION}/capture", json=agreed)
        assert answer.status_code == 200
        for _ in range(2):  # Meta repeats itself
            await house.hears("image", medium)

        async def look() -> Json:
            found = await house.items("/api/inbox/messages")
            return found[0] if found else {"media": {}}

        kept = await until(look, lambda found: found["media"].get("url") is not None)
        assert (kept["from"], kept["from_name"], kept["text"]) == (f"+{THEIR_NUMBER}", "Camille Exemple", "regarde")
        assert len(await house.items("/api/inbox/messages")) == 1
        served = await house.api.get(kept["media"]["url"])
        assert (served.status_code, served.content) == (200, bytes(1000))


@pytest.mark.parametrize(
    ("coexistence", "agreed", "untold"),
    [
        (False, {"deleted": True, "view_once": True}, ["deleted", "view_once"]),
        (False, {"deleted": True, "view_once": False}, ["deleted"]),
        (True, {"deleted": True, "view_once": True}, ["view_once"]),
        (True, {"deleted": True, "view_once": False}, None),
        (False, {"deleted": False, "view_once": False}, None),
    ],
)
async def test_what_meta_never_tells_of_is_refused_at_the_door(
    tmp_path: Path, graph: GraphServer, agreed: Json, untold: list[str] | None, *, coexistence: bool
) -> None:
    async with opened(tmp_path, graph, whatsapp_cloud_coexistence=coexistence) as house:
        await house.until_session("connected")
        answer = await house.api.put(f"/api/whatsapp/sessions/{SESSION}/capture", json=agreed)
        said = answer.json()
        assert (said.get("code"), said.get("captures")) == ("not_offered" if untold else None, untold)
        assert answer.status_code == (422 if untold else 200)


@pytest.mark.parametrize("headers", [{}, {"X-Hub-Signature-256": ""}, {"X-Hub-Signature-256": "sha256=" + "0" * 64}])
async def test_who_is_not_meta_is_not_heard(house: House, headers: dict[str, str]) -> None:
    text = {"from": THEIR_NUMBER, "id": "wamid.1", "timestamp": now(), "type": "text", "text": {"body": "x"}}
    answer = await house.api.post(PATH, content=json.dumps(webhook(messages=[text])), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "webhook_denied")


async def test_meta_is_answered_when_the_address_is_set(house: House) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    answer = await house.api.get(PATH, params=query)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    wrong = await house.api.get(PATH, params=query | {"hub.verify_token": "another"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "webhook_denied")


@pytest.mark.parametrize(("size", "status"), [(BODY_LIMIT - 1000, 200), (BODY_LIMIT + 1, 413)])
async def test_a_call_of_up_to_three_megabytes_is_taken(house: House, size: int, status: int) -> None:
    body = json.dumps({"object": "whatsapp_business_account", "entry": [], "more": ""}).encode()
    body = body.replace(b'"more": ""', b'"more": "' + b"x" * (size - len(body)) + b'"')
    answer = await house.api.post(PATH, content=body, headers={"X-Hub-Signature-256": signature(body)})
    assert answer.status_code == status, answer.text


async def test_an_account_that_meta_locks_is_paused(house: House) -> None:
    house.graph.script(131031, on="/messages")
    message_id = await house.send()
    session = await house.until_session("paused")
    assert session["state_reason"].startswith("131031")
    assert (await house.until_message(message_id, "pending"))["attempts"] <= 1


async def test_a_number_of_metas_is_not_linked_by_a_code(house: House) -> None:
    wish = {"user_id": "anna", "phone_number": "+33639980003"}
    answer = await house.api.post("/api/whatsapp/pairing-code", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_offered")
    assert "providers.md" in answer.json()["hint"]
    assert await house.app.database.read(lambda tx: tx.sql("SELECT * FROM pairing_attempts")) == []


async def test_a_status_is_refused_at_the_door(house: House) -> None:
    status = {"user_id": "cloud_api", "type": "status", "text": "open today"}
    answer = await house.api.post("/api/messages", json=status)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["message_type"]) == (422, "not_offered", "status")
    assert problem["offered"] == ["audio", "document", "image", "template", "text", "video"]
    assert "index" not in problem
    batch = await house.api.post("/api/messages/batch", json={"messages": [WISH, status]})
    assert (batch.status_code, batch.json()["code"], batch.json()["index"]) == (422, "not_offered", 1)
    assert await house.items("/api/messages") == [], "all of a batch, or none"


@pytest.mark.parametrize("name", ["token", "phone_number_id", "app_secret"])
async def test_a_setting_that_is_missing_is_named(tmp_path: Path, graph: GraphServer, name: str) -> None:
    chosen = settings(graph) | {f"whatsapp_cloud_{name}": None}
    with pytest.raises(Misconfigured, match=f"WHATSAPP_CLOUD_{name.upper()}"):
        async with gateway(tmp_path, **chosen):
            pass
