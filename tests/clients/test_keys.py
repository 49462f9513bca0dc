"""Keys over their life: named, used, rotated with an overlap, and believed for a while without Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from passerelle.app import App
from passerelle.clients.adapters.sql import SqlUseBook
from passerelle.clients.model import ApiKey
from passerelle.clients.ports import KeyName
from passerelle.clients.trust import BELIEVED
from passerelle.clients.uses import Uses
from passerelle.clock import Clock
from passerelle.db import Database, StorageFull, Tx

from apps import gateway, http
from servers import RedisServer, eventually

pytestmark = pytest.mark.anyio
PATH, SESSIONS = "/api/clients", "/api/whatsapp/sessions"
ADMIN = {"Authorization": "Bearer the-admin"}
Json = dict[str, Any]
Api = httpx.AsyncClient
NOW = datetime.fromisoformat("2026-03-01T12:00:00+00:00")


@asynccontextmanager
async def opened(data_dir: Path, redis: RedisServer | None = None, **settings: Any) -> AsyncIterator[tuple[App, Api]]:
    known: Json = {"admin_key": SecretStr("the-admin"), "working": False}
    if redis is not None:
        known["redis_url"] = SecretStr(redis.url)
    async with gateway(data_dir, **(known | settings)) as app, http(app) as api:
        yield app, api


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[App, Api]]:
    async with opened(tmp_path) as both:
        yield both


async def made(api: Api, **wish: Any) -> Json:
    answer = await api.post(PATH, json={"name": "Back office"} | wish, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def rotated(api: Api, client: Json, **wish: Any) -> httpx.Response:
    return await api.post(f"{PATH}/{client['id']}/keys/{client['key_id']}/rotate", json=wish, headers=ADMIN)


async def status(api: Api, client: Json) -> int:
    return (await api.get(SESSIONS, headers={"X-API-Key": client["api_key"]})).status_code


async def keys_of(api: Api, client: Json) -> dict[str, Json]:
    answer = await api.get(f"{PATH}/{client['id']}/keys", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return {one["id"]: one for one in answer.json()["items"]}


async def advance(api: Api, span: timedelta) -> None:
    wish = {"seconds": span.total_seconds()}
    assert (await api.post("/sandbox/clock/advance", json=wish, headers=ADMIN)).status_code == 200


# --- named and listed


async def test_keys_carry_labels_and_are_told_apart_by_their_prefix(house: tuple[App, Api]) -> None:
    _, api = house
    client = await made(api, label=" the first ")
    more = await api.post(f"{PATH}/{client['id']}/keys", json={"label": "CI"}, headers=ADMIN)
    assert more.status_code == 201
    found = list((await keys_of(api, client)).values())
    assert [one["label"] for one in found] == ["the first", "CI"]
    assert [one["prefix"] for one in found] == [one["api_key"].rpartition("_")[0] for one in (client, more.json())], (
        "what a key shows begins with it"
    )
    told = (await api.get(f"{PATH}/{client['id']}", headers=ADMIN)).json()
    assert (told["id"], told["name"], told["keys"]) == (client["id"], "Back office", found)


@pytest.mark.parametrize("label", ["x" * 201, "two\nlines", "bell\x07"])
async def test_a_label_that_nobody_could_read_is_422(house: tuple[App, Api], label: str) -> None:
    _, api = house
    client = await made(api)
    for path in (PATH, f"{PATH}/{client['id']}/keys"):
        wish = {"label": label} | ({"name": "x"} if path == PATH else {})
        answer = await api.post(path, json=wish, headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_label")


# --- used


async def test_the_last_use_of_a_key_is_known_at_once_and_written_rarely(house: tuple[App, Api]) -> None:
    app, api = house
    client = await made(api)
    assert (await keys_of(api, client))[client["key_id"]]["last_used_at"] is None
    await asyncio.gather(*(status(api, client) for _ in range(20)))
    used_at = datetime.fromisoformat((await keys_of(api, client))[client["key_id"]]["last_used_at"])
    assert abs(app.clock.now() - used_at) < timedelta(seconds=5)
    rows = await app.database.read(lambda tx: tx.sql("SELECT * FROM key_uses"))
    assert rows == [], "no request writes"


async def test_the_last_use_survives_a_restart_and_a_wrong_secret_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, api):
        client, other = await made(api), await made(api)
        assert await status(api, client) == 200
        assert await status(api, other | {"api_key": other["api_key"][:-1] + "x"}) == 401
        used_at = (await keys_of(api, client))[client["key_id"]]["last_used_at"]
    async with opened(tmp_path) as (_, api):
        assert (await keys_of(api, client))[client["key_id"]]["last_used_at"] == used_at
        assert (await keys_of(api, other))[other["key_id"]]["last_used_at"] is None


async def test_of_two_processes_the_later_use_counts(database: Database) -> None:
    book, key, other = SqlUseBook(), KeyName("client_a", "k"), KeyName("client_b", "k")
    later, earlier = NOW, NOW - timedelta(seconds=30)
    for at in (earlier, later, earlier):
        await database.run(partial(book.note, uses={key: at, other: earlier}))
    assert await database.read(partial(book.last, client_ids=["client_a"])) == {key: later}
    for at in (later, earlier):
        await database.run(partial(book.confirm, at=at))
    assert await database.read(book.confirmed_at) == later


class FullOnce(SqlUseBook):
    """A book whose disk is full, the first time."""

    def __init__(self) -> None:
        self.full = True

    async def note(self, tx: Tx, uses: Mapping[KeyName, datetime]) -> None:
        self.full, was_full = False, self.full
        if was_full:
            raise StorageFull
        await super().note(tx, uses)


async def test_a_use_that_cannot_be_written_is_written_later(database: Database) -> None:
    uses, key, other = Uses(book=FullOnce(), database=database, clock=Clock()), KeyName("client_a", "k"), ("b", "k")
    uses.note(key)
    with pytest.raises(StorageFull):
        await uses.flush()
    uses.note(KeyName(*other))
    await uses.flush()
    await uses.flush()
    assert set(await database.read(partial(SqlUseBook().last, client_ids=["client_a", "b"]))) == {key, other}


# --- rotated


async def test_a_rotated_key_is_good_for_the_overlap_that_was_chosen(house: tuple[App, Api]) -> None:
    _, api = house
    client = await made(api, label="server")
    answer = await rotated(api, client, overlap_s=600)
    new = answer.json()
    assert answer.status_code == 201
    assert new["id"] == client["id"]
    assert new["replaces"]["key_id"] == client["key_id"]
    assert (await status(api, client), await status(api, new)) == (200, 200)
    keys = await keys_of(api, client)
    assert keys[client["key_id"]]["expires_at"] == new["replaces"]["expires_at"]
    assert (keys[new["key_id"]]["label"], keys[new["key_id"]]["expires_at"]) == ("server", None)
    await advance(api, timedelta(seconds=590))
    assert (await status(api, client), await status(api, new)) == (200, 200)
    await advance(api, timedelta(seconds=11))
    assert (await status(api, client), await status(api, new)) == (401, 200)


async def test_without_a_word_the_overlap_is_a_day_and_with_zero_there_is_none(house: tuple[App, Api]) -> None:
    app, api = house
    client = await made(api)
    path = f"{PATH}/{client['id']}/keys/{client['key_id']}/rotate"
    new = (await api.post(path, headers=ADMIN)).json()
    ends = datetime.fromisoformat(new["replaces"]["expires_at"]) - app.clock.now()
    assert timedelta(hours=23, minutes=59) < ends <= timedelta(hours=24)
    newest = (await rotated(api, new, overlap_s=0)).json()
    assert [await status(api, one) for one in (client, new, newest)] == [200, 401, 200]


async def test_an_old_key_never_lives_longer_by_another_rotation(house: tuple[App, Api]) -> None:
    _, api = house
    client = await made(api)
    first = (await rotated(api, client, overlap_s=60)).json()
    again = (await rotated(api, client, overlap_s=6000)).json()
    assert again["replaces"]["expires_at"] == first["replaces"]["expires_at"]
    await advance(api, timedelta(seconds=61))
    told = (await rotated(api, client)).json()
    assert (told["status"], told["code"]) == (409, "key_ended")


async def test_a_revoked_key_is_not_rotated_and_a_key_in_its_overlap_can_be_revoked(house: tuple[App, Api]) -> None:
    _, api = house
    client = await made(api)
    new = (await rotated(api, client)).json()
    assert (await api.delete(f"{PATH}/{client['id']}/keys/{client['key_id']}", headers=ADMIN)).status_code == 204
    assert (await status(api, client), await status(api, new)) == (401, 200)
    answer = await rotated(api, client)
    assert (answer.status_code, answer.json()["code"]) == (409, "key_ended")


@pytest.mark.parametrize("wish", [{"overlap_s": -1}, {"overlap_s": 90 * 86400 + 1}, {"overlap_s": "soon"}, {"for": 1}])
async def test_an_overlap_that_makes_no_sense_is_422(house: tuple[App, Api], wish: Json) -> None:
    _, api = house
    client = await made(api)
    answer = await rotated(api, client, **wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert len(await keys_of(api, client)) == 1


async def test_while_redis_is_down_nothing_is_rotated_and_nothing_changes(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with opened(tmp_path, redis_server) as (app, api):
        client = await made(api)
        redis_server.kill()
        await eventually(lambda: not app.link.is_up)
        answer = await rotated(api, client, overlap_s=0)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_saved")
        assert await status(api, client) == 200


# --- believed without Redis


@pytest.mark.mission("D4")
async def test_without_redis_keys_are_believed_for_a_day_and_no_longer(
    tmp_path: Path, lasting_redis: RedisServer
) -> None:
    async with opened(tmp_path, lasting_redis) as (app, api):
        client = await made(api)
        await app.clients.confirm()
        lasting_redis.kill()
        await eventually(lambda: not app.link.is_up)
        await advance(api, BELIEVED - timedelta(minutes=5))
        assert await status(api, client) == 200
        await advance(api, timedelta(minutes=6))
        answer = await api.get(SESSIONS, headers={"X-API-Key": client["api_key"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_unknown")
        assert answer.headers["retry-after"] == "60"
        assert (await api.get(SESSIONS, headers=ADMIN)).status_code == 200, "the admin's key is a setting"
        lasting_redis.start()
        await eventually(lambda: app.link.is_up)
        assert await status(api, client) == 200


@pytest.mark.mission("D4")
async def test_a_key_that_was_made_long_ago_is_believed_by_a_process_started_without_redis(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """What counts is when Redis was last seen to agree, not when the key was made."""
    async with opened(tmp_path, redis_server) as (app, api):
        client = await made(api)
        await advance(api, timedelta(days=30))
        await app.clients.confirm()
    redis_server.kill()
    async with opened(tmp_path, redis_server) as (app, api):
        assert not app.link.is_up
        await app.clients.confirm()
        assert await status(api, client) == 200
        await advance(api, BELIEVED + timedelta(minutes=1))
        assert await status(api, client) == 503


@pytest.mark.mission("D4")
async def test_a_process_that_redis_left_hears_of_revocations_that_another_one_still_applied(
    tmp_path: Path, lasting_redis: RedisServer, request: pytest.FixtureRequest
) -> None:
    """Two processes on one PostgreSQL: one reaches Redis, one does not any more."""
    url = request.getfixturevalue("postgres_server").create_database()
    more = {"database_url": SecretStr(url), "sandbox_url": None}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with opened(tmp_path / "one", lasting_redis, **more) as (one, api):
        client = await made(api)
        async with opened(tmp_path / "two", lasting_redis, **more) as (two, apart):
            assert await status(apart, client) == 200
            await two.link.close()  # as if its way to Redis were cut
            assert await status(apart, client) == 200
            gone = await api.delete(f"{PATH}/{client['id']}/keys/{client['key_id']}", headers=ADMIN)
            assert gone.status_code == 204
            await one.records.facts.apply()
            await two.clients.confirm()
            assert await status(apart, client) == 401


@pytest.mark.mission("E8")
async def test_a_gateway_that_knew_of_no_key_stays_open_while_redis_is_away(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with opened(tmp_path, redis_server, admin_key=None, env="production", provider="sandbox") as (app, api):
        assert (await api.get(SESSIONS)).status_code == 200
        redis_server.kill()
        await eventually(lambda: not app.link.is_up)
        before = (await api.get(PATH)).json()["as_of"]
        await app.clients.confirm()
        assert (await api.get(PATH)).json()["as_of"] == before, "memory is as old as it was"
        assert (await api.get(SESSIONS)).status_code == 200


async def test_a_key_is_looked_for_by_its_hash_alone() -> None:
    key = ApiKey.new("client_a1")
    assert str(key).startswith(f"{key.prefix}_")
    assert len(key.secret) == 40, "160 random bits"
    assert key.secret not in key.digest
