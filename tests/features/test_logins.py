"""Logins of the dashboard: begun and ended as wishes, found while Redis is away, swept when they are over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from passerelle.app import App
from passerelle.clients.jobs import LoginJobs
from passerelle.clients.logins import KEY, LIFE
from passerelle.errors import Unavailable
from passerelle.records.model import Record, WishRefused

from apps import gateway
from servers import RedisServer, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["json", "redis"])
async def app(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[App]:
    """A gateway that does no work, on files and on Redis."""
    redis: dict[str, Any] = {}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        redis["redis_url"] = SecretStr(server.url)
    async with gateway(tmp_path, working=False, **redis) as app:
        yield app


async def at_home(app: App) -> dict[str, Record]:
    """What is kept of logins, marks too."""
    return await app.records.home.load(KEY)


def later(app: App, by: timedelta) -> None:
    app.clock.set_offset(app.clock.offset + by)


async def test_a_login_is_known_by_its_token_until_it_ends(app: App) -> None:
    before = datetime.now(UTC)
    token, other = await app.logins.begin("anna"), await app.logins.begin()
    found = await app.logins.find(token)
    assert found is not None
    assert (found.user_id, found.expires_at - found.created_at) == ("anna", LIFE)
    assert before <= found.created_at <= datetime.now(UTC)
    await app.logins.end(token)
    assert await app.logins.find(token) is None
    assert (await app.logins.find(other)) is not None
    await app.logins.end(token)
    await app.logins.end("never begun")
    assert await app.logins.find("never begun") is None


async def test_another_admin_key_ends_the_logins_of_the_one_before(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False, admin_key=SecretStr("the-first-key-of-the-admin")) as app:
        token = await app.logins.begin()
        assert await app.logins.find(token) is not None
    async with gateway(tmp_path, working=False, admin_key=SecretStr("another-key-of-the-admin")) as app:
        assert await app.logins.find(token) is None


@pytest.mark.parametrize("token", ["", "x", "é\n\x00", "\ud800", "x" * 100_000])
async def test_whatever_a_cookie_holds_is_nobodys(app: App, token: str) -> None:
    await app.logins.begin()
    assert await app.logins.find(token) is None


async def test_a_token_is_kept_nowhere(app: App) -> None:
    token = await app.logins.begin()
    (record,) = (await at_home(app)).values()
    assert token not in str(record)
    assert len(record.id) == 64, "its hash is"
    assert await app.logins.find(record.id) is None, "who has seen the hash is not let in"


async def test_a_login_that_is_over_is_nobodys_at_once(app: App) -> None:
    token = await app.logins.begin()
    later(app, LIFE - timedelta(minutes=1))
    assert await app.logins.find(token) is not None
    later(app, timedelta(minutes=2))
    assert await app.logins.find(token) is None


async def test_what_is_over_goes_with_the_first_sweep_and_its_mark_with_the_second(app: App) -> None:
    old, ended = await app.logins.begin(), await app.logins.begin()
    await app.logins.end(ended)
    assert await app.logins.sweep() == 0, "it has only looked"
    assert [record.removed for record in (await at_home(app)).values()].count(True) == 1
    later(app, LIFE + timedelta(minutes=1))
    young = await app.logins.begin()
    assert await app.logins.sweep() == 1
    assert sorted(record.removed for record in (await at_home(app)).values()) == [False, True]
    assert await app.logins.sweep() == 0
    assert len(await at_home(app)) == 2, "its mark was seen just now for the first time"
    assert await app.logins.sweep() == 0
    (left,) = (await at_home(app)).values()
    assert not left.removed
    assert await app.logins.find(old) is None
    assert await app.logins.find(young) is not None
    assert app.records.home.suspicions == {}, "what is forgotten on purpose is no loss"


async def test_logins_are_swept_each_hour(app: App) -> None:
    await app.logins.begin()
    jobs = LoginJobs(app.logins, app.clock)
    running = asyncio.create_task(jobs.run())
    await asyncio.sleep(0.05)
    later(app, LIFE + timedelta(minutes=1))
    try:
        for _ in range(500):
            if not await at_home(app):
                break
            later(app, timedelta(minutes=61))
            await asyncio.sleep(0.01)
        assert await at_home(app) == {}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.mission("D4")
@pytest.mark.mission("E7")
async def test_while_redis_is_down_logins_are_known_and_none_begins_or_ends(
    tmp_path: Path, lasting_redis: RedisServer
) -> None:
    redis: dict[str, Any] = {"redis_url": SecretStr(lasting_redis.url)}
    async with gateway(tmp_path, working=False, **redis) as app:
        token = await app.logins.begin("anna")
        lasting_redis.kill()
        await eventually(lambda: not app.link.is_up)
        assert await app.logins.find(token) is not None
        for wish in (app.logins.begin(), app.logins.end(token)):
            with pytest.raises(WishRefused):
                await wish
        with pytest.raises(Unavailable):
            await app.logins.sweep()
    async with gateway(tmp_path, working=False, **redis) as app:
        found = await app.logins.find(token)
        assert found is not None
        assert found.user_id == "anna"
        assert await app.logins.find("another") is None
        lasting_redis.start()
        await eventually(lambda: app.link.is_up)
        await app.logins.end(token)
        assert await app.logins.find(token) is None
