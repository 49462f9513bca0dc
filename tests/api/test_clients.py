"""Who may call: clients and their keys over HTTP, and what an admin sees of the records; also while Redis is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from passerelle.app import App
from passerelle.clients.model import ApiKey
from passerelle.db import Tx

from apps import gateway, http, linked
from servers import PostgresServer, RedisServer, eventually

pytestmark = pytest.mark.anyio
PATH = "/api/clients"
SESSIONS = "/api/whatsapp/sessions"
ADMIN = {"Authorization": "Bearer the-admin"}
SHOWN = {"id", "prefix", "label", "created_at", "last_used_at", "expires_at", "revoked"}
Api = httpx.AsyncClient


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert {"type", "title", "detail", "hint"} <= set(body)
    return body


@asynccontextmanager
async def opened(data_dir: Path, redis: RedisServer | None = None, **settings: Any) -> AsyncIterator[tuple[App, Api]]:
    """A gateway with an admin key that does no work, on Redis where one is given."""
    known: dict[str, Any] = {"admin_key": SecretStr("the-admin"), "working": False}
    if redis is not None:
        known["redis_url"] = SecretStr(redis.url)
    async with gateway(data_dir, **(known | settings)) as app, http(app) as client:
        yield app, client


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A gateway with nothing installed, and an admin key."""
    async with opened(tmp_path) as (_, client):
        yield client


@pytest.fixture
async def open_api(tmp_path: Path) -> AsyncIterator[Api]:
    """A gateway in open mode."""
    async with opened(tmp_path, admin_key=None) as (_, client):
        yield client


async def made(api: Api, name: str = "Back office") -> dict[str, Any]:
    answer = await api.post(PATH, json={"name": name}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(api: Api) -> dict[str, dict[str, Any]]:
    answer = await api.get(PATH, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return {one["id"]: one for one in answer.json()["items"]}


def key(client: dict[str, Any]) -> dict[str, str]:
    return {"X-API-Key": client["api_key"]}


async def status(api: Api, headers: dict[str, str], path: str = SESSIONS) -> int:
    return (await api.get(path, headers=headers)).status_code


async def comes_true(asked: Callable[[], Awaitable[bool]], limit: float = 5.0) -> None:
    until = time.monotonic() + limit
    while not await asked():
        assert time.monotonic() < until, "it did not come about"
        await asyncio.sleep(0.01)


# --- made, listed, shown once


@pytest.mark.mission("E1")
async def test_a_client_is_made_and_its_key_opens_the_door(api: Api) -> None:
    client = await made(api)
    assert {"id", "name", "api_key"} <= set(client)
    assert client["id"].startswith("client_")
    assert client["name"] == "Back office"
    for headers in (key(client), {"Authorization": f"Bearer {client['api_key']}"}):
        assert await status(api, headers) == 200


async def test_the_list_shows_every_client_and_no_key(api: Api) -> None:
    clients = [await made(api, name) for name in ("one", "two")]
    answer = (await api.get(PATH, headers=ADMIN)).json()
    assert set(answer) == {"items", "next_cursor", "source", "as_of"}
    assert [(one["id"], one["name"]) for one in answer["items"]] == [(c["id"], c["name"]) for c in clients]
    for one, client in zip(answer["items"], clients, strict=True):
        assert set(one) == {"id", "name", "created_at", "keys"}
        assert [set(k) for k in one["keys"]] == [SHOWN]
        assert one["created_at"].endswith("Z")
        secret = ApiKey.read(client["api_key"])
        assert secret is not None
        assert secret.secret not in json.dumps(answer)
        assert secret.digest not in json.dumps(answer)


@pytest.mark.mission("E1")
@pytest.mark.parametrize("home", ["redis", "json", "sql"])
async def test_of_a_key_only_its_hash_is_kept_anywhere(
    tmp_path: Path, home: str, request: pytest.FixtureRequest
) -> None:
    server: RedisServer | None = request.getfixturevalue("redis_server") if home == "redis" else None
    settings: dict[str, Any] = {}
    if home == "sql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        settings["database_url"] = SecretStr(postgres.create_database())
    with capture_logs() as lines:
        async with opened(tmp_path, server, **settings) as (app, api):
            client = await made(api)
            more = (await api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN)).json()
            await api.get(SESSIONS, headers=key(client))
            await api.delete(f"{PATH}/{client['id']}/keys/{more['key_id']}", headers=ADMIN)
            await app.records.facts.apply()
            await app.records.memory.flush()
            kept = [await _of_sql(app), str(lines)]
            if server is not None:
                kept.append(server.ask("HGETALL", "passerelle:{default}:records:clients"))
            kept += _texts_below(tmp_path)
    everything = "\n".join(kept)
    for shown in (client["api_key"], more["api_key"]):
        secret = ApiKey.read(shown)
        assert secret is not None
        assert secret.secret not in everything
        assert secret.digest in everything, "looked in the right places"


def _texts_below(folder: Path) -> list[str]:
    return [path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()]


async def _of_sql(app: App) -> str:
    async def all_rows(tx: Tx) -> list[Any]:
        return [await tx.sql(f"SELECT * FROM {name}") for name in ("records", "records_shadow", "facts")]  # noqa: S608 -- names of ours

    return str(await app.database.read(all_rows))


@pytest.mark.parametrize("name", ["B", "Back office", "Zoë & Fils, 電話", "🧰", "é" * 200, "  trimmed  "])
async def test_a_client_may_have_any_name_that_can_be_read(api: Api, name: str) -> None:
    client = await made(api, name)
    assert client["name"] == name.strip()
    assert (await listed(api))[client["id"]]["name"] == name.strip()


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "x" * 4096, "line\nbreak", "a\x00b", "bell\x07", "\ud800"])
async def test_a_name_that_nobody_could_read_is_422(api: Api, name: str) -> None:
    content = json.dumps({"name": name})  # httpx would not send a lone surrogate
    answer = await api.post(PATH, content=content, headers=ADMIN | {"Content-Type": "application/json"})
    is_problem(answer, 422, "invalid_name")
    assert await listed(api) == {}


