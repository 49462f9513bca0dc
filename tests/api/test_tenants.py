"""Every route, walked by strangers: a client sees, guesses and changes nothing of another one, nor does the admin.

A route that is not in `WALKS` fails the first test: whoever adds one says here whose its things are.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from media.samples import picture
from passerelle.api import build_api
from passerelle.app import App

from apps import gateway, http

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
ADMIN = {"Authorization": "Bearer the-admin"}
PAIRING, SESSIONS = "/api/whatsapp/pairing-code", "/api/whatsapp/sessions"
MARK = "only-the-owner-may-read-this"
INLINE = "data:image/png;base64," + b64encode(picture("PNG")).decode()
CUSTOMER, FRIEND, PLUMBER = "+33639980120", "+33639980121", "+33639980122"
IN_PATH = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How a route is walked. `whose`: owned (its ids are a client's), list, new, admin, public or world (sandbox)."""

    whose: str
    body: Json | None = None
    """What a good request carries."""


OWNED, LIST, NEW, ADMINS, PUBLIC, WORLD = (
    Walk(whose=one) for one in ("owned", "list", "new", "admin", "public", "world")
)
CONTRACTOR = {"name": "Plombier", "phone": PLUMBER, "trades": ["plumber"], "areas": ["75011"], "capacity": 3}
MESSAGE = {"to": FRIEND, "type": "text", "text": "hello"}
WALKS = {
    f"POST {PAIRING}": NEW,
    f"GET {PAIRING}/{{attempt_id}}": OWNED,
    **dict.fromkeys((f"DELETE {PAIRING}/{{attempt_id}}", f"GET {PAIRING}/{{attempt_id}}/events"), OWNED),
    f"GET {SESSIONS}": LIST,
    f"GET {SESSIONS}/{{session_id}}": OWNED,
    f"DELETE {SESSIONS}/{{session_id}}": OWNED,
    f"POST {SESSIONS}/{{session_id}}/reconnect": OWNED,
    f"GET {SESSIONS}/{{session_id}}/capture": OWNED,
    f"PUT {SESSIONS}/{{session_id}}/capture": Walk(whose="owned", body={"deleted": False, "view_once": False}),
    f"GET {SESSIONS}/{{session_id}}/qr": OWNED,
    f"PUT {SESSIONS}/{{session_id}}/proxy": ADMINS,
    f"POST {SESSIONS}/export": ADMINS,
    f"POST {SESSIONS}/import": ADMINS,
    "POST /api/messages": NEW,
    "POST /api/messages/batch": NEW,
    "GET /api/messages": LIST,
    "GET /api/messages/{message_id}": OWNED,
    "POST /api/messages/{message_id}/cancel": OWNED,
    "POST /api/messages/{message_id}/retry": OWNED,
    "POST /api/leads": NEW,
    "GET /api/leads": LIST,
    "GET /api/leads/{lead_id}": OWNED,
    "PATCH /api/leads/{lead_id}": Walk(whose="owned", body={"status": "closed"}),
    "DELETE /api/leads/{lead_id}": OWNED,
    "POST /api/contractors": NEW,
    "GET /api/contractors": LIST,
    "PATCH /api/contractors/{contractor_id}": Walk(whose="owned", body={"capacity": 1}),
    "DELETE /api/contractors/{contractor_id}": OWNED,
    "GET /api/inbox/messages": LIST,
    "GET /api/inbox/deleted": LIST,
    "GET /api/inbox/view-once": LIST,
    "DELETE /api/inbox/messages/{message_id}": OWNED,
    **dict.fromkeys(("GET /api/people/{phone}", "DELETE /api/people/{phone}"), NEW),
    "POST /api/media": NEW,
    "GET /api/media": LIST,
    "GET /api/media/{media_id}": OWNED,
    "DELETE /api/media/{media_id}": OWNED,
    "GET /media/{media_id}": PUBLIC,
    "POST /api/media/migrations": ADMINS,
    "GET /api/media/migrations/current": ADMINS,
    "DELETE /api/media/migrations/current": ADMINS,
    "POST /api/media/imports": ADMINS,
    "POST /api/webhooks": NEW,
    "GET /api/webhooks": LIST,
    "GET /api/webhooks/{webhook_id}": OWNED,
    "PATCH /api/webhooks/{webhook_id}": Walk(whose="owned", body={"active": False}),
    "DELETE /api/webhooks/{webhook_id}": OWNED,
    "POST /api/webhooks/{webhook_id}/secret": OWNED,
    "POST /api/webhooks/{webhook_id}/test": OWNED,
    "GET /api/webhooks/{webhook_id}/deliveries": OWNED,
    "POST /api/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": OWNED,
    "GET /api/secrets": ADMINS,
    "POST /api/secrets/rotate": ADMINS,
    "GET /api/clients": ADMINS,
    "POST /api/clients": ADMINS,
    "GET /api/clients/{client_id}": ADMINS,
    "DELETE /api/clients/{client_id}": ADMINS,
    "GET /api/clients/{client_id}/keys": ADMINS,
    "POST /api/clients/{client_id}/keys": ADMINS,
    "POST /api/clients/{client_id}/keys/{key_id}/rotate": ADMINS,
    "DELETE /api/clients/{client_id}/keys/{key_id}": ADMINS,
    "GET /api/audit": ADMINS,
    "GET /metrics": ADMINS,
    "GET /api/database/verify-redis": ADMINS,
    "GET /api/database/check-sessions": ADMINS,
    **{f"POST /api/records/{verb}": ADMINS for verb in ("reload", "restore", "accept", "import")},
    "GET /api/confirm": PUBLIC,
    "POST /api/confirm": PUBLIC,
    **dict.fromkeys(("GET /api/health", "GET /healthz", "GET /readyz"), PUBLIC),
    "POST /sandbox/phones": WORLD,
    "GET /sandbox/phones": WORLD,
    "POST /sandbox/phones/{number}/enter-code": WORLD,
    "GET /sandbox/phones/{number}/messages": WORLD,
    "POST /sandbox/phones/{number}/messages": WORLD,
    "DELETE /sandbox/phones/{number}/messages/{id_}": WORLD,
    "POST /sandbox/phones/{number}/read": WORLD,
    "GET /sandbox/statuses": WORLD,
    "GET /sandbox/faults": WORLD,
    "POST /sandbox/faults": WORLD,
    "DELETE /sandbox/faults": WORLD,
    "GET /sandbox/clock": WORLD,
    "POST /sandbox/clock/advance": WORLD,
    "POST /sandbox/reset": WORLD,
}


