"""The HTTP interface as strangers' scripts meet it: bodies, errors, keys, languages, probes."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from apps import ME, NUMBER, ended_as, gateway, http

PAIR = "/api/whatsapp/pairing-code"
pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(tmp_path) as app, http(app) as client:
        yield client


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    body: dict[str, object] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert {"type", "title", "detail", "hint"} <= set(body)
    return body


@pytest.mark.mission("A1")
async def test_a_phone_number_gives_an_eight_character_code(api: httpx.AsyncClient) -> None:
    answer = await api.post(PAIR, json={"user_id": "anna", "phone_number": NUMBER})
    assert answer.status_code == 200
    assert set(answer.json()) == {"attempt_id", "session_id", "status", "code", "expires_at"}
    assert len(answer.json()["code"].replace("-", "")) == 8
    assert answer.json()["expires_at"].endswith("Z")


async def test_camel_case_and_a_number_without_plus_are_understood(api: httpx.AsyncClient) -> None:
    answer = await api.post(PAIR, json={"userId": "anna", "phoneNumber": NUMBER.removeprefix("+")})
    assert answer.status_code == 200


async def test_who_prefers_not_to_wait_gets_an_address_to_follow(api: httpx.AsyncClient) -> None:
    answer = await api.post(PAIR, json={"user_id": "anna", "phone_number": NUMBER}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    followed = (await api.get(answer.headers["location"])).json()
    assert followed["attempt_id"] == answer.json()["attempt_id"]
    expected = {"attempt_id", "session_id", "user_id", "phone_number", "status", "code", "expires_at"}
    assert set(followed) == expected | {"codes_issued", "reason"}


@pytest.mark.mission("A3")
@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "An operation is already in progress for your account."),
        ("fr-FR,fr;q=0.9", "Une opération est déjà en cours pour votre compte."),
        ("de, fr;q=0.5", "Une opération est déjà en cours pour votre compte."),
        ("de", "An operation is already in progress for your account."),
    ],
)
async def test_a_second_wish_is_told_so_in_the_readers_language(
    api: httpx.AsyncClient, language: str, sentence: str
) -> None:
    wish = {"user_id": "anna", "phone_number": NUMBER}
    first = (await api.post(PAIR, json=wish)).json()
    answer = await api.post(PAIR, json=wish, headers={"Accept-Language": language})
    body = is_problem(answer, 429, "pairing_in_progress")
    assert body["detail"] == sentence
    assert body["attempt_id"] == first["attempt_id"]
    assert body["expires_at"] == first["expires_at"]
    assert body["attempt_url"] == f"{PAIR}/{first['attempt_id']}"
    assert int(answer.headers["retry-after"]) == body["retry_after"]


@pytest.mark.parametrize("number", ["", "abc", "+33", "0639980001", "+" + "9" * 60])
async def test_a_number_that_cannot_be_one_is_422(api: httpx.AsyncClient, number: str) -> None:
    is_problem(await api.post(PAIR, json={"user_id": "anna", "phone_number": number}), 422, "invalid_phone")


@pytest.mark.parametrize(
    "wish",
    [
        {"user_id": "anna"},
        {"phone_number": NUMBER},
        {"user_id": 5, "phone_number": NUMBER},
        {"user_id": "anna", "phone_number": NUMBER, "force": "perhaps"},
        {"user_id": "anna", "phone_number": NUMBER, "unknown": 1},
        [],
        "text",
        None,
    ],
)
async def test_wrong_fields_are_named(api: httpx.AsyncClient, wish: object) -> None:
    headers = {"Content-Type": "application/json"}
    body = is_problem(await api.post(PAIR, content=json.dumps(wish), headers=headers), 422, "invalid_request")
    assert body["errors"]


@pytest.mark.parametrize("user", ["", "x" * 201, "a\x00b", "line\nbreak", "\ud800"])
async def test_a_user_id_that_cannot_be_kept_is_422(api: httpx.AsyncClient, user: str) -> None:
    wish = json.dumps({"user_id": user, "phone_number": NUMBER})  # httpx would not send a lone surrogate
    answer = await api.post(PAIR, content=wish, headers={"Content-Type": "application/json"})
    is_problem(answer, 422, "invalid_user_id")


async def test_a_key_that_cannot_be_kept_is_422(api: httpx.AsyncClient) -> None:
    wish = {"user_id": "anna", "phone_number": NUMBER}
    answer = await api.post(PAIR, json=wish, headers={"Idempotency-Key": "k" * 201})
    is_problem(answer, 422, "invalid_idempotency_key")


@pytest.mark.parametrize(
    "content", [b"{", b'{"user_id":', b"\x00", b"{'a': 1}", b'{"user_id": "\xff"}', b'{"user_id": NaN}']
)
async def test_a_body_that_is_no_json_is_400(api: httpx.AsyncClient, content: bytes) -> None:
    answer = await api.post(PAIR, content=content, headers={"Content-Type": "application/json"})
    is_problem(answer, 400, "not_json")


async def test_ten_megabytes_are_413_and_the_next_request_is_served(api: httpx.AsyncClient) -> None:
    is_problem(await api.post(PAIR, content=b"x" * 10_000_000), 413, "body_too_large")
    assert (await api.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{PAIR}/pair_unknown", 404),
        ("DELETE", f"{PAIR}/pair_unknown", 404),
        ("GET", f"{PAIR}/pair_unknown/events", 404),
        ("GET", "/api/whatsapp/sessions/sess_unknown", 404),
        ("DELETE", "/api/whatsapp/sessions/sess_unknown", 404),
        ("GET", f"{PAIR}/pair%00", 404),
        ("GET", "/nowhere", 404),
        ("PUT", PAIR, 405),
    ],
)
async def test_what_is_not_there_is_said_as_a_problem(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await api.request(method, path)
    is_problem(answer, status, answer.json()["code"])


async def test_sessions_say_where_they_are_known_from(api: httpx.AsyncClient) -> None:
    body = (await api.get("/api/whatsapp/sessions")).json()
    assert (body["items"], body["next_cursor"], body["source"]) == ([], None, "file")
    assert body["as_of"].endswith("Z")


async def test_a_request_keeps_its_id_and_a_strange_one_is_replaced(api: httpx.AsyncClient) -> None:
    assert (await api.get("/healthz", headers={"X-Request-ID": "mine-1"})).headers["x-request-id"] == "mine-1"
    replaced = (await api.get("/healthz", headers={"X-Request-ID": "a b\tc"})).headers["x-request-id"]
    assert " " not in replaced


async def test_the_probes_and_the_interface_description_answer(api: httpx.AsyncClient) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok"}
    assert (await api.get("/readyz")).json() == {"status": "ok"}
    described = (await api.get("/openapi.json")).json()
    names = {parameter["name"] for parameter in described["paths"][PAIR]["post"]["parameters"]}
    assert names == {"Idempotency-Key", "Prefer"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "é".encode()}])
async def test_with_a_key_set_nobody_enters_without_it(tmp_path: Path, headers: dict[str, str]) -> None:
    async with gateway(tmp_path, admin_key=SecretStr("right")) as app, http(app) as client:
        is_problem(await client.get("/api/whatsapp/sessions", headers=headers), 401, "key_missing")
        proxied = {"Authorization": "Basic abc", "X-API-Key": "right"}
        for right in ({"Authorization": "bearer right"}, {"X-API-Key": "right"}, proxied):
            assert (await client.get("/api/whatsapp/sessions", headers=right)).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


async def test_with_a_key_set_the_sandbox_asks_for_it_too(tmp_path: Path) -> None:
    async with gateway(tmp_path, admin_key=SecretStr("right")) as app, http(app) as client:
        is_problem(await client.get("/sandbox/phones"), 401, "key_missing")
        assert (await client.get("/sandbox/phones", headers={"X-API-Key": "right"})).status_code == 200


async def test_sessions_come_in_pages(tmp_path: Path) -> None:
    async with gateway(tmp_path, probation=timedelta(0)) as app, http(app) as client:
        for number in ("+33639980001", "+33639980002", "+33639980003"):
            code = (await client.post(PAIR, json={"user_id": number, "phone_number": number})).json()
            await client.post(f"/sandbox/phones/{number[1:]}/enter-code", json={"code": code["code"]})
            await ended_as(app, await app.pairing.get(ME, code["attempt_id"]))
        page = (await client.get("/api/whatsapp/sessions", params={"limit": 2})).json()
        rest = (await client.get("/api/whatsapp/sessions", params={"cursor": page["next_cursor"]})).json()
        assert [one["user_id"][-1] for one in page["items"] + rest["items"]] == ["1", "2", "3"]
        assert rest["next_cursor"] is None
        is_problem(await client.get("/api/whatsapp/sessions", params={"limit": 0}), 422, "invalid_request")


async def test_in_production_the_sandbox_is_a_finding(tmp_path: Path) -> None:
    production = gateway(tmp_path, env="production", provider="sandbox", admin_key=SecretStr("right"))
    wrong = {"REDIS_MISSING_IN_PRODUCTION", "SANDBOX_IN_PRODUCTION"}
    with capture_logs() as lines:
        async with production as app:
            assert {finding.id for finding in app.findings} == wrong
    assert {line["finding"] for line in lines if "finding" in line} == wrong


async def test_a_request_that_breaks_is_told_with_its_id(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app, http(app) as client:
        await app.database.run(lambda tx: tx.sql("DROP TABLE contractors"))
        with capture_logs() as lines:
            answer = await client.get("/api/contractors")
        is_problem(answer, 500, "internal_error")
        assert answer.headers["x-request-id"]
        assert any("A request broke" in line["event"] for line in lines)


async def test_sessions_that_cannot_be_read_are_not_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "records" / "default").mkdir(parents=True)
    (tmp_path / "records" / "default" / "sessions.json").write_text("[")
    async with gateway(tmp_path) as app, http(app) as client:
        is_problem(await client.get("/api/whatsapp/sessions"), 503, "records_unreadable")