@pytest.mark.parametrize("wish", [{}, {"name": 5}, {"name": None}, {"name": "a", "id": "client_mine"}, [], "a"])
async def test_wrong_fields_of_a_client_are_named(api: Api, wish: Any) -> None:
    is_problem(await api.post(PATH, json=wish, headers=ADMIN), 422, "invalid_request")


@pytest.mark.mission("E10")
async def test_a_new_client_is_told_in_the_log(tmp_path: Path, redis_server: RedisServer) -> None:
    for server, where in ((None, "the files"), (redis_server, "Redis")):
        async with opened(tmp_path / where.split()[-1], server) as (_, api):
            with capture_logs() as lines:
                client = await made(api, "Zoë")
            assert f"✅ Client created and saved in {where}: {client['id']} - Zoë" in [line["event"] for line in lines]


# --- who comes in


async def test_open_mode_ends_with_the_first_key(open_api: Api) -> None:
    assert await status(open_api, {}) == 200
    assert await status(open_api, {}, PATH) == 200
    client = await made(open_api)
    for path in (SESSIONS, PATH, "/api/database/verify-redis"):
        is_problem(await open_api.get(path), 401, "key_missing")
    is_problem(await open_api.post(PATH, json={"name": "me too"}), 401, "key_missing")
    assert await status(open_api, key(client)) == 200
    assert await status(open_api, key(client), PATH) == 403
    for path in ("/healthz", "/readyz", "/api/health"):
        assert (await open_api.get(path)).status_code in {200, 503}, "these are for everybody"


