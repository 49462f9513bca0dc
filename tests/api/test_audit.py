"""Who did what: acts are written down before they are done, with how they ended, and without what nobody may read."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.routing import Route
from structlog.testing import capture_logs

from api.test_tenants import WALKS, routes_of
from passerelle.api import build_api
from passerelle.app import App
from passerelle.audit.adapters.sql import SqlAuditBook
from passerelle.audit.http import ACTS
from passerelle.audit.jobs import AuditJobs
from passerelle.audit.model import UNDER_WAY, Act, Action, Entry, Outcome, Wanted, is_about

from apps import NUMBER, gateway, http, linked

pytestmark = pytest.mark.anyio
ADMIN = {"Authorization": "Bearer the-admin"}
HER = "+33639980150"
NO_ACTS = {
    "POST /api/records/reload",  # reads anew
    "POST /api/media/imports",  # as an upload; one for each file
}
NO_ACTS_OF_PAGES = (
    *(f"POST /dashboard/{room}" for room in ("contractors", "inbox", "leads", "link", "messages", "phones", "story")),
    *("POST /dashboard/media", "POST /dashboard/sandbox", "POST /dashboard/webhooks/{id}/test"),
    *(f"POST /dashboard/sessions/{{id}}/{name}" for name in ("reconnect", "capture")),
    "POST /dashboard/webhooks/{id}/replay",
)
Json = dict[str, Any]
Api = httpx.AsyncClient


@pytest.fixture(params=["sqlite", "postgresql"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[App, Api]]:
    known: Json = {"admin_key": SecretStr("the-admin")}
    if request.param == "postgresql":
        known["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with gateway(tmp_path, working=False, **known) as app, http(app) as api:
        yield app, api


async def acts(api: Api, **wanted: Any) -> list[Json]:
    told = await api.get("/api/audit", params=wanted, headers=ADMIN)
    assert told.status_code == 200, told.text
    found: list[Json] = told.json()["items"]
    return found


async def made(api: Api, name: str = "one") -> Json:
    told = await api.post("/api/clients", json={"name": name}, headers=ADMIN | {"X-Request-ID": "req-1"})
    assert told.status_code == 201
    found: Json = told.json()
    return found


@pytest.mark.mission("Z6")
async def test_acts_tell_who_did_what_on_what_and_how_it_ended(house: tuple[App, Api]) -> None:
    _, api = house
    client = await made(api)
    client_id, key_id = client["id"], client["key_id"]
    hers = {"X-API-Key": client["api_key"]}
    hook = (await api.post("/api/webhooks", json={"url": "http://127.0.0.1:9/"}, headers=hers)).json()["id"]
    await api.patch(f"/api/webhooks/{hook}", json={"active": False}, headers=hers)
    await api.post(f"/api/webhooks/{hook}/secret", headers=hers)
    await api.delete("/api/webhooks/hook_0", headers=hers)
    rotated = (await api.post(f"/api/clients/{client_id}/keys/{key_id}/rotate", headers=ADMIN)).json()["key_id"]
    await api.delete(f"/api/clients/{client_id}/keys/{key_id}", headers=ADMIN)
    await api.delete(f"/api/clients/{client_id}", headers=ADMIN)
    prefix = client["api_key"].rpartition("_")[0]
    assert [(one["who"], one["what"], one["target"], one["outcome"]) for one in reversed(await acts(api))] == [
        ("admin", "client.made", f"{client_id}/{key_id}", "done"),
        (prefix, "webhook.made", hook, "done"),
        (prefix, "webhook.changed", hook, "done"),
        (prefix, "webhook.secret_rotated", hook, "done"),
        (prefix, "webhook.removed", "hook_0", "refused"),
        ("admin", "key.rotated", f"{client_id}/{key_id}/{rotated}", "done"),
        ("admin", "key.revoked", f"{client_id}/{key_id}", "done"),
        ("admin", "client.removed", client_id, "done"),
    ]
    (first,) = await acts(api, what="client.made")
    assert (first["client_id"], first["address"], first["request_id"]) == ("default", "127.0.0.1", "req-1")
    assert {one["client_id"] for one in await acts(api, who=prefix)} == {client_id}
    assert client["api_key"].rpartition("_")[2] not in str(await acts(api)), "never the key"


async def test_lists_are_filtered_and_come_in_pages(house: tuple[App, Api]) -> None:
    _, api = house
    for name in "abc":
        await made(api, name)
    first = (await api.get("/api/audit", params={"limit": 2}, headers=ADMIN)).json()
    rest = await acts(api, limit=2, cursor=first["next_cursor"])
    ids = [one["id"] for one in (*first["items"], *rest)]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    assert await acts(api, since=rest[0]["at"], until=first["items"][-1]["at"], what="client.made") == rest
    assert await acts(api, who="nobody") == await acts(api, what="key.made") == []
    for wrong in ({"since": "yesterday"}, {"cursor": "a b"}, {"limit": 0}):
        assert (await api.get("/api/audit", params=wrong, headers=ADMIN)).status_code == 422


async def test_who_may_not_do_it_writes_nothing(house: tuple[App, Api]) -> None:
    _, api = house
    client = await made(api)
    before = await acts(api)
    for headers in ({}, {"X-API-Key": "pas_a_b_c"}, {"X-API-Key": client["api_key"]}):
        assert (await api.delete(f"/api/clients/{client['id']}", headers=headers)).status_code in {401, 403}
    assert await acts(api) == before


async def test_a_person_who_is_erased_is_not_named(house: tuple[App, Api]) -> None:
    _, api = house
    await api.delete(f"/api/people/{HER}", headers=ADMIN)
    (act,) = await acts(api)
    assert (act["what"], act["target"]) == ("person.erased", "***")
    assert HER[1:] not in str(act)


async def test_the_dashboard_and_the_command_line_are_told_apart(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False, admin_key=SecretStr("the-admin")) as app:
        transport = httpx.ASGITransport(build_api(app, control=Path("socket")))
        async with httpx.AsyncClient(transport=transport, base_url="http://socket") as line, http(app) as api:
            assert (await line.post("/api/clients", json={"name": "one"})).status_code == 201
            form = await api.get("/dashboard/login")
            csrf = re.search(r'name="csrf" value="(\w+)"', form.text)
            assert csrf is not None
            for key, status in (("wrong", 403), ("the-admin", 303)):
                told = await api.post("/dashboard/login", data={"csrf": csrf[1], "key": key})
                assert told.status_code == status, told.text
            found = [(one["who"], one["what"], one["outcome"]) for one in await acts(api)]
            assert found == [
                ("dashboard", "dashboard.logged_in", "done"),
                ("dashboard", "dashboard.logged_in", "refused"),
                ("command line", "client.made", "done"),
            ]


async def test_a_log_that_cannot_be_written_keeps_no_key_alive(house: tuple[App, Api]) -> None:
    app, api = house
    client = await made(api)
    await app.database.run(lambda tx: tx.sql("ALTER TABLE audit_log RENAME TO audit_away"))
    with capture_logs() as lines:
        told = await api.delete(f"/api/clients/{client['id']}/keys/{client['key_id']}", headers=ADMIN)
    assert told.status_code == 204
    assert (await api.get("/api/messages", headers={"X-API-Key": client["api_key"]})).status_code == 401
    missing = [line for line in lines if "audit log" in line["event"]]
    assert {(one["log_level"], one["what"], one["who"]) for one in missing} == {("error", "key.revoked", "admin")}


async def test_an_act_is_written_down_before_it_is_done(house: tuple[App, Api]) -> None:
    app, _ = house
    act = Act(action=Action.KEY_REVOKED, target="client_a/key")
    token = UNDER_WAY.set(act)
    try:
        for who in ("admin", "somebody else"):
            await app.audit.begin(who, client_id="default")
            (entry,) = await app.audit.page(Wanted(), before="", limit=10)
            assert (entry.who, entry.outcome, entry.target) == ("admin", Outcome.BEGUN, "client_a/key")
        is_about("client_a/other")
        await app.audit.settle(act, Outcome.DONE)
        await app.database.run(partial(SqlAuditBook().put, entry=entry))  # late: its COMMIT was in doubt
        (entry,) = await app.audit.page(Wanted(), before="", limit=10)
        assert (entry.outcome, entry.target) == (Outcome.DONE, "client_a/other")
    finally:
        UNDER_WAY.reset(token)
    is_about("nothing is under way")


async def test_what_broke_is_told_as_failed(house: tuple[App, Api]) -> None:
    app, api = house
    await app.database.run(lambda tx: tx.sql("ALTER TABLE webhook_endpoints RENAME TO away"))
    assert (await api.delete("/api/webhooks/hook_1", headers=ADMIN)).status_code == 500
    assert [(one["what"], one["outcome"]) for one in await acts(api)] == [("webhook.removed", "failed")]


async def test_old_acts_are_forgotten(house: tuple[App, Api]) -> None:
    app, api = house
    now = app.clock.now()
    for days in (3, 1):
        entry = Entry(
            id=f"audit_{days}",
            at=now - timedelta(days=days),
            client_id="default",
            who="admin",
            address="",
            action="client.made",
            target="",
            outcome=Outcome.DONE,
            request_id=None,
        )
        await app.database.run(partial(SqlAuditBook().put, entry=entry))
    jobs = AuditJobs(book=SqlAuditBook(), database=app.database, clock=app.clock, retention=timedelta(days=2))
    await jobs.sweep()
    assert [one["id"] for one in await acts(api)] == ["audit_1"]


async def test_whatever_an_admin_can_change_is_an_act(house: tuple[App, Api]) -> None:
    shapes = {_shape(route) for route in ACTS}
    changing = {route for route, walk in WALKS.items() if walk.whose == "admin" and not route.startswith("GET")}
    assert {route for route in changing if _shape(route) not in shapes} == NO_ACTS
    pages = [route for route in build_api(house[0]).routes if isinstance(route, Route)]
    there = {f"{method} {page.path}" for page in pages for method in page.methods or ()} | routes_of(house[0])
    written = {one for one in there if one.startswith("POST /dashboard/") and _shape(one) not in shapes}
    assert {one for one in written if not one.startswith(NO_ACTS_OF_PAGES)} == set(), "say whether these are acts"
    assert shapes - set(map(_shape, there)) == set(), "these are no routes any more"


def _shape(route: str) -> str:
    """The same for every name of what stands in the path."""
    return re.sub(r"\{\w+\}", "{}", route)


async def test_unlinking_a_phone_is_an_act(house: tuple[App, Api]) -> None:
    app, api = house
    session = await linked(app, number=NUMBER)
    assert (await api.delete(f"/api/whatsapp/sessions/{session.id}", headers=ADMIN)).status_code == 204
    assert [(one["what"], one["target"]) for one in await acts(api)] == [("session.unlinked", session.id)]
