"""Messages as a person sees them, in the world's process and through another one's API."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.sender import SandboxSender
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import STATUS_RECIPIENT, MessageType, Outgoing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

MINE, THEIRS, OTHER = "+33639980001", "+12025550102", "+12025550103"
ON_PHONE = f"/sandbox/phones/{THEIRS}/messages"


async def send(world: World, to: str = THEIRS, text: str | None = "hello", sender: str = MINE, **parts: Any) -> str:
    links = world.phone(sender).links
    if not links:
        linking = await SandboxLinker(world).connect(session_id=sender, phone_number=sender)
        links = (world.enter_code(sender, (await linking.request_code()).code),)
    kind = parts.pop("type", MessageType.TEXT)
    outgoing = Outgoing(session_id=sender, device=links[0].device, reference="r", to=to, type=kind, text=text, **parts)
    return await SandboxSender(world).send(outgoing, prepared=None)


async def written(api: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    answer = await api.post(f"/sandbox/phones/{THEIRS}/messages", json={"to": MINE} | wish)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_what_arrived_on_a_phone_is_listed(api: httpx.AsyncClient, world: World) -> None:
    id_ = await send(world)
    answer = (await api.get(ON_PHONE)).json()
    assert (answer["sandbox"], answer["count"], answer["next_cursor"]) == (True, 1, None)
    (item,) = answer["items"]
    assert timedelta(0) <= world.clock.now() - datetime.fromisoformat(item.pop("at")) < timedelta(seconds=5)
    assert item.pop("id")
    assert item == {
        "message_id": id_,
        "from": MINE,
        "to": THEIRS,
        "type": "text",
        "text": "hello",
        "media": None,
        "caption": None,
        "template": None,
        "view_once": False,
        "revoked": False,
    }


async def test_media_captions_and_templates_are_shown(api: httpx.AsyncClient, world: World) -> None:
    url, template = "https://x.test/a.jpg", {"name": "new_lead", "language": "fr"}
    await send(world, text=None, type=MessageType.IMAGE, media_url=url, caption="look")
    await send(world, text=None, type=MessageType.TEMPLATE, template=template)
    image, lead = (await api.get(ON_PHONE)).json()["items"]
    assert (image["type"], image["media"], image["caption"], image["text"]) == ("image", url, "look", None)
    assert (lead["type"], lead["template"]) == ("template", template)


async def test_a_message_shows_the_sandboxs_time(api: httpx.AsyncClient, world: World) -> None:
    world.advance(timedelta(days=3))
    await send(world)
    (item,) = (await api.get(ON_PHONE)).json()["items"]
    assert abs(datetime.fromisoformat(item["at"]) - world.clock.now()) < timedelta(seconds=5)
    assert item["at"].endswith("Z")


@pytest.mark.parametrize("number", ["%2B12025550102", "+12025550102", "12025550102"])
async def test_a_phone_is_found_however_its_number_is_written(
    api: httpx.AsyncClient, world: World, number: str
) -> None:
    await send(world)
    assert (await api.get(f"/sandbox/phones/{number}/messages")).json()["count"] == 1
    assert (await api.post(f"/sandbox/phones/{number}/read")).json() == {"sandbox": True, "read": 1}
    assert (await api.post(f"/sandbox/phones/{number}/messages", json={"to": MINE, "text": "x"})).status_code == 201


async def test_many_messages_come_page_by_page_and_the_count_is_of_all(api: httpx.AsyncClient, world: World) -> None:
    ids = [await send(world) for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(ON_PHONE, params={"limit": 3, "cursor": cursor})).json()
        assert page["count"] == 7
        seen += [item["message_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids


async def test_messages_are_found_by_text_sender_and_time(api: httpx.AsyncClient, world: World) -> None:
    first = await send(world, text="100% of it, l'été")
    await send(world, text="nothing", sender=OTHER)
    world.advance(timedelta(hours=1))
    since = world.clock.now()
    last = await send(world, text=None, type=MessageType.IMAGE, caption="of it too", sender=OTHER)

    async def found(**query: str) -> list[str]:
        answer = (await api.get(ON_PHONE, params=query)).json()
        assert answer["count"] == len(answer["items"])
        return [item["message_id"] for item in answer["items"]]

    assert await found(text="of it") == [first, last]
    assert await found(text="% of") == [first]
    assert await found(text="été") == [first]
    assert await found(text="OF IT") == []
    assert await found(**{"from": MINE}) == [first]
    assert await found(**{"from": OTHER[1:], "text": "of it"}) == [last]
    for written in (since.isoformat(), since.isoformat().replace("+00:00", "Z"), f"{since:%Y-%m-%dT%H:%M:%S.%f}+00:00"):
        assert await found(since=written) == [last]
    assert await found(since=(since + timedelta(hours=1)).isoformat()) == []


async def test_an_assertion_waits_until_enough_has_arrived(api: httpx.AsyncClient, world: World) -> None:
    query: dict[str, str | int] = {"count": 3, "wait": 20, "text": "yes", "from": MINE}
    asking = asyncio.ensure_future(api.get(ON_PHONE, params=query))
    for text in ("yes", "no", "yes", "oh yes"):
        assert not (await asyncio.wait({asking}, timeout=0.05))[0]
        await send(world, text=text)
    answer = (await asyncio.wait_for(asking, 5)).json()
    assert answer["count"] == 3
    assert (await asyncio.wait_for(api.get(ON_PHONE, params=query), 5)).json()["count"] == 3


async def test_an_assertion_answers_in_time_with_what_there_is(api: httpx.AsyncClient, world: World) -> None:
    await send(world)
    began = time.monotonic()
    answer = (await api.get(ON_PHONE, params={"count": 2, "wait": 0.3})).json()
    assert answer["count"] == len(answer["items"]) == 1
    assert 0.29 <= time.monotonic() - began < 5
    assert (await asyncio.wait_for(api.get(ON_PHONE, params={"count": 2}), 5)).json()["count"] == 1


async def test_waiting_for_messages_ends_with_the_world(api: httpx.AsyncClient, world: World) -> None:
    asking = asyncio.ensure_future(api.get(ON_PHONE, params={"count": 1, "wait": 20}))
    await asyncio.sleep(0.1)
    world.close()
    assert (await asyncio.wait_for(asking, 5)).json()["code"] == "provider_unavailable"


async def test_statuses_have_a_list_of_their_own(api: httpx.AsyncClient, world: World) -> None:
    url = "https://x.test/a.mp4"
    asking = asyncio.ensure_future(api.get("/sandbox/statuses", params={"count": 1, "wait": 20}))
    await asyncio.sleep(0.05)
    id_ = await send(world, to=STATUS_RECIPIENT, text="open", type=MessageType.STATUS, media_url=url)
    answer = (await asyncio.wait_for(asking, 5)).json()
    (item,) = answer["items"]
    assert (answer["sandbox"], answer["count"]) == (True, 1)
    assert (item["message_id"], item["from"], item["type"]) == (id_, MINE, "status")
    assert (item["text"], item["media"]) == ("open", url)
    assert (await api.get(f"/sandbox/phones/{MINE}/messages")).json()["items"] == []


async def test_a_person_writes_to_a_linked_phone(api: httpx.AsyncClient) -> None:
    body = await written(api, text="hi")
    assert body["sandbox"] is True
    assert (body["from"], body["to"], body["type"], body["text"]) == (THEIRS, MINE, "text", "hi")
    (item,) = (await api.get(f"/sandbox/phones/{MINE}/messages")).json()["items"]
    assert item == {key: value for key, value in body.items() if key != "sandbox"}
    assert [phone["number"] for phone in (await api.get("/sandbox/phones")).json()["items"]] == [THEIRS, MINE]


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({"text": "x"}, "text"),
        ({"media": "https://x.test/a.jpg?b=c"}, "image"),
        ({"media": "https://x.test/a.mp4"}, "video"),
        ({"media": "https://x.test/a.mp3"}, "audio"),
        ({"media": "https://x.test/a.pdf"}, "document"),
        ({"media": "whatever"}, "document"),
        ({"media": "http://[x"}, "document"),
        ({"viewOnce": True}, "image"),
    ],
)
async def test_what_is_written_has_the_type_of_its_medium(
    api: httpx.AsyncClient, wish: dict[str, Any], kind: str
) -> None:
    assert (await written(api, **wish))["type"] == kind


async def test_a_message_is_deleted_for_everybody(api: httpx.AsyncClient) -> None:
    body = await written(api, text="hi")
    for name in (body["id"], body["message_id"], body["id"]):
        answer = await api.delete(f"{ON_PHONE}/{name}")
        assert (answer.status_code, answer.json()["revoked"], answer.json()["sandbox"]) == (200, True, True)
    (item,) = (await api.get(f"/sandbox/phones/{MINE}/messages")).json()["items"]
    assert (item["revoked"], item["text"]) == (True, "hi")


async def test_only_what_a_phone_has_written_can_be_deleted_on_it(api: httpx.AsyncClient, world: World) -> None:
    body, sent = await written(api, text="hi"), await send(world)
    for path in (
        f"{ON_PHONE}/{int(body['id']) + 1}",
        f"{ON_PHONE}/none",
        f"{ON_PHONE}/{sent}",
        f"{ON_PHONE}/{'9' * 40}",
        f"{ON_PHONE}/٣",
        f"/sandbox/phones/{MINE}/messages/{body['id']}",
        f"/sandbox/phones/{MINE}/messages/{sent}",
    ):
        answer = await api.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"to": MINE},
        {"to": MINE, "text": ""},
        {"text": "x"},
        {"to": MINE, "text": 1},
        {"to": MINE, "text": "x", "a": 1},
        {"to": MINE, "text": "x" * 65_537},
        {"to": MINE, "media": "x" * 2049},
        {"to": None, "text": "x"},
        [],
    ],
)
async def test_what_is_no_message_is_refused(api: httpx.AsyncClient, world: World, wish: object) -> None:
    assert (await api.post(ON_PHONE, json=wish)).status_code == 422
    assert world.phones() == []


async def test_what_is_no_number_is_refused(api: httpx.AsyncClient, world: World) -> None:
    for answer in (
        await api.get("/sandbox/phones/x/messages"),
        await api.get(ON_PHONE, params={"from": "x"}),
        await api.post("/sandbox/phones/x/messages", json={"to": MINE, "text": "x"}),
        await api.post(ON_PHONE, json={"to": "x", "text": "x"}),
        await api.delete("/sandbox/phones/x/messages/1"),
        await api.post("/sandbox/phones/x/read"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_phone")
    assert world.phones() == []


async def test_wrong_queries_are_refused(api: httpx.AsyncClient) -> None:
    for query in ("limit=0", "limit=1001", "cursor=x", "count=0", "wait=-1", "wait=31", "wait=nan", "since=soon"):
        assert (await api.get(f"{ON_PHONE}?{query}")).status_code == 422, query
    assert (await api.get(f"{ON_PHONE}?since=2026-11-21T12:00:00")).status_code == 422


async def test_reset_forgets_messages_statuses_and_events(api: httpx.AsyncClient, world: World) -> None:
    await send(world)
    await send(world, to=STATUS_RECIPIENT)
    await api.post("/sandbox/reset")
    for path in (ON_PHONE, "/sandbox/statuses"):
        assert (await api.get(path)).json()["count"] == 0
    borrowing = asyncio.ensure_future(world.mail.events.borrow())
    assert not (await asyncio.wait({borrowing}, timeout=0.05))[0]
    borrowing.cancel()
    await asyncio.gather(borrowing, return_exceptions=True)