async def test_open_mode_does_not_come_back_with_a_restart_or_when_the_last_client_goes(tmp_path: Path) -> None:
    async with opened(tmp_path, admin_key=None) as (_, api):
        client = await made(api)
    async with opened(tmp_path) as (_, api):
        assert (await api.delete(f"{PATH}/{client['id']}", headers=ADMIN)).status_code == 204
    async with opened(tmp_path, admin_key=None) as (_, api):
        is_problem(await api.get(SESSIONS), 401, "key_missing")


async def test_a_key_that_nobody_made_is_nobodys(api: Api) -> None:
    one, other = await made(api, "one"), await made(api, "other")
    mark, client, key_id, secret = one["api_key"].split("_")
    others = other["api_key"].split("_")
    wrong = [
        *("", "wrong", "pas_", "pas___", f"{mark}_{client}_{key_id}", f"{mark}_{client}_{key_id}_"),
        f"{mark}_{client}_{key_id}_{secret[:-1]}",
        f"{mark}_{client}_{key_id}_{secret}0",
        f"{mark}_{client}_{key_id}_{secret.upper()}",
        f"{mark}_{client}_{others[2]}_{others[3]}",
        f"{mark}_{others[1]}_{key_id}_{secret}",
        f"{mark}_nobody_{key_id}_{secret}",
        f"PAS_{client}_{key_id}_{secret}",
        "x" * 4000,
        "pas_" + "}:{" * 50 + "_x_y",
    ]
    for text in wrong:
        is_problem(await api.get(SESSIONS, headers={"X-API-Key": text}), 401, "key_missing")
    for raw in (b"pas_\xff\xfe_\xe9_\xe9", one["api_key"].encode() + b"\xe9"):
        is_problem(await api.get(SESSIONS, headers={b"X-API-Key": raw}), 401, "key_missing")
    assert await status(api, key(one)) == 200


ADMIN_ROUTES = [
    ("POST", PATH),
    ("GET", PATH),
    ("POST", f"{PATH}/client_x/keys"),
    ("DELETE", f"{PATH}/client_x/keys/abc"),
    ("GET", f"{PATH}/client_x"),
    ("GET", f"{PATH}/client_x/keys"),
    ("POST", f"{PATH}/client_x/keys/abc/rotate"),
    ("DELETE", f"{PATH}/client_x"),
    ("GET", "/api/database/verify-redis"),
    ("GET", "/api/database/check-sessions"),
    ("POST", "/api/records/reload"),
    ("POST", "/api/records/restore"),
    ("POST", "/api/records/accept"),
    ("POST", "/api/records/import"),
]


async def test_an_admin_key_with_accents_is_known_by_its_own_bytes(tmp_path: Path) -> None:
    """Programs send a header in UTF-8, and a server reads it as Latin-1."""
    secret = "l'été, à bientôt, voilà"
    async with opened(tmp_path, admin_key=SecretStr(secret)) as (_, api):
        for name, value in ((b"Authorization", b"Bearer " + secret.encode()), (b"X-API-Key", secret.encode())):
            assert (await api.get("/api/clients", headers={name: value})).status_code == 200
        is_problem(await api.get("/api/clients", headers={b"X-API-Key": secret.encode("latin-1")}), 401, "key_missing")


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_what_is_for_the_admin_is_for_nobody_else(api: Api, method: str, path: str) -> None:
    client = await made(api)
    is_problem(await api.request(method, path), 401, "key_missing")
    is_problem(await api.request(method, path, headers=key(client)), 403, "admin_only")
    assert (await api.request(method, path, headers=ADMIN)).status_code in {200, 404, 422}


