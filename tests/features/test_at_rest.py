"""Nothing that lets somebody in is kept in clear: not in the database, nor in records, nor in Redis, nor in logs."""

import base64
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from media.samples import picture
from passerelle.app import App
from passerelle.app.secret import FILE
from passerelle.sessions.model import Proxy

from apps import gateway, http, linked
from servers import PostgresServer, RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
MARK = "Visible-Mark-0001"  # no secret: that it is found shows that the search is one
NOWHERE = "http://127.0.0.1:9"
GIVEN = {
    name: f"{name.replace('_', '-')}-Zq9-secret-0123456789"
    for name in (
        *("admin_key", "secret_key", "secret_key_fallbacks", "proxy"),
        *("cloudinary_api_key", "cloudinary_api_secret", "supabase_service_key"),
        *("s3_access_key_id", "s3_secret_access_key"),
        *("whatsapp_cloud_token", "whatsapp_cloud_app_secret", "whatsapp_cloud_verify_token"),
    )
}
STORES = {
    "cloudinary_cloud_name": "cloud",
    "cloudinary_upload_prefix": NOWHERE,
    "supabase_url": NOWHERE,
    "supabase_bucket": "bucket",
}
ADMIN = {"Authorization": f"Bearer {GIVEN['admin_key']}"}
LEAD = {"name": "Zoé", "phone": "+33639980009", "trade": "plumbing", "area": "75001", "description": MARK}


async def good(answer: Any) -> Any:
    told = await answer
    assert told.is_success, told.text
    return told.json()


async def filled(app: App, api: httpx.AsyncClient) -> dict[str, str]:
    """Something secret of every sort, as whoever may know it was told."""
    client = await good(api.post("/api/clients", json={"name": MARK}, headers=ADMIN))
    keys = f"/api/clients/{client['id']}/keys"
    other = await good(api.post(f"{keys}/{client['key_id']}/rotate", headers=ADMIN))
    theirs = {"X-API-Key": other["api_key"], "Idempotency-Key": "once"}
    hook = await good(api.post("/api/webhooks", json={"url": f"{NOWHERE}/", "events": []}, headers=theirs))
    again = await good(api.post(f"/api/webhooks/{hook['id']}/secret", headers=theirs))
    lead = await good(api.post("/api/leads", json=LEAD, headers=theirs))
    words = {"user_id": "anna", "category": "view-once"}
    kept = await good(api.post("/api/media", data=words, files={"file": ("a.png", picture("PNG"))}, headers=theirs))
    session, login = await linked(app), await app.logins.begin()
    proxy = Proxy.read("socks5://proxy-user-Zq9:proxy-password-Zq9@proxy.example:1080")
    await app.database.run(partial(app.sessions.put_proxy, session_id=session.id, proxy=proxy))
    return {
        "client key": client["api_key"].rpartition("_")[2],
        "rotated client key": other["api_key"].rpartition("_")[2],
        "webhook secret": hook["secret"].removeprefix("whsec_"),
        "rotated webhook secret": again["secret"].removeprefix("whsec_"),
        "login": login,
        "confirmation link": lead["confirm_url"].partition("token=")[2].rpartition(".")[2],
        "media link": kept["url"].partition("signature=")[2][:64],
        "proxy user": "proxy-user-Zq9",
        "proxy password": "proxy-password-Zq9",
    }


def forms(secret: str) -> Iterator[bytes]:
    """As it is, and as it would look in other dresses."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield base64.b64encode(raw).rstrip(b"=")
    if len(secret) == 44 and secret.endswith("="):  # of a webhook: its 32 bytes
        inside = base64.b64decode(secret)
        yield inside
        yield inside.hex().encode()


def seen_in(haystacks: dict[str, bytes], secrets: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (name, place)
        for name, secret in secrets.items()
        for place, text in haystacks.items()
        if any(form in text for form in forms(secret))
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """What is in every file below, but for the key of the gateway itself."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != FILE
    }


def dump_of(server: PostgresServer, url: str) -> bytes:
    done = subprocess.run([server._bin / "pg_dump", url], check=True, capture_output=True)
    return done.stdout


def given() -> dict[str, Any]:
    return {name: SecretStr(value) for name, value in GIVEN.items()} | STORES


async def test_no_secret_is_in_the_files_of_a_gateway_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with gateway(tmp_path, **given()) as app, http(app) as api:
        secrets = await filled(app, api)
        at_work = files_of(tmp_path)
    haystacks = {f"at work: {name}": text for name, text in at_work.items()} | files_of(tmp_path)
    haystacks["log"] = "".join(capsys.readouterr()).encode()
    assert {"passerelle.sqlite3", "records/default/clients.json"} <= set(haystacks)
    assert MARK.encode() in haystacks["records/default/clients.json"]
    assert any(MARK.encode() in text for name, text in haystacks.items() if "sqlite3" in name)
    assert seen_in(haystacks, secrets | GIVEN) == []


async def test_no_secret_is_in_a_dump_of_postgresql_or_in_redis(
    tmp_path: Path, postgres_server: PostgresServer, lasting_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres_server.create_database()
    where: dict[str, Any] = {"database_url": SecretStr(url), "redis_url": SecretStr(lasting_redis.url)}
    async with gateway(tmp_path, **given(), **where) as app, http(app) as api:
        secrets = await filled(app, api)
    redis = b"".join(files_of(Path(str(lasting_redis._folder))).values())  # each command that was ever given
    haystacks = {"dump": dump_of(postgres_server, url), "redis": redis} | files_of(tmp_path)
    haystacks["log"] = "".join(capsys.readouterr()).encode()
    assert MARK.encode() in haystacks["dump"]
    assert MARK.encode() in redis
    assert seen_in(haystacks, secrets | GIVEN) == []
