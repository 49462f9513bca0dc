"""The routes of messages as strangers' scripts meet them: bodies, answers, keys, lists, and whatever may be wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.db import Tx
from passerelle.messages.model import Content, Draft
from passerelle.whatsapp.model import MessageType

from apps import ME, NUMBER, gateway, http, linked

pytestmark = pytest.mark.anyio
PATH = "/api/messages"
BO = "+33639980100"
JSON = {"Content-Type": "application/json"}
FIELDS = {
    *("id", "status", "user_id", "session_id", "to", "type", "text", "media_id", "media_url", "caption", "template"),
    *("attempts", "max_attempts", "claims", "created_at", "send_at", "due_at", "expires_at", "last_error", "history"),
}


def text(**other: Any) -> dict[str, Any]:
    """The smallest wish, but for what is given; what is given as ... is left out."""
    known = {"user_id": "anna", "to": BO, "type": "text", "text": "hello"} | other
    return {name: value for name, value in known.items() if value is not ...}


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert {"type", "title", "detail", "hint"} <= set(body)
    return body


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """A gateway that keeps what it is asked for, and sends nothing."""
    async with gateway(tmp_path, working=False) as app:
        await linked(app)
        yield app


@pytest.fixture
async def api(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http(app) as client:
        yield client


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The same on both databases, which do not take the same texts."""
    more: dict[str, Any] = {}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with gateway(tmp_path, working=False, **more) as app, http(app) as client:
        await linked(app)
        yield client


async def put(tx: Tx, *, state: str, id: str) -> None:  # noqa: A002 -- the column
    """The message stands so."""
    await tx.sql("UPDATE messages SET state = :state WHERE id = :id", state=state, id=id)