async def test_another_clients_things_are_as_if_they_did_not_exist(tmp_path: Path) -> None:
    async with opened(tmp_path, working=True) as (_, api):
        owner, other = await made(api, "owner"), await made(api, "other")
        things = await _things_of(api, key(owner))
        for path in things:
            assert await status(api, key(owner), path) == 200, path
            assert await status(api, key(other), path) == 404, path
            assert await status(api, ADMIN, path) == 404, "the admin's own data is another client's"
            deleted = await api.delete(path, headers=key(other))
            assert deleted.status_code in {404, 405}, path
        for path in (SESSIONS, "/api/messages", "/api/leads"):
            assert (await api.get(path, headers=key(other))).json()["items"] == [], path
            assert len((await api.get(path, headers=key(owner))).json()["items"]) == 1, path
        session_id = things[0].rpartition("/")[2]
        wish = {"session_id": session_id, "to": "+33639980100", "type": "text", "text": "not mine"}
        assert (await api.post("/api/messages", json=wish, headers=key(other))).status_code == 404


async def _things_of(api: Api, headers: dict[str, str]) -> list[str]:
    """The paths of a linked phone, its attempt, a message and a lead."""
    phone = "+33639980001"
    pairing = "/api/whatsapp/pairing-code"
    attempt = (await api.post(pairing, json={"user_id": "anna", "phone_number": phone}, headers=headers)).json()
    typed = await api.post(f"/sandbox/phones/{phone}/enter-code", json={"code": attempt["code"]}, headers=headers)
    assert typed.status_code == 200

    async def is_linked() -> bool:
        found = (await api.get(f"{pairing}/{attempt['attempt_id']}", headers=headers)).json()
        return bool(found["status"] == "linked")

    await comes_true(is_linked)
    message = {"user_id": "anna", "to": "+33639980100", "type": "text", "text": "hello"}
    sent = (await api.post("/api/messages", json=message, headers=headers)).json()
    customer = {"name": "Léa", "phone": "+33639980101", "trade": "plumber", "area": "75011"}
    lead = (await api.post("/api/leads", json=customer, headers=headers)).json()
    return [
        f"{SESSIONS}/{attempt['session_id']}",
        f"{pairing}/{attempt['attempt_id']}",
        f"/api/messages/{sent['id']}",
        f"/api/leads/{lead['id']}",
    ]


# --- more keys, fewer keys


async def test_a_client_may_have_several_keys_and_lose_one(api: Api) -> None:
    client = await made(api)
    answer = await api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN)
    more = answer.json()
    assert answer.status_code == 201
    assert {"id", "api_key"} <= set(more)
    assert more["id"] == client["id"]
    assert (await status(api, key(client)), await status(api, key(more))) == (200, 200)
    gone = await api.delete(f"{PATH}/{client['id']}/keys/{client['key_id']}", headers=ADMIN)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await status(api, key(client)), await status(api, key(more))) == (401, 200)
    shown = {one["id"]: one["revoked"] for one in (await listed(api))[client["id"]]["keys"]}
    assert shown == {client["key_id"]: True, more["key_id"]: False}
    again = await api.delete(f"{PATH}/{client['id']}/keys/{client['key_id']}", headers=ADMIN)
    assert again.status_code == 204, "harmless when repeated"


async def test_keys_made_at_the_same_time_are_all_good(api: Api) -> None:
    client = await made(api)
    answers = await asyncio.gather(*(api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN) for _ in range(10)))
    for answer in answers:
        assert await status(api, key(answer.json())) == 200
    assert len((await listed(api))[client["id"]]["keys"]) == 11


async def test_a_removed_client_and_its_keys_are_gone(api: Api) -> None:
    client, other = await made(api, "goes"), await made(api, "stays")
    gone = await api.delete(f"{PATH}/{client['id']}", headers=ADMIN)
    assert (gone.status_code, gone.content) == (204, b"")
    assert set(await listed(api)) == {other["id"]}
    assert (await status(api, key(client)), await status(api, key(other))) == (401, 200)
    is_problem(await api.delete(f"{PATH}/{client['id']}", headers=ADMIN), 404, "client_not_found")
    is_problem(await api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN), 409, "client_removed")


