"""``GET /api/whatsapp/sessions/{id}/qr`` and ``PUT …/proxy``, as clients and the admin see them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from passerelle.app import App

from apps import NUMBER, gateway, http, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
SESSIONS, PAIRING = "/api/whatsapp/sessions", "/api/whatsapp/pairing-code"
ADMIN = {"Authorization": "Bearer the-admin"}
PROXY = "socks5://anna:s3cret@proxy.example:1080"
Json = dict[str, Any]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with gateway(tmp_path, admin_key=SecretStr("the-admin"), probation=timedelta(milliseconds=10)) as app:
        yield app


@pytest.fixture
async def admin(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http(app) as client:
        client.headers.update(ADMIN)
        yield client


async def asked(client: httpx.AsyncClient) -> Json:
    answer = await client.post(PAIRING, json={"user_id": "anna", "phone_number": NUMBER})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def until(client: httpx.AsyncClient, session_id: str, status: int) -> Json:
    """The answer about the QR code, once it has this status."""
    async with asyncio.timeout(30):
        while (answer := await client.get(f"{SESSIONS}/{session_id}/qr")).status_code != status:  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.01)
    body: Json = answer.json()
    return body


async def qr(client: httpx.AsyncClient, session_id: str) -> Json:
    """The QR code, once it is there."""
    return await until(client, session_id, 200)


async def test_what_is_scanned_instead_of_the_code_links_the_phone(admin: httpx.AsyncClient) -> None:
    attempt = await asked(admin)
    with capture_logs() as logs:
        shown = await qr(admin, attempt["session_id"])
    assert shown["qr"] not in repr(logs)
    assert shown["expires_at"] == attempt["expires_at"]
    assert ET.fromstring(shown["svg"]).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 -- our own
    picture = await admin.get(f"{SESSIONS}/{attempt['session_id']}/qr", headers={"Accept": "image/svg+xml"})
    assert picture.text == shown["svg"]
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert picture.headers["cache-control"] == "no-store"
    typed = await admin.post(f"/sandbox/phones/{NUMBER}/enter-code", json={"code": shown["qr"]})
    assert typed.status_code == 200, typed.text
    assert (await until(admin, attempt["session_id"], 409))["code"] == "already_linked"


async def test_the_qr_code_lapses_with_its_attempt(app: App, admin: httpx.AsyncClient) -> None:
    attempt = await asked(admin)
    await qr(admin, attempt["session_id"])
    await admin.delete(f"{PAIRING}/{attempt['attempt_id']}")
    gone = await admin.get(f"{SESSIONS}/{attempt['session_id']}/qr")
    assert (gone.status_code, gone.json()["code"]) == (409, "attempt_ended")
    rows = await app.database.read(lambda tx: tx.sql("SELECT qr FROM pairing_attempts"))
    assert [row["qr"] for row in rows] == [None]


async def test_before_there_is_one_it_is_said(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as client:
        answer = await client.post(
            PAIRING, json={"user_id": "anna", "phone_number": NUMBER}, headers={"Prefer": "respond-async"}
        )
        early = await client.get(f"{SESSIONS}/{answer.json()['session_id']}/qr")
        assert (early.status_code, early.json()["code"]) == (404, "qr_not_ready")
        assert "second" in early.json()["hint"]
        nobody = await client.get(f"{SESSIONS}/sess_nobody/qr")
        assert (nobody.status_code, nobody.json()["code"]) == (404, "session_not_found")


async def test_another_client_sees_no_qr_code(app: App, admin: httpx.AsyncClient) -> None:
    attempt = await asked(admin)
    await qr(admin, attempt["session_id"])
    made = await admin.post("/api/clients", json={"name": "other"})
    async with http(app) as stranger:
        stranger.headers["Authorization"] = f"Bearer {made.json()['api_key']}"
        seen = await stranger.get(f"{SESSIONS}/{attempt['session_id']}/qr")
    assert (seen.status_code, seen.json()["code"]) == (404, "session_not_found")


async def test_a_qr_code_more_is_told_to_nobody(app: App, admin: httpx.AsyncClient) -> None:
    await admin.post("/api/webhooks", json={"url": "http://127.0.0.1:9/", "events": ["pairing.code_issued"]})
    attempt = await asked(admin)
    await qr(admin, attempt["session_id"])
    rows = await app.database.read(lambda tx: tx.sql("SELECT data FROM webhook_deliveries"))
    assert len(rows) == 1


async def test_the_admin_sets_a_proxy_and_nobody_reads_its_password_again(app: App, admin: httpx.AsyncClient) -> None:
    session_id = (await linked(app)).id
    path = f"{SESSIONS}/{session_id}/proxy"
    with capture_logs() as logs:
        assert (await admin.put(path, json={"url": PROXY})).status_code == 204
        shown = (await admin.get(f"{SESSIONS}/{session_id}")).text
        rows = await app.database.read(lambda tx: tx.sql("SELECT * FROM linked_phones"))
    assert '"proxy":"socks5://proxy.example:1080"' in shown
    assert "s3cret" not in shown + repr(logs) + str(rows)
    assert (await admin.put(path, json={"url": None})).status_code == 204
    assert (await admin.get(f"{SESSIONS}/{session_id}")).json()["proxy"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "ftp://anna:s3cret@host"}, "invalid_proxy"),
        ({"url": ["s3cret"]}, "invalid_request"),
        ({}, "invalid_request"),
        ({"url": None, "user": "s3cret"}, "invalid_request"),
    ],
)
async def test_what_is_no_proxy_is_refused_and_not_repeated(
    app: App, admin: httpx.AsyncClient, body: Json, code: str
) -> None:
    session_id = (await linked(app)).id
    answer = await admin.put(f"{SESSIONS}/{session_id}/proxy", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert "s3cret" not in answer.text


async def test_only_the_admin_sets_a_proxy_and_only_of_a_linked_phone(app: App, admin: httpx.AsyncClient) -> None:
    nobody = await admin.put(f"{SESSIONS}/sess_nobody/proxy", json={"url": PROXY})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "session_not_found")
    made = await admin.post("/api/clients", json={"name": "other"})
    async with http(app) as client:
        client.headers["Authorization"] = f"Bearer {made.json()['api_key']}"
        refused = await client.put(f"{SESSIONS}/sess_nobody/proxy", json={"url": PROXY})
    assert (refused.status_code, refused.json()["code"]) == (403, "admin_only")