async def kept(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Everything that is listed, newest first."""
    answer = await api.get(PATH, params={"limit": 1000})
    assert answer.status_code == 200, "whatever was accepted can be shown"
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


# --- accepted


@pytest.mark.mission("Z2")
async def test_a_message_is_accepted_and_can_be_followed(api: httpx.AsyncClient) -> None:
    answer = await api.post(PATH, json=text())
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == FIELDS
    assert (body["status"], body["to"], body["text"], body["attempts"], body["claims"]) == (
        "pending",
        BO,
        "hello",
        0,
        0,
    )
    assert (body["max_attempts"], body["last_error"], body["send_at"]) == (2, None, None)
    assert [event["event"] for event in body["history"]] == ["accepted"]
    assert set(body["history"][0]) == {"at", "event", "detail"}
    assert body["created_at"] == body["due_at"] == body["history"][0]["at"]
    assert body["created_at"].endswith("Z")
    assert (await api.get(f"{PATH}/{body['id']}")).json() == body
    assert await kept(api) == [body]


async def test_camel_case_is_understood(api: httpx.AsyncClient) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    wish = {
        "userId": "anna",
        "to": BO,
        "type": "image",
        "mediaUrl": "https://example.org/a.png",
        "sendAt": at.isoformat(),
        "maxAttempts": 5,
        "retryDelayS": 1.5,
    }
    body = (await api.post(PATH, json=wish)).json()
    assert (body["media_url"], body["max_attempts"]) == ("https://example.org/a.png", 5)
    assert datetime.fromisoformat(body["send_at"]) == datetime.fromisoformat(body["due_at"]) == at
    session = {"sessionId": body["session_id"], "to": BO, "type": "text", "text": "x"}
    assert (await api.post(PATH, json=session)).status_code == 202


@pytest.mark.parametrize(
    "wish",
    [
        text(),
        text(type="image", text=..., media_url="https://example.org/a.png", caption="look"),
        text(type="video", text=..., media_url="https://example.org/a.mp4"),
        text(type="audio", text=..., media_url="https://example.org/a.ogg"),
        text(type="document", text=..., media_url="https://example.org/a.pdf"),
        text(type="template", text=..., template={"name": "hi", "parameters": ["é", 1, None, {"a": [True]}]}),
        text(type="status", to=...),
        text(type="status", to=..., text=..., media_url="https://example.org/a.png", caption="today"),
    ],
    ids=lambda wish: str(wish["type"]),
)
async def test_every_type_is_taken_and_shown(api: httpx.AsyncClient, wish: dict[str, Any]) -> None:
    body = (await api.post(PATH, json=wish)).json()
    expected = wish | {"to": "status@broadcast" if wish["type"] == "status" else BO}
    assert {name: body[name] for name in expected} == expected


@pytest.mark.parametrize("to", ["33639980100", "+33 6 39 98 01 00", "+33(0)639980100"])
async def test_a_number_may_be_written_in_many_ways(api: httpx.AsyncClient, to: str) -> None:
    answer = await api.post(PATH, json=text(to=to))
    assert (answer.status_code, answer.json()["to"]) == (202, BO)


@pytest.mark.mission("Z2")
async def test_whatever_the_phones_connection_is_just_now_a_message_is_accepted(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app, http(app) as client:
        await linked(app)
        assert app.sandbox is not None
        assert app.sandbox.world is not None
        app.sandbox.world.set_phone(NUMBER, online=False)
        assert (await client.post(PATH, json=text())).status_code == 202


@pytest.mark.mission("Z2")
async def test_a_message_is_followed_until_it_is_read(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app, http(app) as client:
        await linked(app)
        sent = (await client.post(PATH, json=text())).json()

        async def becomes(status: str) -> dict[str, Any]:
            async with asyncio.timeout(5):
                while (now := (await client.get(f"{PATH}/{sent['id']}")).json())["status"] != status:  # noqa: ASYNC110 -- rows set no events
                    await asyncio.sleep(0.03)
            return dict(now)

        await becomes("delivered")
        await client.post(f"/sandbox/phones/{BO[1:]}/read")
        history = (await becomes("read"))["history"]
        assert [event["event"] for event in history] == ["accepted", "sent", "delivered", "read"]


# --- refused


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (text(user_id=...), "invalid_sender"),
        (text(session_id="sess_x"), "invalid_sender"),
        (text(user_id=""), "invalid_sender"),
        (text(user_id="line\nbreak"), "invalid_sender"),
        (text(to=...), "invalid_recipient"),
        (text(to=""), "invalid_recipient"),
        (text(to="Bo"), "invalid_recipient"),
        (text(to="+3312"), "invalid_recipient"),
        (text(to="status@broadcast"), "invalid_recipient"),
        (text(text=...), "invalid_content"),
        (text(text=""), "invalid_content"),
        (text(type="image"), "invalid_content"),
        (text(type="template"), "invalid_content"),
        (text(type="template", template={}), "invalid_content"),
        (text(type="status", text=...), "invalid_content"),
        (text(media_id="media_x"), "media_not_found"),
        (text(send_at="2001-01-01T00:00:00Z"), "invalid_send_at"),
        (text(send_at="2999-01-01T00:00:00Z"), "invalid_send_at"),
        (text(user_id="nobody"), "user_not_found"),
        (text(user_id=..., session_id="sess_x"), "session_not_found"),
        (text(type="fax"), "invalid_request"),
        (text(type=...), "invalid_request"),
        (text(unknown=1), "invalid_request"),
        (text(text=5), "invalid_request"),
        (text(text="x" * 65_537), "invalid_request"),
        (text(user_id="x" * 201), "invalid_request"),
        (text(max_attempts=0), "invalid_request"),
        (text(max_attempts=21), "invalid_request"),
        (text(max_attempts=1.5), "invalid_request"),
        (text(retry_delay_s=-1), "invalid_request"),
        (text(retry_delay_s=86_401), "invalid_request"),
        (text(send_at="2030-01-01T00:00:00"), "invalid_request"),
        (text(send_at="tomorrow"), "invalid_request"),
        (text(template="hi"), "invalid_request"),
        ([text()], "invalid_request"),
        (None, "invalid_request"),
        ("text", "invalid_request"),
    ],
)
async def test_what_is_wrong_with_a_wish_is_said_and_nothing_is_kept(
    api: httpx.AsyncClient, wish: object, code: str
) -> None:
    status = 404 if code.endswith("not_found") else 422
    body = is_problem(await api.post(PATH, content=json.dumps(wish), headers=JSON), status, code)
    assert ("errors" in body) == (code == "invalid_request")
    assert await kept(api) == []


async def test_a_body_that_is_no_json_is_400_and_a_large_one_413(api: httpx.AsyncClient) -> None:
    for content in (b"{", b"\x00", b'{"user_id": "\xff"}', b"[" * 100_000):
        is_problem(await api.post(PATH, content=content, headers=JSON), 400, "not_json")
    is_problem(await api.post(PATH, content=b"x" * 1_000_001), 413, "body_too_large")


async def test_a_phone_that_is_linked_no_more_is_409(app: App, api: httpx.AsyncClient) -> None:
    (session,) = (await app.sessions.read_all(ME)).sessions
    await app.sessions.end(ME, session.id)
    is_problem(await api.post(PATH, json=text()), 409, "not_linked")
    is_problem(await api.post(PATH, json=text(user_id=..., session_id=session.id)), 409, "not_linked")


HOSTILE = [
    '"a\\u0000b"',
    '"\\ud800"',
    "1e999",
    "9" * 400,
    "-1e18",
    "NaN",
    "-Infinity",
    "[]",
    "{}",
    '"' + "x" * 70_000 + '"',
]
TIMES = ['"9999-12-31T23:59:59-14:00"', '"0001-01-01T00:00:00+14:00"', '"2030-01-01T00:00:00+99:99"', "253402300800"]


@pytest.mark.parametrize(
    "field",
    [
        *("user_id", "session_id", "to", "type", "text", "media_id", "media_url", "caption", "template", "send_at"),
        *("max_attempts", "retry_delay_s", "unknown"),
    ],
)
async def test_no_value_breaks_anything(either: httpx.AsyncClient, field: str) -> None:
    for value in [*HOSTILE, *TIMES]:
        wish = {name: json.dumps(known) for name, known in text(type="status").items()} | {field: value}
        if field == "session_id":
            del wish["user_id"]
        body = "{" + ",".join(f'"{name}":{value}' for name, value in wish.items()) + "}"
        for path, content in ((PATH, body), (f"{PATH}/batch", f'{{"messages":[{body}]}}')):
            answer = await either.post(path, content=content, headers=JSON)
            assert answer.status_code in {202, 400, 404, 422}, value[:40]
    await kept(either)


@pytest.mark.parametrize(
    "value",
    [
        *('"\\ud800"', '{"\\udfff": 1}', "NaN", "Infinity", "1e999", '"\\u0000"', "9" * 400, "9" * 5000),
        *("[" * depth + "]" * depth for depth in (50, 200, 400, 900, 5000)),
    ],
    ids=lambda value: value[:9] + str(len(value)),
)
async def test_a_template_is_taken_as_it_can_be_shown_or_not_at_all(either: httpx.AsyncClient, value: str) -> None:
    body = f'{{"user_id": "anna", "to": "{BO}", "type": "template", "template": {{"a": {value}}}}}'
    for headers in (JSON, JSON | {"Idempotency-Key": "k"}):
        answer = await either.post(PATH, content=body, headers=headers)
        assert answer.status_code in {202, 400, 422}
        if answer.status_code == 202:
            assert (await either.get(f"{PATH}/{answer.json()['id']}")).json()["template"] == answer.json()["template"]
    await kept(either)


# --- many at once


@pytest.mark.mission("Z2")
async def test_a_batch_is_accepted_in_its_order(api: httpx.AsyncClient) -> None:
    wishes = [text(text=f"text {number}") for number in range(1000)]
    answer = await api.post(f"{PATH}/batch", json={"messages": wishes})
    assert answer.status_code == 202
    items = answer.json()["items"]
    assert set(answer.json()) == {"items"}
    assert [item["text"] for item in items] == [wish["text"] for wish in wishes]
    assert len({item["id"] for item in items}) == 1000
    assert [item["id"] for item in await kept(api)] == [item["id"] for item in reversed(items)]


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        (text(user_id="nobody"), 404, "user_not_found"),
        (text(user_id=..., session_id="sess_x"), 404, "session_not_found"),
        (text(to="Bo"), 422, "invalid_recipient"),
        (text(send_at="2001-01-01T00:00:00Z"), 422, "invalid_send_at"),
        (text(type="fax"), 422, "invalid_request"),
    ],
    ids=["user", "session", "recipient", "time", "field"],
)
async def test_of_a_batch_with_one_that_is_wrong_nothing_is_kept(
    api: httpx.AsyncClient, bad: dict[str, Any], status: int, code: str
) -> None:
    is_problem(await api.post(f"{PATH}/batch", json={"messages": [text(), text(), bad, text()]}), status, code)
    assert await kept(api) == []


async def test_the_place_of_the_wrong_one_is_told(api: httpx.AsyncClient) -> None:
    wishes = [text(), text(), text(to="Bo"), text(to="Al")]
    assert (
        is_problem(await api.post(f"{PATH}/batch", json={"messages": wishes}), 422, "invalid_recipient")["index"] == 2
    )
    wishes[2] = text(text=5)
    errors = is_problem(await api.post(f"{PATH}/batch", json={"messages": wishes}), 422, "invalid_request")["errors"]
    assert [error["field"] for error in errors] == ["body.messages.2.text"]


@pytest.mark.parametrize(
    "wish",
    [
        {"messages": []},
        {"messages": [text()] * 1001},
        {},
        [text()],
        {"messages": text()},
        {"messages": [text()], "a": 1},
    ],
    ids=["none", "too many", "nothing", "a list", "one", "more"],
)
async def test_a_batch_is_a_list_of_1_to_1000(api: httpx.AsyncClient, wish: object) -> None:
    is_problem(await api.post(f"{PATH}/batch", json=wish), 422, "invalid_request")
    assert await kept(api) == []


# --- asked twice


@pytest.mark.mission("Z2")
async def test_the_same_request_with_the_same_key_is_the_same_message(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await api.post(PATH, json=text(), headers=headers)
    again = await api.post(PATH, json=dict(reversed(text().items())), headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert len(await kept(api)) == 1


@pytest.mark.mission("Z2")
async def test_another_request_with_the_same_key_is_409(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    await api.post(PATH, json=text(), headers=headers)
    for path, other in (
        (PATH, text(text="hello!")),
        (PATH, text(max_attempts=3)),
        (f"{PATH}/batch", {"messages": [text()]}),
    ):
        is_problem(await api.post(path, json=other, headers=headers), 409, "idempotency_conflict")
    assert len(await kept(api)) == 1


async def test_a_batch_with_a_key_is_repeated_as_a_whole(api: httpx.AsyncClient) -> None:
    headers, wish = {"Idempotency-Key": "many"}, {"messages": [text(text=str(number)) for number in range(50)]}
    first = await api.post(f"{PATH}/batch", json=wish, headers=headers)
    again = await api.post(f"{PATH}/batch", json=wish, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    is_problem(
        await api.post(f"{PATH}/batch", json={"messages": wish["messages"][:-1]}, headers=headers),
        409,
        "idempotency_conflict",
    )


async def test_a_repeated_request_shows_the_message_as_it_stands_now(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = (await api.post(PATH, json=text(), headers=headers)).json()
    await api.post(f"{PATH}/{first['id']}/cancel")
    again = await api.post(PATH, json=text(), headers=headers)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, first["id"], "cancelled")


async def test_a_key_whose_request_was_refused_may_be_used_again(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    is_problem(await api.post(PATH, json=text(user_id="nobody"), headers=headers), 404, "user_not_found")
    assert (await api.post(PATH, json=text(), headers=headers)).status_code == 202


@pytest.mark.mission("Z2")
async def test_the_same_request_thirty_times_at_once_is_one_message(either: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(*(either.post(PATH, json=text(), headers=headers) for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] * 29 + [202]
    assert len({answer.json()["id"] for answer in answers}) == len(await kept(either)) == 1


async def test_a_request_is_repeated_also_when_its_time_has_passed_meanwhile(app: App, api: httpx.AsyncClient) -> None:
    headers, wish = {"Idempotency-Key": "once"}, text(send_at=(app.clock.now() + timedelta(hours=1)).isoformat())
    first = await api.post(PATH, json=wish, headers=headers)
    assert app.sandbox is not None
    assert app.sandbox.world is not None
    app.sandbox.world.advance(timedelta(hours=3))
    again = await api.post(PATH, json=wish, headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


@pytest.mark.parametrize("bad", ["", "x" * 201, "tab\there"])
async def test_a_key_that_cannot_be_kept_is_422(api: httpx.AsyncClient, bad: str) -> None:
    for path, wish in ((PATH, text()), (f"{PATH}/batch", {"messages": [text()]})):
        is_problem(await api.post(path, json=wish, headers={"Idempotency-Key": bad}), 422, "invalid_idempotency_key")
    assert await kept(api) == []


# --- followed


async def test_a_list_comes_in_pages(api: httpx.AsyncClient) -> None:
    await api.post(f"{PATH}/batch", json={"messages": [text(text=str(number)) for number in range(7)]})
    seen, cursor, pages = list[str](), "", 0
    while pages < 3:
        page = (await api.get(PATH, params={"limit": 3, "cursor": cursor})).json()
        assert set(page) == {"items", "next_cursor"}
        seen += [item["id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        assert (cursor is None) == (pages == 3)
    assert seen == [item["id"] for item in await kept(api)] == sorted(seen, reverse=True)


async def test_a_list_may_be_of_one_status_or_one_recipient(api: httpx.AsyncClient) -> None:
    for wish in (text(), text(to="+33639980101"), text(type="status", to=...)):
        last = (await api.post(PATH, json=wish)).json()
    await api.post(f"{PATH}/{last['id']}/cancel")

    async def recipients(**params: str) -> list[str]:
        return [item["to"] for item in (await api.get(PATH, params=params)).json()["items"]]

    assert await recipients(status="pending") == ["+33639980101", BO]
    assert await recipients(status="cancelled") == await recipients(to="status@broadcast") == ["status@broadcast"]
    assert await recipients(status="cancelled", to=BO) == []
    assert await recipients(to="+33639980199") == []


@pytest.mark.parametrize("query", ["to=+33639980100", "to=%2B33639980100", "to=33639980100", "to=%2B33+6+39+98+01+00"])
async def test_the_plus_of_a_number_in_a_query_may_be_written_as_it_is(api: httpx.AsyncClient, query: str) -> None:
    await api.post(PATH, json=text())
    assert len((await api.get(f"{PATH}?{query}")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *((f"limit={limit}", "invalid_request") for limit in ("0", "1001", "x", "9" * 30, "%00", "1.5")),
        *((f"status={status}", "invalid_request") for status in ("claimed", "x", "%00", "")),
        *((f"to={to}", "invalid_recipient") for to in ("Bo", "%00", "%ff", "12")),
        ("to=" + "1" * 65, "invalid_request"),
        ("cursor=" + "x" * 65, "invalid_request"),
    ],
)
async def test_a_wrong_query_is_422(api: httpx.AsyncClient, query: str, code: str) -> None:
    is_problem(await api.get(f"{PATH}?{query}"), 422, code)


@pytest.mark.parametrize("cursor", ["%00", "%ff", "%ed%a0%80", "zzz", "%27%3B--"])
async def test_no_cursor_breaks_a_list(either: httpx.AsyncClient, cursor: str) -> None:
    assert (await either.get(f"{PATH}?cursor={cursor}")).status_code in {200, 422}


@pytest.mark.parametrize("message_id", ["msg_unknown", "%00", "%ff", "x" * 3000, "%ed%a0%80", "%F0%9F%98%80"])
async def test_a_message_that_is_not_there_is_404(either: httpx.AsyncClient, message_id: str) -> None:
    for method, verb in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        answer = await either.request(method, f"{PATH}/{message_id}{verb}")
        is_problem(answer, 404, answer.json()["code"])


async def test_another_clients_message_is_as_if_it_did_not_exist(app: App, api: httpx.AsyncClient) -> None:
    other = Caller(client_id="other")
    wish = Draft(to=BO, content=Content(type=MessageType.TEXT, text="secret"))
    (theirs,) = await app.database.run(lambda tx: app.messages.write(tx, other, [wish]))
    for method, verb in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        is_problem(await api.request(method, f"{PATH}/{theirs.id}{verb}"), 404, "message_not_found")
    assert await kept(api) == []


# --- cancelled, tried again


@pytest.mark.mission("B9")
async def test_a_pending_message_is_cancelled_once_and_for_all(api: httpx.AsyncClient) -> None:
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    sent = (await api.post(PATH, json=text(type="status", to=..., send_at=at))).json()
    answer = await api.post(f"{PATH}/{sent['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert [event["event"] for event in answer.json()["history"]] == ["accepted", "cancelled"]
    assert (await api.post(f"{PATH}/{sent['id']}/cancel")).json() == answer.json()
    is_problem(await api.post(f"{PATH}/{sent['id']}/retry"), 409, "message_not_retryable")


@pytest.mark.parametrize(
    ("state", "cancel", "retry"),
    [
        ("pending", 200, 200),
        ("claimed", 200, 200),
        ("sending", 409, 409),
        ("sent", 409, 409),
        ("delivered", 409, 409),
        ("read", 409, 409),
        ("failed", 409, 200),
        ("unknown", 409, 200),
        ("cancelled", 200, 409),
    ],
)
async def test_only_some_messages_may_be_cancelled_or_tried_again(
    app: App, api: httpx.AsyncClient, state: str, cancel: int, retry: int
) -> None:
    for verb, status, code, becomes in (
        ("cancel", cancel, "message_not_cancellable", "cancelled"),
        ("retry", retry, "message_not_retryable", "pending"),
    ):
        sent = (await api.post(PATH, json=text())).json()
        await app.database.run(partial(put, state=state, id=sent["id"]))
        shown = (await api.get(f"{PATH}/{sent['id']}")).json()["status"]
        assert shown == ("pending" if state == "claimed" else state)
        answer = await api.post(f"{PATH}/{sent['id']}/{verb}")
        if status == 200:
            assert (answer.status_code, answer.json()["status"]) == (200, becomes)
        else:
            is_problem(answer, status, code)
            assert (await api.get(f"{PATH}/{sent['id']}")).json()["status"] == shown


async def test_a_person_may_try_more_often_than_was_asked_for(app: App, api: httpx.AsyncClient) -> None:
    sent = (await api.post(PATH, json=text(max_attempts=1))).json()
    await app.database.run(lambda tx: tx.sql("UPDATE messages SET state = 'failed', attempts = 1, last_error = 'x'"))
    body = (await api.post(f"{PATH}/{sent['id']}/retry")).json()
    assert (body["status"], body["attempts"], body["max_attempts"]) == ("pending", 1, 2)
    assert body["due_at"] > sent["due_at"]
    assert body["history"][-1]["event"] == "retry"


# --- who may


async def test_with_a_key_set_nobody_enters_without_it(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False, admin_key=SecretStr("right")) as app, http(app) as client:
        await linked(app)
        for method, path in (
            ("POST", PATH),
            ("POST", f"{PATH}/batch"),
            ("GET", PATH),
            ("GET", f"{PATH}/x"),
            ("POST", f"{PATH}/x/cancel"),
            ("POST", f"{PATH}/x/retry"),
        ):
            is_problem(await client.request(method, path, json=text()), 401, "key_missing")
        assert (await client.post(PATH, json=text(), headers={"X-API-Key": "right"})).status_code == 202


async def test_problems_are_told_in_the_readers_language(api: httpx.AsyncClient) -> None:
    answer = await api.post(PATH, json=text(to="Bo"), headers={"Accept-Language": "fr"})
    assert is_problem(answer, 422, "invalid_recipient")["detail"] == "to doit être un numéro de téléphone."


async def test_the_description_names_the_key(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    for path in (PATH, f"{PATH}/batch"):
        assert "Idempotency-Key" in {parameter["name"] for parameter in paths[path]["post"]["parameters"]}