async def test_what_is_not_there_is_404(api: Api) -> None:
    client = await made(api)
    for method, path, code in (
        ("POST", f"{PATH}/client_x/keys", "client_not_found"),
        ("DELETE", f"{PATH}/client_x", "client_not_found"),
        ("GET", f"{PATH}/client_x", "client_not_found"),
        ("GET", f"{PATH}/client_x/keys", "client_not_found"),
        ("POST", f"{PATH}/client_x/keys/abc/rotate", "client_not_found"),
        ("POST", f"{PATH}/{client['id']}/keys/nothing/rotate", "key_not_found"),
        ("DELETE", f"{PATH}/client_x/keys/{client['key_id']}", "client_not_found"),
        ("DELETE", f"{PATH}/{client['id']}/keys/nothing", "key_not_found"),
    ):
        is_problem(await api.request(method, path, headers=ADMIN), 404, code)
    assert list(await listed(api)) == [client["id"]]


# --- Redis is away


@pytest.mark.mission("D4")
@pytest.mark.mission("E7")
async def test_keys_are_known_while_redis_is_down_and_to_a_process_started_then_too(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with opened(tmp_path, redis_server) as (app, api):
        client = await made(api)
        redis_server.kill()
        await eventually(lambda: not app.link.is_up)
        assert (await status(api, key(client)), await status(api, {"X-API-Key": "wrong"})) == (200, 401)
        answer = await api.post(PATH, json={"name": "refused"}, headers=ADMIN)
        assert is_problem(answer, 503, "not_saved")["retry_after"] == 1
        assert set(await listed(api)) == {client["id"]}, "memory is as before"
    async with opened(tmp_path, redis_server, admin_key=None) as (app, api):
        assert not app.link.is_up
        assert (await status(api, key(client)), await status(api, {"X-API-Key": "wrong"})) == (200, 401)
        is_problem(await api.get(PATH), 401, "key_missing")


@pytest.mark.mission("E8")
@pytest.mark.parametrize(("env", "expected"), [("production", 401), ("local", 200)])
async def test_where_nobody_can_know_whether_a_key_was_made_production_stays_shut(
    tmp_path: Path, redis_server: RedisServer, env: str, expected: int
) -> None:
    redis_server.kill()
    async with opened(tmp_path, redis_server, admin_key=None, env=env, provider="sandbox") as (_, api):
        assert await status(api, {}) == expected
        assert await status(api, {"X-API-Key": "pas_a_b_c"}) == expected


@pytest.mark.mission("D4")
@pytest.mark.mission("E1")
async def test_a_key_revoked_while_redis_is_down_is_refused_at_once_and_ever_after(
    tmp_path: Path, lasting_redis: RedisServer
) -> None:
    async with opened(tmp_path, lasting_redis) as (app, api):
        client, removed = await made(api, "one"), await made(api, "two")
        more = (await api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN)).json()
        lasting_redis.kill()
        await eventually(lambda: not app.link.is_up)
        gone = await api.delete(f"{PATH}/{client['id']}/keys/{client['key_id']}", headers=ADMIN)
        assert gone.status_code == 204, "what has happened is never refused"
        assert (await api.delete(f"{PATH}/{removed['id']}", headers=ADMIN)).status_code == 204
        assert [await status(api, key(one)) for one in (client, removed, more)] == [401, 401, 200]
    async with opened(tmp_path, lasting_redis) as (app, api):
        assert [await status(api, key(one)) for one in (client, removed, more)] == [401, 401, 200]
        lasting_redis.start()
        await eventually(lambda: app.link.is_up)
        assert [await status(api, key(one)) for one in (client, removed, more)] == [401, 401, 200]
        await comes_true(lambda: _none_waits(app))
    (tmp_path / "fresh").mkdir()
    async with opened(tmp_path / "fresh", lasting_redis) as (_, api):
        assert [await status(api, key(one)) for one in (client, removed, more)] == [401, 401, 200], "from Redis alone"