@dataclass
class Client:
    """One client, and all it has: `ids` by the names that paths give them."""

    headers: dict[str, str]
    number: str
    ids: dict[str, str] = field(default_factory=dict)

    def filled(self, path: str) -> str:
        """The path with the ids of this client."""
        kept = "inbox_id" if path.startswith("/api/inbox") else "message_id"
        return IN_PATH.sub(lambda match: self.ids[kept if match[1] == "message_id" else match[1]], path)


def unknown(text: str) -> str:
    """The same with ids that nobody has."""
    return re.sub(r"(?<=[a-z]_)[0-9a-f]{6,}\b", lambda match: "0" * len(match[0]), text)


@pytest.fixture(params=["sqlite", "postgresql"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    known: Json = {"admin_key": SecretStr("the-admin")}
    if request.param == "postgresql":
        known["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with gateway(tmp_path, **known) as app, http(app) as api:
        yield app, api


async def good(answer: Awaitable[httpx.Response]) -> Any:
    told = await answer
    assert told.is_success, (told.request.url, told.text)
    return told.json() if told.content else None


async def until(asked: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(8):
        while not (found := await asked()):  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.03)
    return found


async def settled(api: httpx.AsyncClient, number: str, mark: str) -> Client:
    """A client with something in every room; `mark` stands in all that a person wrote."""
    made = await good(api.post("/api/clients", json={"name": mark}, headers=ADMIN))
    client = Client({"X-API-Key": made["api_key"]}, number)
    client.ids |= {"client_id": made["id"], "key_id": made["key_id"]}
    await _link(api, client)
    await _write(api, client, mark)
    await _hear(api, client, mark)
    return client


async def _link(api: httpx.AsyncClient, client: Client) -> None:
    wish = {"user_id": "anna", "phone_number": client.number}
    attempt = await good(api.post(PAIRING, json=wish, headers=client.headers))
    typed = {"code": attempt["code"]}
    await good(api.post(f"/sandbox/phones/{client.number}/enter-code", json=typed, headers=ADMIN))
    client.ids |= {"attempt_id": attempt["attempt_id"], "session_id": attempt["session_id"]}

    async def is_linked() -> bool:
        told = await good(api.get(f"{PAIRING}/{attempt['attempt_id']}", headers=client.headers))
        return bool(told["status"] == "linked")

    await until(is_linked)


async def _write(api: httpx.AsyncClient, client: Client, mark: str) -> None:
    who = client.headers
    hook = await good(api.post("/api/webhooks", json={"url": f"http://127.0.0.1:9/{mark}"}, headers=who))
    client.ids["webhook_id"] = hook["id"]
    test = await good(api.post(f"/api/webhooks/{hook['id']}/test", headers=who))
    message = MESSAGE | {"text": mark, "user_id": "anna"}
    sent = await good(api.post("/api/messages", json=message, headers=who | {"Idempotency-Key": "one"}))
    contractor = await good(api.post("/api/contractors", json=CONTRACTOR | {"name": mark}, headers=who))
    lead = {"name": mark, "phone": CUSTOMER, "trade": "plumber", "area": "75011"}
    asked = await good(api.post("/api/leads", json=lead, headers=who | {"Idempotency-Key": "one"}))
    form = {"user_id": "anna", "category": "scheduled-status"}
    file = {"file": (f"{mark}.png", picture("PNG"), "image/png")}
    media = await good(api.post("/api/media", data=form, files=file, headers=who))
    client.ids |= {"delivery_id": test["id"], "message_id": sent["id"], "contractor_id": contractor["id"]}
    client.ids |= {"lead_id": asked["id"], "media_id": media["id"], "phone": CUSTOMER}
    token = asked["confirm_url"].partition("token=")[2]
    assert (await api.post("/api/confirm", data={"token": token})).status_code == 200

    async def delivered() -> bool:
        return bool((await good(api.get(f"/api/messages/{sent['id']}", headers=who)))["status"] == "delivered")

    await until(delivered)


async def _hear(api: httpx.AsyncClient, client: Client, mark: str) -> None:
    """Somebody writes, shows something once, and takes it back."""
    agreed = {"deleted": True, "view_once": True}
    await good(api.put(f"{SESSIONS}/{client.ids['session_id']}/capture", json=agreed, headers=client.headers))
    wish = {"to": client.number, "text": mark, "view_once": True, "media": INLINE}
    said = await good(api.post(f"/sandbox/phones/{FRIEND}/messages", json=wish, headers=ADMIN))
    await good(api.delete(f"/sandbox/phones/{FRIEND}/messages/{said['id']}", headers=ADMIN))

    async def kept() -> Any:
        items = (await good(api.get("/api/inbox/deleted", headers=client.headers)))["items"]
        return [one for one in items if one["media"] and one["media"]["state"] == "kept"]

    client.ids["inbox_id"] = (await until(kept))[0]["id"]


@pytest.fixture
async def parties(house: tuple[App, httpx.AsyncClient]) -> tuple[httpx.AsyncClient, Client, Client]:
    """The API, the owner, and another client that has the same sort of things."""
    _, api = house
    return api, await settled(api, "+33639980123", MARK), await settled(api, "+33639980124", "mine")


def routes_of(app: App) -> set[str]:
    paths: Json = build_api(app).openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def of(whose: str, there: set[str]) -> list[tuple[str, str, Walk]]:
    found = [(route.partition(" "), walk) for route, walk in WALKS.items() if walk.whose == whose and route in there]
    return [(method, path, walk) for (method, _, path), walk in found]


async def test_every_route_has_its_walk(house: tuple[App, httpx.AsyncClient]) -> None:
    there = routes_of(house[0])
    assert there - set(WALKS) == set(), "say in WALKS whose the things of these routes are"
    gone = {route for route in set(WALKS) - there if WALKS[route] is not WORLD}  # that one may be served elsewhere
    assert gone == set(), "these are no routes any more"


async def seen_by(api: httpx.AsyncClient, client: Client, *, below: tuple[str, ...] = ("/",)) -> str:
    """All that the client can read of its own, without what changes by itself."""
    told = []
    for route, walk in WALKS.items():
        method, path = route.split(" ", 1)
        readable = method == "GET" and walk.whose in {"owned", "list"} and not path.endswith(("/events", "/qr"))
        if readable and path.startswith(below):
            told.append(await good(api.get(client.filled(path), headers=client.headers)))
    text = json.dumps(told, sort_keys=True)
    changing = "as_of|last_seen_at|url|thumbnail_url|attempts|due_at|last_error|failing_since|paused_until|settled_at"
    return re.sub(rf'"({changing}|last_status|last_answer)": ("[^"]*"|[^,}}]*)', "", text)


def without_ids(answer: httpx.Response) -> tuple[Any, ...]:
    kept = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "ratelimit"}}
    return answer.status_code, kept, unknown(answer.text)


async def test_an_id_of_another_client_is_answered_as_one_that_nobody_has(
    house: tuple[App, httpx.AsyncClient], parties: tuple[httpx.AsyncClient, Client, Client]
) -> None:
    api, owner, other = parties
    before = await seen_by(api, owner)
    assert MARK in before
    for headers in (other.headers, ADMIN):
        for method, path, walk in of("owned", routes_of(house[0])):
            async with asyncio.timeout(10):
                theirs = await api.request(method, owner.filled(path), json=walk.body, headers=headers)
                nobodys = await api.request(method, unknown(owner.filled(path)), json=walk.body, headers=headers)
            assert theirs.status_code == 404, (method, path, theirs.text)
            assert without_ids(theirs) == without_ids(nobodys), (method, path)
            assert theirs.text == nobodys.text, (method, path)
    mixed = f"/api/webhooks/{other.ids['webhook_id']}/deliveries/{owner.ids['delivery_id']}/replay"
    assert (await api.post(mixed, headers=other.headers)).status_code == 404
    assert await seen_by(api, owner) == before, "nothing of the owner's was changed"


async def test_lists_hold_nothing_of_another_client(
    house: tuple[App, httpx.AsyncClient], parties: tuple[httpx.AsyncClient, Client, Client]
) -> None:
    api, owner, other = parties
    hers = {MARK, owner.number, *owner.ids.values()} - {CUSTOMER}
    filters = {"user_id": "anna", "session_id": owner.ids["session_id"], "to": FRIEND, "sender": FRIEND}
    for _, path, _ in of("list", routes_of(house[0])):
        assert MARK in (await api.get(path, headers=owner.headers)).text or path == SESSIONS, path
        for headers in (other.headers, ADMIN):
            for query in (
                {},
                filters,
                {"cursor": "zzzz"},
                *({"cursor": owner.ids[one]} for one in ("message_id", "media_id")),
            ):
                told = await api.get(path, params=query, headers=headers)
                assert told.status_code in {200, 422}, (path, query, told.text)
                assert [one for one in hers if one in told.text] == [], (path, query)


async def test_what_belongs_to_another_client_cannot_be_used(
    parties: tuple[httpx.AsyncClient, Client, Client],
) -> None:
    api, owner, other = parties
    media = {"to": FRIEND, "type": "image", "user_id": "anna", "media_id": owner.ids["media_id"]}
    session = MESSAGE | {"session_id": owner.ids["session_id"]}
    own_lead = f"/api/leads/{other.ids['lead_id']}"
    tried: list[tuple[str, str, Json]] = [
        ("POST", "/api/messages", media),
        ("POST", "/api/messages", session),
        ("POST", "/api/messages/batch", {"messages": [MESSAGE | {"user_id": "anna"}, session]}),
        ("POST", "/api/messages/batch", {"messages": [media]}),
        ("PATCH", own_lead, {"contractor_id": owner.ids["contractor_id"]}),
    ]
    for method, path, body in tried:
        theirs = await api.request(method, path, json=body, headers=other.headers)
        nobodys = await api.request(method, path, json=json.loads(unknown(json.dumps(body))), headers=other.headers)
        assert theirs.status_code == 404, (path, body, theirs.text)
        assert without_ids(theirs) == without_ids(nobodys), (path, body)


async def test_a_user_a_number_and_a_key_of_another_client_are_ones_own_names(
    parties: tuple[httpx.AsyncClient, Client, Client],
) -> None:
    api, owner, other = parties
    rooms = ("/api/inbox", "/api/leads", "/api/contractors", "/api/messages", "/api/media")
    before = await seen_by(api, owner, below=rooms)
    keyed = other.headers | {"Idempotency-Key": "one"}
    wish = {"user_id": "zoe", "phone_number": "+33639980125"}
    hers = await good(api.post(PAIRING, json=wish, headers=owner.headers | {"Idempotency-Key": "pair"}))
    his = await good(api.post(PAIRING, json=wish, headers=other.headers | {"Idempotency-Key": "pair"}))
    assert hers["attempt_id"] != his["attempt_id"], "no lock, no key, no number is shared"
    said = await good(api.post("/api/messages", json=MESSAGE | {"user_id": "anna", "text": "mine"}, headers=keyed))
    assert said["session_id"] == other.ids["session_id"]
    assert said["id"] == other.ids["message_id"], "his own key of the same name"
    lead = {"name": "mine", "phone": CUSTOMER, "trade": "plumber", "area": "75011"}
    assert (await good(api.post("/api/leads", json=lead, headers=keyed)))["id"] == other.ids["lead_id"]
    await api.delete(f"{PAIRING}/{hers['attempt_id']}", headers=owner.headers)
    for phone in (FRIEND, CUSTOMER):
        assert (await api.delete(f"/api/people/{phone}", headers=other.headers)).status_code in {200, 202}
    assert await seen_by(api, owner, below=rooms) == before, "a person is erased for who asked alone"


async def test_what_is_for_the_admin_is_403_for_clients_and_401_for_nobody(
    house: tuple[App, httpx.AsyncClient], parties: tuple[httpx.AsyncClient, Client, Client]
) -> None:
    api, owner, other = parties
    for method, path, _ in of("admin", routes_of(house[0])):
        for client in (owner, other):
            told = await api.request(method, owner.filled(path), headers=client.headers)
            assert (told.status_code, told.json()["code"]) == (403, "admin_only"), (method, path)
    for whose in ("owned", "list", "new", "admin", "world"):
        for method, path, _ in of(whose, routes_of(house[0])):
            filled = Client({}, "", owner.ids | {"number": FRIEND, "id_": "x"}).filled(path)
            for headers in ({}, {"X-API-Key": "pas_a_b_c"}):
                told = await api.request(method, filled, headers=headers)
                assert (told.status_code, told.json()["code"]) == (401, "key_missing"), (method, path)


async def test_what_is_public_tells_strangers_nothing_of_anybody(
    parties: tuple[httpx.AsyncClient, Client, Client],
) -> None:
    api, owner, other = parties
    media = f"/media/{owner.ids['media_id']}"
    for headers in ({}, other.headers, ADMIN):
        for query in ("", "?expires=99999999999&signature=00"):
            told = await api.get(media + query, headers=headers)
            nobodys = await api.get(unknown(media) + query, headers=headers)
            assert told.status_code == 403
            assert told.text == nobodys.text
    for headers in ({}, other.headers):
        assert set((await api.get("/api/health", headers=headers)).json()) == {"status"}
        assert (await api.get("/api/confirm", params={"token": "forged"}, headers=headers)).status_code == 400


async def test_in_production_the_simulated_world_is_the_admins(tmp_path: Path) -> None:
    settings: Json = {"admin_key": SecretStr("the-admin"), "env": "production", "provider": "sandbox"}
    async with gateway(tmp_path, working=False, **settings) as app, http(app) as api:
        made = await good(api.post("/api/clients", json={"name": "one"}, headers=ADMIN))
        client = {"X-API-Key": made["api_key"]}
        assert (await api.get("/sandbox/phones", headers=ADMIN)).status_code == 200
        assert (await api.get("/sandbox/phones", headers=client)).status_code == 403
        assert (await api.post("/sandbox/reset", headers=client)).status_code == 403
