"""Meta's webhooks: who is believed, what they mean, and when Meta hears 200."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from graph_server import APP_SECRET, PHONE_ID, THEIR_NUMBER, WebhookCaller, envelope, signature
from passerelle import problems
from passerelle.errors import Text, Unavailable
from passerelle.redaction import Redactor
from passerelle.whatsapp.adapters.cloud_webhook import CloudWebhook, NotMeta
from passerelle.whatsapp.http import BODY_LIMIT, PATH, routes
from passerelle.whatsapp.model import Incoming, Receipt, ReceiptKind, SessionEvent

from .parts import SESSION, VERIFY_TOKEN, Kept, make_webhook
from .payloads import AT, CONTACT, EXAMPLES, Example, told, values, written

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
TEXT = written("text", {"body": "Bonjour"})


class SqlAway(Unavailable):
    code = "sql_away"
    text = hint = Text("SQL is away.", "SQL est absent.")


def client(webhook: CloudWebhook, sink: Kept) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(routes(webhook, sink))
    problems.install(app, lang="en")
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
async def http(sink: Kept) -> AsyncIterator[httpx.AsyncClient]:
    async with client(make_webhook(), sink) as http:
        yield http


def meta(http: httpx.AsyncClient, **more: Any) -> WebhookCaller:
    async def post(body: bytes, headers: dict[str, str]) -> int:
        return (await http.post(PATH, content=body, headers=headers)).status_code

    return WebhookCaller(post, **more)


def read(payload: dict[str, Any], webhook: CloudWebhook | None = None) -> list[SessionEvent]:
    body = json.dumps(payload).encode()
    return (webhook or make_webhook()).read(body, signature=signature(body))


# --- who is believed


async def test_meta_reads_its_challenge_when_it_knows_the_token(http: httpx.AsyncClient) -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    answer = await http.get(PATH, params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "wrong",
    [{"hub.verify_token": "guessed"}, {"hub.mode": "unsubscribe"}, {"hub.verify_token": ""}, {"hub.verify_token": "é"}],
)
async def test_nobody_else_reads_it(http: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444", **wrong}
    answer = await http.get(PATH, params=asked)
    assert (answer.status_code, answer.json()["code"]) == (403, "webhook_denied")
    assert "1158201444" not in answer.text


async def test_without_a_verify_token_nobody_is_believed() -> None:
    with pytest.raises(NotMeta):
        make_webhook(verify_token="").answer(mode="subscribe", token="", challenge="1")


@pytest.mark.parametrize(
    "shown",
    ["", "sha256=", "sha256=" + "0" * 64, signature(b"{}"), "sha1=" + signature(json.dumps(TEXT).encode())[7:], "é"],
)
async def test_a_call_with_another_signature_is_a_problem_and_changes_nothing(
    http: httpx.AsyncClient, sink: Kept, shown: str
) -> None:
    body = json.dumps(TEXT).encode()
    headers = [(b"x-hub-signature-256", shown.encode())] if shown else []
    answer = await http.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "webhook_denied")
    assert answer.headers["content-type"] == "application/problem+json"
    assert not sink.events


async def test_the_signature_is_of_the_bytes_and_not_of_what_they_mean(http: httpx.AsyncClient, sink: Kept) -> None:
    body = b'{ "object":"whatsapp_business_account",\n"entry":[] }'
    assert (await http.post(PATH, content=body, headers={"X-Hub-Signature-256": signature(body)})).status_code == 200
    same = json.dumps(json.loads(body)).encode()
    assert (await http.post(PATH, content=same, headers={"X-Hub-Signature-256": signature(body)})).status_code == 403


async def test_without_an_app_secret_nobody_is_believed(sink: Kept) -> None:
    async with client(make_webhook(app_secret=""), sink) as http:
        assert not await meta(http, secret="").deliver(TEXT, tries=1)
        assert not await meta(http).deliver(TEXT, tries=1)
    assert not sink.events


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"[]", b'{"object":"page","entry":[]}', b"[" * 100_000, b"\xff\xfe", b"null"]
)
async def test_what_is_signed_and_no_webhook_is_a_problem_and_no_crash(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post(PATH, content=body, headers={"X-Hub-Signature-256": signature(body)})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_unreadable")


async def test_a_body_larger_than_metas_own_limit_is_refused(http: httpx.AsyncClient) -> None:
    body = b" " * (BODY_LIMIT + 1)
    answer = await http.post(PATH, content=body, headers={"X-Hub-Signature-256": signature(body)})
    assert answer.status_code == 413


# --- what they mean


def test_there_are_examples_enough() -> None:
    assert len(EXAMPLES) >= 50
    assert len({one.name for one in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("one", EXAMPLES, ids=lambda one: one.name)
def test_each_example_of_metas_documentation_is_read(one: Example) -> None:
    events = read(one.payload)
    assert [replace(event, raw=None) if isinstance(event, Incoming) else event for event in events] == one.events
    for event in events:
        if isinstance(event, Incoming):
            assert event.raw == one.payload["entry"][0]["changes"][0]["value"]["messages"][0]


def test_a_word_that_it_was_sent_is_told_where_there_is_a_receipt_for_it() -> None:
    receipts = [event for event in read(told("sent")) if isinstance(event, Receipt)]
    assert [(one.kind, one.reference) for one in receipts] == [
        (kind, "msg_1") for kind in ReceiptKind if kind.value == "sent"
    ]


def test_what_comes_twice_or_out_of_order_is_told_as_it_came() -> None:
    statuses = [
        {"id": "wamid.1", "status": status, "timestamp": AT, "recipient_id": THEIR_NUMBER}
        for status in ("read", "delivered", "read", "delivered")
    ]
    kinds = [event.kind for event in read(envelope(values(statuses=statuses))) if isinstance(event, Receipt)]
    assert kinds == [ReceiptKind.READ, ReceiptKind.DELIVERED] * 2
    assert read(TEXT) == read(TEXT)


BROKEN = [
    None,
    7,
    "text",
    {},
    {"id": "wamid.1", "type": "text", "timestamp": AT},
    {"id": "wamid.1", "type": "text", "from": THEIR_NUMBER},
    {"id": "wamid.1", "type": "text", "from": THEIR_NUMBER, "timestamp": "soon"},
    {"id": "wamid.1", "type": "text", "from": THEIR_NUMBER, "timestamp": "9" * 30},
    {"id": "wamid.1", "from": THEIR_NUMBER, "timestamp": AT},
    {"type": "revoke", "from": THEIR_NUMBER, "timestamp": AT, "revoke": {}},
]


@pytest.mark.parametrize("broken", BROKEN, ids=repr)
@pytest.mark.parametrize("part", ["messages", "statuses"])
def test_a_part_that_nobody_can_read_is_logged_and_holds_nothing_up(broken: Any, part: str) -> None:
    good = TEXT["entry"][0]["changes"][0]["value"]["messages"][0]
    parts = {"messages": [broken, good]} if part == "messages" else {"statuses": [broken], "messages": [good]}
    with capture_logs() as lines:
        events = read(envelope(values(contacts=[CONTACT], **parts)))
    assert [event.text for event in events if isinstance(event, Incoming)] == ["Bonjour"]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [
        "❌ A part of a webhook of Meta cannot be read and is left out"
    ]


SAID = "between-us"
WAMID = "wamid.HBgLMzM2Mzk5ODAwMDIVAgARGBI5QTNDQTVCM0Q0Q0Q2RTY3RTcA"  # begins with the number of THEIR_NUMBER's kind
UNREAD = {"id": WAMID, "from": THEIR_NUMBER, "timestamp": "soon", "type": "text", "text": {"body": SAID}, SAID: 1}


@pytest.mark.parametrize(
    "payload",
    [
        envelope(values(messages=[UNREAD, f"+{THEIR_NUMBER}: {SAID}", [SAID]])),
        envelope(values(statuses=[{"id": WAMID, "recipient_id": THEIR_NUMBER, "title": SAID}])),
        envelope(values(messages=[UNREAD | {"timestamp": AT, "text": [SAID]}])),
        envelope(values(errors=[{"code": 131000, "title": SAID, "message": f"{SAID} +{THEIR_NUMBER}"}])),
        envelope({"event": "PHONE_NUMBER_ADDED", "phone_number": THEIR_NUMBER}, field_name="account_update"),
        envelope({"event": SAID, "type": THEIR_NUMBER, "field": SAID}, field_name="account_alerts"),
    ],
)
def test_the_log_names_an_event_and_neither_what_it_says_nor_whose_number_is_in_it(payload: dict[str, Any]) -> None:
    with capture_logs() as lines:
        read(payload)
    assert lines
    for word in (SAID, THEIR_NUMBER, WAMID):
        assert word not in str(lines)
    assert all(line["length"] > 0 for line in lines)


def test_the_log_says_enough_to_find_an_event_again() -> None:
    with capture_logs() as lines:
        read(envelope(values(messages=[UNREAD], errors=[{"code": 131000, "title": "x"}])))
    first, second = lines
    assert (first["meta_type"], first["meta_id"]) == ("text", f"…{WAMID[-16:]}")
    assert first["parts"] == ["from", "id", "text", "timestamp", "type"]
    assert second["meta_code"] == 131000


@pytest.mark.parametrize("change", [None, 7, {}, {"field": "messages"}, {"field": "messages", "value": {}}])
def test_a_change_that_nobody_can_read_holds_nothing_up(change: Any) -> None:
    payload = envelope()
    payload["entry"] = [{"id": "1", "changes": [change]}, 7, {"id": "1"}, *TEXT["entry"]]
    assert [event.text for event in read(payload) if isinstance(event, Incoming)] == ["Bonjour"]


def test_letters_that_no_database_takes_are_left_out() -> None:
    body = json.dumps(written("text", {"body": "a\x00b\ud83dc"}, odd={"\x00k": ["\x00v"], "n": float("nan")})).encode()
    (event,) = make_webhook().read(body, signature=signature(body))
    assert isinstance(event, Incoming)
    assert event.text == "ab?c"
    assert (event.raw or {})["odd"] == {"k": ["v"], "n": None}


def test_a_number_that_is_not_ours_is_logged_once_and_answered_well() -> None:
    webhook, payload = make_webhook(), written("text", {"body": "Bonjour"})
    payload["entry"][0]["changes"][0]["value"]["metadata"] = {"phone_number_id": "999"}
    with capture_logs() as lines:
        assert read(payload, webhook) == []
        assert read(payload, webhook) == []
    assert [line["number"] for line in lines] == ["999"]


@pytest.mark.parametrize("payload", [TEXT, envelope({"event": "ACCOUNT_DELETED"}, field_name="account_update")])
def test_a_fault_of_ours_is_not_taken_for_one_of_metas(payload: dict[str, Any]) -> None:
    def broken(_: str) -> Any:
        raise KeyError

    webhook = CloudWebhook(
        app_secret=APP_SECRET,
        verify_token="",
        redactor=Redactor(),
        session_of=broken,
        sessions_of_account=broken,
        heard=broken,
    )
    with pytest.raises(KeyError):  # no 200: Meta calls again
        read(payload, webhook)


def test_what_comes_for_a_number_proves_that_it_lives() -> None:
    heard: list[str] = []
    webhook = CloudWebhook(
        app_secret="s" * 32,
        verify_token="",
        redactor=Redactor(),
        session_of=lambda _: SESSION,
        sessions_of_account=lambda _: [],
        heard=heard.append,
    )
    body = json.dumps(told("read")).encode()
    webhook.read(body, signature=signature(body, secret="s" * 32))
    assert heard == [PHONE_ID]


# --- when Meta hears 200


async def test_meta_hears_200_once_it_is_kept_and_not_before(http: httpx.AsyncClient, sink: Kept) -> None:
    sink.faults = [SqlAway(), RuntimeError("a bug"), SqlAway()]
    caller = meta(http)
    with capture_logs():
        assert await caller.deliver(TEXT)
    assert caller.statuses == [503, 500, 503, 200]
    assert [event.text for event in sink.events if isinstance(event, Incoming)] == ["Bonjour"]


async def test_a_call_with_nothing_for_us_is_answered_without_asking_anybody(
    http: httpx.AsyncClient, sink: Kept
) -> None:
    sink.faults = [SqlAway()]
    assert await meta(http).deliver(envelope({"event": "APPROVED"}, field_name="message_template_status_update"))
    assert sink.faults
