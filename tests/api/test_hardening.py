"""What a service on the open internet needs: safe answers, strict JSON, one name, methods and paths that are said."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Message

from passerelle.api import build_api
from passerelle.errors import Misconfigured
from passerelle.gate import BODY_LIMIT, Pace
from passerelle.headers import SAFE
from passerelle.media.model import Category
from passerelle.sessions.http import IMPORT_LIMIT, ImportTooLarge
from passerelle.settings import read_settings
from passerelle.strict import DEEPEST
from passerelle.whatsapp.http import BODY_LIMIT as CALL_LIMIT
from passerelle.whatsapp.http import CallTooLarge

from apps import gateway, http

pytestmark = pytest.mark.anyio
PAIR = "/api/whatsapp/pairing-code"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(tmp_path, working=False) as app, http(app) as client:
        yield client


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/api/contractors"),
        ("GET", "/nowhere"),
        ("PUT", "/api/contractors"),
        ("OPTIONS", "/api/contractors"),
        ("POST", "/api/contractors"),
        ("GET", "/api/confirm?token=x"),
        ("GET", "/dashboard"),
        ("GET", "/dashboard/nowhere"),
        ("GET", "/dashboard/static/x/y"),
        ("GET", "/media/media_x"),
        ("GET", "/"),
        ("GET", f"{PAIR}/x/events"),
    ],
)
async def test_every_answer_says_how_it_may_be_used(api: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await api.request(method, path)
    for name in SAFE:
        assert len(answer.headers.get_list(name)) == 1, name
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(answer.headers)
    assert "strict-transport-security" not in answer.headers


async def test_over_https_the_browser_is_told_to_stay_there(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        transport = httpx.ASGITransport(build_api(app))
        async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
            answer = await client.get("/healthz")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.html", b"<html><script>alert(1)</script>"), ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")],
)
async def test_a_file_that_somebody_kept_runs_nowhere(tmp_path: Path, name: str, content: bytes) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as client:
        form = {"category": Category.VIEW_ONCE.value, "user_id": "anna"}
        kept = (await client.post("/api/media", data=form, files={"file": (name, content)})).json()
        answer = await client.get(httpx.URL(kept["url"]).raw_path.decode())
    assert answer.content == content
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"].partition(";")[0] not in {"text/html", "image/svg+xml"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "syntax"),
        (b'{"name": "a"} x', "syntax"),
        (b"{'name': 1}", "syntax"),
        (b'{"name": "a", "name": "b"}', "duplicate_name"),
        (b'{"deep": {"x": 1, "x": 2}}', "duplicate_name"),
        (b'{"capacity": NaN}', "not_a_number"),
        (b'{"capacity": -Infinity}', "not_a_number"),
        (b'{"capacity": 1e999}', "number_too_large"),
        (b'{"capacity": ' + b"9" * 41 + b"}", "number_too_large"),
        (b'{"capacity": ' + b"9" * 10_000 + b"}", "number_too_large"),
        (b'{"name": "\xff"}', "not_utf8"),
        ('{"name": "a"}'.encode("utf-16"), "not_utf8"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "too_deep"),
        (b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), "too_deep"),
        (b"[" * 200_000, "too_deep"),
    ],
)
async def test_json_that_two_programs_would_read_differently_is_refused(
    api: httpx.AsyncClient, content: bytes, reason: str
) -> None:
    body = is_problem(await api.post("/api/contractors", content=content, headers=JSON), 400, "not_json")
    assert body["reason"] == reason


async def test_json_as_deep_as_allowed_and_numbers_as_large_are_read(api: httpx.AsyncClient) -> None:
    deep = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    for content in (f'{{"name": {deep}}}', '{"name": 99999999999999999999999}', '\ufeff{"name": -1.5e3}'):
        answer = await api.post("/api/contractors", content=content.encode(), headers=JSON)
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"),
        *("application/json; charset=latin-1", "application/", "nonsense", ""),
    ],
)
async def test_a_body_that_says_it_is_something_else_is_415(api: httpx.AsyncClient, content_type: str) -> None:
    answer = await api.post("/api/contractors", content=b"{}", headers={"Content-Type": content_type})
    is_problem(answer, 415, "not_json_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON", "application/x+json"])
async def test_json_may_be_called_by_any_of_its_names(api: httpx.AsyncClient, content_type: str) -> None:
    answer = await api.post("/api/contractors", content=b"{}", headers={"Content-Type": content_type})
    is_problem(answer, 422, "invalid_request")


async def test_a_body_too_large_is_told_the_limit_that_it_broke(api: httpx.AsyncClient) -> None:
    body = is_problem(await api.post(PAIR, content=b"x" * (BODY_LIMIT + 1), headers=JSON), 413, "body_too_large")
    assert (body["limit_bytes"], body["hint"]) == (BODY_LIMIT, "Send at most 1 MB.")
    assert f"{IMPORT_LIMIT // 1_000_000} MB" in ImportTooLarge.hint.en
    assert f"{CALL_LIMIT // 2**20} MiB" in CallTooLarge.hint.en
    imported = await api.post("/api/whatsapp/sessions/import", content=b"x" * (IMPORT_LIMIT + 1), headers=JSON)
    assert is_problem(imported, 413, "body_too_large")["limit_bytes"] == IMPORT_LIMIT


async def test_a_method_that_a_path_does_not_take_is_405_and_says_which_it_does(api: httpx.AsyncClient) -> None:
    answer = await api.put("/api/messages")
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"
    asked = await api.options("/api/contractors/x")
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["allow"] == "PATCH, DELETE, OPTIONS"


@pytest.mark.parametrize(
    "path", ["/healthz", "/api/messages", "/dashboard", "/nowhere", "/api/confirm", "/openapi.json"]
)
async def test_head_answers_as_get_does_without_the_body(api: httpx.AsyncClient, path: str) -> None:
    got, head = await api.get(path), await api.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == got.headers[name]


async def test_the_head_of_a_stream_ends(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app, http(app) as client, asyncio.timeout(30):
        wish = {"user_id": "anna", "phone_number": "+33639980001"}
        followed = (await client.post(PAIR, json=wish)).json()["attempt_id"]
        answer = await client.head(f"{PAIR}/{followed}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == b""


@pytest.mark.parametrize(
    "path",
    [
        *("/api/messages/..%2f..%2fhealthz", "/api/messages/a%2Fb", "/api/messages%00"),
        *("/media/..%2f..%2fpasserelle.db", "/dashboard/static/..%2f..%2fx/app.js", "/%2e%2e/healthz", "/healthz%0a"),
        *("/api/messages/%ff", "/api/messages/" + "x" * 8000, "/api/messages/%u0041", "/api/messages/a;b=c"),
    ],
)
async def test_a_path_that_plays_tricks_leads_nowhere(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "settings", "status"),
    [
        ("rebound.example", {}, 421),
        ("127.0.0.1:8000", {}, 200),
        ("[::1]:8000", {}, 200),
        ("localhost", {}, 200),
        ("passerelle", {}, 200),
        ("app.localhost", {}, 200),
        ("rebound.example", {"admin_key": SecretStr("right")}, 200),
        ("rebound.example", {"admin_key": SecretStr("right"), "public_url": "https://wa.example.org"}, 421),
        ("wa.example.org.evil.example", {"public_url": "https://wa.example.org"}, 421),
        ("WA.example.org:443", {"public_url": "https://wa.example.org"}, 200),
        ("wa.example.org.", {"public_url": "https://wa.example.org"}, 200),
        ("a.example.org", {"allowed_hosts": "other.example, *.example.org"}, 200),
        ("example.org", {"allowed_hosts": "*.example.org"}, 421),
        ("rebound.example", {"allowed_hosts": "*"}, 200),
        ("", {}, 421),
        ("[::1", {}, 400),
    ],
)
async def test_a_gateway_answers_by_its_own_names(
    tmp_path: Path, host: str, settings: dict[str, Any], status: int
) -> None:
    async with gateway(tmp_path, working=False, **settings) as app, http(app) as client:
        headers = {"Host": host, "X-API-Key": "right"}
        answer = await client.get("/api/contractors", headers=headers)
        assert answer.status_code == status, answer.text
        assert (await client.get("/healthz", headers=headers)).status_code == 200


async def test_two_hosts_or_none_are_no_host_but_for_probes_of_http_1_0(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        api = build_api(app)
        two = [(b"host", b"localhost"), (b"host", b"other.example")]
        for hosts, version, path, status in (
            ([], "1.1", "/healthz", 400),
            (two, "1.1", "/healthz", 400),
            (two, "1.0", "/healthz", 400),
            ([], "1.0", "/healthz", 200),  # a load balancer of the old sort names nobody
            ([], "1.0", "/api/contractors", 400),
        ):
            told: list[Message] = []

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Message, told: list[Message] = told) -> None:
                told.append(message)

            scope = {"type": "http", "method": "GET", "path": path, "headers": hosts, "query_string": b""}
            rest = {"scheme": "http", "http_version": version, "server": None, "client": None}
            await api({**scope, **rest}, receive, send)
            assert told[0]["status"] == status, (hosts, version, path)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_page_elsewhere_does_nothing_on_an_open_gateway(tmp_path: Path, headers: dict[str, str]) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as client:
        is_problem(await client.post("/sandbox/reset", headers=headers), 403, "foreign_page")
        asked = {**headers, "Access-Control-Request-Method": "POST"}
        preflight = await client.options("/api/contractors", headers=asked)
        assert not any(name.startswith("access-control") for name in preflight.headers)
        assert (await client.post("/sandbox/reset", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
        assert (await client.post("/sandbox/reset", headers={"Origin": "http://test"})).status_code == 200
    async with gateway(tmp_path / "closed", working=False, admin_key=SecretStr("right")) as app, http(app) as client:
        assert (await client.post("/sandbox/reset", headers={**headers, "X-API-Key": "right"})).status_code == 200


@pytest.mark.parametrize("value", ["nonsense", "10.0.0.0/33", "127.0.0.1,", "*"])
def test_a_proxy_that_is_no_address_is_told_at_the_start(tmp_path: Path, value: str) -> None:
    with pytest.raises(Misconfigured, match="PASSERELLE_TRUSTED_PROXIES"):
        read_settings(data_dir=tmp_path, trusted_proxies=value)


@pytest.mark.parametrize("path", [PAIR, "/api/media", "/webhooks/cloud-api"])
async def test_a_body_that_does_not_come_is_408_and_the_connection_ends(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path, working=False) as app:
        api = build_api(app, pace=Pace(grace_s=0.2, bytes_per_s=1_000_000))
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)

        async def dripping() -> AsyncIterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="user_id"\r\n\r\n'
            while True:
                yield b"a"
                await asyncio.sleep(0.05)

        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client, asyncio.timeout(30):
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            answer = await client.post(path, content=dripping(), headers=headers)
    if path == "/webhooks/cloud-api":  # not there without the provider
        assert answer.status_code in {404, 408}
        return
    is_problem(answer, 408, "body_too_slow")
    assert answer.headers["connection"] == "close"


async def test_ids_cannot_be_guessed(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        made = [app.clock.new_id("x") for _ in range(2000)]
    tails = [one[-14:] for one in made]
    assert len(set(tails)) == len(made)
    for place in range(14):  # 56 bits of chance after the time: every digit takes every value
        assert {tail[place] for tail in tails} == set("0123456789abcdef")


@pytest.mark.parametrize(
    "path",
    [
        *("/api/messages/{}", "/api/leads/{}", "/api/media/{}", "/api/webhooks/{}", "/api/whatsapp/sessions/{}"),
        *("/api/whatsapp/pairing-code/{}", "/api/webhooks/{}/deliveries"),
    ],
)
async def test_what_is_anothers_and_what_is_nobodys_answer_alike(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path, working=False, admin_key=SecretStr("right")) as app, http(app) as client:
        admin = {"X-API-Key": "right"}
        key = (await client.post("/api/clients", json={"name": "other"}, headers=admin)).json()["api_key"]
        lead = {"name": "Anna", "phone": "+33639980009", "trade": "roof", "area": "69"}
        form = {"category": "view-once", "user_id": "anna"}
        made = {
            "leads": await client.post("/api/leads", json=lead, headers=admin),
            "media": await client.post("/api/media", data=form, files={"file": ("x.txt", b"x")}, headers=admin),
            "webhooks": await client.post("/api/webhooks", json={"url": "http://127.0.0.1:9/"}, headers=admin),
        }
        kind = next((name for name in made if name in path), None)
        theirs = made[kind].json()["id"] if kind else app.clock.new_id("msg")
        if kind:
            assert (await client.get(path.format(theirs), headers=admin)).status_code == 200
        answers = [
            await client.get(path.format(one), headers={"X-API-Key": key}) for one in (theirs, theirs[:-1] + "_")
        ]
        assert [one.status_code for one in answers] == [404, 404]
        assert answers[0].content == answers[1].content


async def test_clients_come_in_pages_also_when_one_goes_meanwhile(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False, admin_key=SecretStr("right")) as app, http(app) as client:
        client.headers["X-API-Key"] = "right"
        made = [(await app.clients.add(f"client {number}"))[0].id for number in range(5)]
        page = (await client.get("/api/clients", params={"limit": 2})).json()
        assert [one["id"] for one in page["items"]] == made[:2]
        await app.clients.remove(made[1])
        rest = (await client.get("/api/clients", params={"limit": 3, "cursor": page["next_cursor"]})).json()
        assert [one["id"] for one in rest["items"]] == made[2:]
        assert rest["next_cursor"] is None
        for wrong in ("0", "1001", "x"):
            is_problem(await client.get("/api/clients", params={"limit": wrong}), 422, "invalid_request")
