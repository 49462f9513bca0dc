"""The inbox as strangers' scripts meet it: consent, what is kept, links that serve it, and how it is erased."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from media.samples import picture
from passerelle.app import App
from passerelle.sandbox.samples import sample_of

from apps import NUMBER, gateway, http, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B9")]
BO, EVE = "+33639980100", "+33639980101"
PNG = picture("PNG")
INLINE = "data:image/png;base64," + b64encode(PNG).decode()
SHOWN = {
    *("id", "session_id", "user_id", "from", "from_name", "chat", "type", "text", "view_once", "at", "deleted_at"),
    *("media", "expires_at"),
}
Json = dict[str, Any]


class House:
    """One gateway with a linked phone, and what people do around it."""

    def __init__(self, app: App, api: httpx.AsyncClient, session_id: str) -> None:
        self.app, self.api, self.session_id = app, api, session_id

    @property
    def capture_path(self) -> str:
        return f"/api/whatsapp/sessions/{self.session_id}/capture"

    async def agree(self, **capture: Any) -> Json:
        answer = await self.api.put(self.capture_path, json={"deleted": True, "view_once": True} | capture)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def write(self, sender: str = BO, **wish: Any) -> str:
        """Somebody writes on a phone; the sandbox's id of it."""
        answer = await self.api.post(f"/sandbox/phones/{sender}/messages", json={"to": NUMBER} | wish)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def delete(self, id_: str, sender: str = BO) -> None:
        answer = await self.api.delete(f"/sandbox/phones/{sender}/messages/{id_}")
        assert answer.status_code == 200

    async def items(self, which: str = "messages", **query: Any) -> list[Json]:
        answer = await self.api.get(f"/api/inbox/{which}", params=query)
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()["items"]
        return found

    async def until(self, wanted: Callable[[list[Json]], bool], which: str = "messages", **query: Any) -> list[Json]:
        """What is listed, once it is as wanted."""
        async with asyncio.timeout(8):
            while not wanted(found := await self.items(which, **query)):  # noqa: ASYNC110 -- rows set no events
                await asyncio.sleep(0.03)
        return found

    async def advance(self, seconds: float) -> None:
        assert (await self.api.post("/sandbox/clock/advance", json={"seconds": seconds})).status_code == 200

    async def bytes_at(self, url: str) -> bytes:
        """What anybody gets who has the link."""
        parts = urlsplit(url)
        answer = await self.api.get(f"{parts.path}?{parts.query}")
        assert answer.status_code == 200, answer.text
        return answer.content


async def faults(house: House) -> int:
    """How often something will still go wrong."""
    return sum(one["times"] for one in (await house.api.get("/sandbox/faults")).json()["items"])


def kept(items: list[Json], count: int = 1) -> bool:
    """So many are there, their media too."""
    return len(items) == count and all(one["media"] is None or one["media"]["state"] == "kept" for one in items)