async def _none_waits(app: App) -> bool:
    found = await app.database.read(lambda tx: tx.sql("SELECT seq FROM facts"))
    return not found


async def test_while_redis_is_suspect_keys_are_known_and_none_is_made(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with opened(tmp_path, redis_server) as (app, api):
        client, other = await made(api, "one"), await made(api, "other")
        await app.link.write("FLUSHALL")
        assert await status(api, key(client)) == 200
        is_problem(await api.post(PATH, json={"name": "new"}, headers=ADMIN), 503, "records_suspect")
        is_problem(await api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN), 503, "records_suspect")
        assert (await api.delete(f"{PATH}/{other['id']}", headers=ADMIN)).status_code == 204
        assert await status(api, key(other)) == 401
        restored = await api.post("/api/records/restore", headers=ADMIN)
        assert restored.json() == {
            "source": "redis",
            "keys": [{"key": "clients", "count": 2}, {"key": "sessions", "count": 0}, {"key": "logins", "count": 0}],
        }
        await comes_true(lambda: _none_waits(app))
        assert [await status(api, key(one)) for one in (client, other)] == [200, 401]


async def test_facts_about_what_was_given_up_spoil_nothing(tmp_path: Path, redis_server: RedisServer) -> None:
    """A key is revoked, a phone unlinked, while Redis is suspect; then somebody accepts the loss."""
    async with opened(tmp_path, redis_server) as (app, api):
        client, session = await made(api), await linked(app)
        await comes_true(lambda: _none_waits(app))
        assert len(await listed(api)) == len((await api.get(SESSIONS, headers=ADMIN)).json()["items"]) == 1
        await app.link.write("FLUSHALL")
        assert len(await listed(api)) == len((await api.get(SESSIONS, headers=ADMIN)).json()["items"]) == 1
        await api.delete(f"{PATH}/{client['id']}/keys/{client['key_id']}", headers=ADMIN)
        await app.sessions.gone(client_id="default", session_id=session.id)
        assert (await api.post("/api/records/accept", headers=ADMIN)).status_code == 200
        for _ in range(2):
            assert await listed(api) == {}
            assert (await api.get(SESSIONS, headers=ADMIN)).json()["items"] == []
            assert await status(api, ADMIN, f"{SESSIONS}/{session.id}") == 404
            assert await status(api, key(client)) == 401
            is_problem(await api.post(f"{PATH}/{client['id']}/keys", headers=ADMIN), 404, "client_not_found")
            is_problem(await api.delete(f"{PATH}/{client['id']}", headers=ADMIN), 404, "client_not_found")
            await comes_true(lambda: _none_waits(app))


# --- what the admin sees of the records


NONE = {"redis": {"count": 0, "items": []}, "memory": {"count": 0, "items": []}}
IN_STEP = {"only_in_redis": [], "only_in_memory": [], "different": [], "in_step": True}


