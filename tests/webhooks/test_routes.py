"""The routes of webhooks as their clients' scripts meet them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from outgoing.receiver import Receiver, Reply
from passerelle.db import Database
from passerelle.webhooks.model import EventType

from .house import House, open_house

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
PATH = "/api/webhooks"
URL = "https://203-0-113.example.com/hook"
SHOWN = {
    *("id", "url", "events", "active", "off_reason", "off_at", "failing_since", "paused_until", "last_error"),
    *("previous_secret_until", "created_at"),
}
TOLD = {
    *("id", "type", "timestamp", "seq", "session_id", "status", "attempts", "due_at", "settled_at", "last_status"),
    *("last_error", "last_answer", "data"),
}
OTHER = {"X-Client": "client_other"}


@pytest.fixture
async def api(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.http() as client:
        yield client


async def added(api: httpx.AsyncClient, url: str, *events: str, **headers: str) -> dict[str, Any]:
    answer = await api.post(PATH, json={"url": url, "events": list(events)}, headers=headers)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert body["detail"]
    assert body["hint"]
    return body


async def test_a_secret_is_shown_when_it_is_made_and_never_again(api: httpx.AsyncClient, receiver: Receiver) -> None:
    made = await added(api, receiver.url, "message.sent", "message.sent", "lead.assigned")
    assert set(made) == SHOWN | {"secret"}
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["message.sent", "lead.assigned"]
    one = (await api.get(f"{PATH}/{made['id']}")).json()
    assert set(one) == SHOWN
    assert (await api.get(PATH)).json() == {"items": [one], "next_cursor": None}
    rotated = (await api.post(f"{PATH}/{made['id']}/secret")).json()
    assert set(rotated) == SHOWN | {"secret"}
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"].endswith("Z")


async def test_the_test_button_sends_by_the_same_way(api: httpx.AsyncClient, house: House, receiver: Receiver) -> None:
    made = await added(api, receiver.url, "lead.assigned")
    answer = await api.post(f"{PATH}/{made['id']}/test")
    assert answer.status_code == 202
    assert set(answer.json()) == TOLD
    assert (answer.json()["status"], answer.json()["type"]) == ("pending", "webhook.test")
    await house.deliver()
    (told,) = (await api.get(f"{PATH}/{made['id']}/deliveries")).json()["items"]
    assert (told["status"], told["attempts"], told["last_status"], told["last_answer"]) == ("delivered", 1, 200, "ok")
    replayed = await api.post(f"{PATH}/{made['id']}/deliveries/{told['id']}/replay")
    assert (replayed.status_code, replayed.json()["status"]) == (202, "pending")
    await house.deliver()
    assert len(receiver.requests) == 2


async def test_lists_go_on_where_they_ended(api: httpx.AsyncClient, house: House, receiver: Receiver) -> None:
    made = [await added(api, f"{receiver.url}/{number}") for number in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(PATH, params={"limit": 2, "cursor": cursor})).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [one["id"] for one in made]
    await house.happened(*(house.event(number) for number in range(5)))
    path = f"{PATH}/{made[0]['id']}/deliveries"
    first = (await api.get(path, params={"limit": 3})).json()
    second = (await api.get(path, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [one["data"]["number"] for one in first["items"] + second["items"]] == [4, 3, 2, 1, 0]
    assert second["next_cursor"] is None
    assert (await api.get(path, params={"status": "delivered"})).json()["items"] == []
    assert (await api.get(path, params={"status": "odd"})).status_code == 422
    for cursor in ("x", "-1", "9" * 19, "\u0661", "1 "):
        is_problem(await api.get(path, params={"cursor": cursor}), 422, "invalid_cursor")
    is_problem(await api.get(PATH, params={"cursor": "\n"}), 422, "invalid_cursor")


async def test_what_is_changed_changes_and_the_rest_stays(
    api: httpx.AsyncClient, house: House, receiver: Receiver
) -> None:
    made = await added(api, receiver.url, "lead.assigned")
    path = f"{PATH}/{made['id']}"
    assert (await api.patch(path, json={"events": []})).json()["events"] == []
    assert (await api.patch(path, json={"url": f"{receiver.url}/new"})).json()["events"] == []
    off = (await api.patch(path, json={"active": False})).json()
    assert (off["active"], off["off_reason"], off["url"]) == (False, "inactive", f"{receiver.url}/new")
    assert is_problem(await api.post(f"{path}/test"), 409, "webhook_off")["reason"] == "inactive"
    assert (await api.patch(path, json={"active": True})).json()["active"]
    receiver.reply = Reply(status=410)
    await house.happened(house.event())
    await house.deliver()
    assert is_problem(await api.post(f"{path}/test"), 409, "webhook_off")["reason"] == "gone"
    back = (await api.patch(path, json={"active": True})).json()
    assert (back["active"], back["off_reason"], back["last_error"]) == (True, None, None)
    assert (await api.delete(path)).status_code == 204
    is_problem(await api.get(path), 404, "webhook_not_found")
    is_problem(await api.delete(path), 404, "webhook_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"active": False}),
        ("DELETE", "", None),
        ("POST", "/test", None),
        ("POST", "/secret", None),
        ("GET", "/deliveries", None),
        ("POST", "/deliveries/{did}/replay", None),
    ],
)
async def test_another_clients_webhook_is_not_there(
    api: httpx.AsyncClient, house: House, receiver: Receiver, method: str, path: str, body: object
) -> None:
    made = await added(api, receiver.url)
    await house.happened(house.event())
    await house.deliver()
    (told,) = (await api.get(f"{PATH}/{made['id']}/deliveries")).json()["items"]
    before = await house.rows("SELECT * FROM webhook_endpoints")
    asked = f"{PATH}/{made['id']}{path.format(did=told['id'])}"
    is_problem(await api.request(method, asked, json=body, headers=OTHER), 404, "webhook_not_found")
    assert (await api.get(PATH, headers=OTHER)).json()["items"] == []
    theirs = await added(api, receiver.url, **OTHER)
    crossed = f"{PATH}/{theirs['id']}/deliveries/{told['id']}/replay"
    is_problem(await api.post(crossed, headers=OTHER), 404, "delivery_not_found")
    after = await house.rows("SELECT * FROM webhook_endpoints WHERE client_id = 'default'")
    assert [row | {"turn_us": 0} for row in after] == [row | {"turn_us": 0} for row in before]


@pytest.mark.parametrize("name", ["x", "hook_%00", "hook_%0A", "%C3%A9" * 300, "'%20OR%201=1%20--", "%ED%A0%80"])
async def test_an_id_that_is_none_is_not_found(api: httpx.AsyncClient, receiver: Receiver, name: str) -> None:
    made = await added(api, receiver.url)
    is_problem(await api.get(f"{PATH}/{name}"), 404, "webhook_not_found")
    is_problem(await api.post(f"{PATH}/{made['id']}/deliveries/{name}/replay"), 404, "delivery_not_found")


async def test_events_that_never_happen_are_refused_with_those_that_do(api: httpx.AsyncClient) -> None:
    answer = await api.post(PATH, json={"url": "https://example.com/", "events": ["message.sent", "message.eaten"]})
    told = is_problem(answer, 422, "unknown_event_type")
    assert told["unknown"] == ["message.eaten"]
    assert told["known"] == list(EventType)
    assert len(told["known"]) == 19
    is_problem(
        await api.post(PATH, json={"url": "https://example.com/", "events": ["webhook.test"]}), 422, told["code"]
    )


@pytest.mark.parametrize(
    "url", ["https://example.com/\\ud800", "https://\\ud800.com/", "\\u0000", "https://a\\u0000.com"]
)
async def test_texts_that_are_none_are_refused(api: httpx.AsyncClient, url: str) -> None:
    for body in (f'{{"url": "{url}"}}', '{"url": "https://example.com/", "events": ["\\ud800"]}'):
        answer = await api.post(PATH, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": 5},
        {"url": f"https://example.com/{'x' * 2000}"},
        {"url": "https://example.com", "events": "message.sent"},
        {"url": "https://example.com", "events": [1]},
        {"url": "https://example.com", "secret": "mine"},
        {"url": "https://example.com", "events": ["message.sent"] * 101},
    ],
)
async def test_wrong_fields_are_named(api: httpx.AsyncClient, body: object) -> None:
    assert is_problem(await api.post(PATH, json=body), 422, "invalid_request")["errors"]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://169.254.169.254/", "http://localhost:8000/", "ftp://example.com/", "http://0x7f.1/"],
)
async def test_addresses_of_our_own_network_are_refused(local: Database, receiver: Receiver, url: str) -> None:
    async with open_house(local) as free:
        endpoint, _ = await free.endpoint(receiver)
    async with open_house(local, allow_private=False) as strict, strict.http() as api:
        assert is_problem(await api.post(PATH, json={"url": url}), 422, "url_refused")["reason"]
        is_problem(await api.patch(f"{PATH}/{endpoint.id}", json={"url": url}), 422, "url_refused")
        french = await api.post(PATH, json={"url": url}, headers={"Accept-Language": "fr"})
        assert french.json()["detail"].startswith("La passerelle")


async def test_fifty_are_enough_for_one_client(house: House, api: httpx.AsyncClient, receiver: Receiver) -> None:
    for number in range(49):
        await house.endpoint(receiver, f"/{number}")
    last = await added(api, receiver.url)
    is_problem(await api.post(PATH, json={"url": receiver.url}), 409, "too_many_webhooks")
    await added(api, receiver.url, **OTHER)
    await api.delete(f"{PATH}/{last['id']}")
    await added(api, receiver.url)