@pytest.fixture(params=["sqlite", "postgresql"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    more: dict[str, Any] = {}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with gateway(tmp_path, **more) as app, http(app) as api:
        await asyncio.sleep(0)
        session_id = await link(app, api)
        yield House(app, api, session_id)


async def link(app: App, api: httpx.AsyncClient, user: str = "anna", number: str = NUMBER, **headers: str) -> str:
    """A phone that is linked as people do it."""
    body = {"user_id": user, "phone_number": number}
    answer = await api.post("/api/whatsapp/pairing-code", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    attempt = answer.json()
    typed = await api.post(f"/sandbox/phones/{number}/enter-code", json={"code": attempt["code"]}, headers=headers)
    assert typed.status_code == 200, typed.text
    path = f"/api/whatsapp/pairing-code/{attempt['attempt_id']}"
    async with asyncio.timeout(8):
        while (await api.get(path, headers=headers)).json()["status"] != "linked":  # noqa: ASYNC110 -- the same
            await asyncio.sleep(0.03)
    return str(attempt["session_id"])


async def test_a_deleted_message_and_its_medium_are_shown(house: House) -> None:
    await house.agree()
    id_ = await house.write(text="look at this", media=INLINE)
    (item,) = await house.until(kept)
    assert set(item) == SHOWN
    assert (item["from"], item["type"], item["text"], item["deleted_at"]) == (BO, "image", "look at this", None)
    assert (item["session_id"], item["user_id"]) == (house.session_id, "anna")
    assert await house.items("deleted") == []
    await house.delete(id_)
    (deleted,) = await house.until(bool, "deleted")
    assert deleted["id"] == item["id"]
    assert datetime.fromisoformat(deleted["deleted_at"]) >= datetime.fromisoformat(deleted["at"])
    medium = deleted["media"]
    assert (medium["content_type"], medium["size_bytes"], medium["reason"]) == ("image/png", len(PNG), None)
    assert await house.bytes_at(medium["url"]) == PNG
    stored = (await house.api.get(f"/api/media/{medium['media_id']}")).json()
    assert re.fullmatch(r"deleted-messages/anna/\d{13}-\w+\.png", stored["key"])


async def test_view_once_with_and_without_its_medium(house: House) -> None:
    await house.agree(deleted=False)
    await house.write(view_once=True)
    await house.write(view_once=True, media="secret.jpg")
    await house.write(text="an ordinary one")
    second, first = await house.until(lambda found: kept(found, 2), "view-once")
    assert (first["media"], first["view_once"], first["type"]) == (None, True, "image")
    assert await house.bytes_at(second["media"]["url"]) == sample_of("secret.jpg").data
    stored = (await house.api.get(f"/api/media/{second['media']['media_id']}")).json()
    assert stored["key"].startswith("view-once/anna/")
    assert len(await house.items()) == 2


async def test_a_medium_that_cannot_be_had_just_now_comes_later(house: House) -> None:
    await house.agree()
    fault = {"kind": "media_unavailable", "number": NUMBER, "times": 2}
    assert (await house.api.post("/sandbox/faults", json=fault)).status_code == 201
    await house.write(media="film.mp4")
    for left in (1, 0):
        async with asyncio.timeout(8):
            while await faults(house) != left:  # noqa: ASYNC110 -- the same
                await asyncio.sleep(0.03)
        (item,) = await house.until(lambda found: bool(found) and bool(found[0]["media"]["reason"]))
        assert (item["media"]["state"], item["media"]["reason"]) == ("waiting", "provider_unavailable")
        await house.advance(60)
    (item,) = await house.until(kept)
    assert item["media"]["content_type"] == "video/mp4"


async def test_consent_is_asked_for_and_can_be_withdrawn(house: House) -> None:
    nothing = {"deleted": False, "view_once": False, "retention_days": 30}
    assert (await house.api.get(house.capture_path)).json() == nothing
    await house.write(text="before")
    assert await house.agree(view_once=False, retention_days=7) == {
        "deleted": True,
        "view_once": False,
        "retention_days": 7,
    }
    await house.write(text="between")
    await house.until(kept)
    await house.api.put(house.capture_path, json={"deleted": False, "viewOnce": False})
    assert (await house.api.get(house.capture_path)).json() == nothing
    await house.write(text="after")
    await house.write(EVE, text="and after")
    assert (
        await house.api.get(f"/sandbox/phones/{NUMBER}/messages", params={"count": 4, "wait": 5})
    ).status_code == 200
    assert [one["text"] for one in await house.items()] == ["between"]


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"deleted": True},
        {"deleted": True, "view_once": True, "retention_days": 366},
        {"deleted": True, "view_once": True, "retention_days": 0},
        {"deleted": "perhaps", "view_once": True},
    ],
)
async def test_a_consent_that_is_none_is_refused(house: House, wish: Json) -> None:
    answer = await house.api.put(house.capture_path, json=wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_only_a_linked_phone_of_ones_own_can_agree(house: House) -> None:
    body = {"deleted": True, "view_once": True}
    answer = await house.api.put("/api/whatsapp/sessions/sess_x/capture", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    assert (await house.api.get("/api/whatsapp/sessions/sess_x/capture")).status_code == 404
    await house.agree()
    assert (await house.api.delete(f"/api/whatsapp/sessions/{house.session_id}")).status_code == 204
    answer = await house.api.put(house.capture_path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_linked")
    assert (await house.api.get(house.capture_path)).json()["deleted"] is False


async def test_what_is_kept_goes_on_time(house: House) -> None:
    await house.agree(retention_days=1)
    await house.write(media=INLINE)
    (item,) = await house.until(kept)
    await house.advance(86_000)
    assert len(await house.items()) == 1
    await house.advance(500)
    async with asyncio.timeout(8):
        while await house.items():
            await house.advance(31)  # a sweep that is under way just now is followed by the next one
    assert (await house.api.get(f"/api/media/{item['media']['media_id']}")).status_code == 404


async def test_lists_are_narrowed_and_paged(house: House) -> None:
    await house.agree()
    for number in range(3):
        await house.write(text=f"{number}")
        await house.write(EVE, text=f"{number}")
        await house.until(lambda found, number=number: len(found) == 2 * number + 2)  # type: ignore[misc]
    for sender in (EVE, EVE[1:], "+33 6 39 98 01 01"):
        assert {one["from"] for one in await house.items(sender=sender)} == {EVE}
    assert len(await house.items(user_id="anna", session_id=house.session_id)) == 6
    assert (
        await house.items(user_id="ben") == await house.items(session_id="x") == await house.items(sender="x@lid") == []
    )
    first = (await house.api.get("/api/inbox/messages", params={"limit": 4})).json()
    second = (await house.api.get("/api/inbox/messages", params={"limit": 4, "cursor": first["next_cursor"]})).json()
    both = [*first["items"], *second["items"]]
    assert [one["id"] for one in both] == [one["id"] for one in await house.items()]
    assert second["next_cursor"] is None
    for wrong in ({"limit": 0}, {"limit": 1001}, {"sender": "+1"}, {"user_id": "\x00"}, {"cursor": "'"}):
        assert (await house.api.get("/api/inbox/messages", params=wrong)).status_code == 422


async def test_one_message_is_removed(house: House) -> None:
    await house.agree()
    await house.write(media=INLINE)
    (item,) = await house.until(kept)
    path = f"/api/inbox/messages/{item['id']}"
    assert (await house.api.delete(path)).status_code == 204
    answer = await house.api.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "inbox_message_not_found")
    assert await house.items() == []
    assert (await house.api.get(f"/api/media/{item['media']['media_id']}")).status_code == 404


async def test_a_medium_that_its_client_removed_is_shown_as_that(house: House) -> None:
    await house.agree()
    await house.write(media=INLINE)
    (item,) = await house.until(kept)
    assert (await house.api.delete(f"/api/media/{item['media']['media_id']}")).status_code == 204
    ((medium),) = [one["media"] for one in await house.items()]
    assert (medium["state"], medium["reason"], medium["url"], medium["media_id"]) == (
        "unavailable",
        "removed",
        None,
        None,
    )


@pytest.mark.parametrize("phone", [BO, BO[1:], "%2B33639980100"])
async def test_a_person_is_erased(house: House, phone: str) -> None:
    await house.agree()
    await house.write(media=INLINE, text="of Bo")
    await house.write(EVE, text="of Eve")
    found = await house.until(lambda found: kept(found, 2))
    for _ in range(2):
        told = await house.api.delete(f"/api/people/{phone}")
        assert (told.status_code, told.json()["pending"]) == (202, {"media": 1}), "the sweep deletes its file"
    assert [one["text"] for one in await house.items()] == ["of Eve"]
    media_id = next(one["media"]["media_id"] for one in found if one["media"])
    assert (await house.api.get(f"/api/media/{media_id}")).status_code == 404
    answer = await house.api.delete("/api/people/12")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_phone")


async def test_another_client_sees_and_erases_nothing_of_it(house: House) -> None:
    await house.agree()
    await house.write(text="mine")
    (item,) = await house.until(kept)
    made = (await house.api.post("/api/clients", json={"name": "Other"})).json()
    key = {"X-API-Key": made["api_key"]}
    for which in ("messages", "deleted", "view-once"):
        answer = await house.api.get(f"/api/inbox/{which}", headers=key)
        assert answer.json()["items"] == []
    assert (await house.api.delete(f"/api/inbox/messages/{item['id']}", headers=key)).status_code == 404
    assert (await house.api.get(house.capture_path, headers=key)).status_code == 404
    assert (
        await house.api.put(house.capture_path, json={"deleted": False, "view_once": False}, headers=key)
    ).status_code == 404
    assert (await house.api.delete(f"/api/people/{BO}", headers=key)).json()["erased"] == {}
    answer = await house.api.get("/api/inbox/messages", headers={"X-API-Key": "pas_x"})
    assert answer.status_code == 401


async def test_a_message_told_twice_is_kept_once(house: House) -> None:
    await house.agree()
    assert (await house.api.post("/sandbox/faults", json={"kind": "duplicate_event", "times": 20})).status_code == 201
    ids = [await house.write(text=f"{number}", media=INLINE) for number in range(5)]
    for id_ in ids:
        await house.delete(id_)
    items = await house.until(lambda found: kept(found, 5), "deleted")
    assert sorted(one["text"] for one in items) == list("01234")
    stored = (await house.api.get("/api/media")).json()["items"]
    assert len(stored) == 5


async def test_redis_away_changes_nothing(tmp_path: Path) -> None:
    away = SecretStr("redis://127.0.0.1:1")
    async with gateway(tmp_path, redis_url=away) as app, http(app) as api:
        session = await linked(app)
        house = House(app, api, session.id)
        await house.agree()
        id_ = await house.write(text="x", media=INLINE)
        await house.until(kept)
        await house.delete(id_)
        (item,) = await house.until(bool, "deleted")
        assert await house.bytes_at(item["media"]["url"]) == PNG
        assert (await api.delete(f"/api/people/{BO}")).status_code in {200, 202}
        assert await house.items() == []
