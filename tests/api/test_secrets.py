"""The key of the gateway changes: everybody's secrets and links go on, and then the old key may go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from media.samples import picture
from passerelle.app import App
from passerelle.app.findings import findings_of
from passerelle.app.secret import FILE, secret_keys
from passerelle.errors import Misconfigured
from passerelle.redis_link import examine
from passerelle.sessions.model import Proxy
from passerelle.settings import read_settings

from apps import gateway, http, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
OLD, NEW = "the-key-of-yesterday-0123456789", "the-key-of-today-0123456789-abcd"
LEAD = {"name": "Zoé", "phone": "+33639980009", "trade": "plumbing", "area": "75001", "description": "a leak"}
PROXY = Proxy.read("socks5://anna:s3cret@proxy.example:1080")


def keys(*secrets: str) -> dict[str, Any]:
    known: dict[str, Any] = {"secret_key": SecretStr(secrets[0])} if secrets else {}
    return known | ({"secret_key_fallbacks": SecretStr(",".join(secrets[1:]))} if secrets[1:] else {})


@asynccontextmanager
async def opened(folder: Path, url: str | None, *secrets: str) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    where: dict[str, Any] = {} if url is None else {"database_url": SecretStr(url)}
    async with gateway(folder, working=False, **keys(*secrets), **where) as app, http(app) as api:
        yield app, api


async def good(api: httpx.AsyncClient, method: str, path: str, **words: Any) -> Any:
    answer = await api.request(method, path, **words)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
async def test_everything_outlives_a_rotation_and_links_as_long_as_the_old_key(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    url = None if where == "sqlite" else request.getfixturevalue("postgres_server").create_database()
    async with opened(tmp_path, url, OLD) as (app, api):
        session = await linked(app)
        await app.database.run(partial(app.sessions.put_proxy, session_id=session.id, proxy=PROXY))
        confirm = (await good(api, "POST", "/api/leads", json=LEAD))["confirm_url"].partition("/api/")[2]
        words = {"user_id": "anna", "category": "view-once"}
        kept = await good(api, "POST", "/api/media", data=words, files={"file": ("a.png", picture("PNG"))})
        link = "/media/" + kept["url"].partition("/media/")[2]
        hook = await good(api, "POST", "/api/webhooks", json={"url": "http://127.0.0.1:9/", "events": []})
    async with opened(tmp_path, url, NEW, OLD) as (_, api):
        assert (await api.get(f"/api/{confirm}")).status_code == 200
        assert (await api.get(link)).status_code == 200
        before = await good(api, "GET", "/api/secrets")
        assert before["sealed"]["proxies"] == {"current": 0, "earlier": 1, "lost": 0}
        after = await good(api, "POST", "/api/secrets/rotate")
        assert after["sealed"]["proxies"] == {"current": 1, "earlier": 0, "lost": 0}
        assert after["sealed"]["webhook_secrets"] == {"current": 1, "earlier": 0, "lost": 0}
        assert after["key"] not in {OLD, NEW}
    async with opened(tmp_path, url, NEW) as (app, api):
        assert (await good(api, "GET", "/api/secrets"))["sealed"] == after["sealed"]
        ring = app.keyring
        assert (await ring.tallies())["proxies"].lost == 0
        assert (await api.get(f"/api/webhooks/{hook['id']}")).status_code == 200
        assert (await api.get(f"/api/{confirm}")).status_code != 200
        assert (await api.get(link)).status_code == 403


@pytest.mark.parametrize("left", [b"", b"\xff\xfe"])
def test_a_kept_key_that_is_none_stops_the_start_and_is_never_replaced(tmp_path: Path, left: bytes) -> None:
    """As after a power cut, or a copy that went wrong: a new one would lose what the right one sealed."""
    (tmp_path / FILE).write_bytes(left)
    with pytest.raises(Misconfigured, match=FILE):
        secret_keys(read_settings(data_dir=tmp_path))
    assert (tmp_path / FILE).read_bytes() == left


async def test_a_lost_key_is_told_by_health(tmp_path: Path) -> None:
    async with opened(tmp_path, None, OLD) as (_, api):
        await good(api, "POST", "/api/webhooks", json={"url": "http://127.0.0.1:9/", "events": []})
    async with opened(tmp_path, None, NEW) as (_, api):
        told = (await api.get("/api/health", headers={"Accept-Language": "fr"})).json()["checks"]["progress"]
        assert (told["status"], told["finding"]) == ("failed", "SECRET_KEY_LOST")
        assert "webhook_secrets: 1" in told["message"]
        assert "PASSERELLE_SECRET_KEY_FALLBACKS" in told["fix"]


async def test_a_key_that_was_made_here_opens_what_it_sealed_after_one_is_set(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as (_, api):
        await good(api, "POST", "/api/webhooks", json={"url": "http://127.0.0.1:9/", "events": []})
    made = (tmp_path / FILE).read_text()
    settings = read_settings(data_dir=tmp_path, **keys(NEW, OLD))
    assert secret_keys(settings) == (NEW, OLD, made)
    async with opened(tmp_path, None, NEW) as (_, api):
        told = await good(api, "POST", "/api/secrets/rotate")
        assert told["sealed"]["webhook_secrets"] == {"current": 1, "earlier": 0, "lost": 0}


def test_no_key_is_made_where_one_is_set(tmp_path: Path) -> None:
    assert secret_keys(read_settings(data_dir=tmp_path, **keys(NEW))) == (NEW,)
    assert not (tmp_path / FILE).exists()


def found(**settings: Any) -> set[str]:
    known = findings_of(read_settings(**settings), examine(None))
    return {finding.id for finding in known if finding.id.startswith("SECRET_KEY")}


def test_a_key_that_can_be_guessed_is_told() -> None:
    assert found(**keys("change-me")) == {"SECRET_KEY_WEAK"}
    assert found(**keys("a" * 40)) == {"SECRET_KEY_WEAK"}
    assert found(**keys(NEW, "old")) == {"SECRET_KEY_WEAK"}
    assert found(**keys(NEW, OLD)) == set()
    assert found() == set()


def test_a_key_of_one_machine_is_told_where_several_may_share_the_database() -> None:
    shared = {"database_url": SecretStr("postgresql://h/db"), "provider": "sandbox"}
    assert found(**shared, env="production") == {"SECRET_KEY_MADE"}
    assert found(**shared, env="production", **keys(NEW)) == set()
    assert found(**shared) == set()
    assert found(env="production", provider="sandbox") == set()
