"""Messages with a medium of ours: what is accepted, what the recipient gets, also next month, also not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from media.parts import in_pieces
from media.samples import iso, picture
from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.media.model import Category
from passerelle.messages.faults import MediaUrlUnsupported
from passerelle.messages.links import MessageMedia
from passerelle.whatsapp.model import STATUS_RECIPIENT, Medium, MessageType, Outgoing

from apps import NUMBER, gateway, http, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B9")]
PATH = "/api/messages"
BO = "+33639980100"
PNG, MP4 = picture("PNG"), iso(b"isom", b"mp41")
MP3, PDF = b"ID3\4\0\0\0\0\0\0" + bytes(range(256)), b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256))
FILES = {"image": PNG, "video": MP4, "audio": MP3, "document": PDF}
Json = dict[str, Any]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with gateway(tmp_path) as app:
        await linked(app)
        yield app


@pytest.fixture
async def api(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http(app) as client:
        yield client


async def upload(api: httpx.AsyncClient, data: bytes = PNG) -> str:
    form = {"category": "scheduled-status", "user_id": "anna"}
    answer = await api.post("/api/media", data=form, files={"file": ("a", data)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def wish(media_id: str, type_: str = "image", **more: Any) -> Json:
    return {"user_id": "anna", "to": BO, "type": type_, "media_id": media_id} | more


async def becomes(api: httpx.AsyncClient, message_id: str, *wanted: str) -> Json:
    """The message once it is so."""
    async with asyncio.timeout(8):
        while (found := (await api.get(f"{PATH}/{message_id}")).json())["status"] not in wanted:  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.03)
    return dict(found)


async def on_phone(api: httpx.AsyncClient, path: str = f"/sandbox/phones/{BO}/messages") -> Json:
    """What arrived, once it has."""
    (item,) = (await api.get(path, params={"count": 1, "wait": 8})).json()["items"]
    return dict(item)


async def bytes_at(api: httpx.AsyncClient, url: str) -> bytes:
    parts = urlsplit(url)
    answer = await api.get(f"{parts.path}?{parts.query}")
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("type_", FILES)
async def test_the_recipient_gets_a_link_to_the_very_bytes(api: httpx.AsyncClient, type_: str) -> None:
    media_id = await upload(api, FILES[type_])
    answer = await api.post(PATH, json=wish(media_id, type_, caption="look"))
    assert answer.status_code == 202, answer.text
    assert (answer.json()["media_id"], answer.json()["media_url"]) == (media_id, None)
    item = await on_phone(api)
    assert (item["type"], item["caption"]) == (type_, "look")
    assert await bytes_at(api, item["media"]) == FILES[type_]


@pytest.mark.mission("B4")
async def test_a_status_goes_at_its_time_with_its_medium_though_links_of_before_are_dead(
    app: App, api: httpx.AsyncClient
) -> None:
    media_id = await upload(api)
    stored = (await api.get(f"/api/media/{media_id}")).json()
    assert stored["key"].startswith("scheduled-status/anna/")
    send_at = app.clock.now() + timedelta(days=30)
    body = {"user_id": "anna", "type": "status", "media_id": media_id, "caption": "!", "send_at": send_at.isoformat()}
    answer = await api.post(PATH, json=body)
    assert answer.status_code == 202, answer.text
    await api.post("/sandbox/clock/advance", json={"seconds": 30 * 86_400 - 60})
    assert (await api.get(f"{PATH}/{answer.json()['id']}")).json()["status"] == "pending"
    assert (await api.get("/sandbox/statuses")).json()["items"] == []
    await api.post("/sandbox/clock/advance", json={"seconds": 61})
    item = await on_phone(api, "/sandbox/statuses")
    assert (item["type"], item["from"], item["to"]) == ("status", NUMBER, STATUS_RECIPIENT)
    assert await bytes_at(api, item["media"]) == PNG
    assert (await api.get(stored["url"].partition("http://127.0.0.1:8000")[2])).status_code == 410


@pytest.mark.parametrize(
    ("file", "type_"),
    [
        *(("image", "video"), ("video", "image"), ("document", "audio"), ("audio", "status"), ("document", "status")),
        *(("image", "text"), ("image", "template")),
    ],
)
async def test_a_medium_of_another_kind_is_refused(api: httpx.AsyncClient, file: str, type_: str) -> None:
    more = {"text": "x", "template": {"name": "x"}} if type_ in {"text", "template"} else {}
    answer = await api.post(PATH, json=wish(await upload(api, FILES[file]), type_, **more))
    assert (answer.status_code, answer.json()["code"]) == (422, "media_wrong_type")
    assert "index" not in answer.json()


@pytest.mark.parametrize(("file", "type_"), [("image", "document"), ("video", "status"), ("image", "status")])
async def test_some_kinds_fit_in_several(api: httpx.AsyncClient, file: str, type_: str) -> None:
    assert (await api.post(PATH, json=wish(await upload(api, FILES[file]), type_))).status_code == 202


async def test_a_medium_that_is_not_the_clients_own_is_unknown(app: App, api: httpx.AsyncClient) -> None:
    other = Caller(client_id="client_other")
    file = await app.media.take(in_pieces(PNG))
    with file.file:
        theirs = await app.media.keep(other, file, user_id="anna", category=Category.SCHEDULED_STATUS)
    for media_id in (theirs.id, "media_0", "nothing"):
        answer = await api.post(PATH, json=wish(media_id))
        assert (answer.status_code, answer.json()["code"]) == (404, "media_not_found")
        assert "index" not in answer.json()
    answer = await api.post(PATH, json=wish("../x"))
    assert answer.status_code == 422


async def test_one_that_is_unknown_refuses_its_whole_batch(api: httpx.AsyncClient) -> None:
    media_id = await upload(api)
    batch = [wish(media_id), {**wish(media_id, "text"), "media_id": None, "text": "x"}, wish("media_x")]
    answer = await api.post(f"{PATH}/batch", json={"messages": batch})
    assert (answer.status_code, answer.json()["code"], answer.json()["index"]) == (404, "media_not_found", 2)
    answer = await api.post(f"{PATH}/batch", json={"messages": [*batch[:2], wish(media_id, "audio")]})
    assert (answer.status_code, answer.json()["code"], answer.json()["index"]) == (422, "media_wrong_type", 2)
    assert (await api.get(PATH)).json()["items"] == []
    assert (await api.post(f"{PATH}/batch", json={"messages": batch[:2]})).status_code == 202


async def test_a_message_has_one_medium(api: httpx.AsyncClient) -> None:
    media_id = await upload(api)
    for more in ({"media_url": "https://x.test/a.png"}, {"media_id": None}):
        answer = await api.post(PATH, json=wish(media_id) | more)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_content")


async def test_a_key_knows_the_medium_it_was_used_with(api: httpx.AsyncClient) -> None:
    first, second, key = await upload(api), await upload(api), {"Idempotency-Key": "k"}
    answer = await api.post(PATH, json=wish(first), headers=key)
    assert answer.status_code == 202
    again = await api.post(PATH, json=wish(first), headers=key)
    assert (again.status_code, again.json()["id"]) == (200, answer.json()["id"])
    other = await api.post(PATH, json=wish(second), headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_a_medium_removed_before_its_message_goes_fails_it_for_good(app: App, api: httpx.AsyncClient) -> None:
    media_id = await upload(api)
    send_at = (app.clock.now() + timedelta(hours=1)).isoformat()
    message_id = (await api.post(PATH, json=wish(media_id, send_at=send_at, max_attempts=5))).json()["id"]
    assert (await api.delete(f"/api/media/{media_id}")).status_code == 204
    await api.post("/sandbox/clock/advance", json={"seconds": 3601})
    found = await becomes(api, message_id, "failed", "sent", "delivered")
    assert (found["status"], found["last_error"], found["attempts"]) == ("failed", "media_gone", 1)


async def test_a_medium_that_whatsapp_does_not_take_just_now_is_tried_again(api: httpx.AsyncClient) -> None:
    media_id = await upload(api)
    await api.post("/sandbox/faults", json={"kind": "media_unavailable", "number": NUMBER})
    message_id = (await api.post(PATH, json=wish(media_id, retry_delay_s=0))).json()["id"]
    assert (await becomes(api, message_id, "sent", "delivered", "failed"))["attempts"] == 2


# --- what a provider gets


def outgoing(**media: Any) -> Outgoing:
    return Outgoing(session_id="s", device="d", reference="r", to=BO, type=MessageType.IMAGE, **media)


async def test_a_provider_gets_the_bytes_of_ours(app: App, api: httpx.AsyncClient) -> None:
    media = MessageMedia(library=app.media, database=app.database)
    async with media.open(outgoing(media_id=await upload(api), media_url="https://x.test/ours")) as medium:
        assert b"".join([chunk async for chunk in medium.chunks]) == PNG
        assert (medium.size_bytes, medium.content_type) == (len(PNG), "image/png")


async def test_a_provider_gets_what_lies_elsewhere_if_somebody_fetches_it(app: App) -> None:
    asked: list[str] = []

    @asynccontextmanager
    async def open_url(url: str) -> AsyncIterator[Medium]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"

        asked.append(url)
        yield Medium(chunks=chunks())

    opening: Callable[[str], AbstractAsyncContextManager[Medium]] = open_url
    media = MessageMedia(library=app.media, database=app.database, open_url=opening)
    async with media.open(outgoing(media_url="https://x.test/a")) as medium:
        assert [chunk async for chunk in medium.chunks] == [b"x"]
    assert asked == ["https://x.test/a"]
    with pytest.raises(MediaUrlUnsupported):
        MessageMedia(library=app.media, database=app.database).open(outgoing(media_url="https://x.test/a"))
