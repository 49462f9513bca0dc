"""What is kept for how long, in a whole gateway: what is gone is gone for everybody, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.coordination.jobs import RetentionJobs
from passerelle.messages.adapters.contacts import SqlContactBook
from passerelle.messages.ports import Contact
from passerelle.sessions.model import Session

from apps import ME, NUMBER, gateway, http, linked

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)
PATH, BO = "/api/messages", "+33639980100"


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    """A gateway that sends nothing and keeps messages for ten days."""
    more: dict[str, Any] = {"message_retention": 10 * DAY, "lead_retention": 20 * DAY}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    if request.param == "redis":
        more["redis_url"] = SecretStr(request.getfixturevalue("redis_server").url)
    async with gateway(tmp_path, working=False, **more) as app:
        yield app


@pytest.fixture
async def api(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http(app) as client:
        yield client


def later(app: App, span: timedelta) -> None:
    app.clock.set_offset(app.clock.offset + span)


async def sweep(app: App) -> None:
    await next(jobs for jobs in app.jobs if isinstance(jobs, RetentionJobs)).sweep()


async def said(api: httpx.AsyncClient, *, key: str | None = None) -> str:
    """A message that was cancelled: it is over."""
    headers = {} if key is None else {"Idempotency-Key": key}
    wish = {"user_id": "anna", "to": BO, "type": "text", "text": "hello"}
    told = await api.post(PATH, json=wish, headers=headers)
    message_id: str = told.json()["id"]
    await api.post(f"{PATH}/{message_id}/cancel")
    return message_id


async def test_a_message_that_is_gone_answers_as_one_that_never_was_and_lists_go_on(
    app: App, api: httpx.AsyncClient
) -> None:
    await linked(app)
    old = [await said(api) for _ in range(3)]
    later(app, 5 * DAY)
    young = [await said(api) for _ in range(3)]
    first = (await api.get(PATH, params={"limit": 4})).json()
    assert [one["id"] for one in first["items"]] == [*young[::-1], old[-1]]
    later(app, 6 * DAY - timedelta(minutes=1))
    await sweep(app)
    assert (await api.get(f"{PATH}/{old[0]}")).status_code == 200, "it expired only a day after it was asked for"
    later(app, timedelta(minutes=2))
    await sweep(app)
    gone, never = [await api.get(f"{PATH}/{one}") for one in (old[0], "msg_never")]
    assert (gone.status_code, gone.json()["code"]) == (404, "message_not_found")
    assert gone.json().keys() == never.json().keys()
    assert [one["id"] for one in (await api.get(PATH)).json()["items"]] == young[::-1]
    rest = (await api.get(PATH, params={"limit": 4, "cursor": first["next_cursor"]})).json()
    assert rest["items"] == []
    assert rest["next_cursor"] is None


async def test_a_phone_that_was_unlinked_long_ago_is_forgotten_with_its_contacts(app: App) -> None:
    client, _ = await app.clients.add("shop")
    phones = {
        "old": await linked(app, "anna", "+33639980001"),
        "again": await linked(app, "bea", "+33639980002"),
        "young": await linked(app, "carla", "+33639980003"),
        "linked": await linked(app, "dora", "+33639980004"),
        "twice": await linked(app, "emma", "+33639980005"),
    }
    for phone in phones.values():
        await speaks(app, phone)
    for name in ("old", "again", "twice"):
        await app.sessions.end(ME, phones[name].id)
    later(app, 5 * DAY)
    phones["anew"] = await linked(app, "bea", "+33639980002")
    phones["then"] = await linked(app, "emma", "+33639980005")
    for name in ("young", "then"):
        await app.sessions.end(ME, phones[name].id)
    await told_to_records(app)
    later(app, 6 * DAY)
    await sweep(app)
    left = {one.id for one in (await app.sessions.read_all(ME)).sessions}
    assert left == {phones[name].id for name in ("young", "linked", "anew", "then")}
    rows = await app.database.read(lambda tx: tx.sql("SELECT DISTINCT phone_number FROM contacts ORDER BY 1"))
    assert [row["phone_number"] for row in rows] == [f"+3363998000{n}" for n in (2, 3, 4, 5)]
    later(app, 6 * DAY)
    await sweep(app)
    assert {one.id for one in (await app.sessions.read_all(ME)).sessions} == {phones["linked"].id, phones["anew"].id}
    assert (await app.sessions.read_all(Caller(client_id=client.id))).sessions == []


async def told_to_records(app: App) -> None:
    """What happened to phones stands in their records."""
    async with asyncio.timeout(30):
        while await app.database.read(lambda tx: tx.sql("SELECT seq FROM facts LIMIT 1")):  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.01)


async def speaks(app: App, phone: Session) -> None:
    """It writes to somebody for the first time."""
    admit = partial(
        SqlContactBook().admit,
        wanted=[Contact(phone.id, BO)],
        caps={phone.id: 9},
        since=app.clock.now() - DAY,
        now=app.clock.now(),
    )
    assert await app.database.run(admit) == set()


async def test_what_is_kept_forever_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MESSAGE", "LEAD", "AUDIT"):
        monkeypatch.setenv(f"PASSERELLE_{name}_RETENTION", "forever")
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        await linked(app, number=NUMBER)
        kept = await said(api)
        later(app, 50 * 365 * DAY)
        await sweep(app)
        assert (await api.get(f"{PATH}/{kept}")).status_code == 200