async def verified(api: Api) -> dict[str, Any]:
    answer = await api.get("/api/database/verify-redis", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def checked(api: Api) -> dict[str, Any]:
    answer = await api.get("/api/database/check-sessions", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def counts(clients: int, sessions: int, logins: int, *, in_redis: bool) -> list[dict[str, Any]]:
    named = {"clients": clients, "sessions": sessions, "logins": logins}
    return [{"key": name, "in_redis": in_redis, "count": count} for name, count in named.items()]


@pytest.fixture
async def stocked(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[tuple[App, Api, list[dict[str, Any]]]]:
    """A gateway on Redis with a client, two linked phones and a login, and the phones as check-sessions shows them."""
    async with opened(tmp_path, redis_server) as (app, api):
        await made(api)
        sessions = [
            await linked(app, user, number) for user, number in (("anna", "+33639980001"), ("bo", "+33639980002"))
        ]
        await comes_true(lambda: _none_waits(app))
        await app.logins.begin()
        shown = [{"id": one.id, "user_id": one.user_id, "state": "connected", "version": 1} for one in sessions]
        yield app, api, sorted(shown, key=lambda one: one["id"])


@pytest.mark.mission("E5")
@pytest.mark.mission("E6")
async def test_with_redis_well_everything_is_there_and_in_step(stocked: tuple[App, Api, Any]) -> None:
    _, api, shown = stocked
    assert await verified(api) == {
        "all_in_redis": True,
        "source": "redis",
        "keys": counts(1, 2, 1, in_redis=True),
    }
    told = await checked(api)
    logins = told.pop("logins")
    assert told == {"redis": {"count": 2, "items": shown}, "memory": {"count": 2, "items": shown}} | IN_STEP
    (login,) = logins["redis"]["items"]
    assert (login["user_id"], login["state"], login["version"]) == ("admin", None, 1)
    assert logins == {"redis": {"count": 1, "items": [login]}, "memory": {"count": 1, "items": [login]}} | IN_STEP


@pytest.mark.mission("E5")
@pytest.mark.mission("E6")
@pytest.mark.mission("D4")
async def test_with_redis_down_what_is_shown_comes_from_memory_and_is_not_in_step(
    stocked: tuple[App, Api, Any], redis_server: RedisServer
) -> None:
    app, api, shown = stocked
    redis_server.kill()
    await eventually(lambda: not app.link.is_up)
    assert await verified(api) == {
        "all_in_redis": False,
        "source": "memory",
        "keys": counts(1, 2, 1, in_redis=False),
    }
    told = await checked(api)
    assert told["redis"] == NONE["redis"]
    assert told["memory"] == {"count": 2, "items": shown}
    assert (told["in_step"], told["logins"]["in_step"]) == (False, False)
    assert told["only_in_memory"] == [one["id"] for one in shown]


@pytest.mark.mission("E5")
@pytest.mark.mission("E6")
async def test_without_redis_nothing_is_in_redis_and_the_files_are_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, api):
        await made(api)
        session = await linked(app)
        await comes_true(lambda: _none_waits(app))
        assert await verified(api) == {
            "all_in_redis": False,
            "source": "file",
            "keys": counts(1, 1, 0, in_redis=False),
        }
        told = await checked(api)
        shown = {"id": session.id, "user_id": "anna", "state": "connected", "version": 1}
        side = {"count": 1, "items": [shown]}
        assert told == {"redis": side, "memory": side} | IN_STEP | {"logins": NONE | IN_STEP}


@pytest.mark.mission("E5")
@pytest.mark.mission("E6")
async def test_a_gateway_that_has_nothing_is_in_step_while_that_can_be_known(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with opened(tmp_path, redis_server) as (app, api):
        assert await verified(api) == {"all_in_redis": True, "source": "redis", "keys": counts(0, 0, 0, in_redis=True)}
        assert await checked(api) == NONE | IN_STEP | {"logins": NONE | IN_STEP}
        redis_server.kill()
        await eventually(lambda: not app.link.is_up)
        unknown = NONE | IN_STEP | {"in_step": False}
        assert (await verified(api))["all_in_redis"] is False
        assert await checked(api) == unknown | {"logins": unknown}


@pytest.mark.mission("E6")
async def test_what_is_out_of_step_is_named_side_by_side(stocked: tuple[App, Api, Any]) -> None:
    app, api, shown = stocked
    name = "passerelle:{default}:records:"
    stranger = json.dumps({"v": 3, "ops": ["x"], "data": json.dumps({"user_id": "cy", "state": "paused"})})
    changed = json.dumps({"v": 2, "ops": ["x"], "data": json.dumps({"user_id": "bo", "state": "paused"})})
    await app.link.write("HDEL", f"{name}sessions", shown[0]["id"])
    await app.link.write("HSET", f"{name}sessions", shown[1]["id"], changed, "sess_stranger", stranger)
    await app.link.write("HSET", "passerelle:{client_2}:records:sessions", "sess_elsewhere", stranger)
    await app.link.write("HSET", f"{name}logins", "login", stranger)
    told = await checked(api)
    logins = told.pop("logins")
    in_redis = [
        {"id": "sess_elsewhere", "user_id": "cy", "state": "paused", "version": 3},
        {"id": "sess_stranger", "user_id": "cy", "state": "paused", "version": 3},
        {"id": shown[1]["id"], "user_id": "bo", "state": "paused", "version": 2},
    ]
    assert told == {
        "redis": {"count": 3, "items": sorted(in_redis, key=lambda one: str(one["id"]))},
        "memory": {"count": 2, "items": shown},
        "only_in_redis": ["sess_elsewhere", "sess_stranger"],
        "only_in_memory": [shown[0]["id"]],
        "different": [shown[1]["id"]],
        "in_step": False,
    }
    assert (logins["only_in_redis"], logins["in_step"]) == (["login"], False)


@pytest.mark.mission("E5")
async def test_a_fact_that_waits_is_not_said_to_be_in_redis(stocked: tuple[App, Api, Any]) -> None:
    app, api, _ = stocked
    await app.link.write("SET", "passerelle:{client_9}:records:sessions", "not a hash")
    await app.database.run(
        lambda tx: tx.sql(
            "INSERT INTO facts (client_id, collection, id, patch, fence, created_us)"
            " VALUES ('client_9', 'sessions', 'a', '{}', 0, :db_now)"
        )
    )
    told = await verified(api)
    assert {one["key"]: one["in_redis"] for one in told["keys"]} == {"clients": True, "sessions": False, "logins": True}
    assert told["all_in_redis"] is False


# --- brought from elsewhere


def brought(**other: Any) -> dict[str, Any]:
    record = {"id": "sess_1", "version": 2, "data": {"user_id": "anna"}}
    return {"client_id": "default", "collection": "logins", "records": [record]} | other


async def test_records_are_imported_and_the_differences_told(api: Api) -> None:
    route = "/api/records/import"
    first = await api.post(route, json=brought(), headers=ADMIN)
    assert (first.status_code, first.json()) == (200, {"saved": 1, "same": 0, "different": []})
    other = brought(records=[{"id": "sess_1", "version": 9, "data": {"user_id": "bo"}}])
    assert (await api.post(route, json=brought(), headers=ADMIN)).json() == {"saved": 0, "same": 1, "different": []}
    told = (await api.post(route, json=other, headers=ADMIN)).json()
    assert told == {"saved": 0, "same": 0, "different": ["sess_1"]}


def _bad_imports() -> Iterator[dict[str, Any]]:
    record = brought()["records"][0]
    yield from ({"collection": name} for name in ("", "Logins", "../logins", "a" * 51, "logins\n", 5))
    yield from ({"client_id": name} for name in ("", "..", "../..", "a/b", "a}b", "a\x00b", "a\n", "x" * 201))
    wrong = {
        "id": ("", "x" * 201, "a\x00b", "\ud800", 5),
        "version": (0, -1, "a", None, 2**63),
        "data": (None, [], "a"),
    }
    yield from ({"records": [record | {name: one}]} for name, values in wrong.items() for one in values)
    yield {"records": [record | {"more": 1}]}
    yield {"records": [record] * 1001}


async def test_an_import_that_cannot_be_kept_is_422_and_leaves_no_trace(api: Api, tmp_path: Path) -> None:
    for wrong in _bad_imports():
        content = json.dumps(brought(**wrong))  # httpx would not send a lone surrogate
        headers = ADMIN | {"Content-Type": "application/json"}
        is_problem(await api.post("/api/records/import", content=content, headers=headers), 422, "invalid_request")
        assert _records_near(tmp_path) == [], wrong


def _records_near(folder: Path) -> list[Path]:
    return sorted([*folder.rglob("*.json"), *folder.parent.glob("*.json")])
