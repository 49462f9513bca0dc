"""Limits as a client meets them: header fields, 429, quotas; and who is free of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from passerelle.app import App
from passerelle.clients.adapters.sql import SqlQuotaBook
from passerelle.clients.rate import Rate
from passerelle.db import Database

from apps import gateway, http
from servers import RedisServer, eventually

pytestmark = pytest.mark.anyio
ADMIN = {"Authorization": "Bearer the-admin"}
SESSIONS, MESSAGES = "/api/whatsapp/sessions", "/api/messages"
SLOW = Rate(5, 3600, 5)
Json = dict[str, Any]
Api = httpx.AsyncClient


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[tuple[App, Api]]:
    known: Json = {"admin_key": SecretStr("the-admin"), "working": False}
    async with gateway(data_dir, **(known | settings)) as app, http(app) as api:
        yield app, api


async def key_of_new(api: Api) -> dict[str, str]:
    answer = await api.post("/api/clients", json={"name": "one"}, headers=ADMIN)
    assert answer.status_code == 201
    return {"X-API-Key": answer.json()["api_key"]}


# --- requests


async def test_every_answer_says_how_the_key_stands_and_the_one_too_many_is_429(tmp_path: Path) -> None:
    async with opened(tmp_path, rate_limit=SLOW) as (_, api):
        key = await key_of_new(api)
        told = [await api.get(SESSIONS, headers=key) for _ in range(3)]
        told.append(await api.get(f"{SESSIONS}/sess_none", headers=key))  # an error counts too
        told.append(await api.get("/api/messages?limit=x", headers=key))
        assert [one.status_code for one in told] == [200, 200, 200, 404, 422]
        assert [one.headers["ratelimit"] for one in told] == [
            f'"default";r={left};t={t}' for left, t in zip((4, 3, 2, 1, 0), (720, 1440, 2160, 2880, 3600), strict=True)
        ]
        assert {one.headers["ratelimit-policy"] for one in told} == {'"default";q=5;w=3600'}
        refused = await api.get(SESSIONS, headers=key)
        body = refused.json()
        assert (refused.status_code, body["status"], body["code"]) == (429, 429, "rate_limited")
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) == body["retry_after"] == 720
        assert refused.headers["ratelimit"].startswith('"default";r=0;')
        assert key["X-API-Key"] not in refused.text


async def test_what_is_over_the_limit_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, rate_limit=Rate(1, 3600, 1)) as (_, api):
        key = await key_of_new(api)
        assert (await api.get("/api/contractors", headers=key)).status_code == 200
        contractor = {"name": "P", "phone": "+33639980122", "trades": ["plumber"], "areas": ["75011"], "capacity": 1}
        assert (await api.post("/api/contractors", json=contractor, headers=key)).status_code == 429
        other = await key_of_new(api)
        assert (await api.get("/api/contractors", headers=other)).json()["items"] == []


async def test_keys_do_not_share_a_bucket_and_a_stranger_has_none(tmp_path: Path) -> None:
    async with opened(tmp_path, rate_limit=SLOW) as (_, api):
        one, other = await key_of_new(api), await key_of_new(api)
        for _ in range(6):
            last = await api.get(SESSIONS, headers=one)
        assert last.status_code == 429
        assert (await api.get(SESSIONS, headers=other)).status_code == 200
        unknown = await api.get(SESSIONS, headers={"X-API-Key": "pas_a_b_c"})
        assert unknown.status_code == 401
        assert "ratelimit" not in unknown.headers


async def test_the_admin_open_mode_and_what_is_public_are_not_counted(tmp_path: Path) -> None:
    async with opened(tmp_path, rate_limit=SLOW) as (_, api):
        key = await key_of_new(api)
        for path, headers in ((SESSIONS, ADMIN), ("/healthz", key), ("/api/health", key)):
            answers = [await api.get(path, headers=headers) for _ in range(8)]
            assert {one.status_code for one in answers} <= {200, 503}
            assert not any("ratelimit" in one.headers for one in answers)
    (tmp_path / "open").mkdir()
    async with opened(tmp_path / "open", rate_limit=SLOW, admin_key=None) as (_, api):
        answers = [await api.get(SESSIONS) for _ in range(8)]
        assert {one.status_code for one in answers} == {200}


async def test_the_limit_is_on_by_default_and_can_be_switched_off(tmp_path: Path, monkeypatch: Any) -> None:
    async with opened(tmp_path) as (_, api):
        answer = await api.get(SESSIONS, headers=await key_of_new(api))
        assert answer.headers["ratelimit-policy"] == '"default";q=600;w=60'
    monkeypatch.setenv("PASSERELLE_RATE_LIMIT", "off")
    async with opened(tmp_path) as (app, api):
        assert app.limiter is None
        assert "ratelimit" not in (await api.get(SESSIONS, headers=await key_of_new(api))).headers


async def test_two_processes_on_one_redis_give_out_what_one_would(
    tmp_path: Path, redis_server: RedisServer, request: pytest.FixtureRequest
) -> None:
    more: Json = {"redis_url": SecretStr(redis_server.url), "rate_limit": Rate(20, 3600, 20)}
    more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with opened(tmp_path / "one", **more) as (one, api), opened(tmp_path / "two", **more) as (two, apart):
        key = await key_of_new(api)
        assert (await apart.get(SESSIONS, headers=key)).status_code == 200
        good = 0
        for _ in range(15):
            good += (await api.get(SESSIONS, headers=key)).status_code == 200
        for app in (one, two, one, two):
            assert app.limiter is not None
            await app.limiter.report()
        assert (await apart.get(SESSIONS, headers=key)).status_code == 200
        for app in (one, two, two):
            assert app.limiter is not None
            await app.limiter.report()
        for _ in range(15):
            good += (await apart.get(SESSIONS, headers=key)).status_code == 200
        assert good + 2 == 20


async def test_a_redis_that_freezes_costs_the_limiter_nothing(
    tmp_path: Path, redis_server: RedisServer, request: pytest.FixtureRequest
) -> None:
    """The key itself is looked for in Redis; the count of it is not."""
    more: Json = {"redis_url": SecretStr(redis_server.url), "rate_limit": SLOW}
    more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with opened(tmp_path, **more) as (app, api):
        key = await key_of_new(api)
        assert (await api.get(SESSIONS, headers=key)).status_code == 200
        redis_server.kill()
        await eventually(lambda: not app.link.is_up)
        began = asyncio.get_running_loop().time()
        answers = [(await api.get(SESSIONS, headers=key)).status_code for _ in range(6)]
        assert answers == [200, 200, 200, 200, 429, 429]
        assert asyncio.get_running_loop().time() - began < 2


# --- messages


@pytest.fixture(params=["sqlite", "postgresql"])
async def counted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[App, Api, dict[str, str]]]:
    """A gateway that gives each client ten messages a day, and a client with a phone."""
    more: Json = {"working": True, "message_quota": 10}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with opened(tmp_path, **more) as (app, api):
        key = await key_of_new(api)
        await _link(api, key, "+33639980123")
        yield app, api, key


async def _link(api: Api, key: dict[str, str], number: str) -> None:
    wish = {"user_id": "anna", "phone_number": number}
    attempt = (await api.post("/api/whatsapp/pairing-code", json=wish, headers=key)).json()
    typed = await api.post(f"/sandbox/phones/{number}/enter-code", json={"code": attempt["code"]}, headers=ADMIN)
    assert typed.status_code == 200, typed.text
    path = f"/api/whatsapp/pairing-code/{attempt['attempt_id']}"
    async with asyncio.timeout(8):
        while (await api.get(path, headers=key)).json()["status"] != "linked":  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.01)


def said(count: int = 1) -> Json:
    one = {"user_id": "anna", "to": "+33639980121", "type": "text", "text": "hello"}
    return one if count == 1 else {"messages": [one] * count}


async def test_many_requests_at_once_cannot_pass_the_quota(counted: tuple[App, Api, dict[str, str]]) -> None:
    app, api, key = counted
    answers = await asyncio.gather(*(api.post(MESSAGES, json=said(), headers=key) for _ in range(40)))
    codes = [one.status_code for one in answers]
    assert (codes.count(202), codes.count(429)) == (10, 30)
    refused = next(one for one in answers if one.status_code == 429).json()
    assert (refused["code"], refused["quota"]) == ("message_quota", 10)
    now = app.clock.now()
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs(refused["retry_after"] - (midnight - now).total_seconds()) < 5
    there = await api.get(MESSAGES, params={"limit": 1000}, headers=key)
    assert len(there.json()["items"]) == 10


async def test_a_batch_fits_as_a_whole_or_not_at_all(counted: tuple[App, Api, dict[str, str]]) -> None:
    _, api, key = counted
    batch = f"{MESSAGES}/batch"
    counts = [(await api.post(batch, json=said(count), headers=key)).status_code for count in (11, 6, 5, 4, 2)]
    assert counts == [429, 202, 429, 202, 429]


async def test_what_is_not_written_is_not_counted(counted: tuple[App, Api, dict[str, str]]) -> None:
    """Unknown users, repeated requests, and many at once with one key."""
    _, api, key = counted
    nobody = said() | {"user_id": "nobody"}
    assert {(await api.post(MESSAGES, json=nobody, headers=key)).status_code for _ in range(12)} == {404}
    keyed = key | {"Idempotency-Key": "one"}
    at_once = await asyncio.gather(*(api.post(MESSAGES, json=said(), headers=keyed) for _ in range(8)))
    assert len({one.json()["id"] for one in at_once}) == 1
    codes = [(await api.post(MESSAGES, json=said(), headers=key)).status_code for _ in range(11)]
    assert codes == [202] * 9 + [429] * 2
    repeated = await api.post(MESSAGES, json=said(), headers=keyed)
    assert repeated.status_code == 200, "what was written is told again, quota or not"


async def test_after_midnight_a_client_goes_on_and_another_one_never_noticed(
    counted: tuple[App, Api, dict[str, str]],
) -> None:
    _, api, key = counted
    other = await key_of_new(api)
    await _link(api, other, "+33639980124")
    assert (await api.post(f"{MESSAGES}/batch", json=said(10), headers=key)).status_code == 202
    refused = await api.post(MESSAGES, json=said(), headers=key)
    assert refused.status_code == 429
    assert (await api.post(MESSAGES, json=said(), headers=other)).status_code == 202
    wait = {"seconds": refused.json()["retry_after"] + 1}
    assert (await api.post("/sandbox/clock/advance", json=wait, headers=ADMIN)).status_code == 200
    assert (await api.post(MESSAGES, json=said(), headers=key)).status_code == 202


async def test_a_day_that_another_process_sees_a_moment_later_is_the_same_day(database: Database) -> None:
    book = SqlQuotaBook()

    async def spend(messages: int, day: int) -> bool:
        return await database.run(partial(book.spend, client_id="client_a", messages=messages, day=day, at_most=10))

    assert await spend(11, 100) is False
    assert await spend(8, 100)
    assert await spend(9, 101), "a new day"
    assert await spend(2, 100) is False, "the clock behind does not bring the old day back"
    assert await spend(1, 100)
    assert await spend(1, 101) is False
    assert await spend(-1, 101)
    assert await spend(1, 101)
    assert await spend(10, 90), "a clock that was set back by days begins anew"
